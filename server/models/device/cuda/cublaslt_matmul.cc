// SPDX-License-Identifier: Apache-2.0
#include "server/models/device/cuda/cublaslt_matmul.h"

#include <cublasLt.h>
#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/models/device/cuda/cuda_check.h"

namespace prefscore {
namespace {

using kernels::ElementType;

constexpr char kLibrary[] = "libcublasLt.so.13";

// The functions of the library that are used, with the types of its header.
struct Api {
  decltype(&cublasLtCreate) Create;
  decltype(&cublasLtDestroy) Destroy;
  decltype(&cublasLtGetVersion) GetVersion;
  decltype(&cublasLtGetStatusString) GetStatusString;
  decltype(&cublasLtMatmul) Matmul;
  decltype(&cublasLtMatmulAlgoGetHeuristic) AlgoGetHeuristic;
  decltype(&cublasLtMatmulAlgoCheck) AlgoCheck;
  decltype(&cublasLtMatmulAlgoConfigGetAttribute) AlgoConfigGetAttribute;
  decltype(&cublasLtMatmulDescCreate) DescCreate;
  decltype(&cublasLtMatmulDescDestroy) DescDestroy;
  decltype(&cublasLtMatmulDescSetAttribute) DescSetAttribute;
  decltype(&cublasLtMatrixLayoutCreate) LayoutCreate;
  decltype(&cublasLtMatrixLayoutDestroy) LayoutDestroy;
  decltype(&cublasLtMatmulPreferenceCreate) PreferenceCreate;
  decltype(&cublasLtMatmulPreferenceDestroy) PreferenceDestroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) PreferenceSetAttribute;
};

absl::StatusOr<Api> LoadApi() {
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return absl::FailedPreconditionError(absl::StrCat("matrix products need ", dlerror()));
  Api api;
  const char* missing = nullptr;
  const auto find = [&](const char* name, auto& function) {
    void* symbol = dlsym(library, name);
    if (symbol == nullptr) missing = name;
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(symbol);
  };
  find("cublasLtCreate", api.Create);
  find("cublasLtDestroy", api.Destroy);
  find("cublasLtGetVersion", api.GetVersion);
  find("cublasLtGetStatusString", api.GetStatusString);
  find("cublasLtMatmul", api.Matmul);
  find("cublasLtMatmulAlgoGetHeuristic", api.AlgoGetHeuristic);
  find("cublasLtMatmulAlgoCheck", api.AlgoCheck);
  find("cublasLtMatmulAlgoConfigGetAttribute", api.AlgoConfigGetAttribute);
  find("cublasLtMatmulDescCreate", api.DescCreate);
  find("cublasLtMatmulDescDestroy", api.DescDestroy);
  find("cublasLtMatmulDescSetAttribute", api.DescSetAttribute);
  find("cublasLtMatrixLayoutCreate", api.LayoutCreate);
  find("cublasLtMatrixLayoutDestroy", api.LayoutDestroy);
  find("cublasLtMatmulPreferenceCreate", api.PreferenceCreate);
  find("cublasLtMatmulPreferenceDestroy", api.PreferenceDestroy);
  find("cublasLtMatmulPreferenceSetAttribute", api.PreferenceSetAttribute);
  if (missing != nullptr) return absl::FailedPreconditionError(absl::StrCat(kLibrary, " has no ", missing));
  return api;
}

cudaDataType_t DataTypeOf(ElementType type) { return type == ElementType::kFloat32 ? CUDA_R_32F : CUDA_R_16BF; }

// What rows of that many bytes are aligned to, as far as algorithms care.
std::uint32_t AlignmentOf(std::int64_t row_bytes) {
  return static_cast<std::uint32_t>(std::min<std::int64_t>(16, row_bytes & -row_bytes));
}

// Row counts whose best algorithms are tried in this order, to serve all: a full batch goes first.
constexpr std::int64_t kTypicalRows[] = {4096, 1024, 128};

class Implementation : public CublasLtMatMul {
 public:
  explicit Implementation(const Api& api) : api_(api) { Check(api_.Create(&handle_), "cublasLtCreate"); }
  ~Implementation() override {
    plans_.clear();
    api_.Destroy(handle_);
  }

  std::size_t version() const override { return api_.GetVersion(); }

  // Row-major out = x weight^T is column-major out^T = weight x^T, with weight^T as it lies in memory.
  void MatMul(const MatMulArgs& args, cudaStream_t stream) override {
    if (args.num_rows == 0) return;
    if (args.num_rows > kMaxMatMulRows) {
      throw DeviceError(absl::StrCat("a product of ", args.num_rows, " rows, over ", kMaxMatMulRows));
    }
    const Plan& plan = PlanOf(args);
    const float alpha = 1.0f, beta = 0.0f;
    const Layout weight(*this, args.type, args.num_in, args.num_out);
    const Layout x(*this, args.type, args.num_in, args.num_rows);
    const Layout out(*this, args.out_type, args.num_out, args.num_rows);
    Check(api_.Matmul(handle_, plan.operation->get(), &alpha, args.weight, weight.get(), args.x, x.get(), &beta,
                      args.out, out.get(), args.out, out.get(), &plan.algorithm, nullptr, 0, stream),
          "cublasLtMatmul");
  }

  std::string Describe(const MatMulArgs& args) override {
    const cublasLtMatmulAlgo_t& algorithm = PlanOf(args).algorithm;
    return absl::StrCat("algo ", Attribute<std::int32_t>(algorithm, CUBLASLT_ALGO_CONFIG_ID), ", tile ",
                        Attribute<std::uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_TILE_ID), ", stages ",
                        Attribute<std::uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_STAGES_ID), ", cluster ",
                        Attribute<std::uint16_t>(algorithm, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID));
  }

 private:
  // weight^T times x, with sums in fp32.
  class Operation {
   public:
    explicit Operation(const Implementation& owner) : owner_(owner) {
      owner.Check(owner.api_.DescCreate(&operation_, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
    }
    ~Operation() { owner_.api_.DescDestroy(operation_); }
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;
    void TransposeWeight() {
      const cublasOperation_t transposed = CUBLAS_OP_T;
      owner_.Check(
          owner_.api_.DescSetAttribute(operation_, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed)),
          "cublasLtMatmulDescSetAttribute");
    }
    cublasLtMatmulDesc_t get() const { return operation_; }

   private:
    const Implementation& owner_;
    cublasLtMatmulDesc_t operation_ = nullptr;
  };

  struct Plan {
    std::unique_ptr<Operation> operation;
    cublasLtMatmulAlgo_t algorithm = {};
  };

  // Column-major, without gaps.
  class Layout {
   public:
    Layout(const Implementation& owner, ElementType type, std::int64_t num_rows, std::int64_t num_columns)
        : owner_(owner) {
      owner.Check(owner.api_.LayoutCreate(&layout_, DataTypeOf(type), num_rows, num_columns, num_rows),
                  "cublasLtMatrixLayoutCreate");
    }
    ~Layout() { owner_.api_.LayoutDestroy(layout_); }
    Layout(const Layout&) = delete;
    Layout& operator=(const Layout&) = delete;
    cublasLtMatrixLayout_t get() const { return layout_; }

   private:
    const Implementation& owner_;
    cublasLtMatrixLayout_t layout_ = nullptr;
  };

  class Preference {
   public:
    explicit Preference(const Implementation& owner) : owner_(owner) {
      owner.Check(owner.api_.PreferenceCreate(&preference_), "cublasLtMatmulPreferenceCreate");
    }
    ~Preference() { owner_.api_.PreferenceDestroy(preference_); }
    Preference(const Preference&) = delete;
    Preference& operator=(const Preference&) = delete;
    template <typename T>
    void Set(cublasLtMatmulPreferenceAttributes_t attribute, T value) {
      owner_.Check(owner_.api_.PreferenceSetAttribute(preference_, attribute, &value, sizeof(value)),
                   "cublasLtMatmulPreferenceSetAttribute");
    }
    cublasLtMatmulPreference_t get() const { return preference_; }

   private:
    const Implementation& owner_;
    cublasLtMatmulPreference_t preference_ = nullptr;
  };

  void Check(cublasStatus_t status, const char* what) const {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    if (status == CUBLAS_STATUS_ALLOC_FAILED) throw std::bad_alloc();
    throw DeviceError(absl::StrCat(what, ": ", api_.GetStatusString(status)));
  }

  template <typename T>
  T Attribute(const cublasLtMatmulAlgo_t& algorithm, cublasLtMatmulAlgoConfigAttributes_t attribute) const {
    T value{};
    std::size_t num_written = 0;
    Check(api_.AlgoConfigGetAttribute(&algorithm, attribute, &value, sizeof(value), &num_written),
          "cublasLtMatmulAlgoConfigGetAttribute");
    return value;
  }

  const Plan& PlanOf(const MatMulArgs& args) {
    const Key key{args.type, args.out_type, args.num_in, args.num_out};
    const auto found = plans_.find(key);
    if (found != plans_.end()) return found->second;
    Plan plan{.operation = std::make_unique<Operation>(*this)};
    plan.operation->TransposeWeight();
    plan.algorithm = Choose(plan.operation->get(), args);
    return plans_.emplace(key, std::move(plan)).first->second;
  }

  // The first in the library's order that neither splits the inner dimension nor needs memory for partial sums, and
  // that the library itself says takes every number of rows. Nothing is timed: the choice is the same at every start.
  cublasLtMatmulAlgo_t Choose(cublasLtMatmulDesc_t operation, const MatMulArgs& args) const {
    Preference preference(*this);
    preference.Set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{0});
    preference.Set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{CUBLASLT_REDUCTION_SCHEME_NONE});
    const std::uint32_t in_alignment = AlignmentOf(args.num_in * kernels::SizeOf(args.type));
    const std::uint32_t out_alignment = AlignmentOf(args.num_out * kernels::SizeOf(args.out_type));
    preference.Set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, in_alignment);
    preference.Set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, in_alignment);
    preference.Set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, out_alignment);
    preference.Set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, out_alignment);

    const Layout weight(*this, args.type, args.num_in, args.num_out);
    int num_tried = 0;
    std::string objection = "the library names none";
    for (const std::int64_t num_rows : kTypicalRows) {
      const Layout x(*this, args.type, args.num_in, num_rows);
      const Layout out(*this, args.out_type, args.num_out, num_rows);
      std::array<cublasLtMatmulHeuristicResult_t, 32> candidates{};
      int num_candidates = 0;
      const cublasStatus_t status = api_.AlgoGetHeuristic(
          handle_, operation, weight.get(), x.get(), out.get(), out.get(), preference.get(),
          static_cast<int>(candidates.size()), candidates.data(), &num_candidates);
      if (status == CUBLAS_STATUS_NOT_SUPPORTED) continue;  // no candidates
      Check(status, "cublasLtMatmulAlgoGetHeuristic");
      for (int i = 0; i < num_candidates; ++i, ++num_tried) {
        if (candidates[i].state != CUBLAS_STATUS_SUCCESS) continue;
        objection = ObjectionTo(operation, args, candidates[i].algo);
        if (objection.empty()) return candidates[i].algo;
      }
    }
    throw DeviceError(absl::StrCat("no algorithm of ", kLibrary, " keeps rows apart for a weight [", args.num_out, "][",
                                   args.num_in, "]: none of ", num_tried, " suits (of the last: ", objection, ")"));
  }

  // Why an algorithm does not suit; empty where it does.
  std::string ObjectionTo(cublasLtMatmulDesc_t operation, const MatMulArgs& args,
                          const cublasLtMatmulAlgo_t& algorithm) const {
    if (Attribute<std::int32_t>(algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM) > 1) return "it splits the inner dimension";
    if (Attribute<std::uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME) != CUBLASLT_REDUCTION_SCHEME_NONE) {
      return "it adds partial sums";
    }
    const Layout weight(*this, args.type, args.num_in, args.num_out);
    for (std::int64_t num_rows = 1; num_rows <= kMaxMatMulRows; ++num_rows) {
      const Layout x(*this, args.type, args.num_in, num_rows);
      const Layout out(*this, args.out_type, args.num_out, num_rows);
      cublasLtMatmulHeuristicResult_t result{};
      const cublasStatus_t status = api_.AlgoCheck(handle_, operation, weight.get(), x.get(), out.get(), out.get(),
                                                   &algorithm, &result);
      const bool refuses = status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE ||
                           status == CUBLAS_STATUS_ARCH_MISMATCH;
      if (!refuses) Check(status, "cublasLtMatmulAlgoCheck");  // a fault is no answer
      if (refuses || result.state != CUBLAS_STATUS_SUCCESS) return absl::StrCat("it does not take ", num_rows, " rows");
      if (result.workspaceSize != 0) return absl::StrCat("it needs memory for ", num_rows, " rows");
    }
    return "";
  }

  using Key = std::tuple<ElementType, ElementType, std::int64_t, std::int64_t>;

  const Api api_;
  cublasLtHandle_t handle_ = nullptr;
  std::map<Key, Plan> plans_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CublasLtMatMul>> CublasLtMatMul::Open() {
  auto api = LoadApi();
  if (!api.ok()) return api.status();
  return std::make_unique<Implementation>(*api);
}

}  // namespace prefscore

// SPDX-License-Identifier: Apache-2.0
// A libcublasLt.so.13 on the CPU, with the meaning that the real header gives its arguments: column-major layouts,
// transposed operands, an algorithm that is asked for and then used. Of its three algorithms the first splits the inner
// dimension and the second takes no single row; only the third computes. The variables below make it fail.
#include <cublasLt.h>

#include <cstdint>
#include <cstring>

namespace {

enum AlgorithmId : std::uint64_t { kSplits = 1, kNeedsManyRows = 2, kGood = 3 };

struct Layout {
  std::uint64_t type, rows, columns, stride;
};
static_assert(sizeof(Layout) <= sizeof(cublasLtMatrixLayoutOpaque_t));

struct Operation {
  std::uint64_t transpose_a, transpose_b;
};
static_assert(sizeof(Operation) <= sizeof(cublasLtMatmulDescOpaque_t));

template <typename T, typename Opaque>
T As(const Opaque* opaque) {
  T value;
  std::memcpy(&value, opaque, sizeof(value));
  return value;
}

float Read(const Layout& layout, const void* data, std::uint64_t row, std::uint64_t column) {
  const std::uint64_t index = column * layout.stride + row;
  float value;
  if (layout.type == CUDA_R_32F) {
    std::memcpy(&value, static_cast<const float*>(data) + index, sizeof(value));
  } else {
    const std::uint32_t bits = std::uint32_t{static_cast<const std::uint16_t*>(data)[index]} << 16;
    std::memcpy(&value, &bits, sizeof(value));
  }
  return value;
}

void Write(const Layout& layout, void* data, std::uint64_t row, std::uint64_t column, float value) {
  const std::uint64_t index = column * layout.stride + row;
  if (layout.type == CUDA_R_32F) {
    static_cast<float*>(data)[index] = value;
  } else {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    static_cast<std::uint16_t*>(data)[index] = static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
  }
}

}  // namespace

extern "C" {

int fake_live_operations = 0;                               // made and not destroyed
std::uint64_t fake_refused_rows = 0;                        // no algorithm takes so many rows; 0: none is refused
cublasStatus_t fake_check_status = CUBLAS_STATUS_SUCCESS;      // of asking whether an algorithm suits
cublasStatus_t fake_attribute_status = CUBLAS_STATUS_SUCCESS;  // of describing an operation

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  static int object;
  *handle = reinterpret_cast<cublasLtHandle_t>(&object);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t) { return CUBLAS_STATUS_SUCCESS; }
size_t cublasLtGetVersion() { return 130100; }
const char* cublasLtGetStatusString(cublasStatus_t) { return "a fault"; }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* operation, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  *operation = new cublasLtMatmulDescOpaque_t{};
  ++fake_live_operations;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  delete operation;
  --fake_live_operations;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation,
                                              cublasLtMatmulDescAttributes_t attribute, const void* value,
                                              size_t size) {
  if (fake_attribute_status != CUBLAS_STATUS_SUCCESS) return fake_attribute_status;
  cublasOperation_t transpose;
  if (size != sizeof(transpose)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&transpose, value, size);
  const int place = attribute == CUBLASLT_MATMUL_DESC_TRANSA ? 0 : attribute == CUBLASLT_MATMUL_DESC_TRANSB ? 1 : -1;
  if (place < 0) return CUBLAS_STATUS_NOT_SUPPORTED;
  operation->data[place] = transpose == CUBLAS_OP_T;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t stride) {
  if (stride < static_cast<std::int64_t>(rows)) return CUBLAS_STATUS_INVALID_VALUE;
  const Layout value{static_cast<std::uint64_t>(type), rows, columns, static_cast<std::uint64_t>(stride)};
  *layout = new cublasLtMatrixLayoutOpaque_t{};
  std::memcpy(*layout, &value, sizeof(value));
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t{};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void*,
                                                    size_t size) {
  const size_t expected = attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES ? 8 : 4;
  return size == expected ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t, int num_wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int* num_results) {
  *num_results = 0;
  for (const std::uint64_t id : {kSplits, kNeedsManyRows, kGood}) {
    if (*num_results == num_wanted) break;
    cublasLtMatmulHeuristicResult_t& result = results[(*num_results)++];
    result = {};
    result.algo.data[0] = id;
    result.state = CUBLAS_STATUS_SUCCESS;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t,
                                       cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                       const cublasLtMatmulAlgo_t* algorithm,
                                       cublasLtMatmulHeuristicResult_t* result) {
  *result = {};
  result->state = CUBLAS_STATUS_SUCCESS;
  if (fake_check_status != CUBLAS_STATUS_SUCCESS) return fake_check_status;
  const std::uint64_t num_rows = As<Layout>(b).columns;
  const bool refuses = (algorithm->data[0] == kNeedsManyRows && num_rows == 1) || num_rows == fake_refused_rows;
  return refuses ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute, void* value,
                                                    size_t size, size_t* num_written) {
  std::uint32_t result = 0;
  if (attribute == CUBLASLT_ALGO_CONFIG_ID) result = static_cast<std::uint32_t>(algorithm->data[0]);
  if (attribute == CUBLASLT_ALGO_CONFIG_SPLITK_NUM) result = algorithm->data[0] == kSplits ? 4 : 1;
  const bool is_short = attribute == CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID;
  if (size != (is_short ? 2 : 4)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(value, &result, size);
  *num_written = size;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t operation, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void*, cublasLtMatrixLayout_t, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm, void*, size_t,
                              cudaStream_t) {
  const auto [transpose_a, transpose_b] = As<Operation>(operation);
  const auto a_matrix = As<Layout>(a_layout), b_matrix = As<Layout>(b_layout), d_matrix = As<Layout>(d_layout);
  const std::uint64_t inner = transpose_a ? a_matrix.rows : a_matrix.columns;
  const bool fits = (transpose_a ? a_matrix.columns : a_matrix.rows) == d_matrix.rows &&
                    (transpose_b ? b_matrix.rows : b_matrix.columns) == d_matrix.columns &&
                    (transpose_b ? b_matrix.columns : b_matrix.rows) == inner;
  const bool plain = *static_cast<const float*>(alpha) == 1.0f && *static_cast<const float*>(beta) == 0.0f;
  if (!fits || !plain || algorithm->data[0] != kGood) return CUBLAS_STATUS_INVALID_VALUE;
  for (std::uint64_t row = 0; row < d_matrix.rows; ++row) {
    for (std::uint64_t column = 0; column < d_matrix.columns; ++column) {
      float sum = 0.0f;
      for (std::uint64_t k = 0; k < inner; ++k) {
        sum += (transpose_a ? Read(a_matrix, a, k, row) : Read(a_matrix, a, row, k)) *
               (transpose_b ? Read(b_matrix, b, column, k) : Read(b_matrix, b, k, column));
      }
      Write(d_matrix, d, row, column, sum);
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"

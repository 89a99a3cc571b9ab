// SPDX-License-Identifier: Apache-2.0
#include "server/config/device_options.h"

#include <CLI/App.hpp>

#include "absl/strings/str_cat.h"
#include "server/config/option_checks.h"
#include "server/util/device_name.h"
#include "server/util/status_macros.h"

namespace prefscore {

void AddOptions(CLI::App& app, DeviceOptions& options) {
  app.add_option("--device", options.device,
                 "Where models run: cpu, cuda:N, or auto, which is cuda:0 where there is one, else cpu")
      ->type_name("DEVICE")
      ->capture_default_str();
  app.add_option("--dtype", options.dtype, "Type of the weights in the forward pass: float32 or bfloat16")
      ->type_name("DTYPE")
      ->capture_default_str();
  app.add_option("--threads", options.num_threads, "Threads of one forward pass; 0: one per core")
      ->type_name("N")
      ->capture_default_str();
}

absl::Status CheckOptions(const DeviceOptions& options) {
  if (options.device != "auto" && options.device != "cpu" && !CudaIndexOf(options.device)) {
    return FlagError("--device", absl::StrCat("'", options.device, "' is not one of: auto, cpu, cuda:N"));
  }
  RETURN_IF_ERROR(CheckOneOf("--dtype", options.dtype, {"float32", "bfloat16"}));
  return CheckRange("--threads", options.num_threads, 0, 1024);
}

}  // namespace prefscore

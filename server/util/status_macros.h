// SPDX-License-Identifier: Apache-2.0
// The two macros for functions that return absl::Status or absl::StatusOr.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define PREFSCORE_CONCAT_INNER(a, b) a##b
#define PREFSCORE_CONCAT(a, b) PREFSCORE_CONCAT_INNER(a, b)

// RETURN_IF_ERROR(Validate(request));
#define RETURN_IF_ERROR(expression)                          \
  do {                                                       \
    if (absl::Status status_macro_status = (expression);     \
        !status_macro_status.ok()) {                         \
      return status_macro_status;                            \
    }                                                        \
  } while (false)

// ASSIGN_OR_RETURN(auto model, LoadModel(folder));
#define ASSIGN_OR_RETURN(declaration, expression) \
  ASSIGN_OR_RETURN_INNER(PREFSCORE_CONCAT(status_or_, __LINE__), declaration, expression)

#define ASSIGN_OR_RETURN_INNER(result, declaration, expression) \
  auto result = (expression);                                   \
  if (!result.ok()) return std::move(result).status();          \
  declaration = std::move(result).value()

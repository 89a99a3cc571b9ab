// SPDX-License-Identifier: Apache-2.0
#define PREFSCORE_ROW_OPS kRowOpsAvx512
#define PREFSCORE_LANES 16
#include "server/models/row_ops_impl.h"

// SPDX-License-Identifier: Apache-2.0
#define PREFSCORE_ROW_OPS kRowOpsAvx2
#define PREFSCORE_LANES 8
#include "server/models/row_ops_impl.h"

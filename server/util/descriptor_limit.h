// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace prefscore {

// Lets this process have as many open files and connections as the system allows it: the limit that processes start with
// is a low one (often 1,024), for programs that use select. Does nothing where it cannot be raised.
void RaiseDescriptorLimit();

}  // namespace prefscore

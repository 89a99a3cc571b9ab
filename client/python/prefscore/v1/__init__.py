# SPDX-License-Identifier: Apache-2.0
"""The contract's messages and services, generated from `proto/prefscore/v1` when the package is built."""

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Proves that this Python's torch is the pinned one and multiplies matrices: an import alone loads libraries that may
be of no use (stand-ins, another CUDA's, a GPU that its driver does not know).

    check_torch.py cpu|cuda:N

Prints its version and folder, separated by a tab. Exits with 1 and one line of why, or dies of a signal.
"""
import pathlib
import sys

PINNED = "2.11.0"  # as in requirements-runtime.txt


def main(device: str) -> str | None:
    try:
        import torch
    except Exception as error:  # an OSError of a library, too
        return f"import torch: {error}".replace("\n", " ")
    if torch.__version__.partition("+")[0] != PINNED:
        return f"torch is {torch.__version__}; the build links {PINNED}"
    size = 256
    integers = torch.arange(size * size).reshape(size, size) % 7 - 3
    try:
        # Products and sums of small integers are exact in fp32: another result is wrong.
        product = integers.to(device, torch.float32) @ integers.T.to(device, torch.float32)
        wrong = (product.cpu().long() != integers @ integers.T).sum().item()
    except Exception as error:
        return f"a matrix product on {device}: {error}".replace("\n", " ")
    if wrong:
        return f"a matrix product on {device} has {wrong} wrong values of {size * size}"
    print(torch.__version__, pathlib.Path(torch.__file__).parent, sep="\t")
    return None


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))

#!/usr/bin/env python3
"""Lets Python import the torch wheel on a CPU-only machine without 3 GB of CUDA libraries.

The wheel's Python module links libtorch_cuda.so, which names a dozen CUDA libraries that a CPU run never calls.
This script writes empty libraries under those names: every symbol that libtorch_cuda.so expects exists in them and traps when
called. Only Python (the reference side of the tests, and the demo models' training) needs them; the server does not link them.

    cuda_stand_ins.py TORCH_LIB_DIR CUDART_LIB_DIR OUTPUT_DIR
"""
import collections
import pathlib
import re
import subprocess
import sys


def output_of(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def needed_libraries(library: pathlib.Path) -> set[str]:
    return set(re.findall(r"\(NEEDED\).*\[(.+)\]", output_of("readelf", "-d", "-W", str(library))))


def undefined_symbols(library: pathlib.Path) -> set[tuple[str, str]]:
    """(symbol, version) pairs; the version is empty where the symbol has none."""
    return {
        (name.split("@")[0], name.partition("@")[2])
        for name in re.findall(r" U (\S+)", output_of("nm", "-D", "--undefined-only", str(library)))
        if re.match(r"cu|nccl|nvshmem", name)
    }


def version_owners(library: pathlib.Path) -> dict[str, str]:
    """Symbol version -> the library that must define it."""
    owners, owner = {}, ""
    for line in output_of("readelf", "-V", "-W", str(library)).splitlines():
        if match := re.search(r"File: (\S+)", line):
            owner = match[1]
        elif match := re.search(r"Name: (\S+)", line):
            owners[match[1]] = owner
    return owners


def main(torch_lib: pathlib.Path, cudart_lib: pathlib.Path, destination: pathlib.Path) -> None:
    users = [torch_lib / f"lib{name}.so" for name in ("torch_cuda", "torch_nvshmem", "torch_python")]
    present = {path.name for folder in (torch_lib, cudart_lib) for path in folder.iterdir()}
    missing = sorted(
        name for user in users for name in needed_libraries(user)
        if name not in present and re.match(r"lib(cu|nccl|nvshmem)", name)
    )
    missing = sorted(set(missing))
    defined = output_of("nm", "-D", "--defined-only", *map(str, cudart_lib.glob("libcu*.so.*")))
    symbols: dict[str, dict[str, set[str]]] = {name: collections.defaultdict(set) for name in missing}
    for user in users:
        owners = version_owners(user)
        for symbol, version in undefined_symbols(user):
            if re.search(rf" {re.escape(symbol)}(@|$)", defined, re.MULTILINE):
                continue
            owner = owners.get(version, missing[0]) if version else missing[0]
            if owner in symbols:
                symbols[owner][version].add(symbol)

    destination.mkdir(parents=True, exist_ok=True)
    for name, by_version in symbols.items():
        assembly = ['.section .note.GNU-stack,"",@progbits', ".text"]
        versions = []
        for version, names in by_version.items():
            for symbol in sorted(names):
                assembly += [f".globl {symbol}", f".type {symbol},@function", f"{symbol}:"]
            if version:
                versions.append(f"{version} {{ global: {'; '.join(sorted(names))}; }};")
        assembly.append("ud2")
        source, script = destination / f"{name}.s", destination / f"{name}.map"
        source.write_text("\n".join(assembly) + "\n")
        script.write_text("\n".join(versions) + "\n")
        version_flags = [f"-Wl,--version-script={script}"] if versions else []
        subprocess.run(
            ["gcc", "-shared", "-nostdlib", f"-Wl,-soname,{name}", *version_flags, str(source), "-o", str(destination / name)],
            check=True,
        )
        source.unlink()
        script.unlink()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*map(pathlib.Path, sys.argv[1:]))

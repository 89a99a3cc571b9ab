# SPDX-License-Identifier: Apache-2.0
"""Writes prefscore/v1/*_pb2.py, *_pb2.pyi and *_pb2_grpc.py from the protos. Costs nothing where they are up to date.

Run by the package's build (setup.py) and by scripts/setup; needs grpcio-tools and googleapis-common-protos.
"""

import hashlib
import importlib.metadata
import importlib.resources
import importlib.util
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
PROTOS = ("scoring", "models", "diagnostics", "admin")


def generate() -> bool:
    """Returns whether anything was written."""
    sources = [HERE / "proto/prefscore/v1" / f"{name}.proto" for name in PROTOS]
    folder = HERE / "prefscore/v1"
    outputs = [folder / f"{name}_pb2{suffix}" for name in PROTOS for suffix in (".py", ".pyi", "_grpc.py")]
    digest = hashlib.sha256(importlib.metadata.version("grpcio-tools").encode())
    for source in sources:
        digest.update(source.read_bytes())
    stamp = folder / ".generated_pb2"  # ignored by git together with what it describes
    is_current = stamp.exists() and stamp.read_text() == digest.hexdigest()
    if is_current and all(path.exists() for path in outputs):
        return False

    from grpc_tools import protoc

    well_known = importlib.resources.files("grpc_tools") / "_proto"
    # Not always in site-packages: pip builds with a folder of its own on the path.
    google_rpc = importlib.util.find_spec("google.rpc.status_pb2")
    assert google_rpc is not None and google_rpc.origin is not None
    common = pathlib.Path(google_rpc.origin).parents[2]
    code = protoc.main(
        ["protoc", f"-I{HERE / 'proto'}", f"-I{common}", f"-I{well_known}"]
        + [f"--{kind}_out={HERE}" for kind in ("python", "pyi", "grpc_python")]
        + [f"prefscore/v1/{name}.proto" for name in PROTOS]
    )
    if code != 0:
        raise SystemExit(f"protoc failed on the protos in {HERE / 'proto'}")
    stamp.write_text(digest.hexdigest())
    return True


if __name__ == "__main__":
    generate()

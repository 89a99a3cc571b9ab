"""What the server binary loads: one OpenMP runtime (the wheel's), one protobuf; and what it does not export."""
import re
import subprocess


def loaded_libraries(program):
    output = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    assert "not found" not in output, output
    return {re.split(r"\s", line.strip())[0].rsplit("/", 1)[-1]: line for line in output.splitlines()}


def test_one_openmp_and_one_protobuf_runtime(build_dir):
    libraries = loaded_libraries(build_dir / "prefscore-server")
    [openmp] = [line for name, line in libraries.items() if "omp" in name]
    assert "torch/lib" in openmp
    assert len([name for name in libraries if name.startswith("libprotobuf.so")]) == 1


def test_no_cuda_library_but_the_two_small_ones(build_dir):
    libraries = loaded_libraries(build_dir / "prefscore-server")
    cuda = {name for name in libraries if re.match(r"lib(cu|nv|nccl)", name)} - {"libcurl.so.4"}
    assert {re.sub(r"\.so.*", "", name) for name in cuda} <= {"libcudart", "libcupti"}


def test_the_client_needs_no_torch(build_dir):
    assert not [name for name in loaded_libraries(build_dir / "prefscore") if "torch" in name]

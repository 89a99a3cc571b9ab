"""The contract follows Buf's STANDARD rules, and everything in it is documented."""
import pathlib
import subprocess
import sys
import sysconfig

REPO = pathlib.Path(__file__).resolve().parent.parent.parent


def test_buf_lint(tmp_path):
    image = tmp_path / "prefscore.binpb"
    subprocess.run(
        ["protoc", "-I", REPO / "proto", "-I", sysconfig.get_paths()["purelib"], "--include_source_info", "-o", image,
         "--include_imports", "prefscore/v1/scoring.proto",
         "prefscore/v1/models.proto", "prefscore/v1/diagnostics.proto", "prefscore/v1/admin.proto"],
        check=True,
    )
    buf = pathlib.Path(sys.executable).parent / "buf"
    lint = subprocess.run([buf, "lint", image, "--config", REPO / "proto/buf.yaml"], capture_output=True, text=True)
    ours = [line for line in lint.stdout.splitlines() if not line.startswith("google/")]
    assert ours == [], "\n".join(ours)
    assert lint.stderr == ""


def test_the_linter_sees_an_undocumented_field(tmp_path):
    (tmp_path / "prefscore/v1").mkdir(parents=True)
    (tmp_path / "prefscore/v1/bad.proto").write_text(
        'syntax = "proto3";\npackage prefscore.v1;\n// A message.\nmessage Bad { int32 x = 1; }\n'
    )
    image = tmp_path / "bad.binpb"
    subprocess.run(
        ["protoc", "-I", tmp_path, "--include_source_info", "-o", image, "prefscore/v1/bad.proto"], check=True
    )
    buf = pathlib.Path(sys.executable).parent / "buf"
    lint = subprocess.run([buf, "lint", image, "--config", REPO / "proto/buf.yaml"], capture_output=True, text=True)
    assert "prefscore/v1/bad.proto" in lint.stdout

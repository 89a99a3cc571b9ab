# SPDX-License-Identifier: Apache-2.0
"""prefscore as its users meet it: the server in its own process, text in and results out over gRPC."""

import contextlib
import pathlib
import re
import subprocess
import sys
import sysconfig
import tempfile
import time

import grpc

import inputs


def _import_stubs():
    import grpc_tools
    from grpc_tools import protoc

    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    folder = inputs.CACHE / "stubs"
    folder.mkdir(parents=True, exist_ok=True)
    code = protoc.main([
        "protoc", f"-I{inputs.REPO / 'proto'}", f"-I{sysconfig.get_paths()['purelib']}", f"-I{well_known}",
        f"--python_out={folder}", f"--grpc_python_out={folder}", "prefscore/v1/scoring.proto",
    ])  # fmt: skip
    assert code == 0, "protoc failed"
    sys.path.insert(0, str(folder))
    from prefscore.v1 import scoring_pb2, scoring_pb2_grpc

    return scoring_pb2, scoring_pb2_grpc


@contextlib.contextmanager
def _server(args):
    command = [args.build_dir / "prefscore-server", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0",
               "--cache-dir", ""]
    command += ["--dtype", args.dtype, "--threads", str(args.threads)]
    for role in inputs.MODEL_SEEDS:
        command += ["--model", f"{role}={inputs.model_folder(role)}"]
    with tempfile.NamedTemporaryFile("r", suffix=".log") as log, open(log.name, "w") as log_writer:
        process = subprocess.Popen(command, stdout=log_writer, stderr=subprocess.STDOUT)
        try:
            while not (listening := re.search(r"^listening on (\S+)", open(log.name).read(), re.MULTILINE)):
                if process.poll() is not None:
                    raise SystemExit(open(log.name).read())
                time.sleep(0.05)
            yield process.pid, listening[1]
        finally:
            if process.poll() is not None:
                print(f"prefscore-server ended early, status {process.returncode}", file=sys.stderr)
                print(open(log.name).read(), file=sys.stderr)
            process.terminate()
            process.wait()


@contextlib.contextmanager
def serving(args, pairs):
    scoring, scoring_grpc = _import_stubs()
    request = scoring.ScorePairsRequest(
        pairs=[
            scoring.PreferencePair(**{side: scoring.Content(text=getattr(pair, side))
                                      for side in ("prompt", "chosen", "rejected")})
            for pair in pairs
        ]
    )  # fmt: skip
    with _server(args) as (pid, address), grpc.insecure_channel(address) as channel:
        stub = scoring_grpc.ScoringServiceStub(channel)

        def score():
            results = stub.ScorePairs(request, timeout=600).results
            for result, pair in zip(results, pairs, strict=True):
                assert not result.HasField("status"), result.status
                counts = result.num_prompt_tokens, result.num_chosen_tokens, result.num_rejected_tokens
                assert counts == tuple(map(len, (pair.prompt_ids, *pair.completions))), (counts, pair)
            return [
                [r.policy_chosen_logp, r.policy_rejected_logp, r.reference_chosen_logp, r.reference_rejected_logp]
                for r in results
            ]

        mode = stub.ScorePairs(scoring.ScorePairsRequest(pairs=request.pairs[:1]), timeout=600).results[0].numerics_mode
        yield f"prefscore-server over gRPC, {mode}: one ScorePairs call with all pairs", score, pid

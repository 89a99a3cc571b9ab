# SPDX-License-Identifier: Apache-2.0
"""One of two models cannot be loaded: the server says so wherever it is asked, and serves what the other one can."""
import subprocess

import grpc
import pytest
from scoring_calls import NOT_SERVING, SERVING, health_of, random_pairs, reason_of, score

from prefscore.v1 import models_pb2, models_pb2_grpc

SCORING, DIAGNOSTICS, MODELS = (f"prefscore.v1.{name}Service" for name in ("Scoring", "Diagnostics", "Model"))


@pytest.fixture
def half_server(start_server, demo_folder, broken_reference):
    policy = demo_folder / "models/policy"
    with start_server("--model", f"reference={broken_reference}", "--model", f"policy={policy}",
                      "--admin-listen", "127.0.0.1:0") as server:
        assert server.address, server.log
        yield server


def test_health_and_models_and_metrics_tell_which_model_is_missing_and_why(half_server, build_dir):
    assert " warning could not be loaded: model 'reference'" in half_server.log and "model.safetensors" in half_server.log
    expected = {"": NOT_SERVING, SCORING: NOT_SERVING, DIAGNOSTICS: NOT_SERVING, MODELS: SERVING,
                "model/policy": SERVING, "model/reference": NOT_SERVING}
    assert {service: health_of(half_server, service) for service in expected} == expected
    with half_server.channel() as channel:
        stub = models_pb2_grpc.ModelServiceStub(channel)
        policy, reference = stub.ListModels(models_pb2.ListModelsRequest()).models
        assert stub.GetModel(models_pb2.GetModelRequest(name="reference")).model == reference
    assert (policy.name, policy.state, policy.load_error) == ("policy", models_pb2.MODEL_STATE_LOADED, "")
    assert (reference.name, reference.state) == ("reference", models_pb2.MODEL_STATE_FAILED)
    assert reference.role == models_pb2.MODEL_ROLE_REFERENCE and reference.digest == ""
    assert "model.safetensors" in reference.load_error
    assert half_server.metric("prefscore_model_loaded", model="policy") == 1
    assert half_server.metric("prefscore_model_loaded", model="reference") == 0
    listed = subprocess.run([build_dir / "prefscore", "models", "--server", half_server.address], capture_output=True,
                            text=True, timeout=60)
    assert listed.returncode == 0 and "NOT LOADED" in listed.stdout and "model.safetensors" in listed.stdout
    status = subprocess.run([build_dir / "prefscore", "admin", "status", "--server", half_server.admin_address],
                            capture_output=True, text=True, timeout=60)
    assert status.returncode == 0, status.stderr
    models = [line for line in status.stdout.splitlines() if line.startswith("model ")]
    assert models[0].startswith("model        policy: llama, ") and len(models) == 2
    assert models[1].startswith("model        reference: NOT LOADED: ") and "model.safetensors" in models[1]


def test_calls_that_need_the_missing_model_are_refused_with_the_reason_and_others_are_answered(
        half_server, demo_server):
    pairs = random_pairs(20)
    assert score(half_server, pairs, objectives=["simpo"]) == score(demo_server, pairs, objectives=["simpo"])
    for options in ({"objectives": ["sigmoid"]}, {"objectives": ["simpo"], "reference": "reference"},
                    {"objectives": ["simpo"], "policy": "reference"}):
        with pytest.raises(grpc.RpcError) as refusal:
            score(half_server, pairs, **options)
        assert refusal.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert reason_of(refusal.value) == "MODEL_NOT_LOADED"
        assert "model 'reference' could not be loaded" in refusal.value.details()
        assert "model.safetensors" in refusal.value.details()


def test_without_any_model_the_server_does_not_start(start_server, broken_reference):
    with start_server("--model", f"policy={broken_reference}", "--model", f"reference={broken_reference}-x") as server:
        assert server.address is None
        assert server.process.wait(timeout=60) == 1
        assert "no model could be loaded: 'policy': " in server.log and "; 'reference': " in server.log

"""A model folder that is not right is refused at start, by an error that names what is wrong; exit code 1."""
import json
import shutil

import pytest
import safetensors.torch
import torch

from locations import DEMO


@pytest.fixture
def folder(tmp_path):
    """A copy of the demo policy, to be broken."""
    return shutil.copytree(DEMO / "models/policy", tmp_path / "model")


def edit_config(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config.update(changes)
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not Ellipsis}))


def edit_weights(folder, change):
    path = folder / "model.safetensors"
    weights = safetensors.torch.load_file(path)
    change(weights)
    safetensors.torch.save_file(weights, path, metadata={"format": "pt"})


def expect_refusal(start_server, folder, *parts):
    with start_server("--model", f"policy={folder}", "--policy", "policy", "--reference", "policy") as server:
        assert server.address is None, "the server started"
        assert server.process.wait(timeout=30) == 1, server.log
        for part in parts:
            assert part in server.log, server.log


def test_missing_folder(start_server, folder):
    expect_refusal(start_server, folder / "nowhere", "nowhere")


def test_missing_weights(start_server, folder):
    (folder / "model.safetensors").unlink()
    expect_refusal(start_server, folder, "model.safetensors")


def test_truncated_weights(start_server, folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    expect_refusal(start_server, folder, "model.safetensors")


def test_empty_weights(start_server, folder):
    (folder / "model.safetensors").write_bytes(b"")
    expect_refusal(start_server, folder, "model.safetensors")


def test_unsupported_architecture(start_server, folder):
    edit_config(folder, model_type="mamba")
    expect_refusal(start_server, folder, "mamba", "model_type")


def test_unsupported_setting(start_server, folder):
    edit_config(folder, hidden_act="quick_gelu")
    expect_refusal(start_server, folder, "hidden_act", "quick_gelu")


def test_unknown_rope_type(start_server, folder):
    edit_config(folder, rope_parameters={"rope_type": "spiral", "rope_theta": 10000.0})
    expect_refusal(start_server, folder, "spiral")


def test_config_is_not_json(start_server, folder):
    (folder / "config.json").write_text("{")
    expect_refusal(start_server, folder, "config.json")


def test_missing_config_value(start_server, folder):
    edit_config(folder, hidden_size=...)
    expect_refusal(start_server, folder, "hidden_size")


def test_wrong_shape(start_server, folder):
    name = "model.layers.0.mlp.down_proj.weight"
    edit_weights(folder, lambda weights: weights.update({name: weights[name][:, :-1].contiguous()}))
    expect_refusal(start_server, folder, name)


def test_missing_tensor(start_server, folder):
    name = "model.layers.1.self_attn.q_proj.weight"
    edit_weights(folder, lambda weights: weights.pop(name))
    expect_refusal(start_server, folder, name)


def test_extra_tensor(start_server, folder):
    edit_weights(folder, lambda weights: weights.update({"model.layers.0.extra.weight": torch.ones(3)}))
    expect_refusal(start_server, folder, "model.layers.0.extra.weight")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_weight(start_server, folder, value):
    name = "model.layers.0.mlp.up_proj.weight"

    def poison(weights):
        weights[name][1, 2] = value

    edit_weights(folder, poison)
    expect_refusal(start_server, folder, name)


def test_bad_index(start_server, folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(
        {"weight_map": {"model.norm.weight": "../../outside.safetensors"}}))
    expect_refusal(start_server, folder, "model.safetensors.index.json", "outside")


def test_bad_tokenizer(start_server, folder):
    (folder / "tokenizer.json").write_text('{"model": 3}')
    expect_refusal(start_server, folder, "tokenizer.json")


def test_tokenizer_larger_than_the_model(start_server, folder):
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocab_size = json.loads((folder / "config.json").read_text())["vocab_size"]
    for token_id in range(len(tokenizer["model"]["vocab"]), vocab_size + 1):
        tokenizer["added_tokens"].append({
            "id": token_id, "content": f"<|{token_id}|>", "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True})
    path.write_text(json.dumps(tokenizer))
    expect_refusal(start_server, folder, "vocab_size", str(vocab_size))


def test_a_folder_without_tokenizer_takes_ids_only(api, start_server, folder):
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)
    with start_server("--model", f"policy={folder}", "--model", f"reference={folder}") as server:
        with server.channel() as channel:
            ids = api.ids_pair([5, 6], [7], [8])
            text = api.text_pair({"prompt": "a", "chosen": "b", "rejected": "c"})
            by_ids, by_text = api.Scoring(channel).ScorePairs(api.scoring.ScorePairsRequest(pairs=[ids, text])).results
    assert not by_ids.HasField("status")
    assert by_ids.tokenizer_fingerprint == ""
    assert "no tokenizer" in by_text.status.message and "token ids" in by_text.status.message


def test_same_weights_share_memory_and_digest(api, start_server, folder):
    with start_server("--model", f"policy={folder}", "--model", f"reference={DEMO}/models/policy") as server:
        with server.channel() as channel:
            models = api.Models(channel).ListModels(api.models.ListModelsRequest()).models
            pair = api.text_pair({"prompt": "One", "chosen": " two", "rejected": " three"})
            result = api.Scoring(channel).ScorePairs(api.scoring.ScorePairsRequest(pairs=[pair])).results[0]
    assert len({model.digest for model in models}) == 1
    assert result.policy_chosen_logp == result.reference_chosen_logp


@pytest.mark.parametrize(
    "flags, parts",
    [
        (["--model", "nonsense"], ["--model", "nonsense"]),
        (["--dtype", "float8"], ["float8"]),
        (["--policy", "nobody"], ["nobody"]),
        (["--listen", "nowhere"], ["nowhere"]),
        (["--device", "abacus"], ["abacus"]),
        (["--max-batch-tokens", "0"], ["max-batch-tokens"]),
        (["--config", "/no/such/file"], ["/no/such/file"]),
        (["--unheard-of"], ["unheard-of"]),
    ],
)
def test_bad_flags(start_server, demo_flags, flags, parts):
    with start_server(*demo_flags, *flags) as server:
        assert server.address is None, server.log
        assert server.process.wait(timeout=30) != 0
        for part in parts:
            assert part in server.log, server.log

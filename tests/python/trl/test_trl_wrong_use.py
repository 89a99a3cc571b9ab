# SPDX-License-Identifier: Apache-2.0
"""Arguments that exclude each other, another tokenizer, another TRL or none."""
import json
import logging
import shutil
import sys

import pytest
import trl
from transformers import AutoTokenizer

import prefscore
from prefscore.trl import compat


@pytest.mark.parametrize("trainer, args, message", [
    ({"ref_model": "anything"}, {}, "ref_model is given, and the reference is remote"),
    ({}, {"sync_ref_model": True}, "sync_ref_model is set"),
    ({"gamma": -0.1}, {}, "gamma is -0.1; it must be >= 0"),
    ({"gamma": float("nan")}, {}, "gamma is nan; it must be >= 0"),
    ({"gamma": 0.1}, {"beta": 0.0}, "beta is 0.0; beta must be > 0"),
    ({"gamma": 0.1, "objective": "sigmoid"}, {}, "gamma is given beside objective"),
    ({"objective": "hypo"}, {"loss_type": ["ipo"]}, r"args.loss_type is \['ipo'\] beside objective"),
    ({"objective": "hypo"}, {"ld_alpha": 0.5}, "args.ld_alpha is 0.5 beside objective"),
    ({"objective": "aot"}, {}, "'aot' is no function of one pair's log-probs"),
])  # fmt: skip
def test_arguments_that_exclude_each_other(trainer, args, message, make_trainer, stories_server):
    with pytest.raises(prefscore.InvalidArgument, match=message):
        make_trainer(stories_server.address, trainer=trainer, **args)


def test_another_tokenizer_is_noticed(make_trainer, stories_server, model_folder, tmp_path):
    """Of the same size, with two pieces in each other's place."""
    folder = tmp_path / "tokenizer"
    shutil.copytree(model_folder, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "tokenizer.json").chmod(0o644)
    spec = json.loads((folder / "tokenizer.json").read_text())
    vocab = spec["model"]["vocab"]
    e, t = "e", "t"
    vocab[e], vocab[t] = vocab[t], vocab[e]
    (folder / "tokenizer.json").write_text(json.dumps(spec))
    with pytest.raises(prefscore.TokenizerMismatch, match="the ids of .* part at position .* here, .* there"):
        make_trainer(stories_server.address, trainer={"processing_class": AutoTokenizer.from_pretrained(folder)})


def test_a_server_without_a_tokenizer_is_told_in_the_log(make_trainer, fake_server, caplog):
    with caplog.at_level(logging.WARNING, "prefscore.trl"):
        make_trainer(fake_server.address)
    assert "not checked that the reference 'reference' has this tokenizer" in caplog.text


def test_without_trl(monkeypatch):
    monkeypatch.setitem(sys.modules, "trl", None)
    with pytest.raises(prefscore.MissingExtra, match=r"pip install 'prefscore\[trl\]'"):
        compat.check_trl()


def test_a_trl_without_what_is_built_on_is_refused_by_name(monkeypatch):
    monkeypatch.delattr(trl.DPOTrainer, "compute_ref_log_probs")
    monkeypatch.setattr(trl.DPOTrainer, "_compute_loss", lambda self, model, inputs: None)
    monkeypatch.setattr(compat, "version", lambda name: "1.99.0")
    with pytest.raises(prefscore.FailedPrecondition) as caught:
        compat.check_trl()
    for part in ("trl 1.99.0 lacks", "DPOTrainer.compute_ref_log_probs", "the parameter return_outputs of DPOTrainer.",
                 "the use of precompute_ref_logps in DPOTrainer._compute_loss", "install trl 1.16"):  # fmt: skip
        assert part in str(caught.value)


def test_another_trl_that_has_it_all_is_taken_with_a_warning(monkeypatch, caplog):
    monkeypatch.setattr(compat, "version", lambda name: "1.99.0")
    with caplog.at_level(logging.WARNING, "prefscore.trl"):
        compat.check_trl()
    assert "tested with trl 1.16 and not with 1.99.0" in caplog.text

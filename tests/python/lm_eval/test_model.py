# SPDX-License-Identifier: Apache-2.0
"""The harness's results under `prefscore` against those under its own `hf` model, on the same small model."""
import json
import subprocess
import sys

import lm_eval
import pytest
from lm_eval.api.instance import Instance
from lm_eval.tasks import TaskManager

import prefscore
from prefscore.lm_eval import PrefscoreLM

MAX_LENGTH = 40  # shorter than the longest story, and than some contexts below
LONG = "Once upon a time, there was a little girl named Lily. She loved to play with her toys. " * 4


@pytest.fixture(scope="module")
def hf(policy_folder):
    import torch
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(1)
    return HFLM(str(policy_folder), device="cpu", dtype="float32", batch_size=1, max_length=MAX_LENGTH)


@pytest.fixture
def lm(stories_server, policy_folder):
    return PrefscoreLM(stories_server.address, str(policy_folder), max_length=MAX_LENGTH)


def instances(requests):
    return [Instance("loglikelihood", {}, request, index) for index, request in enumerate(requests)]


def assert_same_answers(found, expected):
    assert [is_greedy for _, is_greedy in found] == [is_greedy for _, is_greedy in expected]
    assert [logp for logp, _ in found] == pytest.approx([logp for logp, _ in expected], abs=1e-4, rel=0)


def evaluate(lm, tasks_folder):
    tasks = ["story_endings", "story_words", "story_perplexity"]
    manager = TaskManager(include_path=str(tasks_folder), include_defaults=False)
    return lm_eval.simple_evaluate(lm, tasks=tasks, task_manager=manager, log_samples=True, bootstrap_iters=0)


def test_tasks_have_the_results_of_hf(lm, hf, tasks_folder):
    found, expected = evaluate(lm, tasks_folder), evaluate(hf, tasks_folder)
    for task, metrics in expected["results"].items():
        numbers = {name: value for name, value in metrics.items() if isinstance(value, float)}
        assert numbers
        assert {name: found["results"][task][name] for name in numbers} == pytest.approx(numbers, rel=1e-4)
    flags = []
    for task, samples in expected["samples"].items():
        for mine, its in zip(found["samples"][task], samples, strict=True):
            if task == "story_perplexity":
                assert mine["resps"][0][0] == pytest.approx(its["resps"][0][0], abs=1e-4, rel=0)
            else:
                assert_same_answers([resp[0] for resp in mine["resps"]], [resp[0] for resp in its["resps"]])
                flags += [resp[0][1] for resp in its["resps"]]
    assert 5 < sum(flags) < len(flags) - 5, "the tasks tell greedy matches from others"


@pytest.mark.parametrize("request_", [
    pytest.param(("", "Once upon a time"), id="empty context"),
    pytest.param(("Tom saw a bird in the  ", "sky."), id="context that ends in spaces"),
    pytest.param(("<s>Once upon", " a time"), id="text that begins with BOS"),
    pytest.param((LONG, " The end."), id="context that is too long"),
    pytest.param((LONG, LONG[:60]), id="long continuation of a long context"),
    pytest.param(("Wärme: ", "数学 👍"), id="bytes that are no words"),
])  # fmt: skip
def test_texts_become_the_ids_that_hf_scores(lm, hf, request_):
    assert_same_answers(lm.loglikelihood(instances([request_])), hf.loglikelihood(instances([request_])))


def test_many_continuations_of_some_contexts(lm, hf):
    starts = ["Once upon a", "The cat and", LONG]
    requests = [(start, f" {word}") for word in ("time", "dog", "the dog", "girl named") for start in starts] * 8
    assert_same_answers(lm.loglikelihood(instances(requests)), hf.loglikelihood(instances(requests)))


def test_rolling_windows_are_those_of_hf(lm, hf):
    texts = [(LONG,), ("a",), ("",), (LONG[:120],)]
    mine, its = lm.loglikelihood_rolling(instances(texts)), hf.loglikelihood_rolling(instances(texts))
    assert mine == pytest.approx(its, abs=1e-4, rel=0)


def test_special_tokens_and_the_prefix_can_be_chosen(stories_server, policy_folder):
    from lm_eval.models.huggingface import HFLM

    options = dict(add_bos_token=False, prefix_token_id=2, max_length=MAX_LENGTH)
    lm = PrefscoreLM(stories_server.address, str(policy_folder), **options)
    hf = HFLM(str(policy_folder), device="cpu", dtype="float32", batch_size=1, **options)
    requests = [("", "Once upon"), ("Once upon", " a time"), ("</s>The cat", " and")]
    assert lm.tok_encode("Once upon") == hf.tok_encode("Once upon")
    assert_same_answers(lm.loglikelihood(instances(requests)), hf.loglikelihood(instances(requests)))


def test_the_harness_cache_learns_every_answer(lm):
    class Hook:
        def __init__(self):
            self.answers = {}

        def add_partial(self, kind, request, answer):
            self.answers[kind, tuple(request)] = answer

    lm.set_cache_hook(Hook())
    requests = [("Once upon", " a time"), ("Once upon", " the"), ("The", " cat")]
    answers = lm.loglikelihood(instances(requests))
    [total] = lm.loglikelihood_rolling(instances([("A cat.",)]))
    assert lm.cache_hook.answers == {
        **{("loglikelihood", request): answer for request, answer in zip(requests, answers)},
        ("loglikelihood_rolling", ("A cat.",)): total,
    }


def test_results_name_the_weights_and_the_arithmetic(lm, stories_server):
    with prefscore.Client(stories_server.address) as client:
        model = next(model for model in client.models().models if model.name == "policy")
    info = lm.get_model_info()
    assert (info["model_sha"], info["model_numerics_mode"]) == (model.digest, model.numerics_mode)


def test_a_cut_context_is_told(lm, caplog):
    lm.loglikelihood(instances([("Once", " upon"), (LONG, " The end.")]))
    assert "1 of 2 requests are longer than max_length (40 tokens)" in caplog.text


def test_what_cannot_be_scored_is_refused(lm):
    with pytest.raises(prefscore.InvalidArgument, match="request 1: the continuation has no tokens"):
        lm.loglikelihood(instances([("Once", " upon"), ("Once", "")]))
    with pytest.raises(prefscore.InvalidArgument, match=r"request 0: the continuation has \d+ tokens; max_length is 40"):
        lm.loglikelihood(instances([("Once", LONG)]))
    request = Instance("generate_until", {}, ("Once", {}), 0, metadata=("gsm8k", 0, 1))
    with pytest.raises(NotImplementedError, match="generates none, which gsm8k needs"):
        lm.generate_until([request])


@pytest.mark.parametrize(("arguments", "error", "message"), [
    (dict(model="other"), prefscore.NotFound, "no model 'other'. It hosts: 'policy', 'reference'"),
    (dict(max_length=0), prefscore.InvalidArgument, r"max_length is 0; it must be in \[1, 2047\]"),
    (dict(max_length=2048), prefscore.InvalidArgument, r"max_length is 2048; it must be in \[1, 2047\], since .* 2048"),
    (dict(max_calls=0), prefscore.InvalidArgument, "max_calls is 0; it must be at least 1"),
])  # fmt: skip
def test_wrong_arguments(stories_server, policy_folder, arguments, error, message):
    with pytest.raises(error, match=message):
        PrefscoreLM(stories_server.address, str(policy_folder), **arguments)


def test_another_tokenizer_is_refused(stories_server, test_data, policy_folder, tmp_path):
    with pytest.raises(prefscore.TokenizerMismatch, match=r"has ids up to 5\d{4}, and model 'policy' has .* 512"):
        PrefscoreLM(stories_server.address, str(test_data / "tokenizers/phi-2"))
    other = tmp_path / "other"
    other.mkdir()
    (other / "tokenizer_config.json").write_text((policy_folder / "tokenizer_config.json").read_text())
    tokenizer = json.loads((policy_folder / "tokenizer.json").read_text())
    vocab = tokenizer["model"]["vocab"]
    vocab["x"], vocab["8"] = vocab["8"], vocab["x"]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(prefscore.TokenizerMismatch, match="part at position"):
        PrefscoreLM(stories_server.address, str(other))


def test_a_client_and_a_loaded_tokenizer_do_too(stories_server, policy_folder, lm):
    from transformers import AutoTokenizer

    requests = instances([("Once upon", " a time")])
    with prefscore.Client([stories_server.address]) as client:
        other = PrefscoreLM(client, AutoTokenizer.from_pretrained(policy_folder), "reference", cache_policy=True)
        assert other.max_length == 2047
        assert other.loglikelihood(requests) != lm.loglikelihood(requests), "another model"


@pytest.mark.parametrize("missing", ["lm_eval", "transformers"])
def test_a_missing_package_is_named(missing):
    code = f"import sys; sys.modules['{missing}'] = None; import prefscore.lm_eval"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert finished.returncode != 0
    assert f"{missing} is not installed: pip install 'prefscore[lm-eval]'" in finished.stderr

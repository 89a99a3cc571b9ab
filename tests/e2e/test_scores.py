"""Numbers through the whole service against transformers in float64 on the same ids."""
import json

import mpmath
import pytest


def transformers_logps(folder, rows, dtype):
    """Per-completion sums of log-probs by transformers, one sequence at a time: [(chosen, rejected)]."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()

    def completion_logp(prompt, completion):
        with torch.inference_mode():
            logits = model(torch.tensor([prompt + completion])).logits[0].double()
        targets = torch.tensor(completion)
        rows_of_completion = logits[len(prompt) - 1 : -1]
        return torch.log_softmax(rows_of_completion, -1).gather(1, targets[:, None]).sum().item()

    return [tuple(completion_logp(prompt, side) for side in sides) for prompt, *sides in rows]


def check_against_transformers(api, server, policy_folder, reference_folder, pairs):
    import torch

    request = api.scoring.ScorePairsRequest(
        pairs=[api.text_pair(row) for row in pairs], options=api.scoring.ScoringOptions(return_token_ids=True)
    )
    results = api.Scoring(server.channel()).ScorePairs(request).results
    assert [result.id for result in results] == [row["id"] for row in pairs]
    assert not any(result.HasField("status") for result in results)
    rows = [(list(r.token_ids.prompt), list(r.token_ids.chosen), list(r.token_ids.rejected)) for r in results]

    for name, folder in (("policy", policy_folder), ("reference", reference_folder)):
        exact = transformers_logps(folder, rows, torch.float64)
        single = transformers_logps(folder, rows, torch.float32)
        ours = [(getattr(r, f"{name}_chosen_logp"), getattr(r, f"{name}_rejected_logp")) for r in results]
        error = lambda found: max(abs(x - y) for one, two in zip(found, exact) for x, y in zip(one, two))
        assert error(ours) <= 3 * error(single), (name, error(ours), error(single))


def test_demo_pairs(api, demo_server, demo_pairs):
    from locations import DEMO

    check_against_transformers(api, demo_server, DEMO / "models/policy", DEMO / "models/reference", demo_pairs)


def test_real_models_and_pairs(api, start_server, test_data):
    policy, reference = test_data / "models/stories260k-dpo", test_data / "models/stories260k"
    pairs = [json.loads(line) for line in (test_data / "pairs/stories.jsonl").read_text().splitlines()]
    with start_server("--model", f"policy={policy}", "--model", f"reference={reference}") as server:
        check_against_transformers(api, server, policy, reference, pairs)


def check_derived_numbers(result, beta, gamma):
    pc, pr, rc, rr = (
        mpmath.mpf(getattr(result, f"{model}_{side}_logp"))
        for model in ("policy", "reference") for side in ("chosen", "rejected")
    )
    z = mpmath.mpf(beta) * (pc - pr) - mpmath.mpf(gamma) * (rc - rr)
    expected = {
        "sigmoid": mpmath.log(1 + mpmath.exp(-z)),
        "margin_hinge": max(mpmath.mpf(0), -z),
    }
    assert result.policy_margin == float(pc - pr)
    assert result.reference_margin == float(rc - rr)
    assert result.chosen_logratio == float(pc - rc)
    for objective in result.objectives:
        assert objective.loss == pytest.approx(float(expected[objective.name]), rel=1e-12, abs=0)
        assert objective.logit == pytest.approx(float(z), rel=1e-12, abs=0)
        assert objective.gradient_weight == pytest.approx(float(1 / (1 + mpmath.exp(z))), rel=1e-12, abs=0)


def test_derived_numbers_follow_from_the_four(api, demo_server, demo_pairs):
    beta, gamma = 0.3, 0.07
    objectives = [api.scoring.Objective(name=name, beta=beta, gamma=gamma) for name in ("sigmoid", "margin_hinge")]
    request = api.scoring.ScorePairsRequest(
        pairs=[api.text_pair(row) for row in demo_pairs], options=api.scoring.ScoringOptions(objectives=objectives)
    )
    results = api.Scoring(demo_server.channel()).ScorePairs(request).results
    with mpmath.workdps(40):
        for result in results:
            check_derived_numbers(result, beta, gamma)


def test_known_log_probs_are_used_and_the_others_computed(api, demo_server, demo_pairs):
    stub = api.Scoring(demo_server.channel())
    pair = api.text_pair(demo_pairs[0])
    full = stub.ScorePairs(api.scoring.ScorePairsRequest(pairs=[pair])).results[0]
    pair.known.reference_chosen_logp = -12.5
    pair.known.policy_rejected_logp = -99.25
    partly = stub.ScorePairs(api.scoring.ScorePairsRequest(pairs=[pair])).results[0]
    assert (partly.reference_chosen_logp, partly.policy_rejected_logp) == (-12.5, -99.25)
    assert partly.policy_chosen_logp == full.policy_chosen_logp
    assert partly.reference_rejected_logp == full.reference_rejected_logp


def test_greedy_matches_are_those_of_transformers(api, start_server, test_data):
    """Asked of the argmax of every prefix, and of the same with one token changed; the log-probs stay as they were."""
    import torch
    from transformers import AutoModelForCausalLM

    folder = test_data / "models/stories260k"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(11)
    ids = lambda ids: api.scoring.Content(token_ids=api.scoring.TokenIds(ids=ids))
    prompts, greedy = [], []
    for length in range(1, 13):
        prompt = [1, *torch.randint(3, model.config.vocab_size, (length,), generator=generator).tolist()]
        with torch.inference_mode():
            completion = model.generate(
                torch.tensor([prompt]), attention_mask=torch.ones(1, length + 1, dtype=torch.long), do_sample=False,
                max_new_tokens=8, min_new_tokens=8
            )[0, len(prompt):].tolist()
        changed = list(completion)
        changed[length % 8] = (changed[length % 8] + 7) % model.config.vocab_size
        completions = [changed, completion, completion[:3], completion[1:]]
        with torch.inference_mode():
            for each in completions:
                best = model(torch.tensor([prompt + each])).logits[0, len(prompt) - 1 : -1].argmax(-1).tolist()
                greedy.append(best == each)
        prompts.append(api.scoring.PromptCompletions(prompt=ids(prompt), completions=[ids(each) for each in completions]))
    assert greedy[1::4] == greedy[2::4] == [True] * 12 and greedy[0::4] == [False] * 12

    with start_server("--model", f"policy={folder}", "--model", f"reference={folder}") as server:
        stub = api.Scoring(server.channel())
        logps = {
            is_asked: [
                completion.logps[0]
                for result in stub.ScoreCompletions(
                    api.scoring.ScoreCompletionsRequest(prompts=prompts, return_greedy_match=is_asked)
                ).results
                for completion in result.completions
            ]
            for is_asked in (False, True)
        }
    assert [logp.is_greedy_match for logp in logps[True]] == greedy
    assert not any(logp.HasField("is_greedy_match") for logp in logps[False])
    assert [logp.logp for logp in logps[True]] == [logp.logp for logp in logps[False]]


def test_completions_have_the_bits_of_pairs(api, demo_server, demo_pairs):
    stub = api.Scoring(demo_server.channel())
    pairs = [api.text_pair(row) for row in demo_pairs[:16]]
    by_pair = stub.ScorePairs(api.scoring.ScorePairsRequest(pairs=pairs)).results
    prompts = [
        api.scoring.PromptCompletions(id=pair.id, prompt=pair.prompt, completions=[pair.rejected, pair.chosen])
        for pair in pairs
    ]
    response = stub.ScoreCompletions(api.scoring.ScoreCompletionsRequest(prompts=prompts, return_token_logps=True))
    assert [model.name for model in response.models] == ["policy", "reference"]
    for pair, prompt in zip(by_pair, response.results):
        rejected, chosen = prompt.completions
        assert chosen.logps[0].logp == pair.policy_chosen_logp
        assert rejected.logps[0].logp == pair.policy_rejected_logp
        assert chosen.logps[1].logp == pair.reference_chosen_logp
        assert rejected.logps[1].logp == pair.reference_rejected_logp
        assert len(chosen.logps[0].token_logps) == chosen.num_completion_tokens
        assert sum(chosen.logps[0].token_logps) == pytest.approx(pair.policy_chosen_logp, abs=1e-4)

"""The demo's models and pairs are what deploy/demo/README.md says they are."""
import itertools
import json
import pathlib
import re
import sys

import pytest

REPO = pathlib.Path(__file__).resolve().parent.parent.parent
DEMO = REPO / "deploy/demo"
sys.path[:0] = [str(REPO / "scripts"), str(REPO / "scripts/lib")]
import demo_text  # noqa: E402

make_demo = pytest.importorskip("make_demo")


@pytest.fixture(scope="module")
def rows():
    return [json.loads(line) for line in (DEMO / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]


def test_models_are_small_enough_for_git():
    total = sum(path.stat().st_size for path in (DEMO / "models").rglob("*") if path.is_file())
    assert total <= 8_000_000


def test_pairs_are_the_first_held_out_draws_unselected(rows):
    assert len(rows) >= 100
    assert rows == make_demo.demo_rows()
    assert len({row["id"] for row in rows}) == len({row["prompt"] for row in rows}) == len(rows)
    assert all(row["chosen"] != row["rejected"] for row in rows)


def test_no_demo_prompt_occurs_in_what_the_tokenizer_and_the_models_read(rows):
    read = {
        "tokenizer": make_demo.NUM_TOKENIZER_DOCUMENTS,
        "reference": make_demo.REFERENCE_STEPS * make_demo.BATCH_DOCUMENTS,
        "policy": make_demo.NUM_DPO_PAIRS,
    }
    demo_prompts = {row["prompt"] for row in rows}
    for seed, count in read.items():
        for pair in itertools.islice(demo_text.pairs(seed, held_out=False), count):
            assert pair.prompt not in demo_prompts
            assert not demo_text.is_held_out(pair.scene.key)


def test_all_four_learning_cells_occur_as_often_as_the_readme_says(rows):
    make_demo.torch.set_num_threads(1)  # many small forward passes
    table = make_demo.learning_table(DEMO, rows)
    assert min(table.values()) >= 3, table
    readme = (DEMO / "README.md").read_text(encoding="utf-8")
    stated = {
        policy: [int(count) for count in re.search(rf"policy {policy} \|\s*(\d+) \|\s*(\d+) \|", readme).groups()]
        for policy in ("wrong", "right")
    }
    assert stated == {policy: [table[policy, reference] for reference in ("wrong", "right")] for policy in stated}


def test_tokenizer_is_kept_as_its_file_says_and_knows_chats():
    for role in ("policy", "reference"):
        tokenizer = make_demo.PreTrainedTokenizerFast.from_pretrained(DEMO / "models" / role)
        raw = make_demo.Tokenizer.from_file(str(DEMO / "models" / role / "tokenizer.json"))
        text = "Ines had a cat called Toffee. É 猫 🐈"
        assert tokenizer(text).input_ids == raw.encode(text).ids
        assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text
        messages = [{"role": "user", "content": "Who came?"}, {"role": "assistant", "content": "Toffee."}]
        assert tokenizer.apply_chat_template(messages, tokenize=False) == make_demo.chat(messages)

# SPDX-License-Identifier: Apache-2.0
"""The ids of server/tokenizer equal those that TRL's DPOTrainer makes, on the same folder and rows.

TRL's side is DPOTrainer._prepare_dataset itself; ours is the program tokenize_rows. A row that TRL cannot tokenize must
be an error in ours, and the other way round.
"""

import datetime
import json
import os
import pathlib
import shutil
import subprocess
import types

import pytest
from preference_rows import (
    DATA, NASTY, chat_rows, implicit_chat_rows, implicit_rows, message, nasty_chat_rows, nasty_rows, pairs, with_eos,
)

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PREFSCORE_BUILD_DIR", REPOSITORY / "build"))
NOW = 1_785_502_800  # 2026-07-31, 13:00 UTC

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="PREFSCORE_TEST_DATA does not name the folder with the test tokenizers and pairs"
)

TOKENIZERS = ["phi-2", "phi-3-mini", "falcon-tokenizer"]
TEMPLATES = ["qwen2.5", "qwen3", "phi-4-mini", "smollm3", "gpt-oss"]


@pytest.fixture(scope="session", autouse=True)
def frozen_clock():
    from transformers.utils import chat_template_utils

    class FrozenDatetime(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(NOW, tz)

    patch = pytest.MonkeyPatch()
    patch.setattr(chat_template_utils, "datetime", FrozenDatetime)
    yield
    patch.undo()


def read_json(path):
    return json.loads(path.read_text()) if path.exists() else {}


# ---- folders


def write_folder(folder, tokenizer, config=None, model_type=None, template=None):
    """A model folder with `tokenizer`'s file; config None: the tokenizer's own."""
    folder.mkdir(parents=True, exist_ok=True)
    source = DATA / "tokenizers" / tokenizer
    shutil.copy(source / "tokenizer.json", folder)
    if config is None:
        config = read_json(source / "tokenizer_config.json") or {"eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    if model_type:
        (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    if template:
        (folder / "chat_template.jinja").write_text(template)
    return folder


def template_folder(folder, tokenizer, template_name):
    """`tokenizer` with the chat template and the special tokens of another model."""
    source = DATA / "chat_templates" / template_name
    config = read_json(source / "tokenizer_config.json") | {"tokenizer_class": "PreTrainedTokenizerFast"}
    write_folder(folder, tokenizer, config)
    if (source / "chat_template.jinja").exists():
        shutil.copy(source / "chat_template.jinja", folder)
    return folder


def load_tokenizer(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


# ---- both sides


class Rows(list):
    """Rows as JSON, with the part of a dataset's interface that _prepare_dataset uses: no Arrow in between, which would
    pad objects with nulls. A row that fails keeps its error."""

    def map(self, function, fn_kwargs=None, **_):
        def apply(row):
            if "error" in row:
                return row
            try:
                return row | function(dict(row), **(fn_kwargs or {}))
            except Exception as error:
                return row | {"error": repr(error)}

        return Rows(apply(row) for row in self)

    def filter(self, function, **_):
        return self


def trl_ids(tokenizer, rows):
    from trl import DPOTrainer

    if tokenizer.pad_token is None:  # as DPOTrainer's constructor does
        tokenizer.pad_token = tokenizer.eos_token
    trainer = types.SimpleNamespace(_tokenizer=tokenizer)
    args = types.SimpleNamespace(dataset_num_proc=None, max_length=None, truncation_mode="keep_start")
    return DPOTrainer._prepare_dataset(trainer, Rows(rows), tokenizer, args, "train")


def our_ids(folder, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    run = subprocess.run(
        [BUILD / "tests" / "tokenize_rows", folder, str(NOW)], input=text, capture_output=True, text=True, timeout=300
    )
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.returncode in (0, 3), run.stderr
    return lines


def assert_same(folder, rows, tokenizer=None, min_tokenized=None):
    """Equal ids or an error on both sides, row by row. Returns our rows."""
    theirs = trl_ids(tokenizer or load_tokenizer(folder), rows)
    ours = our_ids(folder, rows)
    assert len(ours) == len(rows), ours[:1]
    for row, our, their in zip(rows, ours, theirs, strict=True):
        assert ("error" in our) == ("error" in their), (row, our.get("error"), their.get("error"))
        if "error" not in our:
            for name in ("prompt_ids", "chosen_ids", "rejected_ids"):
                assert our[name] == their[name], (name, row)
    tokenized = sum("error" not in our for our in ours)
    assert tokenized >= (len(rows) if min_tokenized is None else min_tokenized), [o for o in ours if "error" in o][:3]
    return ours


# ---- tests


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Text tokenizers by name. phi-3-mini only as transformers saves it: the raw folder is refused (tested below)."""
    root = tmp_path_factory.mktemp("tokenizers")
    result = {name: write_folder(root / name, name) for name in TOKENIZERS}
    load_tokenizer(result["phi-3-mini"]).save_pretrained(root / "phi-3-mini-saved")
    return result | {"phi-3-mini": root / "phi-3-mini-saved", "stories260k": DATA / "models" / "stories260k"}


@pytest.mark.parametrize("name", TOKENIZERS + ["stories260k"])
def test_text(folders, name):
    tokenizer = load_tokenizer(folders[name])
    rows = pairs()
    ours = assert_same(folders[name], rows, tokenizer)
    assert not any(any(our["merged"]) for our in ours)

    moved = [row | {"prompt": row["prompt"] + " ", "chosen": row["chosen"][1:]} for row in rows[:100]]
    nasty = nasty_rows() + with_eos(rows[:20], tokenizer.eos_token) + moved
    ours = assert_same(folders[name], nasty, tokenizer)
    assert sum(any(our["merged"]) and our["unshared"] > 0 for our in ours) > 50
    assert_same(folders[name], implicit_rows(), tokenizer, min_tokenized=len(implicit_rows()) - 3)


@pytest.mark.parametrize("tokenizer_name", TOKENIZERS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_conversations(tmp_path, template, tokenizer_name):
    folder = template_folder(tmp_path / "model", tokenizer_name, template)
    tokenizer = load_tokenizer(folder)
    every = 1 if TOKENIZERS[TEMPLATES.index(template) % 3] == tokenizer_name else 6
    rows = chat_rows(pairs())[::every]
    ours = assert_same(folder, rows, tokenizer, min_tokenized=len(rows) // 2)
    assert any(our.get("date") == "2026-07-31" for our in ours) == (template in ("smollm3", "gpt-oss"))
    if every == 1:
        assert_same(folder, nasty_chat_rows(), tokenizer, min_tokenized=len(NASTY))
        assert_same(folder, implicit_chat_rows(), tokenizer, min_tokenized=10)
        tokenizer.save_pretrained(tmp_path / "saved")
        assert_same(tmp_path / "saved", rows[::20], min_tokenized=10)


def test_trainer_columns(folders):
    """The whole DPOTrainer on a Dataset: the columns that it trains on."""
    import datasets
    from transformers import AutoModelForCausalLM
    from trl import DPOConfig, DPOTrainer

    folder = folders["phi-2"].parent / "stories260k-chat"
    tokenizer = load_tokenizer(folders["stories260k"])
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{{ eos_token }}"
    tokenizer.save_pretrained(folder)
    names = ("prompt", "chosen", "rejected")
    for rows in (pairs()[::9], [{name: row[name] for name in names} for row in chat_rows(pairs()[::9])]):
        trainer = DPOTrainer(
            AutoModelForCausalLM.from_pretrained(DATA / "models" / "stories260k"),
            args=DPOConfig(output_dir=str(folder), report_to=[], bf16=False, use_cpu=True, max_length=None),
            train_dataset=datasets.Dataset.from_list(rows),
            processing_class=load_tokenizer(folder),
        )
        for our, their in zip(our_ids(folder, rows), trainer.train_dataset, strict=True):
            for name in names:
                assert our[name + "_ids"] == their[name + "_ids"]


def test_mate_moves_the_boundary(folders):
    """A merge with one completion moves the prompt's tail into both, as TRL does it, and is flagged."""
    rows = [{"prompt": "The ca", "chosen": mate, "rejected": ", ran"} for mate in ("t sat", ", sat")]
    merged, clean = assert_same(folders["phi-2"], rows)
    assert merged["merged"] == [True, False] and merged["unshared"] == 1
    assert clean["merged"] == [False, False] and clean["unshared"] == 0
    assert merged["rejected_ids"][1:] == clean["rejected_ids"]


CLASSES = [
    None, "TokenizersBackend", "PreTrainedTokenizerFast", "LlamaTokenizer", "GPT2TokenizerFast", "CodeGenTokenizer",
    "Qwen2Tokenizer", "GemmaTokenizer", "GPTNeoXTokenizerFast", "BertTokenizer",
]
MODEL_TYPES = [None, "llama", "mistral", "qwen2", "qwen3", "gpt2", "gemma3_text", "phi3", "olmo", "olmo2", "smollm3"]


def shrink(source, num_tokens):
    """The tokenizer with its first tokens only: it loads faster, by the same rules."""
    tokenizer = json.loads(source.read_text())
    added = {token["content"] for token in tokenizer["added_tokens"]}
    vocab = {text: i for text, i in tokenizer["model"]["vocab"].items() if i < num_tokens or text in added}
    merges = [merge.split(" ", 1) if isinstance(merge, str) else merge for merge in tokenizer["model"]["merges"]]
    tokenizer["model"]["vocab"] = {text: i for i, text in enumerate(sorted(vocab, key=vocab.get))}
    tokenizer["model"]["merges"] = [merge for merge in merges if {*merge, "".join(merge)} <= vocab.keys()]
    for token in tokenizer["added_tokens"]:
        token["id"] = tokenizer["model"]["vocab"].setdefault(token["content"], len(tokenizer["model"]["vocab"]))
    return json.dumps(tokenizer)


@pytest.mark.parametrize("name", ["phi-2", "phi-3-mini"])
def test_never_other_ids_than_transformers(tmp_path, name):
    """Whatever class and model type a folder names: transformers' ids, or a refusal."""
    source = DATA / "tokenizers" / name
    small = shrink(source / "tokenizer.json", 1500)
    config = read_json(source / "tokenizer_config.json")
    config.pop("added_tokens_decoder")
    rows = nasty_rows()[::4]
    accepted = refused = 0
    for tokenizer_class in CLASSES:
        for model_type in MODEL_TYPES:
            folder = tmp_path / f"{tokenizer_class}-{model_type}"
            named = {"tokenizer_class": tokenizer_class} if tokenizer_class else {}
            config.pop("tokenizer_class", None)
            write_folder(folder, name, config | named, model_type)
            (folder / "tokenizer.json").write_text(small)
            ours = our_ids(folder, rows)
            if "load_error" in ours[0]:
                assert "FAILED_PRECONDITION" in ours[0]["load_error"] and "save_pretrained" in ours[0]["load_error"]
                refused += 1
                continue
            accepted += 1
            for our, their in zip(ours, trl_ids(load_tokenizer(folder), rows), strict=True):
                assert our["prompt_ids"] + our["chosen_ids"] == their["prompt_ids"] + their["chosen_ids"], folder.name
    assert accepted >= 40 and refused >= 20


@pytest.mark.parametrize("model_type", ["llama", "phi", "gpt2", None])
def test_refusal_and_cure(tmp_path, model_type):
    folder = write_folder(tmp_path / "model", "phi-3-mini", model_type=model_type)
    (line,) = our_ids(folder, [])
    assert "FAILED_PRECONDITION" in line["load_error"] and "LlamaTokenizer" in line["load_error"]
    assert "AutoTokenizer.from_pretrained(dir).save_pretrained(dir)" in line["load_error"]
    load_tokenizer(folder).save_pretrained(folder)
    assert_same(folder, pairs()[::20])


@pytest.mark.parametrize("model_type", ["phi3", "mistral"])
def test_class_that_reads_the_file(tmp_path, model_type):
    folder = write_folder(tmp_path / "model", "phi-3-mini", model_type=model_type)
    assert_same(folder, pairs()[::20] + nasty_rows())


def test_configured_tokens(tmp_path):
    """Settings of the configuration files that change ids."""
    own = read_json(DATA / "tokenizers" / "phi-2" / "tokenizer_config.json")
    plain = {"eos_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    tokens = {"50256": {"content": "<|endoftext|>", "special": True}, "50300": {"content": "cat", "lstrip": True}}
    map_tokens = {"bos_token": {"content": "<new bos>", "lstrip": True}, "additional_special_tokens": ["Anna", "the"]}
    cases = {
        "split_special_tokens": (own | {"split_special_tokens": True}, {}),
        "new special tokens": (plain | {"bos_token": "<begin>", "image_token": "Lily", "sep_token": "big"}, {}),
        "extra list": (plain | {"extra_special_tokens": ["Lily", "dog"]}, {}),
        "extra object": (plain | {"extra_special_tokens": {"a_token": "Lily", "b_token": "<b>"}}, {}),
        "both lists": (plain | {"extra_special_tokens": ["Lily"], "additional_special_tokens": ["dog"]}, {}),
        "decoder": (plain | {"added_tokens_decoder": tokens}, map_tokens),
        "special tokens map": (plain, map_tokens),
        "ignored": (own | {"add_bos_token": True, "add_eos_token": True, "model_max_length": 5}, {}),
    }
    rows = pairs()[::12] + nasty_rows()[::5]
    for name, (config, special_tokens_map) in cases.items():
        folder = write_folder(tmp_path / name, "phi-2", config)
        if special_tokens_map:
            (folder / "special_tokens_map.json").write_text(json.dumps(special_tokens_map))
        assert_same(folder, rows)

    folder = write_folder(tmp_path / "truncation", "phi-2")
    file = json.loads((folder / "tokenizer.json").read_text())
    file["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    file["padding"] = {
        "strategy": {"Fixed": 64}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 3, "pad_type_id": 0,
        "pad_token": "!",
    }
    (folder / "tokenizer.json").write_text(json.dumps(file))
    assert_same(folder, rows)


def test_named_templates(tmp_path):
    """tool_use where there are tools, else default; files before tokenizer_config.json."""
    template = "{{% for m in messages %}}{name} {{{{ m.content }}}}{{% endfor %}}"
    config = {"eos_token": "<|endoftext|>", "pad_token": None} | {
        "chat_template": [{"name": n, "template": template.format(name=n)} for n in ("default", "tool_use")]
    }
    rows = chat_rows(pairs()[:14])
    folder = write_folder(tmp_path / "list", "phi-2", config)
    assert_same(folder, rows)
    more = folder / "additional_chat_templates"
    more.mkdir()
    (more / "tool_use.jinja").write_text(template.format(name="from file") + "{{ pad_token }}{{ bos_token }}")
    assert_same(folder, rows, min_tokenized=4)  # the file's hide the configuration's: no default is left
    (folder / "chat_template.jinja").write_text(template.format(name="default file") + "\n\n")
    assert_same(folder, rows)


def test_python_semantics_in_templates(tmp_path):
    """Constructs in which engines differ print the same bytes as Jinja with transformers' settings."""
    values = {
        "f": [0.1, 1.0, 1e-5, 1e16, 1.5e300, -0.0, 123456789.125, 1e22], "i": 1234567890123456789, "t": True, "n": None,
        "d": {"b": [1, {"x": None}], "a": "é<&>'\"\\\n\u2028\u007f", "c": False}, "s": "  Mixed Case text  ",
        "e": {"l": [], "d": {}}, "odd": NASTY + ["it's \"both\"", "\u0378\ue000\U000e0001"],
    }
    expressions = [
        "d | tojson", "d | tojson(indent=2)", "d | tojson(indent=4, sort_keys=true)", "d | tojson(ensure_ascii=true)",
        "d | tojson(separators=(',', ':'))", "f | tojson", "e | tojson(indent=1)", "d", "f[0]", "f[2]", "f[3]", "f[4]",
        "f[5]", "[t, n, i]", "s.strip()", "s.split()", "s.upper() + s.lower()", "s | trim | length", "t and n", "i + 1",
        "7 // 2 ~ 7 % 2 ~ 7 / 2", "s[3:6]", "s[::-1]", "d.items() | list", "d.get('zz', 'none')", "d.keys() | list",
        "'%s and %d' | format('a', 3)", "s.replace('e', '3')", "[3, 1, 2] | sort", "d | items | list", "s is string",
        "f[:2] | map('int') | list", "(1, 2)", "namespace(a=1).a", "range(3) | list", "d['a'].startswith('é')",
        "d | string", "'' ~ d", "[d, f] | join('-')", "d.b ~ f[2]", "'%s' | format(d)", "odd", "odd | string ~ odd[0]",
        "messages[0].content", "s.title()", "undefined_name is defined", "undefined_name", "messages[-1]['role']",
        "s.rsplit(' ')", "s.removeprefix(' ')", "'%s' % 3", "s.nonsense()", "undefined_name.x", "undefined_name | tojson",
        "raise_exception('no')", "'a' if t", "dict(a=1)", "strftime_now('%Y-%m-%d %H:%M %B %d %z|')", "d | length",
    ]
    statements = [
        "{%- set x = namespace(v=0) %}{% for k in f %}{% set x.v = x.v + loop.index %}{% endfor %}{{ x.v }}",
        "{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, b=3) }}",
        "{% for k in f %}{% if loop.first %}{% continue %}{% endif %}{{ k|int }}{% break %}{% endfor %}",
        "A\n  {% if t %}\n    B\n  {% endif %}\n  C\n{# note #}\n D\n\n", "{% generation %}x{% endgeneration %}|",
        "a {%- generation -%} {{ s }} {%- endgeneration +%} b\n", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
        "{% set y %}in{{ t }}{% endset %}[{{ y }}]", "a\r\nb\rc{% if t %}\r\nd{% endif %}", "{% raw %}{{ x }}{% endraw %}",
        "{%- for m in messages -%} {{ loop.previtem.role if loop.previtem else '-' }} {%- endfor -%}\n\n",
    ]
    rows = [
        {"prompt": [message("user", "q")], "chosen": [message("assistant", "c")], "rejected": [message("assistant", "r")]}
    ]
    rows[0]["chat_template_kwargs"] = values
    unequal = []
    folder = tmp_path / "model"
    shutil.copytree(DATA / "models" / "stories260k", folder)  # its bytes are tokens: different text, different ids
    for source in ["[{{ " + expression + " }}]" for expression in expressions] + statements:
        (folder / "chat_template.jinja").write_text(source, newline="")
        their = trl_ids(load_tokenizer(folder), rows)[0]
        our = our_ids(folder, rows)[0]
        if "error" in their or "load_error" in our or "error" in our:
            # What the engine lacks is an error that names the line, never other text.
            assert "line " in our.get("error", our.get("load_error", "")), (source, our, their)
            unequal += [] if "error" in their else [source]
        else:
            assert our["chosen_ids"] == their["chosen_ids"] and our["prompt_ids"] == their["prompt_ids"], source
    assert set(unequal) <= {"[{{ s.rsplit(' ') }}]", "[{{ s.removeprefix(' ') }}]", "[{{ '%s' % 3 }}]"}

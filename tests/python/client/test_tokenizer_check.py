# SPDX-License-Identifier: Apache-2.0
"""A tokenizer here against that of a server: equal ones pass, others are told by the ids that differ."""
import json
import shutil

import pytest

import prefscore


@pytest.fixture(scope="module")
def folder(test_data):
    return test_data / "models/stories260k"


@pytest.fixture(scope="module")
def stories_client(stories_server):
    with prefscore.Client(stories_server.address) as client:
        yield client


def changed(folder, tmp_path, change):
    """A copy of a tokenizer's folder with another tokenizer.json."""
    shutil.copytree(folder, tmp_path / "copy")
    file = tmp_path / "copy/tokenizer.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return tmp_path / "copy"


def test_the_models_own_tokenizer_passes(stories_client, folder):
    import tokenizers
    import transformers

    prefscore.check_tokenizer(stories_client, folder)
    prefscore.check_tokenizer(stories_client, str(folder), "reference")
    prefscore.check_tokenizer(stories_client, transformers.AutoTokenizer.from_pretrained(folder))
    prefscore.check_tokenizer(stories_client, tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")))


def test_two_ids_that_are_swapped_are_found(stories_client, folder, tmp_path):
    import tokenizers

    def swap(content):
        vocab = content["model"]["vocab"]
        one, two = "▁the", "▁a"
        vocab[one], vocab[two] = vocab[two], vocab[one]

    with_swap = changed(folder, tmp_path, swap)
    tokenizer = tokenizers.Tokenizer.from_file(str(with_swap / "tokenizer.json"))
    with pytest.raises(prefscore.TokenizerMismatch, match=r"differ: the ids of .* part at position 2: \[265, .* here, \[261, "):
        prefscore.check_tokenizer(stories_client, tokenizer)


def test_a_larger_vocabulary_is_found(stories_client, test_data):
    with pytest.raises(prefscore.TokenizerMismatch, match="has ids up to [0-9]+, and model 'policy' has a vocabulary of 512"):
        prefscore.check_tokenizer(stories_client, test_data / "tokenizers/phi-2")


def test_a_smaller_tokenizer_is_found(stories_client, test_data):
    import tokenizers

    letters = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    with pytest.raises(prefscore.TokenizerMismatch, match=r"part at position \d+: \[\] here"):
        prefscore.check_tokenizer(stories_client, letters)


def test_what_is_no_tokenizer(fake_client, tmp_path):
    with pytest.raises(prefscore.InvalidArgument, match="tokenizer: must be a tokenizer .* not int"):
        prefscore.check_tokenizer(fake_client, 3)
    with pytest.raises(prefscore.InvalidArgument, match="is no folder"):
        prefscore.check_tokenizer(fake_client, tmp_path / "no-such-folder")
    with pytest.raises(prefscore.NotFound, match="hosts no model 'other'. It hosts: 'policy', 'reference'"):
        prefscore.check_tokenizer(fake_client, tmp_path, "other")

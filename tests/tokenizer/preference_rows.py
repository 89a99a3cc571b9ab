# SPDX-License-Identifier: Apache-2.0
"""Preference rows for test_trl_ids.py: the real pairs, as text and as conversations, and the nasty cases."""

import json
import os
import pathlib

DATA = pathlib.Path(os.environ.get("PREFSCORE_TEST_DATA", "/nonexistent"))


def pairs():
    rows = []
    for name in ["stories.jsonl", "hh_harmless.jsonl"]:
        rows += [json.loads(line) for line in (DATA / "pairs" / name).read_text().splitlines()]
    return [{key: row[key] for key in ("prompt", "chosen", "rejected")} for row in rows]

COMBINING = "e\u0301 n\u0303 a\u0323\u0302 \u0915\u094d\u0937 \u1112\u1161\u11ab"
NASTY = [
    "", " ", "  ", "\n", "\n\n", "\t", "\r\n", "a", " a", "a ", "word", " word", "The ca", "t sat", ", ran", "don't",
    "東京は日本の首都です。", "Привет, мир", "שלום עולם", "مرحبا بالعالم", "नमस्ते दुनिया", "한국어 문장",
    "👩‍👩‍👧‍👦 family", "🏳️‍🌈", "👍🏽!", COMBINING, "ﬁ ﬂ ½ Ⅷ", "\u200b\u200d\ufeff", "\u00a0\u3000", "a\u0000b", "\x07",
    "<s>", "</s>", "<unk>", "<|endoftext|>", "<|im_start|>user", "<|end|>", "<0x41>", "▁▁", "Ġ", "x" * 300, " " * 70,
    "1234567890", "3.14e-5", "def f(x):\n    return x\n", "{% if x %}", "\U0010ffff", "ￚ", "’s", "éé", "it's  two",
]


def nasty_rows():
    count = len(NASTY)
    rows = [
        {"prompt": NASTY[i], "chosen": NASTY[(i + shift) % count], "rejected": NASTY[(i + 3 * shift + 1) % count]}
        for i in range(count)
        for shift in (0, 1, 7)
    ]
    for row in pairs()[::10]:  # a boundary in the middle of a word, and one behind a space
        text = row["prompt"] + row["chosen"]
        for cut in (len(row["prompt"]) // 2, len(row["prompt"]) + 1, len(row["prompt"]) + 3):
            rows.append({"prompt": text[:cut], "chosen": text[cut:], "rejected": row["rejected"]})
    return rows


def with_eos(rows, eos):
    return [row | {"chosen": row["chosen"] + eos, "rejected": row["rejected"] + eos + eos} for row in rows]


def implicit_rows():
    pieces = [
        ("The cat sat", "The cat ran"), ("The cat", "The cat sat"), ("same", "same"), ("a", "b"), ("a ", "b"),
        ("word one ", "different "), (" x", " y"), ("  x", "  y"), ("東京は", "東京が"), ("é a", "é b"),
        ("👍🏽 yes", "👍🏽 no"), ("", "x"), ("x", ""), ("", ""), (" ", " "), ("ab", "ac"), ("日本 ", "中国"),
    ]
    rows = [{"chosen": chosen, "rejected": rejected} for chosen, rejected in pieces]
    return rows + [
        {"chosen": row["prompt"] + row["chosen"], "rejected": row["prompt"] + row["rejected"]} for row in pairs()[::20]
    ]


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather at a <place> & time; 'quoted', \"twice\"",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "名前 é"},
                    "days": {"type": "integer", "default": 3, "enum": [1, 3, 10]},
                    "scale": {"type": "number", "default": 1.0, "maximum": 1e22},
                },
                "required": ["city"],
            },
        },
    }
]


def message(role, content, **more):
    return {"role": role, "content": content} | more


def turns(text):
    """hh-rlhf's "\\n\\nHuman: ...\\n\\nAssistant: ..." as messages; other text is one user message."""
    messages = []
    for piece in text.split("\n\n"):
        role, _, content = piece.partition(": ") if ": " in piece else piece.partition(":")
        if role in ("Human", "Assistant"):
            messages.append(message({"Human": "user", "Assistant": "assistant"}[role], content))
        elif messages:
            messages[-1]["content"] += "\n\n" + piece
        else:
            messages.append(message("user", text))
            break
    if messages[-1]["role"] == "assistant" and not messages[-1]["content"]:
        messages.pop()
    return messages


def chat_rows(rows):
    """The pairs as conversations; every few rows with a system prompt, tools, template variables, more turns."""
    out = []
    for index, row in enumerate(rows):
        prompt = turns(row["prompt"])
        chosen, rejected = ([message("assistant", row[side])] for side in ("chosen", "rejected"))
        chat = {}
        if index % 7 in (1, 2):
            prompt = [message("system", f"Answer in {index} words.\n ")] + prompt
        if index % 7 in (2, 3):
            chat["tools"] = json.dumps(TOOLS) if index % 2 else TOOLS
        if index % 7 == 4:
            chat["chat_template_kwargs"] = {"enable_thinking": False, "reasoning_effort": "low", "custom": [1, 0.5]}
        if index % 7 == 5:  # a completion of several turns
            chosen = chosen + [message("user", "More?"), message("assistant", "No, that is all.")]
        if index % 7 == 6:  # a prompt that ends in an assistant message
            prompt = prompt + [message("assistant", "Well, ")]
        out.append({"prompt": prompt, "chosen": chosen, "rejected": rejected} | chat)
    return out


def nasty_chat_rows():
    call = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Oslo é", "days": 3}}}
    asked = [message("user", "Weather?"), message("assistant", None, tool_calls=[call])]
    answered = asked + [message("tool", '{"c": -3}', name="get_weather", tool_call_id="1")]
    good, bad = [message("assistant", "It is cold.")], [message("assistant", "It is <b>hot</b> & 'dry'.")]
    thought = [message("assistant", "Cold.", reasoning_content="Let me see.\nYes.")]
    thinking = [message("assistant", "Cold.", thinking="A thought.")]
    rows = [
        {"prompt": answered, "chosen": good, "rejected": bad, "tools": TOOLS},
        {"prompt": answered[:1], "chosen": asked[1:], "rejected": good, "tools": json.dumps(TOOLS)},
        {"prompt": asked[:1], "chosen": thought, "rejected": good},
        {"prompt": asked[:1], "chosen": thinking, "rejected": bad},
        {"prompt": asked[:1], "chosen": [message("assistant", "<think>\nhm\n</think>\n\nYes")], "rejected": good},
        {"prompt": asked[:1], "chosen": good, "rejected": bad, "tools": []},
        {"prompt": [], "chosen": good, "rejected": bad},
        {"prompt": [message("alien", "Hello")], "chosen": good, "rejected": bad},
        {"prompt": [message("user", "Hi"), message("user", "again")], "chosen": good, "rejected": bad},
        {"prompt": asked[:1], "chosen": good, "rejected": bad, "chat_template_kwargs": {"enable_thinking": True}},
        {"prompt": asked[:1], "chosen": good, "rejected": bad, "chat_template_kwargs": {"bos_token": "BOS!"}},
        {"prompt": asked[:1], "chosen": good, "rejected": bad, "tools": "not JSON"},
        {"prompt": asked[:1], "chosen": good, "rejected": bad, "tools": ["no object"]},
    ]
    for text in NASTY:
        rows.append(
            {
                "prompt": [message("system", text), message("user", text)],
                "chosen": [message("assistant", text)],
                "rejected": [message("assistant", "no" + text)],
            }
        )
    return rows


def implicit_chat_rows():
    rows = []
    for row in chat_rows(pairs()[::25]):
        prompt = row.pop("prompt")
        rows.append(row | {side: prompt + row[side] for side in ("chosen", "rejected")})
    same = rows[0]["chosen"]
    return rows + [
        {"chosen": same, "rejected": same},
        {"chosen": same[:1], "rejected": same},
        {"chosen": same, "rejected": [message("user", "something else")] + same},
    ]

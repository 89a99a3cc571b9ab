# SPDX-License-Identifier: Apache-2.0
"""Small random models of every architecture and variant, with transformers as the oracle of their log-probs.

The weights are scaled up, and norms and biases perturbed, so that attention and positions matter: a random model with
the usual deviation of 0.02 is nearly blind to both.
"""
import dataclasses
import json
import math

import torch
import transformers

HIDDEN, HEADS, KV_HEADS, LAYERS, VOCAB = 64, 4, 2, 4, 331
HEAD_DIM = HIDDEN // HEADS


@dataclasses.dataclass(frozen=True)
class Variant:
    """A model and the lengths (prompt, completion) at which it is compared; `gain` multiplies its weight deviation."""

    name: str
    model_type: str
    config: dict = dataclasses.field(default_factory=dict)
    lengths: tuple = ((1, 40), (9, 70), (60, 60), (100, 30))
    gain: float = 1.0
    edit_json: dict = dataclasses.field(default_factory=dict)  # fields that config.json gets instead; None: removed
    only_sizes: bool = False  # config.json says sizes and token ids: everything else is the architecture's default


def _long(limit):
    """Lengths on both sides of `limit`, one total exactly at it and one completion that crosses it."""
    return ((5, limit - 30), (limit // 2, limit // 2), (limit // 2, limit // 2 + 1), (limit - 20, 60), (limit + 40, 50))


def _rope(rope_type, theta=10000.0, **parameters):
    return {"rope_parameters": {"rope_type": rope_type, "rope_theta": theta, **parameters}}


def _factors(start, step, count):
    return [round(start + step * i, 3) for i in range(count)]


LLAMA3 = dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
YARN = dict(factor=4.0, original_max_position_embeddings=64)

VARIANTS = [
    Variant("llama", "llama"),
    Variant("llama_far", "llama", dict(max_position_embeddings=2048), ((1200, 60), (1900, 100))),
    Variant("llama_biases", "llama", dict(attention_bias=True, mlp_bias=True, tie_word_embeddings=True)),
    Variant("llama_multi_head", "llama", dict(num_key_value_heads=HEADS, hidden_act="gelu", rms_norm_eps=1e-3)),
    Variant("llama_multi_query", "llama", dict(num_key_value_heads=1, head_dim=32, hidden_act="relu")),
    Variant("llama_linear", "llama", _rope("linear", factor=4.0)),
    Variant("llama_dynamic", "llama", dict(max_position_embeddings=96, **_rope("dynamic", factor=4.0)), _long(96)),
    Variant("llama_llama3", "llama", _rope("llama3", 500000.0, **LLAMA3), _long(64)),
    Variant("llama_yarn", "llama", dict(max_position_embeddings=256, **_rope("yarn", **YARN)), _long(64)),
    Variant("llama_yarn_mscale", "llama",
            _rope("yarn", mscale=1.2, mscale_all_dim=0.8, beta_fast=16.0, beta_slow=2.0, truncate=False, **YARN),
            _long(64)),
    Variant("llama_longrope", "llama",
            dict(max_position_embeddings=256,
                 **_rope("longrope", short_factor=_factors(1.0, 0.1, 8), long_factor=_factors(1.5, 0.7, 8), factor=4.0,
                         original_max_position_embeddings=64)), _long(64)),
    Variant("llama_old_spelling", "llama", _rope("llama3", 500000.0, **LLAMA3), _long(64), edit_json=dict(
        rope_parameters=None, rope_theta=500000.0, rope_scaling=dict(rope_type="llama3", **LLAMA3), head_dim=None)),
    Variant("mistral", "mistral", dict(sliding_window=33), _long(33)),
    Variant("mistral_full", "mistral", dict(sliding_window=None, head_dim=24)),
    Variant("qwen2", "qwen2"),
    Variant("qwen2_window", "qwen2", dict(use_sliding_window=True, sliding_window=32, max_window_layers=2,
                                          tie_word_embeddings=True), _long(32)),
    Variant("qwen2_yarn", "qwen2", dict(max_position_embeddings=64, **_rope("yarn", 1e6, **YARN)), _long(64),
            edit_json=dict(rope_parameters=None, rope_theta=1e6, rope_scaling=dict(type="yarn", **YARN))),
    Variant("qwen3", "qwen3", dict(head_dim=32)),
    Variant("qwen3_layer_types", "qwen3", dict(
        head_dim=16, attention_bias=True, use_sliding_window=True, sliding_window=48,
        layer_types=["sliding_attention", "full_attention", "full_attention", "sliding_attention"]), _long(48)),
    Variant("gpt2", "gpt2"),
    Variant("gpt2_unscaled", "gpt2", dict(scale_attn_weights=False, n_inner=96, activation_function="relu",
                                          tie_word_embeddings=False)),
    Variant("gemma", "gemma", dict(head_dim=24), gain=0.7),
    Variant("gemma_biases", "gemma", dict(head_dim=16, attention_bias=True, num_key_value_heads=1), gain=0.7,
            edit_json=dict(hidden_act="gelu", hidden_activation=None)),
    Variant("gemma2", "gemma2", dict(head_dim=16, query_pre_attn_scalar=20, sliding_window=32,
                                     attn_logit_softcapping=5.0, final_logit_softcapping=4.0), _long(32), gain=1.5),
    Variant("gemma2_uncapped", "gemma2", dict(head_dim=16, sliding_window=32, attn_logit_softcapping=None,
                                              final_logit_softcapping=None, query_pre_attn_scalar=16), _long(32)),
    Variant("gemma3", "gemma3_text", dict(head_dim=16, query_pre_attn_scalar=16, sliding_window=32, num_hidden_layers=6,
                                          rope_parameters=dict(
                                              full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1e6),
                                              sliding_attention=dict(rope_type="default", rope_theta=1e4))), _long(32)),
    Variant("gemma3_old_spelling", "gemma3_text", dict(
        head_dim=16, query_pre_attn_scalar=16, sliding_window=40, num_hidden_layers=6, final_logit_softcapping=6.0,
        layer_types=["sliding_attention", "sliding_attention", "full_attention"] * 2,
        rope_parameters=dict(full_attention=dict(rope_type="linear", factor=8.0, rope_theta=2e6),
                             sliding_attention=dict(rope_type="default", rope_theta=5e3))), _long(40),
            edit_json=dict(rope_parameters=None, layer_types=None, sliding_window_pattern=3, rope_theta=2e6,
                           rope_local_base_freq=5e3, rope_scaling=dict(rope_type="linear", factor=8.0))),
    Variant("phi3", "phi3", dict(sliding_window=31), _long(31)),
    Variant("phi3_longrope", "phi3", dict(
        max_position_embeddings=256, original_max_position_embeddings=64, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="longrope", rope_theta=10000.0, partial_rotary_factor=0.75,
                             short_factor=_factors(1.0, 0.1, 6), long_factor=_factors(1.5, 0.7, 6))), _long(64),
            edit_json=dict(rope_parameters=None, rope_theta=10000.0, partial_rotary_factor=0.75, rope_scaling=dict(
                type="longrope", short_factor=_factors(1.0, 0.1, 6), long_factor=_factors(1.5, 0.7, 6)))),
    Variant("olmo2", "olmo2"),
    Variant("olmo2_biases", "olmo2", dict(attention_bias=True, num_key_value_heads=HEADS)),
    Variant("smollm3", "smollm3", dict(tie_word_embeddings=True)),
    Variant("smollm3_window", "smollm3", dict(
        no_rope_layers=[1, 0, 0, 1], use_sliding_window=True, sliding_window=32, attention_bias=True, mlp_bias=True,
        max_position_embeddings=64, **_rope("yarn", 5e6, **YARN)), _long(32)),
]


# Every architecture again, to see that what config.json leaves out means what it means to transformers.
VARIANTS += [
    Variant(f"{model_type}_defaults", model_type, lengths=((9, 70), (60, 60)), only_sizes=True)
    for model_type in sorted({variant.model_type for variant in VARIANTS})
]


def _sizes(variant):
    token_ids = dict(bos_token_id=1, eos_token_id=2, pad_token_id=0)
    if variant.model_type == "gpt2":
        return dict(vocab_size=VOCAB, n_embd=HIDDEN, n_head=HEADS, n_layer=LAYERS, **token_ids)
    return dict(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=112, num_hidden_layers=LAYERS,
                num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, **token_ids)


def make_config(variant):
    settings = {}
    if not variant.only_sizes:
        settings = {"n_positions" if variant.model_type == "gpt2" else "max_position_embeddings": 512,
                    "tie_word_embeddings": False}
    return transformers.AutoConfig.for_model(variant.model_type, **{**_sizes(variant), **settings, **variant.config})


@torch.no_grad()
def make_model(variant):
    """The model in float32."""
    config = make_config(variant)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(sum(map(ord, variant.name)))
    one_plus = variant.model_type.startswith("gemma")  # norms multiply by 1 + weight
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() == 1:
            centre = 1.0 if name.endswith("weight") and not one_plus else 0.0
            parameter.copy_(centre + 0.2 * noise)
        elif "embed" in name or "wte" in name or "wpe" in name:
            # Gemma multiplies the embedding by sqrt(hidden); a tied one is also the head.
            tied = config.tie_word_embeddings or one_plus
            parameter.copy_(noise * (0.25 if tied and "wpe" not in name else 1.0))
        else:
            # GPT-2 stores its matrices as [in, out].
            conv1d = variant.model_type == "gpt2" and "lm_head" not in name
            fan_in = parameter.shape[0 if conv1d else 1]
            parameter.copy_(noise * variant.gain * 1.6 / math.sqrt(fan_in))
    return model


def make_groups(variant, seed=7):
    """[(prompt ids, [completion ids, ...]), ...]: every group shares its prompt between completions of two lengths."""
    generator = torch.Generator().manual_seed(seed)
    ids = lambda count: torch.randint(3, VOCAB, (count,), generator=generator).tolist()
    return [(ids(prompt), [ids(completion), ids(max(1, completion // 2))]) for prompt, completion in variant.lengths]


def save(model, variant, folder):
    """save_pretrained, then the variant's edits of config.json."""
    model.save_pretrained(folder)
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **variant.edit_json}
    removed = {key for key, value in variant.edit_json.items() if value is None}
    if variant.only_sizes:
        removed = set(config) - set(_sizes(variant)) - {"model_type"}
    path.write_text(json.dumps({key: value for key, value in config.items() if key not in removed}))


def load(folder, dtype=torch.float32):
    """What transformers makes of a folder, with eager attention."""
    return transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=dtype).eval()


def _reset_rope(model):
    """Dynamic and longrope modules keep what they computed for the longest sequence so far: start as if loaded anew."""
    for module in model.modules():
        if hasattr(module, "max_seq_len_cached") and hasattr(module, "original_inv_freq"):
            module.max_seq_len_cached = module.original_max_seq_len
            module.inv_freq = module.original_inv_freq.clone()


@torch.no_grad()
def token_logps(model, prompt, completion):
    """log p of each completion token by one transformers run of prompt + completion alone, as a float64 tensor."""
    _reset_rope(model)
    logits = model(torch.tensor([prompt + completion]), use_cache=False).logits[0]
    rows = logits[len(prompt) - 1 : -1].double()
    return torch.log_softmax(rows, dim=-1).gather(-1, torch.tensor(completion)[:, None])[:, 0]


def group_logps(model, groups):
    """Those of all completions of all groups, one after the other."""
    return torch.cat([token_logps(model, prompt, completion)
                      for prompt, completions in groups for completion in completions])


@torch.no_grad()
def early_token_effect(model, length):
    """How far the last logits of `length` tokens move when the first one changes: what attention is worth here."""
    _reset_rope(model)
    ids = torch.randint(3, VOCAB, (1, length), generator=torch.Generator().manual_seed(3))
    changed = ids.clone()
    changed[0, 0] = (ids[0, 0] - 3 + 1) % (VOCAB - 3) + 3
    return (model(ids).logits[0, -1] - model(changed).logits[0, -1]).abs().max().item()

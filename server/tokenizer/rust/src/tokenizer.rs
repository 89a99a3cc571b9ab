// SPDX-License-Identifier: Apache-2.0
//! A tokenizer.json with the changes that transformers makes when it loads one.

use std::ffi::{c_int, c_ulong};
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::Once;

use serde::Deserialize;
use serde_json::{json, Map, Value};
use tokenizers::AddedToken;

use crate::{Failure, INTERNAL};

/// Steps back of a pattern in tokenizer.json on its way to one match. A text of the longest kind needs one for each
/// byte; a pattern that tries all ways to cut a text needs more than there is time for. Oniguruma of itself bounds the
/// steps from one place of the text, not those from all places.
const MAX_PATTERN_STEPS: c_ulong = 10_000_000;

extern "C" {
    // Of Oniguruma, which tokenizers links: for the whole process.
    fn onig_set_retry_limit_in_search(limit: c_ulong) -> c_int;
}

fn bound_patterns() {
    static BOUNDED: Once = Once::new();
    // SAFETY: sets a number that searches read when they start.
    BOUNDED.call_once(|| unsafe {
        onig_set_retry_limit_in_search(MAX_PATTERN_STEPS);
    });
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    /// Added in this order, as Tokenizer.add_tokens does: known text keeps its id, new text gets the next one.
    add_tokens: Vec<Token>,
    split_special_tokens: bool,
    /// Replaces parts of the file: what a transformers class puts there when it rebuilds the tokenizer.
    rebuild: Option<Rebuild>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rebuild {
    model: Map<String, Value>, // everything but vocab and merges
    normalizer: Value,
    pre_tokenizer: Value,
    drop_post_processor: bool,
}

pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    split_special_tokens: bool,
    vocab_size: i64,
}

impl Tokenizer {
    pub fn load(json: &str, changes: &str) -> Result<Tokenizer, Failure> {
        bound_patterns();
        let changes: Changes =
            serde_json::from_str(changes).map_err(|error| Failure::invalid(format!("changes: {error}")))?;
        let parsed = match changes.rebuild {
            None => json.parse::<tokenizers::Tokenizer>().map_err(|error| error.to_string()),
            Some(rebuild) => rebuilt_file(json, rebuild)
                .and_then(|file| serde_json::from_value(file).map_err(|error| error.to_string())),
        };
        let mut inner = parsed.map_err(Failure::invalid)?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| Failure::new(INTERNAL, error.to_string()))?;
        for token in changes.add_tokens {
            let token = AddedToken {
                content: token.content.into(),
                single_word: token.single_word,
                lstrip: token.lstrip,
                rstrip: token.rstrip,
                normalized: token.normalized,
                special: token.special,
            };
            inner.add_tokens([token]).map_err(|error| Failure::invalid(error.to_string()))?;
        }
        inner.set_encode_special_tokens(changes.split_special_tokens);
        let vocab_size = inner.get_vocab(true).values().max().map_or(0, |id| i64::from(*id) + 1);
        Ok(Tokenizer { inner, split_special_tokens: changes.split_special_tokens, vocab_size })
    }

    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>, Failure> {
        // Its binding of Oniguruma panics where a search fails.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.inner.encode_fast(text, add_special_tokens)));
        let encoding = outcome.or_else(|panic| {
            let reason = crate::abi::panic_text(panic.as_ref());
            if !reason.starts_with("Onig: ") {
                resume_unwind(panic);
            }
            let limit = format!("the limit is {MAX_PATTERN_STEPS} steps back to a match");
            Err(Failure::invalid(format!("a pattern of tokenizer.json fails on this text ({reason}; {limit})")))
        })?;
        Ok(encoding.map_err(|error| Failure::invalid(error.to_string()))?.get_ids().to_vec())
    }

    pub fn vocab_size(&self) -> i64 {
        self.vocab_size
    }

    /// JSON of everything that can change an id, and nothing else: equal identities give equal ids.
    pub fn identity(&self) -> Result<String, Failure> {
        let internal = |error: serde_json::Error| Failure::new(INTERNAL, error.to_string());
        let mut file = serde_json::to_value(&self.inner).map_err(internal)?;
        let parts = file.as_object_mut().ok_or_else(|| Failure::new(INTERNAL, "tokenizer is not a JSON object"))?;
        for name in ["version", "truncation", "padding", "decoder"] {
            parts.shift_remove(name);
        }
        parts.insert("split_special_tokens".into(), json!(self.split_special_tokens));
        for name in ["normalizer", "pre_tokenizer", "post_processor"] {
            if let Some(part) = parts.get_mut(name) {
                *part = canonical_part(part.take());
            }
        }
        if parts.get("post_processor").is_some_and(adds_no_tokens) {
            parts.insert("post_processor".into(), Value::Null);
        }
        canonical_model(parts);
        serde_json::to_string(&file).map_err(internal)
    }
}

fn rebuilt_file(json: &str, rebuild: Rebuild) -> Result<Value, String> {
    let mut file: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let parts = file.as_object_mut().ok_or("not a JSON object")?;
    let mut model = rebuild.model;
    for name in ["vocab", "merges"] {
        let part = parts.get_mut("model").and_then(|model| model.get_mut(name));
        model.insert(name.into(), part.ok_or_else(|| format!("model has no {name}"))?.take());
    }
    parts.insert("model".into(), Value::Object(model));
    parts.insert("normalizer".into(), rebuild.normalizer);
    parts.insert("pre_tokenizer".into(), rebuild.pre_tokenizer);
    parts.insert("added_tokens".into(), json!([]));
    for name in ["decoder", "truncation", "padding"] {
        parts.insert(name.into(), Value::Null);
    }
    if rebuild.drop_post_processor {
        parts.insert("post_processor".into(), Value::Null);
    }
    Ok(file)
}

/// Drops options that move offsets only, and unwraps a sequence of one.
fn canonical_part(mut part: Value) -> Value {
    if let Some(fields) = part.as_object_mut() {
        if fields.get("type") == Some(&json!("ByteLevel")) {
            fields.shift_remove("trim_offsets");
        }
        for name in ["normalizers", "pretokenizers", "processors"] {
            let Some(Value::Array(children)) = fields.get_mut(name) else { continue };
            for child in children.iter_mut() {
                *child = canonical_part(child.take());
            }
            if children.len() == 1 {
                return children.pop().unwrap_or_default();
            }
        }
    }
    part
}

/// A ByteLevel post-processor moves offsets only; a template without special tokens is the identity.
fn adds_no_tokens(post_processor: &Value) -> bool {
    match post_processor.get("type").and_then(Value::as_str) {
        Some("ByteLevel") => true,
        Some("TemplateProcessing") => post_processor["single"]
            .as_array()
            .is_some_and(|pieces| pieces.iter().all(|piece| piece.get("Sequence").is_some())),
        _ => false,
    }
}

fn canonical_model(parts: &mut Map<String, Value>) {
    let byte_level = has_byte_level(&parts["pre_tokenizer"]);
    let Some(model) = parts.get_mut("model").and_then(Value::as_object_mut) else { return };
    for name in ["continuing_subword_prefix", "end_of_word_suffix"] {
        if model.get(name) == Some(&json!("")) {
            model.insert(name.into(), Value::Null);
        }
    }
    if model.get("dropout") == Some(&json!(0.0)) {
        model.insert("dropout".into(), Value::Null);
    }
    // Where every byte has a token nothing is unknown.
    let Some(vocab) = model.get("vocab").and_then(Value::as_object) else { return };
    let byte_fallback = model.get("byte_fallback") == Some(&json!(true))
        && (0..=255u8).all(|byte| vocab.contains_key(&format!("<0x{byte:02X}>")));
    let all_bytes = byte_level && byte_level_alphabet().all(|letter| vocab.contains_key(&letter));
    if byte_fallback || all_bytes {
        model.insert("unk_token".into(), Value::Null);
        model.insert("fuse_unk".into(), json!(false));
        if !byte_fallback {
            model.insert("byte_fallback".into(), json!(false));
        }
    }
}

fn has_byte_level(part: &Value) -> bool {
    part.get("type") == Some(&json!("ByteLevel"))
        || part.get("pretokenizers").and_then(Value::as_array).is_some_and(|parts| parts.iter().any(has_byte_level))
}

fn byte_level_alphabet() -> impl Iterator<Item = String> {
    tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet().into_iter().map(String::from)
}

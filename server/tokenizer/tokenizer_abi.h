// SPDX-License-Identifier: Apache-2.0
// The C ABI of the Rust crate in rust/. Private to this folder.
//
// Statuses are absl::StatusCode numbers: 0, 3 (bad input), 8 (limit), 12 (construct not supported), 13 (caught panic).
// A function with a status writes `out` at 0 and `error` (which may be null) otherwise, never both; what it wrote is
// freed by the matching _free function. Text goes in as pointer and length, is checked to be UTF-8 and is not kept.
// Thread-safety: a tokenizer or template may be used from several threads; freeing it needs all of them done.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct prefscore_text {
  char* data;
  size_t length;
} prefscore_text;

typedef struct prefscore_ids {
  uint32_t* data;
  size_t length;
} prefscore_ids;

typedef struct prefscore_tokenizer prefscore_tokenizer;
typedef struct prefscore_template prefscore_template;

void prefscore_text_free(prefscore_text text);
void prefscore_ids_free(prefscore_ids ids);

// changes: JSON {"add_tokens": [{content, single_word, lstrip, rstrip, normalized, special}], "split_special_tokens":
// bool, "rebuild": null | {"model": {...}, "normalizer": ..., "pre_tokenizer": ..., "drop_post_processor": bool}}.
// Truncation and padding that tokenizer.json asks for are off.
int32_t prefscore_tokenizer_load(const char* tokenizer_json, size_t tokenizer_json_length, const char* changes,
                                 size_t changes_length, prefscore_tokenizer** out, prefscore_text* error);
void prefscore_tokenizer_free(prefscore_tokenizer* tokenizer);

int32_t prefscore_tokenizer_encode(const prefscore_tokenizer* tokenizer, const char* text, size_t text_length,
                                   bool add_special_tokens, prefscore_ids* out, prefscore_text* error);

// JSON of everything that can change an id: equal identities give equal ids.
int32_t prefscore_tokenizer_identity(const prefscore_tokenizer* tokenizer, prefscore_text* out, prefscore_text* error);

// One more than the largest id of the vocabulary with its added tokens.
int64_t prefscore_tokenizer_vocab_size(const prefscore_tokenizer* tokenizer);

int32_t prefscore_template_compile(const char* source, size_t source_length, prefscore_template** out,
                                   prefscore_text* error);
void prefscore_template_free(prefscore_template* chat_template);

// Formats the local time of `clock` as strftime does, into `out`: the length written, or -1. Called from another thread
// than the one in prefscore_template_render, before that returns.
typedef int64_t (*prefscore_format_time)(void* clock, const char* format, size_t format_length, char* out,
                                         size_t out_capacity);

// variables: a JSON object. format_time may be null: then strftime_now is unknown to the template.
int32_t prefscore_template_render(const prefscore_template* chat_template, const char* variables,
                                  size_t variables_length, prefscore_format_time format_time, void* clock,
                                  prefscore_text* out, prefscore_text* error);

#ifdef __cplusplus
}
#endif

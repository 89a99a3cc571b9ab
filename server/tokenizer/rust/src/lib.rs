// SPDX-License-Identifier: Apache-2.0
//! Hugging Face tokenizers and chat templates behind the C ABI that ../tokenizer_abi.h declares.
//!
//! Reading order: abi (entry points), tokenizer (ids), chat_template (rendering), bounded_thread (its limits), then
//! what rendering needs to print as Python does: python_json, python_format.

mod abi;
mod bounded_thread;
mod chat_template;
mod python_format;
mod python_json;
mod tokenizer;

/// A failure on its way to C: the numbers are those of absl::StatusCode.
#[derive(Debug)]
pub struct Failure {
    pub code: i32,
    pub message: String,
}

pub const INVALID_ARGUMENT: i32 = 3;
pub const RESOURCE_EXHAUSTED: i32 = 8;
pub const UNIMPLEMENTED: i32 = 12;
pub const INTERNAL: i32 = 13;

impl Failure {
    pub fn new(code: i32, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into() }
    }

    pub fn invalid(message: impl Into<String>) -> Failure {
        Failure::new(INVALID_ARGUMENT, message)
    }
}

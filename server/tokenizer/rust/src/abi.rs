// SPDX-License-Identifier: Apache-2.0
//! The entry points. None lets a panic out; results are allocated here and freed by the two _free functions.

use std::any::Any;
use std::ffi::{c_char, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Once;

use crate::chat_template::{ChatTemplate, TimeFormatter};
use crate::tokenizer::Tokenizer;
use crate::{Failure, INTERNAL};

/// UTF-8 text owned by this library.
#[repr(C)]
pub struct Text {
    data: *mut u8,
    length: usize,
}

/// Token ids owned by this library.
#[repr(C)]
pub struct Ids {
    data: *mut u32,
    length: usize,
}

fn leak<T>(values: Vec<T>) -> (*mut T, usize) {
    let length = values.len();
    (Box::into_raw(values.into_boxed_slice()) as *mut T, length)
}

/// # Safety: data and length come from leak() or are null.
unsafe fn reclaim<T>(data: *mut T, length: usize) {
    if !data.is_null() {
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(data, length)));
    }
}

unsafe fn store_text(out: *mut Text, text: String) {
    let (data, length) = leak(text.into_bytes());
    *out = Text { data, length };
}

/// # Safety: data points to length bytes that outlive the call, or length is 0.
unsafe fn utf8<'a>(data: *const c_char, length: usize, name: &str) -> Result<&'a str, Failure> {
    if length == 0 {
        return Ok("");
    }
    if data.is_null() {
        return Err(Failure::invalid(format!("{name} is null but has {length} bytes")));
    }
    std::str::from_utf8(std::slice::from_raw_parts(data as *const u8, length))
        .map_err(|error| Failure::invalid(format!("{name} is not UTF-8: invalid at byte {}", error.valid_up_to())))
}

fn required<'a, T>(pointer: *const T, name: &str) -> Result<&'a T, Failure> {
    // SAFETY: the header asks for a pointer that this library made and that has not been freed.
    unsafe { pointer.as_ref() }.ok_or_else(|| Failure::invalid(format!("{name} is null")))
}

pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic without a message".into())
}

/// Runs an entry point: its failure or its panic becomes a status and a text.
fn guard(error: *mut Text, body: impl FnOnce() -> Result<(), Failure>) -> i32 {
    static SILENCE_PANICS: Once = Once::new();
    SILENCE_PANICS.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let outcome = catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|panic| Err(Failure::new(INTERNAL, panic_text(panic.as_ref()))));
    match outcome {
        Ok(()) => 0,
        Err(failure) => {
            if !error.is_null() {
                // SAFETY: the header asks for null or a writable text.
                unsafe { store_text(error, failure.message) };
            }
            failure.code
        }
    }
}

#[no_mangle]
pub unsafe extern "C" fn prefscore_text_free(text: Text) {
    reclaim(text.data, text.length);
}

#[no_mangle]
pub unsafe extern "C" fn prefscore_ids_free(ids: Ids) {
    reclaim(ids.data, ids.length);
}

#[no_mangle]
pub unsafe extern "C" fn prefscore_tokenizer_load(
    json: *const c_char,
    json_length: usize,
    changes: *const c_char,
    changes_length: usize,
    out: *mut *mut Tokenizer,
    error: *mut Text,
) -> i32 {
    guard(error, || {
        let json = utf8(json, json_length, "tokenizer.json")?;
        let changes = utf8(changes, changes_length, "changes")?;
        required(out, "out")?;
        *out = Box::into_raw(Box::new(Tokenizer::load(json, changes)?));
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn prefscore_tokenizer_free(tokenizer: *mut Tokenizer) {
    if !tokenizer.is_null() {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(Box::from_raw(tokenizer))));
    }
}

#[no_mangle]
pub unsafe extern "C" fn prefscore_tokenizer_encode(
    tokenizer: *const Tokenizer,
    text: *const c_char,
    text_length: usize,
    add_special_tokens: bool,
    out: *mut Ids,
    error: *mut Text,
) -> i32 {
    guard(error, || {
        let tokenizer = required(tokenizer, "tokenizer")?;
        let text = utf8(text, text_length, "text")?;
        required(out, "out")?;
        let (data, length) = leak(tokenizer.encode(text, add_special_tokens)?);
        *out = Ids { data, length };
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn prefscore_tokenizer_identity(
    tokenizer: *const Tokenizer,
    out: *mut Text,
    error: *mut Text,
) -> i32 {
    guard(error, || {
        let tokenizer = required(tokenizer, "tokenizer")?;
        required(out, "out")?;
        store_text(out, tokenizer.identity()?);
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn prefscore_tokenizer_vocab_size(tokenizer: *const Tokenizer) -> i64 {
    tokenizer.as_ref().map_or(0, |tokenizer| tokenizer.vocab_size())
}

#[no_mangle]
pub unsafe extern "C" fn prefscore_template_compile(
    source: *const c_char,
    source_length: usize,
    out: *mut *mut ChatTemplate,
    error: *mut Text,
) -> i32 {
    guard(error, || {
        let source = utf8(source, source_length, "chat template")?;
        required(out, "out")?;
        *out = Box::into_raw(Box::new(ChatTemplate::compile(source)?));
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn prefscore_template_free(template: *mut ChatTemplate) {
    if !template.is_null() {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(Box::from_raw(template))));
    }
}

#[no_mangle]
pub unsafe extern "C" fn prefscore_template_render(
    template: *const ChatTemplate,
    variables: *const c_char,
    variables_length: usize,
    format_time: Option<unsafe extern "C" fn(*mut c_void, *const c_char, usize, *mut c_char, usize) -> i64>,
    clock: *mut c_void,
    out: *mut Text,
    error: *mut Text,
) -> i32 {
    guard(error, || {
        let template = required(template, "template")?;
        let variables = utf8(variables, variables_length, "variables")?;
        required(out, "out")?;
        let time = format_time.map(|function| TimeFormatter { function, clock });
        store_text(out, template.render(variables, time)?);
        Ok(())
    })
}

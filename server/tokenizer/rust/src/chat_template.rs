// SPDX-License-Identifier: Apache-2.0
//! A chat template, rendered as transformers renders it: Jinja's sandbox with trim_blocks, lstrip_blocks and loop
//! controls, no escaping, its own tojson, raise_exception, strftime_now and generation blocks.

use std::ffi::{c_char, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use minijinja::{escape_formatter, AutoEscape, Environment, Error, ErrorKind, State, Value};
use minijinja::syntax::SyntaxConfig;

use crate::bounded_thread::{self, Limits, Stopped};
use crate::python_format::{python_text, template_value};
use crate::{python_json, Failure, INTERNAL, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED};

const NAME: &str = "chat_template";
const MAX_SOURCE_BYTES: usize = 64 << 10;
/// Real templates need some hundreds of fuel, and one more for every 64 bytes that they copy.
const BASE_FUEL: u64 = 1_000_000;
const FUEL_PER_INPUT_BYTE: u64 = 16;
/// A sum of 30,000 terms or a list nested as deep recurses in the compiler and in destructors. Only touched pages
/// count.
const STACK_BYTES: usize = 512 << 20;
/// Fuel does not bound comparing or joining lists that hold each other twice. What takes longer is given up: its thread
/// goes on until it is done or the process ends. Real templates take milliseconds.
const DEADLINE: Duration = Duration::from_secs(10);
/// Nor does fuel bound the memory of a list that the engine itself turns into text (`~`, `upper` and their like) where
/// it holds the same long text many times. Real templates need some MiB, and a few times what they are given. A fuzzer,
/// which goes on after each, has less to lose.
const BASE_MEMORY_BYTES: usize = if cfg!(fuzzing) { 4 << 20 } else { 256 << 20 };
const MEMORY_PER_INPUT_BYTE: usize = 64;
const MAX_MESSAGE_CHARS: usize = 400;
const MAX_FORMAT_DIGITS: usize = 4;

/// How the caller formats its clock's local time, as strftime does. Returns the length, or -1 where it cannot.
pub struct TimeFormatter {
    pub function: unsafe extern "C" fn(*mut c_void, *const c_char, usize, *mut c_char, usize) -> i64,
    pub clock: *mut c_void,
}

/// A formatter until render returns: a thread that was given up must not call it any more.
type SharedFormatter = Arc<Mutex<Option<TimeFormatter>>>;

// SAFETY: the header asks for a function that may be called from another thread while render runs.
unsafe impl Send for TimeFormatter {}

impl TimeFormatter {
    fn format(&self, format: &str) -> Result<String, Error> {
        let mut buffer = vec![0u8; 1024];
        // SAFETY: both buffers are valid for the lengths given.
        let length = unsafe {
            (self.function)(
                self.clock,
                format.as_ptr() as *const c_char,
                format.len(),
                buffer.as_mut_ptr() as *mut c_char,
                buffer.len(),
            )
        };
        let length = usize::try_from(length).ok().filter(|length| *length <= buffer.len());
        let text = length.and_then(|length| String::from_utf8(buffer[..length].to_vec()).ok());
        text.ok_or_else(|| {
            Error::new(ErrorKind::InvalidOperation, format!("strftime_now: format '{format}' is not supported"))
        })
    }
}

pub struct ChatTemplate {
    environment: Environment<'static>,
    /// Memory that it took is lost (bounded_thread), so it is not tried again.
    took_too_much_memory: AtomicBool,
}

impl ChatTemplate {
    pub fn compile(source: &str) -> Result<ChatTemplate, Failure> {
        if source.len() > MAX_SOURCE_BYTES {
            let length = source.len();
            return Err(Failure::invalid(format!("{length} bytes are more than the limit of {MAX_SOURCE_BYTES}")));
        }
        let source = as_jinja_reads_it(source);
        let num_bytes = source.len();
        let outcome = on_large_stack(num_bytes, move || {
            let mut environment = environment()?;
            environment.add_template_owned(NAME, source).map_err(failure)?;
            Ok(ChatTemplate { environment, took_too_much_memory: AtomicBool::new(false) })
        });
        outcome.map_err(|stopped| stopped_failure(stopped, num_bytes))?
    }

    /// variables: a JSON object.
    pub fn render(&self, variables: &str, time: Option<TimeFormatter>) -> Result<String, Failure> {
        if self.took_too_much_memory.load(Ordering::Relaxed) {
            let message = "line unknown: not rendered any more, since it took more memory than its limit before";
            return Err(Failure::new(RESOURCE_EXHAUSTED, message));
        }
        let context: serde_json::Value =
            serde_json::from_str(variables).map_err(|error| Failure::invalid(format!("template variables: {error}")))?;
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(BASE_FUEL + FUEL_PER_INPUT_BYTE * variables.len() as u64));
        let shared: SharedFormatter = Arc::new(Mutex::new(time));
        let in_template = shared.clone();
        environment.add_function("strftime_now", move |format: &str| match in_template.lock() {
            Ok(time) if time.is_some() => bounded_thread::no_limit(|| {
                time.as_ref().map_or(Ok(String::new()), |time| time.format(format))
            }),
            _ => Err(Error::new(ErrorKind::UnknownFunction, "strftime_now: there is no clock")),
        });
        let outcome = on_large_stack(variables.len(), move || {
            let template = environment.get_template(NAME).map_err(failure)?;
            template.render(template_value(context)).map_err(failure)
        });
        if let Ok(mut time) = shared.lock() {
            time.take();
        }
        outcome.map_err(|stopped| {
            self.took_too_much_memory.fetch_or(matches!(stopped, Stopped::OverMemory), Ordering::Relaxed);
            stopped_failure(stopped, variables.len())
        })?
    }
}

fn environment() -> Result<Environment<'static>, Failure> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(failure)?;
    environment.set_syntax(syntax);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(|out, state, value| {
        if let Some(text) = python_text(state, value)? {
            return out.write_str(&text).map_err(|_| Error::from(ErrorKind::WriteFailure));
        }
        escape_formatter(out, state, value)
    });
    environment.set_unknown_method_callback(python_method);
    environment.add_filter("tojson", python_json::tojson);
    environment.add_filter("string", |state: &State, value: &Value| -> Result<Value, Error> {
        Ok(Value::from(python_text(state, value)?.unwrap_or_else(|| value.to_string())))
    });
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, format!("raise_exception: {message}")))
    });
    Ok(environment)
}

fn python_method(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    if value.is_undefined() {
        return Err(Error::new(ErrorKind::UndefinedError, format!("undefined has no method {method}")));
    }
    if method == "format" {
        bounded_format(value.as_str().unwrap_or_default())?;
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args)
}

/// Widths allocate before fuel is charged: no number in a format may have more digits than a real one needs.
fn bounded_format(format: &str) -> Result<(), Error> {
    let digits = format.split(|letter: char| !letter.is_ascii_digit()).map(str::len).max().unwrap_or(0);
    if digits > MAX_FORMAT_DIGITS {
        let detail = format!("a number in the format has {digits} digits, the limit is {MAX_FORMAT_DIGITS}");
        return Err(Error::new(ErrorKind::InvalidOperation, detail));
    }
    Ok(())
}

/// Line ends as Jinja reads them; `{% generation %}`, which only marks spans, as the scope that it also is.
fn as_jinja_reads_it(source: &str) -> String {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(source.len());
    let mut rest = source.as_str();
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        out.push_str(before);
        let end = tag.find("%}").map_or(tag.len(), |end| end + 2);
        let (tag, after) = tag.split_at(end);
        let word = tag.trim_start_matches("{%").trim_end_matches("%}").trim_matches(['-', '+']).trim();
        match word {
            "generation" | "endgeneration" => out.push_str(&tag.replace("generation", "with")),
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

fn failure(error: Error) -> Failure {
    let code = match error.kind() {
        ErrorKind::OutOfFuel => RESOURCE_EXHAUSTED,
        ErrorKind::UnknownFilter
        | ErrorKind::UnknownTest
        | ErrorKind::UnknownFunction
        | ErrorKind::UnknownMethod
        | ErrorKind::TemplateNotFound => UNIMPLEMENTED,
        _ => INVALID_ARGUMENT,
    };
    let line = error.line().map_or("line unknown".into(), |line| format!("line {line}"));
    let mut message = format!("{line}: {}", error.kind());
    if let Some(detail) = error.detail() {
        message += &format!(": {detail}");
    }
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        message += &format!(" (caused by {inner})");
        cause = inner.source();
    }
    if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE_CHARS) {
        message.truncate(end);
        message += "...";
    }
    Failure::new(code, message)
}

fn memory_limit(num_input_bytes: usize) -> usize {
    BASE_MEMORY_BYTES + MEMORY_PER_INPUT_BYTE * num_input_bytes
}

fn on_large_stack<T: Send + 'static>(
    num_input_bytes: usize,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<Result<T, Failure>, Stopped> {
    let memory_bytes = memory_limit(num_input_bytes);
    bounded_thread::run(&Limits { stack_bytes: STACK_BYTES, memory_bytes, deadline: DEADLINE }, work)
}

fn stopped_failure(stopped: Stopped, num_input_bytes: usize) -> Failure {
    let what = match stopped {
        Stopped::Panic(text) => return Failure::new(INTERNAL, text),
        Stopped::OverMemory => format!("takes more than {} bytes of memory", memory_limit(num_input_bytes)),
        Stopped::OverTime => format!("not done after {} s", DEADLINE.as_secs()),
        Stopped::NoThread(error) => format!("no thread to render in: {error}"),
    };
    Failure::new(RESOURCE_EXHAUSTED, format!("line unknown: {what}"))
}

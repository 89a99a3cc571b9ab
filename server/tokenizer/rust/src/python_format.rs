// SPDX-License-Identifier: Apache-2.0
//! Values as Python prints them, and template variables that do so wherever the engine prints them.

use std::fmt::{self, Write};
use std::sync::Arc;

use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

pub const MAX_DEPTH: usize = 256;
const BYTES_PER_FUEL: usize = 64;

/// Pays for text before it is written: what one instruction writes may hold the same long text many times.
pub fn charge(state: &State, num_bytes: usize) -> Result<(), Error> {
    state.consume_fuel((num_bytes / BYTES_PER_FUEL) as u64)
}

/// repr(float): the shortest digits that read back, an exponent below 1e-4 and from 1e16 on.
pub fn float_repr(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{value}");
    if plain.contains('.') {
        plain
    } else {
        plain + ".0"
    }
}

/// repr(str)
pub fn string_repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for letter in text.chars() {
        let code = letter as u32;
        let _ = match letter {
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            '\\' => out.write_str("\\\\"),
            _ if letter == quote => write!(out, "\\{letter}"),
            _ if is_printable(letter) => out.write_char(letter),
            _ if code < 0x100 => write!(out, "\\x{code:02x}"),
            _ if code < 0x10000 => write!(out, "\\u{code:04x}"),
            _ => write!(out, "\\U{code:08x}"),
        };
    }
    out.push(quote);
    out
}

/// str.isprintable(): str::escape_debug escapes the same categories, but at the start of a text also the marks that
/// extend a letter.
fn is_printable(letter: char) -> bool {
    if letter.is_ascii() {
        return !letter.is_ascii_control();
    }
    let mut buffer = [0; 5];
    buffer[0] = b'a';
    let length = 1 + letter.encode_utf8(&mut buffer[1..]).len();
    std::str::from_utf8(&buffer[..length]).is_ok_and(|text| text.escape_debug().all(|escaped| escaped != '\\'))
}

fn leaf_repr(value: &Value) -> String {
    match value.kind() {
        ValueKind::String => string_repr(value.as_str().unwrap_or_default()),
        ValueKind::Number if !value.is_integer() => f64::try_from(value.clone()).map_or("nan".into(), float_repr),
        _ => format!("{value:?}"),
    }
}

/// str(value), as `{{ value }}` and the `string` filter print it. Nothing where the engine prints it as Python does.
pub fn python_text(state: &State, value: &Value) -> Result<Option<String>, Error> {
    match value.kind() {
        ValueKind::Number if !value.is_integer() => Ok(Some(leaf_repr(value))),
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => {
            let mut out = String::new();
            write_repr(state, value, &mut out, 0)?;
            Ok(Some(out))
        }
        _ => Ok(None),
    }
}

fn write_repr(state: &State, value: &Value, out: &mut String, depth: usize) -> Result<(), Error> {
    state.consume_fuel(1)?;
    if depth > MAX_DEPTH {
        return Err(Error::new(ErrorKind::InvalidOperation, format!("a value is nested deeper than {MAX_DEPTH}")));
    }
    let (open, close) = match value.kind() {
        ValueKind::Map => ("{", "}"),
        ValueKind::Seq if value.is_tuple() && value.len() == Some(1) => ("(", ",)"),
        ValueKind::Seq if value.is_tuple() => ("(", ")"),
        // A list times a number, which the engine repeats as it goes.
        ValueKind::Seq | ValueKind::Iterable => ("[", "]"),
        _ => {
            charge(state, value.as_str().map_or(0, str::len))?;
            out.push_str(&leaf_repr(value));
            return Ok(());
        }
    };
    out.push_str(open);
    for (index, item) in value.try_iter()?.enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_repr(state, &item, out, depth + 1)?;
        if open == "{" {
            out.push_str(": ");
            write_repr(state, &value.get_item(&item)?, out, depth + 1)?;
        }
    }
    out.push_str(close);
    Ok(())
}

/// A list or dict that prints as in Python also where python_text() has no say (by `~`, by filters).
#[derive(Debug)]
struct PrintedContainer(DynObject);

impl Object for PrintedContainer {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        self.0.repr()
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get_value(key)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.0.enumerate()
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        self.0.enumerator_len()
    }

    fn render(self: &Arc<Self>, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_map = self.0.repr() == ObjectRepr::Map;
        formatter.write_char(if is_map { '{' } else { '[' })?;
        for (index, item) in self.0.try_iter().into_iter().flatten().enumerate() {
            if index > 0 {
                formatter.write_str(", ")?;
            }
            formatter.write_str(&leaf_repr(&item))?;
            if is_map {
                formatter.write_str(": ")?;
                formatter.write_str(&leaf_repr(&self.0.get_value(&item).unwrap_or_default()))?;
            }
        }
        formatter.write_char(if is_map { '}' } else { ']' })
    }
}

fn printed_container(value: Value) -> Value {
    match value.as_object() {
        Some(object) => Value::from_object(PrintedContainer(object.clone())),
        None => value,
    }
}

/// A float that the engine's own printing (by `~`, by filters) would write with other digits than Python. It prints
/// as in Python; calculating with it is an error.
struct UnusualFloat(f64);

impl fmt::Debug for UnusualFloat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&float_repr(self.0))
    }
}

impl Object for UnusualFloat {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

/// The number in a value that template_value() made of a float.
pub fn as_float(value: &Value) -> Option<f64> {
    value.downcast_object_ref::<UnusualFloat>().map(|float| float.0)
}

fn float_value(float: f64) -> Value {
    if float == 0.0 || (1e-4..1e16).contains(&float.abs()) {
        Value::from(float)
    } else {
        Value::from_object(UnusualFloat(float))
    }
}

/// JSON as a template sees it, key order kept.
pub fn template_value(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(boolean) => Value::from(boolean),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => Value::from(integer),
            (_, Some(integer)) => Value::from(integer),
            _ => float_value(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::from(text),
        serde_json::Value::Array(items) => {
            printed_container(Value::from(items.into_iter().map(template_value).collect::<Vec<_>>()))
        }
        serde_json::Value::Object(fields) => {
            printed_container(Value::from_pairs(fields.into_iter().map(|(key, value)| (key, template_value(value)))))
        }
    }
}

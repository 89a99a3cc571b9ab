// SPDX-License-Identifier: Apache-2.0
//! The `tojson` filter as transformers defines it: json.dumps with ensure_ascii=False.

use std::fmt::Write;

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use crate::python_format::{as_float, charge, float_repr, MAX_DEPTH};

struct Style {
    ensure_ascii: bool,
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
    sort_keys: bool,
}

/// tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False)
pub fn tojson(state: &State, value: &Value, args: Rest<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let argument = |position: usize, name: &str| -> Result<Value, Error> {
        match args.get(position) {
            Some(value) => Ok(value.clone()),
            None => Ok(kwargs.get::<Option<Value>>(name)?.unwrap_or(Value::from(()))),
        }
    };
    let ensure_ascii = argument(0, "ensure_ascii")?.is_true();
    let indent = indent_text(&argument(1, "indent")?)?;
    let separators = argument(2, "separators")?;
    let sort_keys = argument(3, "sort_keys")?.is_true();
    if args.len() > 4 {
        return Err(Error::from(ErrorKind::TooManyArguments));
    }
    kwargs.assert_all_used()?;
    let (item_separator, key_separator) = if separators.is_none() {
        (if indent.is_some() { "," } else { ", " }.to_string(), ": ".to_string())
    } else {
        let pair: Vec<Value> = separators.try_iter()?.collect();
        match pair.as_slice() {
            [item, key] if item.as_str().is_some() && key.as_str().is_some() => (item.to_string(), key.to_string()),
            _ => return Err(not_serializable("separators must be two strings")),
        }
    };
    let style = Style { ensure_ascii, indent, item_separator, key_separator, sort_keys };
    let mut out = String::new();
    write_value(state, &style, &mut out, value, 0)?;
    Ok(Value::from(out))
}

fn not_serializable(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadSerialization, format!("tojson: {}", detail.into()))
}

fn indent_text(indent: &Value) -> Result<Option<String>, Error> {
    if indent.is_none() {
        return Ok(None);
    }
    if let Some(text) = indent.as_str() {
        return Ok(Some(text.to_string()));
    }
    match i64::try_from(indent.clone()) {
        Ok(width) if width <= 64 => Ok(Some(" ".repeat(width.max(0) as usize))),
        _ => Err(not_serializable(format!("indent {indent} is not a whole number up to 64"))),
    }
}

fn write_value(state: &State, style: &Style, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
    state.consume_fuel(1)?;
    if depth > MAX_DEPTH {
        return Err(not_serializable(format!("nested deeper than {MAX_DEPTH}")));
    }
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&number_text(value)?),
        ValueKind::String => write_string(state, style, out, value.as_str().unwrap_or_default())?,
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<Value> = value.try_iter()?.collect();
            let write_item = |out: &mut String, item: &Value| write_value(state, style, out, item, depth + 1);
            write_container(state, style, out, ('[', ']'), depth, &items, write_item)?;
        }
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            if style.sort_keys {
                keys.sort();
            }
            let write_entry = |out: &mut String, key: &Value| {
                write_string(state, style, out, &key_text(key)?)?;
                charge(state, style.key_separator.len())?;
                out.push_str(&style.key_separator);
                write_value(state, style, out, &value.get_item(key)?, depth + 1)
            };
            write_container(state, style, out, ('{', '}'), depth, &keys, write_entry)?;
        }
        ValueKind::Plain if as_float(value).is_some() => out.push_str(&number_text(value)?),
        kind => return Err(not_serializable(format!("a value of type {kind} is not JSON serializable"))),
    }
    Ok(())
}

fn write_container(
    state: &State,
    style: &Style,
    out: &mut String,
    brackets: (char, char),
    depth: usize,
    items: &[Value],
    mut write_item: impl FnMut(&mut String, &Value) -> Result<(), Error>,
) -> Result<(), Error> {
    let new_line = |out: &mut String, depth: usize| -> Result<(), Error> {
        if let Some(indent) = &style.indent {
            charge(state, indent.len() * depth)?;
            out.push('\n');
            (0..depth).for_each(|_| out.push_str(indent));
        }
        Ok(())
    };
    out.push(brackets.0);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            charge(state, style.item_separator.len())?;
            out.push_str(&style.item_separator);
        }
        new_line(out, depth + 1)?;
        write_item(out, item)?;
    }
    if !items.is_empty() {
        new_line(out, depth)?;
    }
    out.push(brackets.1);
    Ok(())
}

fn number_text(value: &Value) -> Result<String, Error> {
    if value.is_integer() {
        return Ok(value.to_string());
    }
    let number = as_float(value).map_or_else(|| f64::try_from(value.clone()), Ok)?;
    Ok(match float_repr(number).as_str() {
        "nan" => "NaN".into(),
        "inf" => "Infinity".into(),
        "-inf" => "-Infinity".into(),
        text => text.into(),
    })
}

fn key_text(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::String => Ok(key.to_string()),
        ValueKind::None => Ok("null".into()),
        ValueKind::Bool => Ok(if key.is_true() { "true" } else { "false" }.into()),
        ValueKind::Number => number_text(key),
        kind => Err(not_serializable(format!("a key of type {kind}"))),
    }
}

fn write_string(state: &State, style: &Style, out: &mut String, text: &str) -> Result<(), Error> {
    charge(state, text.len())?;
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            _ if letter < ' ' || (style.ensure_ascii && !(' '..='~').contains(&letter)) => {
                let mut units = [0u16; 2];
                for unit in letter.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            _ => out.push(letter),
        }
    }
    out.push('"');
    Ok(())
}

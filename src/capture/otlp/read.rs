//! Reading fields of attributes by the table.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::item::Attributes;
use super::mapping::{Field, Form, ROLES, Role, RoleRow, Row, TABLE};

/// What attributes say about the field: the value of the first row that says something. JSON texts
/// are given as what they stand for where that is an array or an object.
pub(super) fn value(attributes: &Attributes, field: Field) -> Option<Value> {
    values(attributes, field).next()
}

/// The values of all rows that say something, in the order of precedence.
pub(super) fn values(attributes: &Attributes, field: Field) -> impl Iterator<Item = Value> + '_ {
    // A tool that is given nothing, and gives nothing back, says so.
    let nothing = matches!(field, Field::Arguments | Field::Result);
    let says = move |value: &Value| if nothing { !value.is_null() } else { !is_empty(value) };
    rows(field).filter_map(|row| at(attributes, row)).filter(says)
}

/// The same as a text; numbers and booleans are written out.
pub(super) fn text(attributes: &Attributes, field: Field) -> Option<String> {
    rows(field).find_map(|row| match row.form {
        Form::Whole => written(attributes.get(row.name)?),
        Form::Flat | Form::Member(_) => written(&at(attributes, row)?),
    })
}

fn written(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The same as a number that is not negative.
pub(super) fn number(attributes: &Attributes, field: Field) -> Option<u64> {
    values(attributes, field).find_map(|value| match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    })
}

/// The same as a list of texts; a single text is a list of one.
pub(super) fn texts(attributes: &Attributes, field: Field) -> Vec<String> {
    match value(attributes, field) {
        Some(Value::Array(values)) => {
            values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
        }
        Some(Value::String(text)) => vec![text],
        _ => Vec::new(),
    }
}

/// What a span with these attributes stands for; nothing where no convention for agents is used.
pub(super) fn role(attributes: &Attributes) -> Option<Role> {
    let fits = |row: &&RoleRow| {
        attributes.get(row.name).and_then(Value::as_str).is_some_and(|value| {
            match row.value.strip_prefix('*') {
                Some(end) => value.ends_with(end),
                None => row.value.is_empty() || value == row.value,
            }
        })
    };
    ROLES.iter().find(fits).map(|row| row.role)
}

/// The table's rows by field: every record asks for a dozen of them.
static ROWS: LazyLock<BTreeMap<Field, Vec<&'static Row>>> = LazyLock::new(|| {
    let mut rows: BTreeMap<Field, Vec<&Row>> = BTreeMap::new();
    for row in TABLE {
        rows.entry(row.field).or_default().push(row);
    }
    rows
});

fn rows(field: Field) -> impl Iterator<Item = &'static Row> {
    ROWS.get(&field).into_iter().flatten().copied()
}

fn at(attributes: &Attributes, row: &Row) -> Option<Value> {
    match row.form {
        Form::Whole => attributes.get(row.name).map(|value| opened(value.clone())),
        Form::Flat => unflatten(attributes, row.name),
        Form::Member(member) => {
            opened(attributes.get(row.name)?.clone()).as_object_mut()?.remove(member)
        }
    }
}

/// The array or object that a text is the JSON of, or the value as it is.
pub(super) fn opened(value: Value) -> Value {
    value.as_str().and_then(parsed).unwrap_or(value)
}

/// The most values of a JSON text that is taken apart. One that has more stays a text: it would take
/// many times its length in memory.
const VALUES_MAX: usize = 100_000;

/// The array or object that a text is the JSON of.
pub(super) fn parsed(text: &str) -> Option<Value> {
    let start = text.trim_start().as_bytes().first().copied();
    if !matches!(start, Some(b'[' | b'{')) || values_of(text.as_bytes()) > VALUES_MAX {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// How many values a JSON text can have at most: each of them is opened, or comes after one that is, or
/// after a comma.
pub(super) fn values_of(json: &[u8]) -> usize {
    let (mut values, mut quoted, mut escaped) = (1, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' | b',' if !quoted => values += 1,
            _ => {}
        }
    }
    values
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// One level of flattened names.
#[derive(Default)]
struct Level<'a> {
    here: Option<&'a Value>,
    below: BTreeMap<&'a str, Self>,
}

/// Names deeper than this are left flat: no convention needs it.
const DEPTH_MAX: usize = 12;

/// Puts together what is flattened under a prefix: indices become arrays, names objects.
fn unflatten(attributes: &Attributes, prefix: &str) -> Option<Value> {
    let mut root = Level::default();
    let start = format!("{prefix}.");
    for (name, value) in attributes.range(start.clone()..) {
        let Some(path) = name.strip_prefix(start.as_str()) else { break };
        let mut level = &mut root;
        for part in path.splitn(DEPTH_MAX, '.') {
            level = level.below.entry(part).or_default();
        }
        level.here = Some(value);
    }
    let indexed = root.below.keys().all(|key| key.parse::<u32>().is_ok());
    (indexed && !root.below.is_empty()).then(|| grown(&root))
}

fn grown(level: &Level<'_>) -> Value {
    if level.below.is_empty() {
        return level.here.cloned().unwrap_or(Value::Null);
    }
    let indices: Option<BTreeMap<u32, &Level<'_>>> = level
        .below
        .iter()
        .map(|(key, below)| key.parse().ok().map(|index| (index, below)))
        .collect();
    match indices {
        Some(indices) => Value::Array(indices.into_values().map(grown).collect()),
        None => Value::Object(
            level
                .below
                .iter()
                .map(|(key, below)| ((*key).to_owned(), grown(below)))
                .collect::<Map<_, _>>(),
        ),
    }
}

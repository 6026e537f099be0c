//! Texts, lists and maps with limits.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::check::Check;
use super::fault::{At, Code, Faults, refuse};
use super::limits::{EXTERNAL_ID_BYTES_MAX, LINE_BYTES_MAX, LIST_MAX, NAME_BYTES_MAX};
use super::looks::has_hidden;

/// An id that another system gave out (SPEC 2.4).
pub type ExternalId = Text<EXTERNAL_ID_BYTES_MAX>;
/// A short name (SPEC 2.3).
pub type Name = Text<NAME_BYTES_MAX>;
/// A line of plain text (SPEC 2.3).
pub type Line = Text<LINE_BYTES_MAX>;
/// A digest of 32 bytes in 64 hexadecimal digits, as the sender computed it (SPEC 2.3).
pub type Digest = Hex<64>;
/// A list that may be empty, and is then left out (SPEC 2.3).
pub type Any<T> = List<T, 0, LIST_MAX>;
/// A list with at least one element (SPEC 2.3).
pub type OneOrMore<T> = List<T, 1, LIST_MAX>;

/// A text of 1 to `MAX` bytes of characters that show, once it has been checked: that happens when a
/// `Draft` becomes an `Event`, and when an `Entry` is read (SPEC 2.3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Deref for Text<MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> From<&str> for Text<MAX> {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl<const MAX: usize> From<String> for Text<MAX> {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MAX: usize> Check for Text<MAX> {
    fn check(&self, at: At<'_>, faults: &mut Faults) {
        check_text(&self.0, MAX, at, faults);
    }
}

impl<const MAX: usize> JsonSchema for Text<MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Text{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": MAX })
    }
}

/// Notes what keeps `text` from being a text of at most `max` bytes.
pub(super) fn check_text(text: &str, max: usize, at: At<'_>, faults: &mut Faults) {
    if text.is_empty() {
        faults.add(at, Code::FieldInvalid, "an empty text says nothing; leave it out");
    }
    if text.len() > max {
        faults.add(at, Code::FieldTooLong, format!("give at most {max} bytes"));
    }
    if has_hidden(text) {
        let message =
            "take the characters out that do not show: controls, joiners, marks of direction";
        faults.add(at, Code::FieldInvalid, message);
    }
}

/// A text of exactly `DIGITS` lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Hex<const DIGITS: usize>(String);

impl<const DIGITS: usize> Hex<DIGITS> {
    /// Takes the digits, if that is what they are.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (digits && text.len() == DIGITS).then_some(Self(text))
    }
}

impl<const DIGITS: usize> Deref for Hex<DIGITS> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de, const DIGITS: usize> Deserialize<'de> for Hex<DIGITS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(text).ok_or_else(|| {
            let message = format!("give {DIGITS} lower-case hexadecimal digits");
            refuse(Code::FieldInvalid, &message)
        })
    }
}

impl<const DIGITS: usize> Check for Hex<DIGITS> {}

impl<const DIGITS: usize> JsonSchema for Hex<DIGITS> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Hex{DIGITS}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": format!("^[0-9a-f]{{{DIGITS}}}$") })
    }
}

/// A list of `MIN` to `MAX` elements, once it has been checked. An empty one is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct List<T, const MIN: usize, const MAX: usize>(Vec<T>);

impl<T, const MIN: usize, const MAX: usize> Default for List<T, MIN, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MIN: usize, const MAX: usize> Deref for List<T, MIN, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, const MIN: usize, const MAX: usize> FromIterator<T> for List<T, MIN, MAX> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        Self(elements.into_iter().collect())
    }
}

impl<T, const MIN: usize, const MAX: usize> From<Vec<T>> for List<T, MIN, MAX> {
    fn from(elements: Vec<T>) -> Self {
        Self(elements)
    }
}

impl<T: Check, const MIN: usize, const MAX: usize> Check for List<T, MIN, MAX> {
    fn is_absent(&self) -> bool {
        self.0.is_empty()
    }

    fn check(&self, at: At<'_>, faults: &mut Faults) {
        if self.0.len() < MIN {
            faults.add(at, Code::FieldMissing, format!("give at least {MIN}"));
        }
        if self.0.len() > MAX {
            faults.add(at, Code::TooMany, format!("give at most {MAX}"));
        }
        for (index, element) in self.0.iter().take(MAX).enumerate() {
            element.check(at.element(index), faults);
        }
    }
}

impl<T: JsonSchema, const MIN: usize, const MAX: usize> JsonSchema for List<T, MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("ListOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let items = generator.subschema_for::<T>();
        json_schema!({ "type": "array", "items": items, "minItems": MIN, "maxItems": MAX })
    }
}

/// An object whose member names are the sender's own. A name that is given twice is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Members<V>(BTreeMap<String, V>);

impl<V> Default for Members<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<V> Members<V> {
    /// Puts another value in the place of a member's.
    pub(super) fn put(&mut self, name: &str, value: V) {
        if let Some(place) = self.0.get_mut(name) {
            *place = value;
        }
    }
}

impl<V> Deref for Members<V> {
    type Target = BTreeMap<String, V>;

    fn deref(&self) -> &BTreeMap<String, V> {
        &self.0
    }
}

impl<V> FromIterator<(String, V)> for Members<V> {
    fn from_iter<I: IntoIterator<Item = (String, V)>>(members: I) -> Self {
        Self(members.into_iter().collect())
    }
}

impl<V> IntoIterator for Members<V> {
    type Item = (String, V);
    type IntoIter = std::collections::btree_map::IntoIter<String, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Members<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for Object<V> {
            type Value = BTreeMap<String, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = access.next_entry()? {
                    if members.insert(name, value).is_some() {
                        return Err(refuse(Code::JsonInvalid, "a member name is repeated"));
                    }
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Object(PhantomData)).map(Self)
    }
}

/// Whether every byte may stand in a label's key (SPEC 2.3).
pub(super) fn is_label_key(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// Whether every byte may stand in the name of a content part, in its place (SPEC 2.3).
pub(super) fn is_content_name(text: &str) -> bool {
    text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

impl<const MAX: usize> Text<MAX> {
    /// The text, if it may stand in a record.
    pub fn checked(text: &str) -> Option<Self> {
        let mut faults = Faults::default();
        check_text(text, MAX, At::ROOT, &mut faults);
        faults.or(text.into()).ok()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

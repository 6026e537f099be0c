//! JSON: the canonical form (RFC 8785), and a parser that refuses what has no canonical form.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Number, Value};

/// How deep arrays and objects may nest inside one another (SPEC 2.2).
pub const DEPTH_MAX: usize = 64;
/// How many values, members and elements one [`Json`] may have in all (SPEC 2.2).
pub const VALUES_MAX: usize = 65_536;
/// The largest integer that every JSON parser reads exactly: 2^53 - 1 (RFC 7493 §2.2, SPEC 2.2).
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// The value has no RFC 8785 form.
#[derive(Debug, thiserror::Error)]
#[error("the value has no RFC 8785 form")]
pub struct NotCanonical(#[source] serde_json::Error);

/// The RFC 8785 form of a value.
pub fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, NotCanonical> {
    serde_json_canonicalizer::to_vec(value).map_err(NotCanonical)
}

/// The RFC 8785 form of a value whose members are declared in sorted order and which holds no
/// floating-point number; four times as fast as [`to_bytes`], which it must equal.
///
/// For such a value the plain JSON of `serde_json` is already canonical. That a type keeps to this
/// is shown by a property test beside it.
#[expect(clippy::disallowed_methods, reason = "this is the place that the ban points to")]
pub fn sorted_to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, NotCanonical> {
    serde_json::to_vec(value).map_err(NotCanonical)
}

/// Any JSON value from outside that has exactly one canonical form and a bounded size.
///
/// Refused, beside what is not JSON: a repeated member name, nesting deeper than [`DEPTH_MAX`],
/// more than [`VALUES_MAX`] values, and integers beyond ±[`INTEGER_MAX`], which RFC 8785 would
/// silently change. Such integers have to be sent as strings.
///
/// Every other number means the nearest double, exactly as in RFC 8785: `0.1` is committed to as
/// `0.1`, but digits beyond the 17th and numbers below 5e-324 are rounded. No producer that writes
/// doubles can notice; exact decimals have to be sent as strings. That the nearest double is read,
/// rather than one beside it, rests on the feature `float_roundtrip` of `serde_json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Json(Value);

impl Json {
    /// Wraps a value made by our own code.
    pub const fn from_value(value: Value) -> Self {
        Self(value)
    }

    /// The value.
    pub const fn as_value(&self) -> &Value {
        &self.0
    }

    /// The RFC 8785 form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, NotCanonical> {
        if is_plain(&self.0) { sorted_to_bytes(&self.0) } else { to_bytes(&self.0) }
    }
}

/// Whether the plain JSON of a value is its canonical form, as that of most content is: no
/// floating-point number, and member names that sort by their bytes as they do by UTF-16.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => {
            number.as_i64().is_some_and(|number| number.unsigned_abs() <= INTEGER_MAX)
        }
        Value::Array(elements) => elements.iter().all(is_plain),
        Value::Object(members) => {
            members.keys().is_sorted()
                && members.iter().all(|(name, value)| name.is_ascii() && is_plain(value))
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut left = VALUES_MAX;
        Bounded { depth: DEPTH_MAX, left: &mut left }.deserialize(deserializer).map(Self)
    }
}

/// Reads one value, with `depth` levels and `left` values still to spend.
struct Bounded<'a> {
    depth: usize,
    left: &'a mut usize,
}

impl Bounded<'_> {
    /// What there is to spend inside an array or an object: one level less, also if it is empty.
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self
            .depth
            .checked_sub(1)
            .ok_or_else(|| E::custom(format_args!("nested more than {DEPTH_MAX} levels deep")))?;
        Ok(Self { depth, ..self })
    }

    /// The same budget, for one value of several.
    fn share(&mut self) -> Bounded<'_> {
        Bounded { depth: self.depth, left: self.left }
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        *self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| D::Error::custom(format_args!("more than {VALUES_MAX} values")))?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        if value > INTEGER_MAX {
            return Err(E::custom(format_args!("integer beyond 2^53 - 1: send it as a string")));
        }
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        if value.unsigned_abs() > INTEGER_MAX {
            return Err(E::custom(format_args!("integer beyond 2^53 - 1: send it as a string")));
        }
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let whole = value.fract() == 0.0;
        #[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "2^53 is exact")]
        if whole && value.abs() > INTEGER_MAX as f64 {
            return Err(E::custom(format_args!("integer beyond 2^53 - 1: send it as a string")));
        }
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom(format_args!("not a finite number")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let (mut inside, mut elements) = (self.inside()?, Vec::new());
        while let Some(element) = access.next_element_seed(inside.share())? {
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let (mut inside, mut members) = (self.inside()?, Map::new());
        while let Some(name) = access.next_key::<String>()? {
            let value = access.next_value_seed(inside.share())?;
            if members.contains_key(&name) {
                return Err(A::Error::custom("a member name is repeated"));
            }
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

impl schemars::JsonSchema for Json {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Json".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "description": "Any JSON value with one canonical form (SPEC 2.2)." })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            (-9_007_199_254_740_991i64..=9_007_199_254_740_991).prop_map(Value::from),
            prop_oneof![Just(-0.0), Just(1e21), any::<f64>()].prop_map(Value::from),
            "[\0-\u{1f}\u{7f}\"/\\\\aé\u{2028}\u{1f600}]{0,4}".prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                prop::collection::btree_map("[\\\\\"\tab\u{fb33}\u{1f600}]{0,2}", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_quick_way_to_the_canonical_form_gives_the_same_bytes(value in value()) {
            let slowly = to_bytes(&value).ok();
            prop_assert_eq!(Json::from_value(value).to_bytes().ok(), slowly);
        }
    }

    fn parse(text: &str) -> Result<Json, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn members_are_sorted_by_utf16() {
        let json =
            parse(r#"{"\ufb33":1,"\ud83d\ude00":2,"b":3,"a":[true,null,-1.50,1e3]}"#).unwrap();
        let text = String::from_utf8(json.to_bytes().unwrap()).unwrap();
        assert_eq!(text, "{\"a\":[true,null,-1.5,1000],\"b\":3,\"\u{1f600}\":2,\"\u{fb33}\":1}");
    }

    #[test]
    fn what_has_no_single_canonical_form_is_refused() {
        for (text, why) in [
            (r#"{"a":1,"a":2}"#, "repeated"),
            ("9007199254740992", "string"),
            ("-9007199254740992", "string"),
            ("1e300", "string"),
            ("123456789012345678901234567890", "string"),
            (r#""\ud800""#, "hex escape"),
            ("[1,]", "trailing comma"),
            ("1e999", "out of range"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(parse("9007199254740991").is_ok());
    }

    #[test]
    fn a_number_means_the_nearest_double() {
        for (text, canonical) in [
            ("0.1", "0.1"),
            ("0.1000000000000000055511151231257827", "0.1"),
            ("9007199254740990.7", "9007199254740991"),
            ("1e-400", "0"),
            ("-0", "0"),
            // Read wrongly, by one in the last place, without `float_roundtrip`.
            ("921.3446112446309", "921.3446112446309"),
            ("3619.8814515709764", "3619.8814515709764"),
        ] {
            let bytes = parse(text).unwrap().to_bytes().unwrap();
            assert_eq!(String::from_utf8(bytes).unwrap(), canonical, "{text}");
        }
    }

    #[test]
    fn nesting_and_number_of_values_are_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(&nested(DEPTH_MAX)).is_ok());
        assert!(parse(&nested(DEPTH_MAX + 1)).is_err());
        let inside =
            |value: &str| format!("{}{value}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
        assert!(parse(&inside("0")).is_ok());
        assert!(parse(&inside("{}")).is_err(), "an empty object is a level too");
        assert!(parse(&nested(10_000)).is_err());

        let wide = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
        assert!(parse(&wide(VALUES_MAX - 1)).is_ok());
        assert!(parse(&wide(VALUES_MAX)).is_err());
    }
}

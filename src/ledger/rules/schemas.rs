//! Schemas that arguments are checked against, written by whoever offers a tool: what compiling one and
//! checking by one takes is bounded, and none can make the checker look anything up.
//!
//! A schema that is beyond a bound, or that the checker does not know, is none: nothing is checked by
//! it. Whether a value is checked depends on the schema and on the value alone, never on time.

use std::panic::{AssertUnwindSafe, catch_unwind};

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};

/// The longest schema, and the longest arguments, that are looked at.
pub(super) const BYTES_MAX: usize = 64 * 1024;
/// Steps that reading a schema may take with every reference followed, and those of checking a value.
const UNFOLDED_MAX: usize = 16_384;
const STEPS_MAX: usize = 131_072;
/// How deep a schema may be, with every reference followed, and how deep checking may go.
const DEPTH_MAX: usize = 64;
/// Patterns of a schema, and what one of them may take once it is compiled.
const PATTERNS_MAX: usize = 32;
const PATTERN_BYTES_MAX: usize = 128 * 1024;
/// Bytes of text that count as a step.
const STEP_BYTES: usize = 8;
/// The versions of JSON Schema that are known here.
const DRAFTS: [&str; 3] = [
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
];
/// Keywords that lead elsewhere, or whose cost cannot be told from the schema.
const UNKNOWN: [&str; 4] =
    ["$dynamicRef", "$recursiveRef", "unevaluatedItems", "unevaluatedProperties"];

/// A schema that is ready to check values by.
#[derive(Debug)]
pub(in crate::ledger) struct Schema {
    source: Value,
    validator: Validator,
}

impl Schema {
    /// Reads a schema. `None` if nothing is to be checked by it.
    pub(super) fn new(text: &str) -> Option<Self> {
        if text.len() > BYTES_MAX {
            return None;
        }
        let source: Value = serde_json::from_str(text).ok()?;
        let draft = source.get("$schema").map(|draft| draft.as_str().unwrap_or(""));
        if draft.is_some_and(|draft| !DRAFTS.contains(&draft.trim_end_matches('#'))) {
            return None;
        }
        let mut reading =
            Reading { root: &source, above: vec![], steps: UNFOLDED_MAX, patterns: 0 };
        reading.follow(&source)?;
        let patterns =
            PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
        let options =
            jsonschema::options().with_pattern_options(patterns).should_validate_formats(false);
        let validator = guarded(|| options.build(&source).ok())?;
        Some(Self { source, validator })
    }

    /// Whether a value is certainly not as the schema says.
    pub(super) fn refutes(&self, value: &Value) -> bool {
        let mut cost = Cost { root: &self.source, left: STEPS_MAX };
        cost.check(&self.source, value, 0).is_some()
            && guarded(|| Some(self.validator.is_valid(value))) == Some(false)
    }
}

/// The schema is a stranger's: should the checker fail on it, then nothing is said, and the writer
/// goes on.
fn guarded<T>(work: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok().flatten()
}

/// Where a reference within a schema leads.
fn target<'a>(root: &'a Value, reference: &Value) -> Option<&'a Value> {
    let pointer = reference.as_str()?.strip_prefix('#')?;
    // A pointer that is written in another way, percent-encoded, is not followed.
    if pointer.contains('%') { None } else { root.pointer(pointer) }
}

/// A walk over all of a schema, with every reference followed once on each way.
struct Reading<'a> {
    root: &'a Value,
    /// What leads to where the walk is.
    above: Vec<&'a Value>,
    steps: usize,
    patterns: usize,
}

impl<'a> Reading<'a> {
    /// Walks on from here. `None` if a bound is passed, or something is not known.
    fn follow(&mut self, at: &'a Value) -> Option<()> {
        self.steps = self.steps.checked_sub(1)?;
        if self.above.len() >= DEPTH_MAX {
            return None;
        }
        if self.above.iter().any(|above| std::ptr::eq(*above, at)) {
            return Some(());
        }
        self.above.push(at);
        match at {
            Value::Object(members) => members.iter().try_for_each(|(name, value)| {
                self.member(name, value)?;
                self.follow(value)
            })?,
            Value::Array(elements) => {
                elements.iter().try_for_each(|element| self.follow(element))?;
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        self.above.pop();
        Some(())
    }

    fn member(&mut self, name: &str, value: &'a Value) -> Option<()> {
        let within = self.above.len() > 1;
        match name {
            "$ref" if value.is_string() => self.follow(target(self.root, value)?)?,
            // A schema of its own within this one: what references mean there is another question.
            "$id" | "$schema" if within && value.is_string() => return None,
            "pattern" if value.is_string() => self.patterns += 1,
            "patternProperties" => {
                self.patterns += value.as_object().map_or(0, Map::len);
            }
            _ if UNKNOWN.contains(&name) => return None,
            _ => {}
        }
        (self.patterns <= PATTERNS_MAX).then_some(())
    }
}

/// What checking a value takes at most, counted as if no part of it were ever skipped.
struct Cost<'a> {
    root: &'a Value,
    left: usize,
}

impl Cost<'_> {
    fn spend(&mut self, steps: usize) -> Option<()> {
        self.left = self.left.checked_sub(steps)?;
        Some(())
    }

    /// Counts what checking a value by a schema takes. `None` if that is too much.
    fn check(&mut self, schema: &Value, value: &Value, depth: usize) -> Option<()> {
        self.spend(1 + value.as_str().map_or(0, |text| text.len() / STEP_BYTES))?;
        if depth >= DEPTH_MAX {
            return None;
        }
        let Value::Object(keywords) = schema else { return Some(()) };
        keywords.iter().try_for_each(|(name, given)| {
            self.spend(1)?;
            self.keyword((name, given), value, depth + 1)
        })
    }

    fn keyword(&mut self, keyword: (&str, &Value), value: &Value, depth: usize) -> Option<()> {
        let members = || value.as_object().into_iter().flatten();
        let elements = || value.as_array().into_iter().flatten();
        match keyword {
            ("$ref", given) => self.check(target(self.root, given)?, value, depth),
            ("not" | "if" | "then" | "else", schema) => self.check(schema, value, depth),
            ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => {
                schemas.iter().try_for_each(|schema| self.check(schema, value, depth))
            }
            ("dependentSchemas" | "dependencies", Value::Object(schemas)) => {
                schemas.values().try_for_each(|schema| self.check(schema, value, depth))
            }
            ("properties", Value::Object(schemas)) => {
                schemas.iter().try_for_each(|(name, schema)| {
                    self.spend(1)?;
                    value.get(name).map_or(Some(()), |member| self.check(schema, member, depth))
                })
            }
            ("patternProperties", Value::Object(schemas)) => {
                schemas.values().try_for_each(|schema| {
                    members().try_for_each(|(name, member)| {
                        // Each name is matched again to tell which properties are additional ones.
                        self.spend(2 + 2 * name.len() / STEP_BYTES)?;
                        self.check(schema, member, depth)
                    })
                })
            }
            ("additionalProperties", schema) => {
                members().try_for_each(|(_, member)| self.check(schema, member, depth))
            }
            ("propertyNames", schema) => members()
                .try_for_each(|(name, _)| self.check(schema, &Value::String(name.clone()), depth)),
            ("items" | "prefixItems", Value::Array(schemas)) => {
                let mut pairs = schemas.iter().zip(elements());
                pairs.try_for_each(|(schema, element)| self.check(schema, element, depth))
            }
            ("items" | "additionalItems" | "contains", schema) => {
                elements().try_for_each(|element| self.check(schema, element, depth))
            }
            // Few elements are compared in pairs, many by hash.
            ("uniqueItems", _) => self.spend(16 * size(value)),
            (_, given) => self.spend(size(given)),
        }
    }
}

/// How many values a value is made of.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(elements) => elements.iter().map(size).sum(),
        Value::Object(members) => members.values().map(size).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refutes(schema: &Value, value: &Value) -> Option<bool> {
        Schema::new(&schema.to_string()).map(|schema| schema.refutes(value))
    }

    #[test]
    fn what_leads_out_of_a_schema_is_not_followed() {
        for reference in
            ["http://example.com/s", "https://example.com/#/a", "file:///etc/passwd", "other"]
        {
            assert_eq!(refutes(&json!({ "$ref": reference }), &json!(1)), None, "{reference}");
        }
        let own = json!({ "type": "object", "properties": { "a": { "$id": "http://x/", "$ref": "#/b" } } });
        assert_eq!(refutes(&own, &json!({})), None);
        assert_eq!(refutes(&json!({ "$schema": "http://x/meta" }), &json!(1)), None);
        assert_eq!(refutes(&json!({ "type": 5 }), &json!(1)), None);
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let list = json!({ "$defs": { "n": { "type": "object", "properties": { "next": { "$ref": "#/$defs/n" } },
            "additionalProperties": false } }, "$ref": "#/$defs/n" });
        assert_eq!(refutes(&list, &json!({ "next": { "next": {} } })), Some(false));
        assert_eq!(refutes(&list, &json!({ "next": { "next": 5 } })), Some(true));
        assert_eq!(refutes(&json!({ "$ref": "#" }), &json!(5)), Some(false));
        let pair = json!({ "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } },
            "allOf": [{ "$ref": "#/$defs/a" }], "type": "string" });
        assert_eq!(
            refutes(&pair, &json!(5)),
            Some(false),
            "it would never end, so nothing is said"
        );
    }

    #[test]
    fn what_would_take_too_long_is_not_checked() {
        let mut doubling = json!({ "$ref": "#/$defs/0", "$defs": {} });
        for n in 0..20 {
            let next = json!({ "$ref": format!("#/$defs/{}", n + 1) });
            doubling["$defs"][n.to_string()] = json!({ "allOf": [next, next] });
        }
        doubling["$defs"]["20"] = json!({ "type": "string" });
        assert_eq!(refutes(&doubling, &json!(1)), None);

        let twice = json!({ "$defs": { "t": { "properties": {
            "a": { "allOf": [{ "$ref": "#/$defs/t" }, { "$ref": "#/$defs/t" }, { "type": "object" }] } } } },
            "$ref": "#/$defs/t" });
        let mut deep = json!({ "a": 5 });
        for _ in 0..30 {
            deep = json!({ "a": deep });
        }
        assert_eq!(refutes(&twice, &deep), Some(false));
        assert_eq!(refutes(&twice, &json!({ "a": 5 })), Some(true));
    }

    #[test]
    fn patterns_take_linear_time_and_little_room() {
        let slow = json!({ "type": "string", "pattern": "^(a+)+$" });
        let text = format!("{}b", "a".repeat(40_000));
        assert_eq!(refutes(&slow, &json!(text)), Some(true));
        assert_eq!(refutes(&slow, &json!("aaa")), Some(false));
        assert_eq!(refutes(&json!({ "pattern": "(a{1000}){1000}" }), &json!("a")), None);
        let many: Vec<_> = (0..40).map(|n| json!({ "pattern": format!("a{n}") })).collect();
        assert_eq!(refutes(&json!({ "allOf": many }), &json!("a")), None);
    }
}

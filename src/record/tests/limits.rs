//! Every limit, at every place of every kind of record.

use serde_json::{Value, json};

use super::records::{Place, check, full, full_record, parse_text, places};
use super::rules::{outcome, with};
use crate::canon::json::INTEGER_MAX;
use crate::record::limits::{
    CAUSES_MAX, CONTENT_NAME_BYTES_MAX, CONTENT_PART_BYTES_MAX, CONTENT_PARTS_MAX, ERRORS_MAX,
    LABEL_KEY_BYTES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_MAX, RECORD_ID_BYTES_MAX,
};
use crate::record::{Draft, Event, Kind};

/// Calls `test` with every place of every kind, and says where it failed.
fn at_every_place(mut test: impl FnMut(Kind, &Place)) {
    for kind in Kind::ALL {
        let places = places(*kind);
        assert!(places.len() > 20, "{kind}");
        for place in &places {
            test(*kind, place);
        }
    }
}

/// What comes of a full record with another value at this place.
fn replaced(kind: Kind, pointer: &str, value: Value) -> Vec<String> {
    let mut record = full_record(kind);
    *record.pointer_mut(pointer).unwrap() = value;
    outcome(&record)
}

fn has_type(place: &Place, name: &str) -> bool {
    place.schema["type"] == name
}

#[test]
fn a_text_is_as_long_as_allowed_and_no_longer() {
    let mut texts = 0;
    at_every_place(|kind, Place { pointer, schema, .. }| {
        let Some(max) = schema["maxLength"].as_u64() else { return };
        let max = usize::try_from(max).unwrap();
        let start = if schema["pattern"].is_string() { "https://h/" } else { "" };
        let text = |length: usize| json!(format!("{start}{}", "x".repeat(length - start.len())));
        assert!(replaced(kind, pointer, text(max)).is_empty(), "{kind} {pointer}");
        let long = replaced(kind, pointer, text(max + 1));
        assert_eq!(long, [format!("{pointer} field_too_long")], "{kind}");
        for bad in ["", "a\nb", "a\u{202e}b", "\u{2028}", "e\u{200d}"] {
            let bad = replaced(kind, pointer, json!(bad));
            assert!(
                bad.iter().all(|fault| *fault == format!("{pointer} field_invalid")),
                "{bad:?}"
            );
            assert!(!bad.is_empty(), "{kind} {pointer}");
        }
        texts += 1;
    });
    assert!(texts > 400, "{texts}");
}

#[test]
fn a_list_is_as_long_as_allowed_and_no_longer() {
    let mut lists = 0;
    at_every_place(|kind, place @ Place { pointer, schema, .. }| {
        if !has_type(place, "array") || pointer == "/causes" {
            return;
        }
        let list = |length: u64| (0..length).map(|_| full(&schema["items"])).collect();
        let (min, max) =
            (schema["minItems"].as_u64().unwrap(), schema["maxItems"].as_u64().unwrap());
        // A list of large objects is longer than an entry before it has too many of them.
        let longest = replaced(kind, pointer, list(max));
        assert!(longest.is_empty() || longest == [" entry_too_large"], "{kind} {longest:?}");
        assert_eq!(
            replaced(kind, pointer, list(max + 1)),
            [format!("{pointer} too_many")],
            "{kind}"
        );
        let empty = replaced(kind, pointer, list(0));
        let missing = [format!("{pointer} field_missing")];
        assert_eq!(empty, if min == 0 { &[][..] } else { &missing }, "{kind}");
        lists += 1;
    });
    assert!(lists > 10, "{lists}");
}

#[test]
fn an_integer_is_exact_and_not_negative() {
    at_every_place(|kind, place @ Place { pointer, .. }| {
        if !has_type(place, "integer") {
            return;
        }
        let invalid = [format!("{pointer} field_invalid")];
        if !pointer.ends_with("/status_code") {
            assert!(replaced(kind, pointer, json!(INTEGER_MAX)).is_empty(), "{kind} {pointer}");
        }
        for bad in [json!(INTEGER_MAX + 1), json!(u64::MAX), json!(-1), json!(1.5), json!("1")] {
            assert_eq!(replaced(kind, pointer, bad), invalid, "{kind}");
        }
    });
}

#[test]
fn a_value_of_another_type_is_refused_where_it_stands() {
    at_every_place(|kind, place @ Place { pointer, schema, .. }| {
        let own = schema["type"].as_str().unwrap_or("object");
        let values = [
            ("string", json!("nothing of the kind")),
            ("integer", json!(1)),
            ("boolean", json!(true)),
            ("array", json!([])),
            ("array", json!(["x", "y"])),
            ("object", json!({ "zz": 1 })),
        ];
        for (name, value) in values {
            if name == own && !schema["enum"].is_array() && !schema["pattern"].is_string() {
                continue;
            }
            // An empty list is no list at all where an array may stand.
            let faults = replaced(kind, pointer, value.clone());
            if name == "string" && *pointer == "/id" {
                assert_eq!(faults, ["/id field_invalid"]);
            }
            assert_eq!(faults.len(), 1, "{kind} {pointer} {value}");
            assert!(faults[0].starts_with(pointer.as_str()), "{kind} {pointer} {value} {faults:?}");
        }
        let null = replaced(kind, pointer, Value::Null);
        let needed = place.required || pointer.ends_with("/0");
        // What may be left out may be `null`; lists may only be left out.
        if needed || has_type(place, "array") {
            assert!(!null.is_empty(), "{kind} {pointer}");
        }
    });
}

#[test]
fn a_required_member_is_missed_by_its_name() {
    let mut members = 0;
    at_every_place(|kind, place @ Place { pointer, required, .. }| {
        if !required {
            return;
        }
        let faults = outcome(&with(kind, &[(pointer, Value::Null)]));
        assert_eq!(faults, [format!("{pointer} field_missing")], "{kind}");
        members += usize::from(place.pointer.starts_with("/data"));
    });
    assert!(members > 60, "{members}");
}

#[test]
fn an_object_has_no_member_that_is_not_known() {
    at_every_place(|kind, place @ Place { pointer, .. }| {
        if !has_type(place, "object") {
            return;
        }
        let mut record = full_record(kind);
        record.pointer_mut(pointer).unwrap()["zz"] = json!(1);
        let faults = check(&record).unwrap_err().errors;
        assert_eq!(faults[0].code.as_str(), "unknown_field", "{kind} {pointer}");
        assert!(faults[0].pointer.starts_with(pointer.as_str()), "{kind} {pointer}");
    });
    let record = with(Kind::Prompt, &[("/zz", json!(1))]);
    assert_eq!(check(&record).unwrap_err().errors[0].code.as_str(), "unknown_field");
}

#[test]
fn a_member_stands_in_an_object_once() {
    at_every_place(|kind, place @ Place { pointer, schema, .. }| {
        let Some((name, _)) = schema["properties"].as_object().and_then(|all| all.iter().next())
        else {
            return;
        };
        let mut record = full_record(kind);
        let object = record.pointer_mut(pointer).unwrap();
        let again = format!("{{\"{name}\":{},{}", object[name], &object.to_string()[1..]);
        *object = json!("@@");
        let text = record.to_string().replace("\"@@\"", &again);
        let faults = parse_text(&text).unwrap_err().errors;
        assert_eq!(faults[0].code.as_str(), "json_invalid", "{kind} {}", place.pointer);
    });
    for again in
        [r#""id":"a","id":"a""#, r#""labels":{"a":"1","a":"1"}"#, r#""content":{"a":1,"a":1}"#]
    {
        let text = full_record(Kind::Prompt).to_string();
        let text = text.replace("\"id\":\"record-1\"", "").replace("{,", "{").replace(",,", ",");
        let text = text
            .replace(r#""content":{"text":"words"},"#, "")
            .replace(r#""labels":{"env":"prod"},"#, "");
        let faults = parse_text(&format!("{{{again},{}", &text[1..])).unwrap_err().errors;
        assert_eq!(faults[0].code.as_str(), "json_invalid", "{again} {faults:?}");
    }
}

fn members(count: usize, prefix: &str) -> Value {
    (0..count).map(|number| (format!("{prefix}{number}"), json!("v"))).collect()
}

#[test]
fn labels_have_limits() {
    let labels = |labels: Value| outcome(&with(Kind::Prompt, &[("/labels", labels)]));
    let one = |key: &str, value: &str| labels(json!({ key: value }));
    assert!(labels(members(LABELS_MAX, "k")).is_empty());
    assert_eq!(labels(members(LABELS_MAX + 1, "k")), ["/labels too_many"]);
    assert!(one(&"k".repeat(LABEL_KEY_BYTES_MAX), "v").is_empty());
    assert_eq!(one(&"k".repeat(LABEL_KEY_BYTES_MAX + 1), "v"), ["/labels field_too_long"]);
    assert!(one("A-z_0.9", &"v".repeat(LABEL_VALUE_BYTES_MAX)).is_empty());
    assert_eq!(one("k", &"v".repeat(LABEL_VALUE_BYTES_MAX + 1)), ["/labels/k field_too_long"]);
    assert_eq!(one("k", ""), ["/labels/k field_invalid"]);
    assert_eq!(one("k", "\u{feff}"), ["/labels/k field_invalid"]);
    for key in ["", "a b", "ä", "a/b", "a\u{200b}"] {
        assert_eq!(one(key, "v"), ["/labels field_invalid"], "{key}");
    }
    assert_eq!(labels(json!({ "k": 1 })), ["/labels/k field_invalid"]);
}

#[test]
fn content_has_limits() {
    let content = |content: Value| outcome(&with(Kind::Prompt, &[("/content", content)]));
    let part = |length: usize| content(json!({ "text": "x".repeat(length - 2) }));
    assert!(content(members(CONTENT_PARTS_MAX, "p")).is_empty());
    assert_eq!(content(members(CONTENT_PARTS_MAX + 1, "p")), ["/content too_many"]);
    assert!(part(CONTENT_PART_BYTES_MAX).is_empty());
    assert_eq!(part(CONTENT_PART_BYTES_MAX + 1), ["/content/text content_too_large"]);
    let longest = "n".repeat(CONTENT_NAME_BYTES_MAX);
    assert!(content(json!({ longest.as_str(): 1 })).is_empty());
    assert_eq!(content(json!({ format!("{longest}n"): 1 })), ["/content field_too_long"]);
    for name in ["", "A", "1a", "a-b", "_a", "ä"] {
        assert_eq!(content(json!({ name: 1 })), ["/content field_invalid"], "{name}");
    }
    assert_eq!(content(json!([])), ["/content field_invalid"]);
}

#[test]
fn ids_and_causes_have_limits() {
    let id = |id: &str| outcome(&with(Kind::Prompt, &[("/id", json!(id))]));
    assert!(id(&"i".repeat(RECORD_ID_BYTES_MAX)).is_empty());
    assert_eq!(id(&"i".repeat(RECORD_ID_BYTES_MAX + 1)), ["/id field_too_long"]);
    for bad in ["", ".", "..", "a/b", "a b", "ä", "a\u{200b}"] {
        assert_eq!(id(bad), ["/id field_invalid"], "{bad}");
    }
    let causes = |count: usize| {
        let causes: Vec<_> =
            (0..count).map(|id| json!({ "id": format!("c{id}"), "rel": "about" })).collect();
        outcome(&with(Kind::Annotation, &[("/causes", json!(causes))]))
    };
    assert!(causes(CAUSES_MAX).is_empty());
    assert!(causes(CAUSES_MAX + 1).contains(&"/causes too_many".to_owned()));
}

#[test]
fn a_record_that_no_entry_can_hold_is_refused_before_it_is_sealed() {
    let labels = |bytes: usize| -> Value {
        (0..LABELS_MAX).map(|key| (format!("k{key}"), json!("v".repeat(bytes)))).collect()
    };
    let causes: Vec<_> =
        (0..CAUSES_MAX).map(|id| json!({ "id": format!("{id:0>100}"), "rel": "about" })).collect();
    let record =
        |bytes| with(Kind::Annotation, &[("/labels", labels(bytes)), ("/causes", json!(causes))]);
    assert_eq!(outcome(&record(LABEL_VALUE_BYTES_MAX)), [" entry_too_large"]);
    assert!(outcome(&record(1)).is_empty());
}

#[test]
fn a_refusal_lists_no_more_errors_than_anyone_reads() {
    let labels = (0..LABELS_MAX).map(|key| (format!("k{key}"), json!(""))).collect();
    let faults = outcome(&with(Kind::Prompt, &[("/labels", labels)]));
    assert_eq!(faults.len(), ERRORS_MAX);
}

#[test]
fn a_record_is_one_json_object() {
    for text in ["", "[]", "null", "7", "\"x\"", "{", "{}{}", "\u{feff}{}"] {
        assert!(Draft::parse(text.as_bytes()).is_err(), "{text}");
    }
    let twice = format!("{0} {0}", full_record(Kind::Prompt));
    let error = Draft::parse(twice.as_bytes()).and_then(Event::try_from).unwrap_err();
    assert_eq!(error.errors[0].code.as_str(), "json_invalid");
}

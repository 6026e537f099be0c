//! Input that somebody made to do harm: errors must not repeat it, and nothing may panic on it.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::records::{check, check_draft, full_record, parse_text, places};
use crate::canon::{ContentDigest, EntryHash};
use crate::record::{
    CauseLink, Draft, Entry, Event, Kind, LedgerName, Placement, SessionLink, Timestamp,
};

/// A secret in the wrong place. It is no label key, no content name and no record id.
const CANARY: &str = "s3cret/c4nary";

#[test]
fn an_error_never_repeats_what_was_sent() {
    let long = CANARY.repeat(400);
    let mut refusals = 0;
    let mut assert_silent = |record: &Value| {
        let text = record.to_string();
        // As posted, and cut off in the middle of the secret's place.
        let cut = text.find(CANARY).map_or(text.len(), |place| place + CANARY.len());
        for text in [&text, &text[..cut]] {
            let Err(invalid) = parse_text(text).and_then(check_draft) else { continue };
            let shown = format!("{invalid} {invalid:?}");
            assert!(!shown.contains("c4nary"), "{shown} for {text}");
            refusals += 1;
        }
    };
    for kind in Kind::ALL {
        for place in places(*kind) {
            let hidden = format!("{CANARY}\u{200b}");
            for value in [
                json!(CANARY),
                json!(hidden),
                json!(long),
                json!([CANARY]),
                json!({ CANARY: CANARY }),
                json!([{ CANARY: [CANARY] }]),
            ] {
                let mut record = full_record(*kind);
                *record.pointer_mut(&place.pointer).unwrap() = value.clone();
                assert_silent(&record);
                if let Some(Value::Object(object)) = record.pointer_mut(&place.pointer) {
                    object.insert(CANARY.to_owned(), value);
                    assert_silent(&record);
                }
            }
        }
    }
    for pointer in ["/labels", "/content", "/kind", "/data"] {
        for value in [json!(CANARY), json!({ CANARY: 1 }), json!({ "a": { CANARY: [CANARY] } })] {
            let mut record = full_record(Kind::Prompt);
            *record.pointer_mut(pointer).unwrap() = value;
            assert_silent(&record);
        }
    }
    let mut record = full_record(Kind::Prompt);
    record[CANARY] = json!(CANARY);
    assert_silent(&record);
    assert!(refusals > 5_000, "{refusals}");
}

#[test]
fn an_error_about_content_never_repeats_it() {
    for bad in [
        format!(r#"{{"{CANARY}":9007199254740992}}"#),
        format!(r#"{{"{CANARY}":1,"{CANARY}":2}}"#),
        format!(r#"{{"a":{}"{CANARY}"{}}}"#, "[".repeat(70), "]".repeat(70)),
        format!(r#"{{"a":"{CANARY}\ud800"}}"#),
        format!(r#"{{"a":1e999,"b":"{CANARY}"}}"#),
    ] {
        let mut record = full_record(Kind::Prompt);
        record["content"] = json!({ "text": "@@" });
        let text = record.to_string().replace("\"@@\"", &bad);
        let invalid = parse_text(&text).unwrap_err();
        assert!(!format!("{invalid} {invalid:?}").contains("c4nary"), "{invalid:?}");
        assert_eq!(invalid.errors[0].code.as_str(), "json_invalid", "{bad}");
    }
}

fn sealed(event: &Event) -> Vec<u8> {
    let ledger: LedgerName = "main".parse().unwrap();
    let hash = EntryHash::of(b"before");
    let link = CauseLink { seq: 40, entry_hash: hash };
    let place = Placement {
        ledger: &ledger,
        seq: 41,
        received_at: Timestamp::EPOCH,
        prev: Some(hash),
        session: event.session().map(|_| SessionLink { n: 0, prev: None }),
        causes: &vec![link; event.causes().len()],
        content: &vec![ContentDigest::from_bytes([7; 32]); event.content().len()],
        flags: &[],
    };
    Entry::seal(event, place).unwrap().bytes
}

/// One change to a text: where, how many bytes go, and what comes in their place.
type Change = (prop::sample::Index, usize, Vec<u8>);

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for (place, gone, new) in changes {
        let start = place.index(bytes.len() + 1);
        let end = (start + gone).min(bytes.len());
        bytes.splice(start..end, new.iter().copied());
    }
    bytes
}

fn any_change() -> impl Strategy<Value = Change> {
    let token = prop::sample::select(vec![
        "{", "}", "[", "]", "\"", ",", ":", "\\", "\\u0000", "\\ud800", "null", "1e999", "-1",
        "\u{202e}",
    ]);
    let new = prop_oneof![
        token.prop_map(|token| token.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    (any::<prop::sample::Index>(), 0..6_usize, new)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_a_parser_panic(
        kind in prop::sample::select(Kind::ALL),
        changes in prop::collection::vec(any_change(), 1..4),
    ) {
        let record = full_record(kind);
        let posted = changed(record.to_string().into_bytes(), &changes);
        if let Ok(draft) = Draft::parse(&posted) {
            drop(Event::try_from(draft));
        }

        let before = sealed(&check(&record).unwrap());
        let after = changed(before, &changes);
        if let Ok(entry) = Entry::parse(&after) {
            // Whatever is read is the one form of what it says.
            prop_assert_eq!(crate::canon::to_bytes(&entry).unwrap(), after);
        }
    }
}

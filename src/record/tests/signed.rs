//! What a producer signs is what it posted, told from the record and from its entry alike.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::laws::{sealed, with_id};
use super::records::{check, for_every_kind, full_record};
use crate::canon::{Json, to_bytes};
use crate::record::{Entry, Event, Kind};

fn of_entry(event: &Event) -> Option<Vec<u8>> {
    let bytes = sealed(event);
    let entry = Entry::parse(&bytes).unwrap();
    let content: Vec<_> = event.content().iter().map(|part| &*part.bytes).collect();
    entry.signed_form(&content)
}

#[test]
fn the_signed_form_is_the_canonical_record_without_its_signature() {
    for_every_kind(32, |record| {
        let mut event = check(&record).unwrap();
        if event.id().is_none() {
            prop_assert_eq!(event.signed_form(), None);
            event = with_id(&record);
        }
        let form = event.signed_form().unwrap();
        prop_assert_eq!(of_entry(&event), Some(form.clone()));

        // Posted in any other spelling, it is the same.
        let posted: Value = serde_json::from_slice(&form).unwrap();
        prop_assert_eq!(&*to_bytes(&posted).unwrap(), &*form);
        prop_assert_eq!(check(&posted).unwrap().signed_form(), Some(form.clone()));
        prop_assert!(posted.get("signature").is_none());

        // A signature changes nothing of what it signs.
        let mut signed = posted;
        signed["signature"] = json!({ "key": "k", "value": "0f".repeat(64) });
        if let Ok(signed) = check(&signed) {
            prop_assert_eq!(signed.signed_form(), Some(form));
        }
        Ok(())
    });
}

#[test]
fn every_member_of_a_record_is_in_its_signed_form() {
    let record = full_record(Kind::ToolInvocation);
    let form = with_id(&record).signed_form().unwrap();
    let form: Value = serde_json::from_slice(&form).unwrap();
    let members = record.as_object().unwrap();
    assert!(members.len() >= 12, "{members:?}");
    for (name, value) in members.iter().filter(|(name, _)| *name != "signature") {
        assert_eq!(&form[name], value, "{name}");
    }
}

#[test]
fn without_all_of_its_content_an_entry_has_no_signed_form() {
    let event = with_id(&full_record(Kind::Prompt));
    let bytes = sealed(&event);
    let entry = Entry::parse(&bytes).unwrap();
    assert_eq!(entry.content.len(), 1);
    assert_eq!(entry.signed_form(&[]), None);
    let other = Json::from_value(json!("other words")).to_bytes().unwrap();
    let form = entry.signed_form(&[&*other]);
    assert!(form.is_some() && form != event.signed_form());
}

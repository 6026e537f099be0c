//! What holds for every record.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use serde_json::Value;

use super::records::{
    any_record, check, check_draft, for_every_kind, full_record, parse, parse_text,
};
use crate::canon::json::INTEGER_MAX;
use crate::canon::{self, ContentDigest, EntryHash, TreeHash, sorted_to_bytes};
use crate::record::entry::sealed_bytes_max;
use crate::record::limits::LEDGER_NAME_BYTES_MAX;
use crate::record::{
    CauseLink, Draft, Entry, Event, Flag, Kind, LedgerName, Placement, Sealed, SessionLink,
    Timestamp,
};

/// Seals an event at a place, with these flags beside its own.
fn seal(event: &Event, seq: u64, received_at: Timestamp, flags: &[Flag]) -> Sealed {
    let hash = EntryHash::of(b"before");
    let length = if seq == INTEGER_MAX { LEDGER_NAME_BYTES_MAX } else { 4 };
    let ledger: LedgerName = "l".repeat(length).parse().unwrap();
    let genesis = seq == 0;
    let n = if seq == INTEGER_MAX { seq } else { seq.saturating_sub(1) };
    let session = SessionLink { n, prev: (n > 0).then_some(hash) };
    let link = CauseLink { seq: seq.saturating_sub(1), entry_hash: hash };
    let place = Placement {
        ledger: &ledger,
        seq,
        received_at,
        prev: (!genesis).then_some(hash),
        session: event.session().map(|_| session),
        causes: &vec![link; event.causes().len()],
        content: &vec![ContentDigest::from_bytes([7; 32]); event.content().len()],
        flags,
    };
    Entry::seal(event, place).unwrap()
}

pub(super) fn with_id(record: &Value) -> Event {
    check(record).unwrap().with_id_if_absent("made-by-the-server".parse().unwrap())
}

/// Genesis stands at 0 and all others elsewhere.
fn seq_of(event: &Event) -> u64 {
    if event.kind() == Kind::Genesis { 0 } else { 41 }
}

pub(super) fn sealed(event: &Event) -> Vec<u8> {
    seal(event, seq_of(event), Timestamp::EPOCH, &[]).bytes
}

#[test]
fn a_full_record_of_every_kind_is_accepted() {
    for kind in Kind::ALL {
        let event = check(&full_record(*kind));
        assert!(event.is_ok(), "{kind}: {event:?}");
    }
}

#[test]
fn a_draft_is_read_back_from_its_written_form() {
    for_every_kind(32, |record| {
        let draft = parse(&record).unwrap();
        let written = String::from_utf8(sorted_to_bytes(&draft).unwrap()).unwrap();
        prop_assert_eq!(parse_text(&written).unwrap(), draft);
        Ok(())
    });
}

#[test]
fn an_entry_is_canonical_and_read_back_as_the_record_that_it_seals() {
    for_every_kind(48, |record| {
        let event = with_id(&record);
        let bytes = sealed(&event);
        let entry = Entry::parse(&bytes).map_err(|error| TestCaseError::fail(error.to_string()))?;

        prop_assert_eq!(&canon::to_bytes(&entry).unwrap(), &bytes);
        prop_assert_eq!(&sorted_to_bytes(&entry).unwrap(), &bytes);
        prop_assert!(entry.same_record(&event));
        prop_assert!(entry.same_record(&check(&record).unwrap()));
        prop_assert_eq!(&entry.flags[..], event.flags());
        prop_assert_eq!(entry.kind, event.kind());
        prop_assert_eq!(&*entry.data, event.data());
        prop_assert_eq!(entry.seq, seq_of(&event));
        prop_assert_eq!(entry.received_at, Timestamp::EPOCH);
        Ok(())
    });
}

#[test]
fn what_is_sealed_is_hashed_as_it_stands() {
    let sealed = seal(&with_id(&full_record(Kind::Prompt)), 41, Timestamp::EPOCH, &[]);
    assert_eq!(sealed.hash, EntryHash::of(&sealed.bytes));
    assert_eq!(sealed.leaf, TreeHash::leaf(&sealed.bytes));
}

/// One member of a draft taken from another.
type Change = (&'static str, fn(&mut Draft, Draft));

const CHANGES: &[Change] = &[
    ("agent", |draft, other| draft.agent = other.agent),
    ("causes", |draft, other| draft.causes = other.causes),
    ("content", |draft, other| draft.content = other.content),
    ("data", |draft, other| draft.data = other.data),
    ("delegation", |draft, other| draft.delegation = other.delegation),
    ("id", |draft, other| draft.id = other.id),
    ("labels", |draft, other| draft.labels = other.labels),
    ("occurred_at", |draft, other| draft.occurred_at = other.occurred_at),
    ("session", |draft, other| draft.session = other.session),
    ("signature", |draft, other| draft.signature = other.signature),
    ("source", |draft, other| draft.source = other.source),
    ("trace", |draft, other| draft.trace = other.trace),
    ("user", |draft, other| draft.user = other.user),
];

#[test]
fn a_record_of_which_one_member_differs_is_another_record() {
    let kinds = [Kind::ToolInvocation, Kind::Annotation, Kind::ToolCatalogSnapshot];
    let mut told = vec![0; CHANGES.len()];
    for kind in kinds {
        let records = proptest::collection::vec(any_record(kind), 2);
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        for _ in 0..64 {
            let records = records.new_tree(&mut runner).unwrap().current();
            let (draft, other) = (parse(&records[0]).unwrap(), parse(&records[1]).unwrap());
            let bytes = sealed(&with_id(&records[0]));
            let entry = Entry::parse(&bytes).unwrap();
            let names: Vec<_> =
                entry.content.iter().map(|part| (&*part.name, part.bytes)).collect();
            for ((name, change), told) in CHANGES.iter().zip(&mut told) {
                let mut changed = draft.clone();
                change(&mut changed, other.clone());
                let same = changed == draft || *name == "id" && changed.id.is_none();
                let Ok(event) = check_draft(changed) else { continue };
                let parts = event.content().iter();
                let parts =
                    parts.map(|part| (&*part.name, u64::try_from(part.bytes.len()).unwrap()));
                let same = same || *name == "content" && parts.eq(names.iter().copied());
                assert_eq!(entry.same_record(&event), same, "{kind}: {name}");
                *told += usize::from(!same);
            }
        }
    }
    // Each member was seen to make a difference, many times.
    assert!(told.iter().all(|told| *told > 20), "{told:?}");
}

#[test]
fn the_longest_entry_is_known_before_it_has_a_place() {
    let late = Timestamp::from_unix_nanos(999_999_999).unwrap();
    for_every_kind(16, |record| {
        let event = with_id(&record);
        let bound = sealed_bytes_max(&event);
        prop_assert!(sealed(&event).len() < bound);
        // At the worst place it is reached, to the byte.
        prop_assert_eq!(seal(&event, INTEGER_MAX, late, Flag::ALL).bytes.len(), bound);
        Ok(())
    });
}

#[test]
fn an_entry_that_was_altered_is_no_entry_or_another_record() {
    let event = with_id(&full_record(Kind::ApiCall));
    let bytes = sealed(&event);
    let text = std::str::from_utf8(&bytes).unwrap();
    for (from, to) in [
        (r#""producer_seq":7"#, r#""producer_seq":9007199254740992"#),
        (r#""turn_id":"text""#, r#""turn_id":"""#),
        (r#""login_session_id":"text""#, r#""login_session_id":"aRLOb""#),
        (r#""session":{"id":"text""#, r#""session":{"id":"..""#),
        (r#""delegation":"jti-7f""#, r#""delegation":"ZWSP""#),
        (r#""pseudonym":"text""#, r#""pseudonym":"\t""#),
        (r#""format":"text""#, r#""format":"""#),
        (r#""captured":"full""#, r#""captured":"absent""#),
        (r#""user":{"id":"text""#, r#""user":{"id":"ＡＧＥＮＴ""#),
    ] {
        let to = to.replace("RLO", "\u{202e}").replace("ZWSP", "\u{200b}");
        let altered = text.replacen(from, &to, 1);
        assert_ne!(altered, text, "{from} is not there");
        let error = Entry::parse(altered.as_bytes()).map(drop).unwrap_err().to_string();
        assert!(error.starts_with("not a record: "), "{to}: {error}");
    }
}

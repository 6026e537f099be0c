//! Signatures of producers, checked without the server that took them.

use serde_json::{Value, json};
use whence::record::data::KeyState;
use whence::seal::SigningKey;
use whence::verify::{Code, Report};

use super::Archive;
use crate::log::{TestLog, prompt};
use crate::producers::{put_key, signed};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn found(report: &Report) -> Vec<(Option<u64>, Code)> {
    report.findings.listed.iter().map(|finding| (finding.seq, finding.code)).collect()
}

fn archive(log: &TestLog) -> Archive {
    Archive::of(&log.ledger().view(), log.ledger().key())
}

/// A ledger that took whatever was posted, as a dishonest one would.
fn log(records: &[Value]) -> TestLog {
    let log = TestLog::new();
    put_key(&log, "k1", &key(1), KeyState::Registered);
    log.submit(records).unwrap();
    log
}

#[test]
fn right_signatures_are_counted_even_by_keys_that_were_revoked_later() {
    let log = log(&[
        signed(prompt("p-1", "s", "a"), &key(1), "k1"),
        prompt("p-2", "s", "unsigned"),
        signed(prompt("p-3", "s", "a"), &key(1), "k1"),
    ]);
    put_key(&log, "k1", &key(1), KeyState::Revoked);
    let report = archive(&log).audit();
    assert_eq!(found(&report), []);
    assert_eq!((report.signatures, report.signatures_unchecked), (2, 0));
}

#[test]
fn a_forged_signature_is_found_where_it_stands() {
    let mut forged = signed(prompt("p-1", "s", "a"), &key(1), "k1");
    forged["content"]["text"] = json!("b");
    let mut moved = signed(prompt("p-2", "s", "a"), &key(1), "k1");
    moved["labels"] = json!({ "env": "elsewhere" });
    let mut foreign = prompt("p-3", "s", "a");
    foreign["source"]["producer"] = json!("somebody");
    let log = log(&[
        forged,
        moved,
        signed(foreign, &key(1), "k1"),
        signed(prompt("p-4", "s", "a"), &key(2), "k1"),
        signed(prompt("p-5", "s", "a"), &key(2), "k2"),
        signed(prompt("p-6", "s", "a"), &key(1), "k1"),
    ]);
    // Registered after it signed, which is too late.
    put_key(&log, "k2", &key(2), KeyState::Registered);
    let report = archive(&log).audit();
    let wrong: Vec<_> = (2..7).map(|seq| (Some(seq), Code::ProducerSignatureWrong)).collect();
    assert_eq!(found(&report), wrong);
    assert_eq!((report.signatures, report.signatures_unchecked), (6, 0));
}

#[test]
fn what_is_not_all_there_is_counted_and_not_blamed() {
    let mut without = prompt("p-2", "s", "a");
    without.as_object_mut().unwrap().remove("content");
    without["source"]["captured"] = json!("absent");
    let log = log(&[
        signed(prompt("p-1", "s", "a"), &key(1), "k1"),
        signed(without, &key(1), "k1"),
        signed(prompt("p-3", "s", "a"), &key(2), "k1"),
    ]);
    let mut archive = archive(&log);
    archive.files.retain(|path, _| !path.starts_with("content"));
    archive.meta.withheld = true;
    let report = archive.audit();
    assert_eq!(found(&report), []);
    assert_eq!((report.signatures, report.signatures_unchecked), (1, 2));
}

#[test]
fn in_a_part_of_a_log_a_key_from_before_it_is_not_missed() {
    let log = log(&[signed(prompt("p-0", "s", "a"), &key(1), "k1")]);
    let many: Vec<_> = (1..300).map(|n| prompt(&format!("p-{n}"), "s", "a")).collect();
    log.submit(&many).unwrap();
    log.submit(&[signed(prompt("late", "s", "a"), &key(1), "k1")]).unwrap();
    let archive = archive(&log);
    let whole = archive.audit();
    assert_eq!((found(&whole), whole.signatures), (vec![], 2));
    let part = archive.part(256..archive.meta.size).audit();
    assert_eq!((found(&part), part.signatures, part.signatures_unchecked), (vec![], 0, 1));
}

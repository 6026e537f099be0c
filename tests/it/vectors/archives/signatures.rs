//! Archives of records that their producers signed.

use serde_json::{Value, json};
use whence::record::Hex;
use whence::record::data::{KeyState, ProducerKey};
use whence::seal::SigningKey;

use super::super::sealed::SealedLog;
use super::Archive;
use crate::log::prompt;
use crate::producers::signed;

const REGISTERED: &str = "2026-11-24T00:01:00Z";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// What the server says of the key `k1`, which may sign in 2030 alone if it has a beginning.
fn k1(state: KeyState, later: bool) -> ProducerKey {
    ProducerKey {
        actor: "tok_1".into(),
        key_id: "k1".into(),
        producer: "test".into(),
        public_key: Hex::new(key(1).public_hex()).unwrap(),
        state,
        valid_from: later.then(|| "2030-01-01T00:00:00Z".parse().unwrap()),
        valid_until: None,
    }
}

/// A log in which the key stands at 1, and one record at 2.
fn with(record: Value) -> SealedLog {
    let mut log = SealedLog::new("2026-11-24T00:00:00Z", "whence/1");
    log.producer_key(k1(KeyState::Registered, false), REGISTERED);
    log.batch(&[record], "2026-11-24T00:06:16Z", 0x20);
    log
}

fn by_k1() -> Value {
    signed(prompt("p-1", "s-1", "a"), &key(1), "k1")
}

pub(super) fn all() -> Vec<Archive> {
    let archive = |name, what, log: SealedLog| Archive::of(name, "R-VER-32", what, log.files());
    let wrong = |name, what, log| archive(name, what, log).finds(2, "producer_signature_wrong");
    let mut changed = by_k1();
    changed["content"]["text"] = json!("b");
    let mut foreign = prompt("p-1", "s-1", "a");
    foreign["source"]["producer"] = json!("somebody");

    let mut revoked = SealedLog::new("2026-11-24T00:00:00Z", "whence/1");
    revoked.producer_key(k1(KeyState::Registered, false), REGISTERED);
    revoked.producer_key(k1(KeyState::Revoked, false), REGISTERED);
    revoked.batch(&[by_k1()], "2026-11-24T00:06:16Z", 0x20);
    let mut early = SealedLog::new("2026-11-24T00:00:00Z", "whence/1");
    early.producer_key(k1(KeyState::Registered, true), REGISTERED);
    early.batch(&[by_k1()], "2026-11-24T00:06:16Z", 0x20);
    let mut redacted = with(changed.clone());
    redacted.edit(2, |entry| entry["flags"] = json!(["secret_redacted"]));
    let mut erased = with(changed.clone());
    erased.records[2].parts = vec![0x00];
    vec![
        archive("producer-signed", "a record that its producer signed", with(by_k1())),
        archive("producer-unsigned", "a record that is not signed", with(prompt("p", "s", "a"))),
        archive("producer-key-revoked", "a key that was revoked before", revoked),
        archive("producer-key-early", "a key that is not valid yet", early),
        archive("producer-redacted", "what was signed had a secret in it", redacted),
        archive("producer-erased", "what was signed is erased", erased),
        wrong("producer-record-changed", "another record than was signed", with(changed)),
        wrong("producer-of-another", "a key of another", with(signed(foreign, &key(1), "k1"))),
        wrong("producer-other-key", "another key under the name", {
            with(signed(prompt("p-1", "s-1", "a"), &key(2), "k1"))
        }),
        wrong("producer-key-unknown", "a key that was never registered", {
            with(signed(prompt("p-1", "s-1", "a"), &key(1), "k2"))
        }),
    ]
}

//! The keys of producers: which are registered, and whether a record is signed as it must be.
//!
//! The keys are what the ledger's `producer_key` records say, in their order. They are told again when
//! the ledger is opened, and go on with every such record that is committed. Signatures are checked
//! while a record is prepared, in parallel with all others, and so against the keys of that moment.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Error, known};
use crate::record::data::{KeyState, ProducerKey};
use crate::record::{Code, Data, Event, Invalid, Subject, Timestamp};
use crate::seal::ProducerVerifier;
use crate::store::Reader;

/// Records that are looked for at once.
const FOUND_MAX: usize = 256;

/// The keys, for all who check signatures.
#[derive(Debug, Default)]
pub(super) struct Producers(RwLock<Arc<Keys>>);

/// The keys by name.
type Keys = BTreeMap<String, Key>;

#[derive(Clone, Debug)]
struct Key {
    registered: ProducerKey,
    verifier: ProducerVerifier,
}

impl Key {
    /// Whether records that it signs are taken now.
    fn is_live(&self, now: Timestamp) -> bool {
        let ProducerKey { state, valid_from, valid_until, .. } = &self.registered;
        *state == KeyState::Registered
            && valid_from.is_none_or(|from| from <= now)
            && valid_until.is_none_or(|until| now < until)
    }
}

impl Producers {
    /// The keys that the records below `size` leave.
    pub(super) fn read(reader: &Reader, size: u64) -> Result<Self, Error> {
        let keys = Self::default();
        let mut from = 0;
        while from < size {
            let found = reader.of_subject(Subject::ProducerKeys, &(from..size), FOUND_MAX)?;
            let Some(last) = found.last() else { break };
            from = last.saturating_add(1);
            for seq in found {
                let Some(bytes) = reader.entry(seq)? else { continue };
                if let Data::ProducerKey(key) = &*known::parse(seq, &bytes)?.data {
                    keys.learn([key.clone()]);
                }
            }
        }
        Ok(keys)
    }

    /// Goes on with records that were committed, in their order.
    pub(super) fn learn(&self, news: impl IntoIterator<Item = ProducerKey>) {
        let mut news = news.into_iter().peekable();
        if news.peek().is_none() {
            return;
        }
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Keys::clone(&keys);
        for registered in news {
            // The server registers no key that is none; under one, no signature could hold.
            match ProducerVerifier::from_hex(&registered.public_key) {
                Ok(verifier) => {
                    changed.insert(registered.key_id.to_string(), Key { registered, verifier });
                }
                Err(_) => {
                    changed.remove(registered.key_id.as_str());
                }
            }
        }
        *keys = Arc::new(changed);
    }

    /// Every key by its name, with its newest state.
    pub(super) fn list(&self) -> Vec<ProducerKey> {
        self.keys().values().map(|key| key.registered.clone()).collect()
    }

    /// Refuses a record whose signature is missing, wrong, or by a key that is not its producer's.
    pub(super) fn check(&self, event: &Event, now: Timestamp) -> Result<(), Invalid> {
        let Some(source) = event.source() else { return Ok(()) };
        let keys = self.keys();
        let may_sign = |key: &Key| key.registered.producer == source.producer && key.is_live(now);
        let Some(signature) = event.signature() else {
            // Once it has registered a key it signs, even if none is left: else whoever waits, or has a
            // key revoked, could say anything in its name.
            let signs = |key: &Key| key.registered.producer == source.producer;
            return if keys.values().any(signs) {
                Err(refused(
                    "the producer has a key: sign its records with one that is valid now; if none is, \
                     register a new one",
                ))
            } else {
                Ok(())
            };
        };
        let Some(key) = keys.get(signature.key.as_str()).filter(|key| may_sign(key)) else {
            return Err(refused("name a key that is registered for this producer and valid now"));
        };
        let form = event.signed_form();
        if form.is_some_and(|form| key.verifier.verifies(&form, &signature.value)) {
            Ok(())
        } else {
            let message =
                "sign the RFC 8785 form of the record without `signature`, as it is posted";
            Err(refused(message))
        }
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn refused(message: &str) -> Invalid {
    Invalid::one("/signature", Code::SignatureInvalid, message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::canon::to_bytes;
    use crate::seal::SigningKey;

    fn signing() -> SigningKey {
        SigningKey::from_seed(&[7; 32])
    }

    fn time(text: &str) -> Timestamp {
        serde_json::from_value(json!(text)).unwrap()
    }

    fn now() -> Timestamp {
        time("2026-11-24T00:10:00Z")
    }

    fn key(key_id: &str, producer: &str, state: KeyState) -> ProducerKey {
        ProducerKey {
            actor: "tok_1".into(),
            key_id: key_id.into(),
            producer: producer.into(),
            public_key: serde_json::from_value(json!(signing().public_hex())).unwrap(),
            state,
            valid_from: Some(time("2026-11-24T00:00:00Z")),
            valid_until: Some(time("2026-11-25T00:00:00Z")),
        }
    }

    fn with(news: impl IntoIterator<Item = ProducerKey>) -> Producers {
        let producers = Producers::default();
        producers.learn(news);
        producers
    }

    fn registered() -> Producers {
        with([key("k1", "billing-1", KeyState::Registered)])
    }

    fn unsigned() -> Value {
        json!({
            "id": "i-1",
            "kind": "tool_invocation",
            "occurred_at": "2026-11-24T00:06:14.123Z",
            "agent": { "id": "invoice-agent", "version": "1.4.2" },
            "causes": [{ "id": "p", "rel": "triggered_by" }],
            "content": { "arguments": { "amount": 4.5 } },
            "data": { "tool": "send_money", "call_id": "call_9" },
            "delegation": "jti-7f",
            "labels": { "env": "prod" },
            "session": { "id": "s-1", "turn_id": "t-1" },
            "source": { "observed_by": "agent_process", "producer": "billing-1" },
            "trace": { "span_id": "0f".repeat(8), "trace_id": "0f".repeat(16) },
            "user": { "id": "alice@example.com", "type": "human" },
        })
    }

    fn signed(mut record: Value, key: &str) -> Value {
        let value = signing().sign_record(&to_bytes(&record).unwrap());
        record["signature"] = json!({ "key": key, "value": value });
        record
    }

    /// What is said about a record, or nothing if it is taken.
    fn said(producers: &Producers, record: &Value, now: Timestamp) -> Option<String> {
        let event = Event::parse(record.to_string().as_bytes()).unwrap();
        let invalid = producers.check(&event, now).err()?;
        let [error] = &*invalid.errors else { panic!("{invalid:?}") };
        assert_eq!((&*error.pointer, error.code), ("/signature", Code::SignatureInvalid));
        Some(error.message.clone())
    }

    #[test]
    fn a_signed_record_is_taken_however_it_is_spelled() {
        let record = signed(unsigned(), "k1");
        assert_eq!(said(&registered(), &record, now()), None);
        // With an absent member written out, and a number spelled otherwise.
        let spelled = record.to_string().replacen("4.5", "4.50e0", 1);
        assert_eq!(said(&registered(), &serde_json::from_str(&spelled).unwrap(), now()), None);
    }

    #[test]
    fn a_record_of_which_any_member_was_changed_is_refused() {
        let record = signed(unsigned(), "k1");
        let changes = [
            ("/agent/id", json!("invoice-agent-2")),
            ("/agent/version", json!("1.4.3")),
            ("/causes/0/id", json!("q")),
            ("/content/arguments/amount", json!(4.75)),
            ("/data/tool", json!("send_money_2")),
            ("/delegation", json!("jti-7e")),
            ("/id", json!("i-2")),
            ("/labels/env", json!("test")),
            ("/occurred_at", json!("2026-11-24T00:06:14.124Z")),
            ("/session/turn_id", json!("t-2")),
            ("/source/observed_by", json!("tool_executor")),
            ("/trace/span_id", json!("1f".repeat(8))),
            ("/user/id", json!("mallory@example.com")),
        ];
        for (pointer, value) in changes {
            let mut other = record.clone();
            *other.pointer_mut(pointer).unwrap() = value;
            let said = said(&registered(), &other, now());
            assert!(said.is_some_and(|said| said.starts_with("sign the RFC 8785")), "{pointer}");
        }
        let mut flipped = record.clone();
        let value = record["signature"]["value"].as_str().unwrap();
        let first = if value.starts_with('0') { "1" } else { "0" };
        flipped["signature"]["value"] = json!(format!("{first}{}", &value[1..]));
        assert!(said(&registered(), &flipped, now()).is_some());
    }

    #[test]
    fn only_a_live_key_of_the_same_producer_signs() {
        let record = signed(unsigned(), "k1");
        let name = Some("name a key that is registered for this producer and valid now");
        let said = |producers: &Producers, record: &Value, now: Timestamp| {
            super::tests::said(producers, record, now)
        };
        for (what, producers, now) in [
            ("no keys", Producers::default(), now()),
            ("of another", with([key("k1", "billing-2", KeyState::Registered)]), now()),
            ("another name", with([key("k2", "billing-1", KeyState::Registered)]), now()),
            ("early", registered(), time("2026-11-23T23:59:59.999Z")),
            ("late", registered(), time("2026-11-25T00:00:00Z")),
            (
                "revoked",
                with(
                    [KeyState::Registered, KeyState::Revoked]
                        .map(|state| key("k1", "billing-1", state)),
                ),
                now(),
            ),
        ] {
            assert_eq!(said(&producers, &record, now).as_deref(), name, "{what}");
        }
    }

    #[test]
    fn who_ever_had_a_key_signs_and_who_had_none_need_not() {
        let record = unsigned();
        assert!(said(&registered(), &record, now()).unwrap().starts_with("the producer has a key"));
        let expired = said(&registered(), &record, time("2026-11-25T00:00:00Z"));
        assert!(expired.unwrap().starts_with("the producer has a key"));
        let other = with([key("k1", "billing-2", KeyState::Registered)]);
        assert_eq!(said(&other, &record, now()), None);
    }
}

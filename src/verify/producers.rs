//! Signatures of producers, checked with the keys that the log itself registers (SPEC 2.8).
//!
//! A signature is tried where its entry is examined, in parallel, with the keys that were met so far.
//! What cannot be told there waits for its turn in the order of the log: a key may stand just before.
//! When a key was registered and revoked says what the server had to take, by its clock; here counts
//! only whether an earlier entry registers it for the producer.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use super::examine::ExaminedEntry;
use super::finding::{Code, Findings};
use crate::record::data::{KeyState, ProducerKey};
use crate::record::{Entry, Flag};
use crate::seal::ProducerVerifier;

/// The keys that were met so far, by their names.
#[derive(Debug, Default)]
pub(super) struct ProducerKeys(RwLock<BTreeMap<Box<str>, Vec<Registered>>>);

#[derive(Debug)]
struct Registered {
    seq: u64,
    producer: Box<str>,
    verifier: ProducerVerifier,
}

/// What is known of an entry's signature.
#[derive(Debug)]
pub(super) enum Signature {
    /// There is none.
    Absent,
    /// What was signed is not all there.
    Unknown,
    /// It is right, by a key that an earlier entry registers.
    Right,
    /// It has to be tried again in the order of the log.
    Open(Box<Claim>),
}

/// A signature, and what it is to be of.
#[derive(Debug)]
pub(super) struct Claim {
    key: Box<str>,
    producer: Box<str>,
    value: Box<str>,
    form: Vec<u8>,
}

impl ProducerKeys {
    /// What can be told of the signature of the entry at `seq` as yet. `content` is that of all its
    /// parts, if it is there and right.
    pub(super) fn examine(
        &self,
        seq: u64,
        entry: &Entry<'_>,
        content: Option<&[Vec<u8>]>,
    ) -> Signature {
        let Some(signature) = &entry.signature else { return Signature::Absent };
        let content: Option<Vec<_>> =
            content.map(|content| content.iter().map(Vec::as_slice).collect());
        // What was redacted is not what was signed.
        let content = content.filter(|_| !entry.flags.contains(&Flag::SecretRedacted));
        let form = content.and_then(|content| entry.signed_form(&content));
        let (Some(form), Some(source)) = (form, &entry.source) else { return Signature::Unknown };
        let claim = Claim {
            key: signature.key.as_str().into(),
            producer: source.producer.as_str().into(),
            value: (*signature.value).into(),
            form,
        };
        if self.holds(seq, &claim) { Signature::Right } else { Signature::Open(Box::new(claim)) }
    }

    /// Whether a key that was registered before `seq` signed this.
    fn holds(&self, seq: u64, claim: &Claim) -> bool {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(&claim.key).into_iter().flatten().any(|key| {
            key.seq < seq
                && key.producer == claim.producer
                && key.verifier.verifies(&claim.form, &claim.value)
        })
    }

    /// Whether a key of this name was registered for the producer before `seq`.
    fn knows(&self, seq: u64, claim: &Claim) -> bool {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut named = keys.get(&claim.key).into_iter().flatten();
        named.any(|key| key.seq < seq && key.producer == claim.producer)
    }

    fn learn(&self, seq: u64, key: &ProducerKey) {
        let Ok(verifier) = ProducerVerifier::from_hex(&key.public_key) else { return };
        if key.state != KeyState::Registered {
            return;
        }
        let registered = Registered { seq, producer: key.producer.as_str().into(), verifier };
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        keys.entry(key.key_id.as_str().into()).or_default().push(registered);
    }
}

/// The signatures of a log, in its order.
pub(super) struct Signatures<'a> {
    keys: &'a ProducerKeys,
    /// Whether an entry before may have registered a key that is not known.
    gap: bool,
    pub(super) checked: u64,
    pub(super) unchecked: u64,
}

impl<'a> Signatures<'a> {
    /// Those of the entries from `from` on.
    pub(super) const fn new(keys: &'a ProducerKeys, from: u64) -> Self {
        Self { keys, gap: from > 0, checked: 0, unchecked: 0 }
    }

    /// Takes the next place: an entry that is what its tile says, or nothing.
    pub(super) fn push(
        &mut self,
        seq: u64,
        entry: Option<&ExaminedEntry>,
        findings: &mut Findings,
    ) {
        let Some(entry) = entry.filter(|entry| entry.links.is_some()) else {
            self.gap = true;
            return;
        };
        if let Some(key) = &entry.producer_key {
            self.keys.learn(seq, key);
        }
        match &entry.signature {
            Signature::Absent => {}
            Signature::Unknown => self.unchecked += 1,
            Signature::Right => self.checked += 1,
            Signature::Open(claim) if self.keys.holds(seq, claim) => self.checked += 1,
            Signature::Open(claim) if self.gap && !self.keys.knows(seq, claim) => {
                self.unchecked += 1;
            }
            Signature::Open(_) => {
                self.checked += 1;
                let message = "no key that is registered for its producer has signed the record";
                findings.push(seq, Code::ProducerSignatureWrong, message.to_owned());
            }
        }
    }
}

//! Keys and their names (C2SP signed-note).

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;
use ed25519_dalek::{Signer as _, VerifyingKey};

use crate::canon::digest::sha256;

use super::checkpoint::parse_base64;
use super::cosignature;
use super::error::Error;
use super::note::Verified;

/// The longest key name, and so the longest origin.
pub const NAME_BYTES_MAX: usize = 255;

/// The name of a key: who signs. Not empty, at most 255 bytes, without spaces, control characters and
/// plus signs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyName(String);

impl KeyName {
    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        if text.is_empty() || text.len() > NAME_BYTES_MAX || text.contains(bad) {
            return Err(Error::KeyName);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyKind {
    /// The text of a note (type 0x01): a log's key.
    Note,
    /// A checkpoint at a time (type 0x04): a witness's key.
    Cosignature,
}

impl KeyKind {
    const fn byte(self) -> u8 {
        match self {
            Self::Note => 0x01,
            Self::Cosignature => 0x04,
        }
    }
}

/// A private Ed25519 key. It has no name of its own: a log's key signs under the origin of each ledger.
///
/// The bytes are zeroed when it is dropped, and never shown.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key that belongs to 32 secret random bytes (RFC 8032 §5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The public half, as the key of a log of this name.
    pub fn verifier_key(&self, name: KeyName) -> VerifierKey {
        VerifierKey::new(name, KeyKind::Note, self.0.verifying_key())
    }

    /// The public half, as the key of a witness of this name.
    pub(super) fn cosigner_key(&self, name: KeyName) -> VerifierKey {
        VerifierKey::new(name, KeyKind::Cosignature, self.0.verifying_key())
    }

    /// The public half, which has no name.
    pub(super) fn verifying_key(&self) -> VerifyingKey {
        self.0.verifying_key()
    }

    /// The Ed25519 signature of a message. What is signed must be one of this room's formats, so that
    /// no signature can be taken for another.
    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// A public key with the name it signs under. Its text form is the C2SP verifier key (vkey).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: KeyName,
    id: u32,
    kind: KeyKind,
    key: VerifyingKey,
}

impl VerifierKey {
    fn new(name: KeyName, kind: KeyKind, key: VerifyingKey) -> Self {
        let hash = sha256(&[name.as_str().as_bytes(), b"\n", &[kind.byte()], key.as_bytes()]);
        let [a, b, c, d, ..] = hash;
        Self { name, id: u32::from_be_bytes([a, b, c, d]), kind, key }
    }

    /// Who signs.
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// The first 32 bits of a hash over name, type and key, which signatures name the key by.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// What the key signs.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Checks the signature of a note's text. None when it is wrong.
    pub(super) fn verify(&self, text: &str, signature: &[u8]) -> Option<Verified> {
        let (message, time, signature) = match self.kind {
            KeyKind::Note => (text.to_owned(), None, signature.try_into().ok()?),
            KeyKind::Cosignature => {
                let (time, signature) = cosignature::parse(signature)?;
                (cosignature::message(text, time), Some(time), signature)
            }
        };
        let holds = self.verify_bytes(message.as_bytes(), signature);
        holds.then(|| Verified { key: self.clone(), time })
    }

    /// Strict verification: a signature has one form, and weak keys verify nothing (RFC 8032 §5.1.7).
    fn verify_bytes(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.key.verify_strict(message, &signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.kind.byte()];
        key.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{:08x}+{}", self.name, self.id, BASE64.encode_display(&key))
    }
}

impl FromStr for VerifierKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, rest) = text.split_once('+').ok_or(Error::VerifierKey)?;
        let (id, key) = rest.split_once('+').ok_or(Error::VerifierKey)?;
        let name = name.parse()?;
        let key = parse_base64(key).ok_or(Error::VerifierKey)?;
        let (kind, key) = key.split_first().ok_or(Error::VerifierKey)?;
        let kind = [KeyKind::Note, KeyKind::Cosignature]
            .into_iter()
            .find(|known| known.byte() == *kind)
            .ok_or(Error::KeyType { kind: *kind })?;
        let key = key.try_into().map_err(|_| Error::VerifierKey)?;
        let key = VerifyingKey::from_bytes(key).map_err(|_| Error::WeakKey)?;
        if key.is_weak() {
            return Err(Error::WeakKey);
        }
        let key = Self::new(name, kind, key);
        if id == format!("{:08x}", key.id) {
            return Ok(key);
        }
        let digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        let is_an_id = id.len() == 8 && id.chars().all(digit);
        Err(if is_an_id { Error::KeyId } else { Error::VerifierKey })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_never_shows_in_debugging_output() {
        let key = SigningKey::from_seed(&[0x42; 32]);
        assert_eq!(format!("{key:?}"), "SigningKey(..)");
    }

    #[test]
    fn the_text_form_is_that_of_the_specification() {
        let text = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
        let key: VerifierKey = text.parse().unwrap();
        assert_eq!(key.to_string(), text);
        assert_eq!((key.id(), key.kind()), (0x530d_903a, KeyKind::Note));
    }

    #[test]
    fn a_key_has_another_id_under_each_name_and_for_each_use() {
        let key = SigningKey::from_seed(&[1; 32]);
        let [a, b]: [KeyName; 2] = ["a", "b"].map(|name| name.parse().unwrap());
        let log = key.verifier_key(a.clone());
        assert_ne!(log.id(), key.verifier_key(b).id());
        assert_ne!(log.id(), key.cosigner_key(a).id());
    }

    #[test]
    fn a_signature_is_no_cosignature_of_the_same_text() {
        let (key, name) = (SigningKey::from_seed(&[1; 32]), "a".parse::<KeyName>().unwrap());
        let signature = key.sign(b"text\n");
        assert!(key.verifier_key(name.clone()).verify("text\n", &signature).is_some());
        let timed = [1u64.to_be_bytes().as_slice(), &signature].concat();
        assert!(key.cosigner_key(name.clone()).verify("text\n", &timed).is_none());

        let time_signed = key.sign(cosignature::message("text\n", 1).as_bytes());
        let timed = [1u64.to_be_bytes().as_slice(), &time_signed].concat();
        let verified = key.cosigner_key(name.clone()).verify("text\n", &timed).unwrap();
        assert_eq!(verified.time, Some(1));
        assert!(key.verifier_key(name).verify("text\n", &time_signed).is_none());
    }
}

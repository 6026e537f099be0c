//! Signatures of producers: over a record, with a key that names nobody (SPEC 2.8).

use data_encoding::HEXLOWER;
use ed25519_dalek::{Signature, VerifyingKey};

use super::error::Error;
use super::key::SigningKey;

/// A public Ed25519 key of a producer. Which producer's it is stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerVerifier(VerifyingKey);

impl ProducerVerifier {
    /// The key of 64 lower-case hexadecimal digits. Keys that any signature could be forged for are
    /// refused.
    pub fn from_hex(digits: &str) -> Result<Self, Error> {
        let key: [u8; 32] = bytes(digits).ok_or(Error::WeakKey)?;
        let key = VerifyingKey::from_bytes(&key).map_err(|_| Error::WeakKey)?;
        if key.is_weak() { Err(Error::WeakKey) } else { Ok(Self(key)) }
    }

    /// Whether 128 lower-case hexadecimal digits are this key's signature of a record in its signed
    /// form. Strict: a signature has one form (RFC 8032 §5.1.7).
    pub fn verifies(&self, record: &[u8], signature: &str) -> bool {
        bytes(signature).is_some_and(|signature: [u8; 64]| {
            self.0.verify_strict(record, &Signature::from_bytes(&signature)).is_ok()
        })
    }
}

impl SigningKey {
    /// The signature of a record in its signed form, in hexadecimal digits. A record has one line and
    /// a note ends with a line feed, so that neither can be taken for the other.
    pub fn sign_record(&self, record: &[u8]) -> String {
        HEXLOWER.encode(&self.sign(record))
    }

    /// The public half in hexadecimal digits, as a producer's key is registered.
    pub fn public_hex(&self) -> String {
        HEXLOWER.encode(self.verifying_key().as_bytes())
    }
}

fn bytes<const LENGTH: usize>(digits: &str) -> Option<[u8; LENGTH]> {
    HEXLOWER.decode(digits.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_record_and_its_key_alone() {
        let (key, other) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        let verifier = ProducerVerifier::from_hex(&key.public_hex()).unwrap();
        let signature = key.sign_record(b"{}");
        assert!(verifier.verifies(b"{}", &signature));
        assert!(!verifier.verifies(b"{ }", &signature));
        assert!(!verifier.verifies(b"{}", &other.sign_record(b"{}")));
        assert!(!verifier.verifies(b"{}", &signature.to_uppercase()));
        assert!(!verifier.verifies(b"{}", &signature[2..]));
    }

    #[test]
    fn a_key_that_verifies_everything_is_no_key() {
        let neutral = format!("01{}", "00".repeat(31));
        for digits in [neutral.as_str(), &"00".repeat(32), "0f", ""] {
            assert_eq!(ProducerVerifier::from_hex(digits), Err(Error::WeakKey), "{digits}");
        }
    }
}

//! Digests: one type for each thing that is hashed, and one constructor for each type.
//!
//! The entry and content digests are BLAKE3 in key-derivation mode, so that the context string
//! separates them from one another and from any other use of BLAKE3. The tree is RFC 6962's, with
//! SHA-256, so that every proof works with the tools the transparency field already has.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// The context of an entry hash (SPEC 3.2).
pub const ENTRY_CONTEXT: &str = "whence v1 entry";
/// The context of a content digest (SPEC 3.3).
pub const CONTENT_CONTEXT: &str = "whence v1 content";
/// The context under which the server stores access tokens.
const SECRET_CONTEXT: &str = "whence v1 access token";

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 lower-case hexadecimal digits")]
pub struct NotHex;

/// Gives a 32-byte newtype its text form: 64 lower-case hexadecimal digits, and nothing else.
macro_rules! hex_bytes {
    ($name:ident) => {
        impl $name {
            /// The length in bytes.
            pub const LEN: usize = 32;

            /// Takes bytes that were stored or received; that they are right is for a verifier to
            /// find out.
            pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
                Self(bytes)
            }

            /// The bytes, for storing, signing and hashing.
            pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NotHex;

            fn from_str(text: &str) -> Result<Self, NotHex> {
                let mut bytes = [0; Self::LEN];
                if text.len() != 2 * Self::LEN {
                    return Err(NotHex);
                }
                HEXLOWER.decode_mut(text.as_bytes(), &mut bytes).map_err(|_| NotHex)?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut text = [0; 2 * Self::LEN];
                HEXLOWER.encode_mut(&self.0, &mut text);
                serializer.serialize_str(std::str::from_utf8(&text).unwrap_or_default())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "64 lower-case hexadecimal digits")
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Visitor)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })
            }
        }
    };
}

/// Shows a digest in full, in messages as in debugging output.
macro_rules! shown_as_hex {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                HEXLOWER.encode_display(&self.0).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

/// The hash of one sealed entry, and the link by which the next entry names it (SPEC 3.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryHash([u8; 32]);
hex_bytes!(EntryHash);
shown_as_hex!(EntryHash);

impl EntryHash {
    /// `BLAKE3-derive_key("whence v1 entry", entry bytes)` (SPEC 3.2).
    pub fn of(entry: &[u8]) -> Self {
        Self(blake3::derive_key(ENTRY_CONTEXT, entry))
    }
}

/// The salted commitment to one part of a record's content (SPEC 3.3).
///
/// Without the salt it says nothing about the content: erasing salt and content leaves a digest that
/// no guess can be tested against.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContentDigest([u8; 32]);
hex_bytes!(ContentDigest);
shown_as_hex!(ContentDigest);

impl ContentDigest {
    /// `BLAKE3-derive_key("whence v1 content", salt || canonical bytes)` (SPEC 3.3).
    pub fn of(salt: &Salt, canonical: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTENT_CONTEXT);
        hasher.update(&salt.0).update(canonical);
        Self(hasher.finalize().into())
    }
}

/// 32 random bytes that make a content digest unguessable. Stored and erased with the content.
///
/// It can be written down as hexadecimal digits, in an evidence bundle or an API answer, but its
/// debugging form stays silent: a salt in a log would undo an erasure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt([u8; 32]);
hex_bytes!(Salt);

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

/// A hash in the Merkle tree: of a leaf, of an inner node, or the root (RFC 6962 §2.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TreeHash([u8; 32]);
hex_bytes!(TreeHash);
shown_as_hex!(TreeHash);

impl TreeHash {
    /// The root of the tree without leaves: `SHA-256("")`.
    pub fn empty() -> Self {
        Self(Sha256::digest([]).into())
    }

    /// `SHA-256(0x00 || entry bytes)` (RFC 6962 §2.1).
    pub fn leaf(entry: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update([0x00]);
        hasher.update(entry);
        Self(hasher.finalize().into())
    }

    /// `SHA-256(0x01 || left || right)` (RFC 6962 §2.1).
    pub fn node(left: &Self, right: &Self) -> Self {
        let mut bytes = [0x01; 65];
        let (_, children) = bytes.split_at_mut(1);
        let (first, second) = children.split_at_mut(Self::LEN);
        first.copy_from_slice(&left.0);
        second.copy_from_slice(&right.0);
        Self(Sha256::digest(bytes).into())
    }
}

/// SHA-256 as the signed-note format uses it, for key ids and origin hashes (C2SP signed-note).
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// HMAC with SHA-256 of the parts one after the other (RFC 2104), for those who are told of flags and
/// have nothing but that to check it with.
///
/// # Panics
///
/// Never: a key may have any length (RFC 2104 §2).
#[expect(clippy::expect_used, reason = "a key may have any length")]
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length is one");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// 64 bits of BLAKE3 to find something by. It only ever narrows a search down: whoever uses it
/// compares the whole value afterwards, so a collision costs time and nothing else.
pub fn lookup_key(bytes: &[u8]) -> u64 {
    let mut key = [0; 8];
    blake3::Hasher::new().update(bytes).finalize_xof().fill(&mut key);
    u64::from_be_bytes(key)
}

/// 64 bits of BLAKE3 keyed with a secret: tells whether two texts are the same to whoever has the
/// secret, and nothing to anybody else.
pub fn keyed_lookup_key(secret: &[u8; 32], bytes: &[u8]) -> u64 {
    let mut key = [0; 8];
    blake3::Hasher::new_keyed(secret).update(bytes).finalize_xof().fill(&mut key);
    u64::from_be_bytes(key)
}

/// What the server keeps of an access token: enough to recognise it, not to use it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretDigest([u8; 32]);
hex_bytes!(SecretDigest);
shown_as_hex!(SecretDigest);

impl SecretDigest {
    /// The digest of a secret. The secret must have at least 128 random bits; this is no password
    /// hash.
    pub fn of(secret: &[u8]) -> Self {
        Self(blake3::derive_key(SECRET_CONTEXT, secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_is_as_rfc_4231_says() {
        for (key, data, mac) in [
            (
                vec![0x0b; 20],
                b"Hi There".to_vec(),
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe".to_vec(),
                b"what do ya want for nothing?".to_vec(),
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                vec![0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First".to_vec(),
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            let (first, rest) = data.split_at(3);
            assert_eq!(HEXLOWER.encode(&hmac_sha256(&key, &[first, rest])), mac);
        }
    }

    #[test]
    fn empty_tree_is_the_sha256_of_nothing() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(TreeHash::empty().to_string(), hex);
    }

    #[test]
    fn text_form_is_strict() {
        let hex = TreeHash::empty().to_string();
        assert_eq!(hex.parse(), Ok(TreeHash::empty()));
        assert_eq!(hex.to_uppercase().parse::<TreeHash>(), Err(NotHex));
        assert_eq!(hex[1..].parse::<TreeHash>(), Err(NotHex));
        assert_eq!(format!("{hex}0").parse::<TreeHash>(), Err(NotHex));
        assert_eq!(hex.replace('e', "g").parse::<TreeHash>(), Err(NotHex));
    }

    #[test]
    fn the_same_bytes_have_unrelated_digests() {
        let salt = Salt::from_bytes([0; 32]);
        let salted = [salt.as_bytes().as_slice(), b"x"].concat();
        assert_ne!(ContentDigest::of(&salt, b"x").as_bytes(), EntryHash::of(&salted).as_bytes());
        assert_ne!(TreeHash::leaf(b"x").as_bytes(), &sha256(&[b"x"]));
    }

    #[test]
    fn a_salt_never_shows_in_debugging_output() {
        assert_eq!(format!("{:?}", Salt::from_bytes([7; 32])), "Salt(..)");
    }
}

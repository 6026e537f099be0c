//! One value, one byte string, one digest.
//!
//! Everything that whence hashes or signs is made here: RFC 8785 JSON ([`to_bytes`]), the strict
//! parser for JSON from outside ([`Json`]), and the digests, each with the only inputs it may have.
//! No other room names a hash crate.
//!
//! What this room does not do: it knows no record, no file and no key. Start with [`digest`].

pub mod digest;
pub mod json;

pub use digest::{
    ContentDigest, EntryHash, Salt, SecretDigest, TreeHash, hmac_sha256, keyed_lookup_key,
    lookup_key,
};
pub use json::{INTEGER_MAX, Json, NotCanonical, sorted_to_bytes, to_bytes};

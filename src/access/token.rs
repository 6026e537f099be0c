//! Access tokens: secrets that are shown once.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;

use crate::canon::SecretDigest;

/// Lets a person, or a scanner for leaked secrets, see what it is.
const PREFIX: &str = "whence_";

/// The secret that a client sends. It is shown when it is made and is stored nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token from 32 random bytes.
    pub fn from_random(bytes: &[u8; 32]) -> Self {
        Self(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(bytes)))
    }

    /// The text that a client sends.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn digest(&self) -> SecretDigest {
        SecretDigest::of(self.0.as_bytes())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

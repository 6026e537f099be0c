//! Foreign formats to Drafts: the claims of tokens, OpenTelemetry ([`otlp`]), and audit-log events of
//! applications ([`workos`]).
//!
//! Who acts for whom stands in tokens in several ways, two of them the exact inverse of one another. So
//! the direction is never guessed: the sender names the profile by which the claims are read
//! ([`Profile`]), and the grant that comes of it says which one that was.
//!
//! What this room does not do: it sees no token, checks no signature and reads no clock. Start with
//! [`claims`].

pub mod claims;
pub mod otlp;
pub mod workos;

pub use claims::{Asked, ClaimError, Profile};

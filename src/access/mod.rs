//! Who may do what: access tokens and the roles they carry.
//!
//! A token is a secret that is shown once and kept only as a digest. It has roles, on some ledgers or
//! on all ([`Grant`]). The server keeps its grants in one small file ([`TokenFile`]), which is
//! replaced as a whole.
//!
//! What this room does not do: it knows no HTTP, and it authenticates the sender of a request, never
//! the user on whose behalf an agent acts. Start with [`grant`].

mod file;
mod grant;
pub mod jwt;
mod token;

pub use file::{FileError, TokenFile};
pub use grant::{Action, Grant, Role, Scope};
pub use token::Token;

//! What can keep a proxy from starting.

use std::io;

use crate::spool::SpoolError;

/// Why a proxy cannot work. What happens to single messages is no error: they pass.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificates that were given, or those of the system, cannot be used.
    #[error("the certificates to believe cannot be used")]
    Certificates(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The URL of a server is none.
    #[error("this is not a URL such as https://host/path")]
    Url,
    /// Other processes have all slots of the spool, or it cannot be opened.
    #[error("the spool cannot be opened")]
    Spool(#[source] SpoolError),
    /// The machine does not do what it was asked for.
    #[error("{what}")]
    Machine {
        /// What that was.
        what: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Says what the machine was asked for.
    pub(super) fn of(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Machine { what, source }
    }
}

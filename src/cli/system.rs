//! The clock and the randomness of the machine.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use crate::ledger::{Clock, Environment, Random};
use crate::proxy::Machine;
use crate::record::Timestamp;

/// The name and version of this program, as it stands in genesis records and archives.
pub(super) const SOFTWARE: &str = concat!("whence/", env!("CARGO_PKG_VERSION"));

/// The machine's clock, in milliseconds.
#[derive(Debug)]
struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that the ban points to")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let nanos = i128::try_from(since.as_millis()).unwrap_or(0) * 1_000_000;
        Timestamp::from_unix_nanos(nanos).unwrap_or(Timestamp::EPOCH)
    }
}

/// The operating system's random bytes.
#[derive(Debug)]
struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, buffer: &mut [u8]) -> io::Result<()> {
        getrandom::fill(buffer).map_err(io::Error::from)
    }
}

/// What ledgers take from the machine.
pub(super) fn environment() -> Environment {
    Environment { clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) }
}

/// The same for proxies, which tell time in nanoseconds.
#[derive(Debug)]
pub(super) struct SystemMachine;

impl Machine for SystemMachine {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that the ban points to")]
    fn now_ns(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn fill(&self, buffer: &mut [u8]) -> io::Result<()> {
        SystemRandom.fill(buffer)
    }
}

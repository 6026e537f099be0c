//! The clock and the randomness that a ledger needs to seal records.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use whence::ledger::{Clock, Environment, Random};
use whence::record::Timestamp;

#[derive(Debug)]
struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
        Timestamp::from_unix_nanos(i128::try_from(nanos).unwrap()).unwrap()
    }
}

#[derive(Debug)]
struct System;

impl Random for System {
    fn fill(&self, buffer: &mut [u8]) -> io::Result<()> {
        getrandom::fill(buffer).map_err(io::Error::from)
    }
}

/// What a ledger takes from the machine.
pub(crate) fn environment() -> Environment {
    Environment { clock: Arc::new(Wall), random: Arc::new(System) }
}

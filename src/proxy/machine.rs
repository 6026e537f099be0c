//! What a proxy takes from the machine: the time, and ids that nobody else has.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use data_encoding::HEXLOWER;

use crate::canon::digest::sha256;
use crate::capture::otlp::{SpanId, TraceId};
use crate::record::{Hex, Timestamp};

/// The clock and the randomness of the machine.
pub trait Machine: fmt::Debug + Send + Sync {
    /// Nanoseconds since 1970.
    fn now_ns(&self) -> u64;
    /// Fills the buffer with bytes that nobody can guess.
    fn fill(&self, buffer: &mut [u8]) -> io::Result<()>;
}

/// Makes ids. Once it is made it cannot fail.
#[derive(Debug)]
pub struct Ids {
    seed: [u8; 32],
    next: AtomicU64,
}

impl Ids {
    /// Ids that no other process makes.
    pub fn new(machine: &dyn Machine) -> io::Result<Self> {
        let mut seed = [0; 32];
        machine.fill(&mut seed)?;
        Ok(Self { seed, next: AtomicU64::new(0) })
    }

    /// A fresh trace id.
    pub fn trace(&self) -> TraceId {
        self.hex()
    }

    /// A fresh span id.
    pub fn span(&self) -> SpanId {
        self.hex()
    }

    /// A fresh id in the form of a UUID.
    pub fn uuid(&self) -> String {
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(self.bytes()).for_each(|(to, from)| *to = from);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    fn hex<const DIGITS: usize>(&self) -> Hex<DIGITS> {
        loop {
            let mut digits = HEXLOWER.encode(&self.bytes());
            digits.truncate(DIGITS);
            // An id of zeros alone is none. This ends, for a digest is not always the same.
            if let Some(id) = Hex::new(digits).filter(|id| id.bytes().any(|digit| digit != b'0')) {
                return id;
            }
        }
    }

    fn bytes(&self) -> [u8; 32] {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        sha256(&[&self.seed, &number.to_be_bytes()])
    }
}

/// A time as records write it.
pub(super) fn timestamp(ns: u64) -> String {
    let milliseconds = i128::from(ns / 1_000_000) * 1_000_000;
    Timestamp::from_unix_nanos(milliseconds).unwrap_or(Timestamp::EPOCH).to_string()
}

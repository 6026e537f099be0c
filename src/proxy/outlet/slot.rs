//! The places on disk where what is told waits: one for each process that runs at the same time.

use std::path::{Path, PathBuf};

use crate::canon::lookup_key;
use crate::proxy::error::Error;
use crate::spool::{Limits, Position, Spool, SpoolError};

/// Processes that may tell the same log from the same spool at a time.
const SLOTS_MAX: u32 = 256;
/// Bytes of one file of a spool.
const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
/// What stands before a body: how many spans are in it, and from when to when.
const HEAD_BYTES: usize = 24;

/// A spool that this process has for itself, and the file that says what is missing in it.
#[derive(Debug)]
pub(super) struct Slot {
    spool: Spool,
    pub(super) gap_path: PathBuf,
}

/// This process's own slot, and those in which others that are gone left something.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) own: Slot,
    pub(super) left: Vec<Slot>,
}

/// A body that waits, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) count: u64,
    pub(super) since_ns: u64,
    pub(super) until_ns: u64,
    pub(super) body: Vec<u8>,
}

/// Opens the slots for the log of this name. What waits there is for that log and no other.
pub(super) fn open(root: &Path, log: &str, bytes_max: u64) -> Result<Slots, Error> {
    let folder = root.join(format!("{:016x}", lookup_key(log.as_bytes())));
    let limits = Limits { bytes_max, segment_bytes: SEGMENT_BYTES.min(bytes_max / 4).max(1) };
    let mut own = None;
    let mut left = Vec::new();
    for number in 0..SLOTS_MAX {
        let path = folder.join(number.to_string());
        if own.is_some() && !path.exists() {
            break;
        }
        let gap_path = folder.join(format!("{number}.gap.json"));
        let spool = match Spool::open(&path, limits) {
            Ok(spool) => spool,
            Err(SpoolError::InUse) => continue,
            Err(error) => return Err(Error::Spool(error)),
        };
        for damage in spool.damage() {
            let (offset, bytes) = (damage.offset, damage.bytes);
            tracing::error!(path = %damage.path.display(), offset, bytes, "the spool was damaged");
        }
        let slot = Slot { spool, gap_path };
        if own.is_none() {
            own = Some(slot);
        } else if slot.first().is_some() || slot.gap_path.exists() {
            left.push(slot);
        }
    }
    let own = own.ok_or(Error::Spool(SpoolError::InUse))?;
    Ok(Slots { own, left })
}

impl Slot {
    /// Takes a batch. It is on disk on return.
    pub(super) fn push(&self, batch: &Batch) -> Result<(), SpoolError> {
        let numbers = [batch.count, batch.since_ns, batch.until_ns];
        let mut bytes = Vec::with_capacity(HEAD_BYTES + batch.body.len());
        for number in numbers {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&batch.body);
        self.spool.push(&bytes).map(drop)
    }

    /// What has waited longest.
    pub(super) fn first(&self) -> Option<Position> {
        self.spool.next(None)
    }

    /// Reads what waits; nothing if it cannot be read as what was pushed.
    pub(super) fn read(&self, position: Position) -> Result<Option<Batch>, SpoolError> {
        match self.spool.read(position) {
            Ok(bytes) => Ok(batch(&bytes)),
            Err(SpoolError::Damaged | SpoolError::Unknown) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The log has it.
    pub(super) fn settle(&self, position: Position) -> Result<(), SpoolError> {
        self.spool.settle(position)
    }
}

fn batch(bytes: &[u8]) -> Option<Batch> {
    let (head, body) = bytes.split_at_checked(HEAD_BYTES)?;
    let mut numbers = head.chunks_exact(8).map(|number| number.try_into().map(u64::from_be_bytes));
    let mut number = || numbers.next()?.ok();
    Some(Batch { count: number()?, since_ns: number()?, until_ns: number()?, body: body.to_vec() })
}

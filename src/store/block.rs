//! Blocks: a few records compressed together, and cut into values that sled keeps in its log.
//!
//! A block is large enough to compress well and small enough that reading one record stays cheap.
//! Entries and content have blocks of their own, because content can be erased and entries cannot.

use std::cell::RefCell;
use std::io;

use zstd::bulk::{Compressor, Decompressor};

use super::Error;
use super::layout::{VALUE_BYTES_MAX, fragment_key};
use crate::canon::Salt;
use crate::record::limits::{CONTENT_PART_BYTES_MAX, CONTENT_PARTS_MAX, ENTRY_BYTES_MAX};

/// A block is closed when it holds this many bytes before compression, or more.
const BLOCK_BYTES: usize = 16 * 1024;
/// No block is larger than this before compression: one record behind almost [`BLOCK_BYTES`], as long
/// as a record may be. A stored length above it is damage, and is refused before memory is taken.
const BLOCK_BYTES_MAX: usize =
    BLOCK_BYTES + max(LENGTH_BYTES + ENTRY_BYTES_MAX, 8 + 2 + CONTENT_PARTS_MAX * PART_BYTES_MAX);
/// One part of content as it is stored.
const PART_BYTES_MAX: usize = 1 + Salt::LEN + LENGTH_BYTES + CONTENT_PART_BYTES_MAX;
const LENGTH_BYTES: usize = 4;
/// As many as 16 bits can number.
const FRAGMENTS_MAX: usize = 1 << 16;

// zstd adds less than one byte in 128 to what it cannot compress.
const _: () = assert!(
    BLOCK_BYTES_MAX + BLOCK_BYTES_MAX / 128 + 1_024 < VALUE_BYTES_MAX * FRAGMENTS_MAX,
    "the fragments of every block can be numbered"
);

const fn max(one: usize, other: usize) -> usize {
    if one > other { one } else { other }
}

/// Fast, and most of what the slower levels would save.
const COMPRESSION_LEVEL: i32 = 1;

/// One named part of a record's content as it is stored: beside its salt, or erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredPart {
    /// Salt and canonical bytes; the digest over both stands in the entry.
    Kept {
        /// What makes the digest unguessable.
        salt: Salt,
        /// The RFC 8785 bytes of the part.
        bytes: Vec<u8>,
    },
    /// Salt and bytes are gone; the digest in the entry stays.
    Erased,
}

impl StoredPart {
    /// The number of bytes that are kept, without the salt.
    pub const fn len(&self) -> usize {
        match self {
            Self::Kept { bytes, .. } => bytes.len(),
            Self::Erased => 0,
        }
    }

    /// Whether no bytes are kept.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

thread_local! {
    /// Making one costs as much as a block or two take.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

fn compress(raw: &[u8]) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|slot| match slot {
        Some(compressor) => compressor.compress(raw),
        None => slot.insert(Compressor::new(COMPRESSION_LEVEL)?).compress(raw),
    })
}

fn decompress(compressed: &[u8], length: usize) -> io::Result<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|slot| match slot {
        Some(decompressor) => decompressor.decompress(compressed, length),
        None => slot.insert(Decompressor::new()?).decompress(compressed, length),
    })
}

/// Writes blocks of one kind into a batch of sled.
pub(super) struct BlockWriter<'a> {
    kind: u8,
    batch: &'a mut sled::Batch,
    first_seq: u64,
    raw: Vec<u8>,
}

impl<'a> BlockWriter<'a> {
    /// Starts with no block open.
    pub(super) fn new(kind: u8, batch: &'a mut sled::Batch) -> Self {
        Self { kind, batch, first_seq: 0, raw: Vec::with_capacity(2 * BLOCK_BYTES) }
    }

    /// Adds the bytes of one record. Records come in the order of their seq.
    pub(super) fn push(&mut self, seq: u64, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        if self.raw.is_empty() {
            self.first_seq = seq;
        }
        write(&mut self.raw);
        if self.raw.len() >= BLOCK_BYTES { self.close() } else { Ok(()) }
    }

    /// Closes the open block, if there is one. Has to be called last.
    pub(super) fn close(&mut self) -> Result<(), Error> {
        if self.raw.is_empty() {
            return Ok(());
        }
        if self.raw.len() > BLOCK_BYTES_MAX {
            return Err(Error::TooLarge);
        }
        let length = u32::try_from(self.raw.len()).map_err(|_| Error::TooLarge)?;
        let mut block = length.to_be_bytes().to_vec();
        block.extend(compress(&self.raw).map_err(Error::Compression)?);
        for (fragment, bytes) in (0u16..).zip(block.chunks(VALUE_BYTES_MAX)) {
            self.batch.insert(&fragment_key(self.kind, self.first_seq, fragment), bytes);
        }
        self.raw.clear();
        Ok(())
    }
}

/// Undoes [`BlockWriter::close`] on the joined fragments of one block.
pub(super) fn unpack(block: &[u8]) -> Result<Vec<u8>, Error> {
    let (length, compressed) = block.split_first_chunk::<4>().ok_or(Error::damaged("a block"))?;
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if length > BLOCK_BYTES_MAX {
        return Err(Error::damaged("a block's length"));
    }
    let raw = decompress(compressed, length).map_err(|_| Error::damaged("a compressed block"))?;
    if raw.len() == length { Ok(raw) } else { Err(Error::damaged("a block's length")) }
}

/// `u32 length || entry`.
pub(super) fn write_entry(raw: &mut Vec<u8>, entry: &[u8]) {
    let length = u32::try_from(entry.len()).unwrap_or(u32::MAX);
    raw.extend(length.to_be_bytes());
    raw.extend(entry);
}

/// The entries of an unpacked block, in order.
pub(super) fn entries(raw: &[u8]) -> impl Iterator<Item = Result<&[u8], Error>> {
    let mut rest = raw;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(entry) = take_sized(&mut rest) else {
            rest = &[];
            return Some(Err(Error::damaged("an entry's length")));
        };
        Some(Ok(entry))
    })
}

/// `seq || u16 parts || parts`, each part `0x00` if erased, or `0x01 || salt || u32 length || bytes`.
pub(super) fn write_content(raw: &mut Vec<u8>, seq: u64, parts: &[StoredPart]) {
    raw.extend(seq.to_be_bytes());
    raw.extend(u16::try_from(parts.len()).unwrap_or(u16::MAX).to_be_bytes());
    for part in parts {
        match part {
            StoredPart::Erased => raw.push(0x00),
            StoredPart::Kept { salt, bytes } => {
                raw.push(0x01);
                raw.extend(salt.as_bytes());
                write_entry(raw, bytes);
            }
        }
    }
}

/// The records of an unpacked content block, in order.
pub(super) fn contents(raw: &[u8]) -> impl Iterator<Item = Result<(u64, Vec<StoredPart>), Error>> {
    let mut rest = raw;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(record) = take_content(&mut rest) else {
            rest = &[];
            return Some(Err(Error::damaged("a content block")));
        };
        Some(Ok(record))
    })
}

fn take_content(rest: &mut &[u8]) -> Option<(u64, Vec<StoredPart>)> {
    let seq = u64::from_be_bytes(*take_array(rest)?);
    let count = u16::from_be_bytes(*take_array(rest)?);
    let mut parts = Vec::new();
    for _ in 0..count {
        let [state] = *take_array(rest)?;
        parts.push(match state {
            0x00 => StoredPart::Erased,
            0x01 => {
                let salt = Salt::from_bytes(*take_array(rest)?);
                StoredPart::Kept { salt, bytes: take_sized(rest)?.to_vec() }
            }
            _ => return None,
        });
    }
    Some((seq, parts))
}

fn take_array<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (array, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(array)
}

fn take_sized<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(u32::from_be_bytes(*take_array(rest)?)).ok()?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part() -> impl Strategy<Value = StoredPart> {
        prop_oneof![
            Just(StoredPart::Erased),
            (any::<[u8; 32]>(), prop::collection::vec(any::<u8>(), 0..100))
                .prop_map(|(salt, bytes)| StoredPart::Kept { salt: Salt::from_bytes(salt), bytes }),
        ]
    }

    proptest! {
        #[test]
        fn content_reads_back(records in prop::collection::vec((any::<u64>(), prop::collection::vec(part(), 0..4)), 0..8)) {
            let mut raw = Vec::new();
            for (seq, parts) in &records {
                write_content(&mut raw, *seq, parts);
            }
            prop_assert_eq!(contents(&raw).collect::<Result<Vec<_>, _>>().unwrap(), records);
        }

        #[test]
        fn damage_is_an_error_and_never_a_panic(mut raw in prop::collection::vec(any::<u8>(), 0..300)) {
            entries(&raw).for_each(drop);
            contents(&raw).for_each(drop);
            drop(unpack(&raw));
            raw.truncate(3);
            prop_assert!(unpack(&raw).is_err());
        }
    }

    #[test]
    fn the_largest_record_reads_back_and_a_larger_one_is_not_written() {
        let part =
            |bytes| StoredPart::Kept { salt: Salt::from_bytes([7; 32]), bytes: vec![1; bytes] };
        let largest = vec![part(CONTENT_PART_BYTES_MAX); CONTENT_PARTS_MAX];
        let db = sled::Config::new().temporary(true).open().unwrap();
        let mut batch = sled::Batch::default();
        let mut writer = BlockWriter::new(b'c', &mut batch);
        writer.push(0, |raw| raw.resize(BLOCK_BYTES - 1, 0)).unwrap();
        writer.push(1, |raw| write_content(raw, 1, &largest)).unwrap();
        writer.close().unwrap();
        let too_large = writer.push(2, |raw| raw.resize(BLOCK_BYTES_MAX + 1, 0));
        assert!(matches!(too_large, Err(Error::TooLarge)));
        db.apply_batch(batch).unwrap();
        let values: Vec<_> = db.iter().values().map(Result::unwrap).collect();
        let raw = unpack(&values.concat()).unwrap();
        let (seq, parts) = contents(&raw[BLOCK_BYTES - 1..]).next().unwrap().unwrap();
        assert_eq!((seq, parts == largest), (1, true));
    }

    #[test]
    fn a_long_record_is_cut_into_values_that_stay_in_the_log() {
        let mut batch = sled::Batch::default();
        let mut writer = BlockWriter::new(b'e', &mut batch);
        let mut noise = blake3::Hasher::new().finalize_xof();
        let mut entry = vec![0; 60_000];
        noise.fill(&mut entry);
        writer.push(5, |raw| write_entry(raw, &entry)).unwrap();
        writer.close().unwrap();

        let db = sled::Config::new().temporary(true).open().unwrap();
        db.apply_batch(batch).unwrap();
        let values: Vec<_> = db.iter().values().map(Result::unwrap).collect();
        assert_eq!(values.len(), 8);
        assert!(values.iter().all(|value| value.len() <= VALUE_BYTES_MAX));
        let raw = unpack(&values.concat()).unwrap();
        assert_eq!(entries(&raw).next().unwrap().unwrap(), entry);
    }
}

//! The keys of a ledger's database: which bytes stand where (SPEC 6.2).
//!
//! One sled tree holds everything, because a batch is atomic in one tree only. The first byte of a
//! key says what its value is; numbers are big-endian, so that keys sort as the numbers do.

/// Values at most this long keep every page of sled in its log. Pages over a quarter of a segment
/// go to blob files, which sled never syncs; a leaf holds up to 16 values and 10 updates.
pub(super) const VALUE_BYTES_MAX: usize = 8_192;

/// A page goes to a blob file above a quarter of this: at 512 KiB, twice what 26 values can fill.
pub(super) const SEGMENT_BYTES: usize = 2 * 1024 * 1024;

const _: () = assert!(26 * (VALUE_BYTES_MAX + 64) < SEGMENT_BYTES / 4, "pages stay in the log");

/// The version of this layout.
pub(super) const LAYOUT_VERSION: u8 = 2;

/// What the ledger is: layout version, name and origin.
pub(super) const META: &[u8] = b"m";
/// How many runs of the index are complete.
pub(super) const RUNS: &[u8] = b"w";

/// The header of a batch, by its first seq.
pub(super) const BATCH: u8 = b'b';
/// A block of entries, by its first seq, in fragments.
pub(super) const ENTRIES: u8 = b'e';
/// A block of content, by its first seq, in fragments.
pub(super) const CONTENT: u8 = b'c';
/// A full tile, by level and index.
const TILE: u8 = b't';
/// A block of index rows, by space, run and first row.
const ROWS: u8 = b'x';
/// A part of an index filter, by space, run and place.
const FILTER: u8 = b'f';

/// `kind || seq`: the key of a batch header, and the prefix of a block's fragments.
pub(super) fn seq_key(kind: u8, seq: u64) -> [u8; 9] {
    concat(&[&[kind], &seq.to_be_bytes()])
}

/// `kind || first seq || fragment`.
pub(super) fn fragment_key(kind: u8, first_seq: u64, fragment: u16) -> [u8; 11] {
    concat(&[&[kind], &first_seq.to_be_bytes(), &fragment.to_be_bytes()])
}

/// The seq in a key made by [`seq_key`] or [`fragment_key`] for `kind`; `None` for any other key.
pub(super) fn seq_of(kind: u8, key: &[u8]) -> Option<u64> {
    let (first, rest) = key.split_first()?;
    let (seq, _) = rest.split_first_chunk::<8>()?;
    (*first == kind).then(|| u64::from_be_bytes(*seq))
}

/// `t || level || index`.
pub(super) fn tile_key(level: u8, index: u64) -> [u8; 10] {
    concat(&[&[TILE, level], &index.to_be_bytes()])
}

/// `x || space || run || first key || first value`.
pub(super) fn rows_key(space: u8, run: u32, row: (u64, u64)) -> [u8; 22] {
    concat(&[&[ROWS, space], &run.to_be_bytes(), &row.0.to_be_bytes(), &row.1.to_be_bytes()])
}

/// `f || space || run || place`.
pub(super) fn filter_key(space: u8, run: u32, place: u16) -> [u8; 8] {
    concat(&[&[FILTER, space], &run.to_be_bytes(), &place.to_be_bytes()])
}

/// Joins parts into a key. The parts' lengths add up to `N` by construction.
fn concat<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut key = [0; N];
    let bytes = parts.iter().flat_map(|part| part.iter());
    debug_assert_eq!(bytes.clone().count(), N);
    for (place, byte) in key.iter_mut().zip(bytes) {
        *place = *byte;
    }
    key
}

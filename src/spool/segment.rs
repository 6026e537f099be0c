//! One file of a spool, and the frames in it.
//!
//! A file is [`MAGIC`] and then frames, each a header and the record. The header is 20 bytes, its
//! integers big-endian: the record's number (8), its length (4), the CRC-32 of the record (4), and the
//! CRC-32 of the 16 bytes before (4).
//!
//! A write that was cut off leaves the beginning of a frame, whose header is right as far as it goes.
//! Whatever else does not fit was changed on the disk.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use flate2::Crc;

use super::SpoolError;
use super::error::{Damage, at};

/// What every file begins with.
pub(super) const MAGIC: [u8; 8] = *b"wspool1\n";
/// Bytes of a frame before the record.
pub(super) const HEADER_BYTES: usize = 20;
/// How the files of a spool end.
const EXTENSION: &str = "spool";
/// How a file ends in which a record was damaged, when it is not needed any more.
const DAMAGED: &str = "damaged";

/// The path of the file whose first record has this number.
pub(super) fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.{EXTENSION}"))
}

/// The number that a path of a spool names, and whether the file is one that is in use.
pub(super) fn number(path: &Path) -> Option<(u64, bool)> {
    let first = path.file_stem()?.to_str()?.parse().ok()?;
    match path.extension()?.to_str()? {
        EXTENSION => Some((first, true)),
        DAMAGED => Some((first, false)),
        _ => None,
    }
}

/// Makes a file for records from this number on.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(path)?;
    match file.write_all_at(&MAGIC, 0) {
        Ok(()) => Ok(file),
        Err(error) => {
            // It holds nothing. If it cannot be removed now it is when the spool is opened.
            drop(fs::remove_file(path));
            Err(error)
        }
    }
}

/// Removes a file whose records were all settled, or keeps it aside if some of them were damaged.
pub(super) fn retire(path: &Path, damaged: bool) -> Result<(), SpoolError> {
    let done = if damaged {
        fs::rename(path, path.with_extension(DAMAGED))
    } else {
        fs::remove_file(path)
    };
    done.map_err(at(path))
}

/// Appends the frame of a record.
pub(super) fn frame(number: u64, record: &[u8], to: &mut Vec<u8>) -> Option<()> {
    let length = u32::try_from(record.len()).ok()?;
    to.reserve(HEADER_BYTES + record.len());
    let start = to.len();
    to.extend_from_slice(&number.to_be_bytes());
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(&checksum(record).to_be_bytes());
    let header = checksum(to.get(start..)?);
    to.extend_from_slice(&header.to_be_bytes());
    to.extend_from_slice(record);
    Some(())
}

/// The record at `place`, if it is the one that was written there under this number.
pub(super) fn read(file: &File, place: &Range<u64>, number: u64) -> io::Result<Option<Vec<u8>>> {
    let length = usize::try_from(place.end.saturating_sub(place.start)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, place.start)?;
    let whole = matches!(next(&bytes, number), Next::Record { end } if end == length);
    Ok((whole && length >= HEADER_BYTES).then(|| bytes.split_off(HEADER_BYTES)))
}

/// What was found in a file.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) file: File,
    /// Its length, without what was cut off.
    pub(super) bytes: u64,
    /// The places of the frames of the records, by number.
    pub(super) records: Vec<(u64, Range<u64>)>,
    /// The number after the last that may have been used.
    pub(super) next: u64,
    pub(super) damage: Vec<Damage>,
}

/// Reads a file, and cuts off what a crash left of an unfinished write.
pub(super) fn open(path: &Path, first: u64) -> Result<Found, SpoolError> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(at(path))?;
    let bytes = fs::read(path).map_err(at(path))?;
    let mut found = Found {
        file,
        bytes: length(bytes.len()),
        records: Vec::new(),
        next: first,
        damage: Vec::new(),
    };
    let damage = |from: usize, to: usize| Damage {
        path: path.to_owned(),
        offset: length(from),
        bytes: length(to.saturating_sub(from)),
    };
    if !bytes.starts_with(&MAGIC) {
        if !MAGIC.starts_with(&bytes) {
            found.damage.push(damage(0, bytes.len()));
        }
        return Ok(found);
    }
    let mut at_byte = MAGIC.len();
    while let Some(rest) = bytes.get(at_byte..).filter(|rest| !rest.is_empty()) {
        match next(rest, found.next) {
            Next::Record { end } => {
                let place = length(at_byte)..length(at_byte + end);
                found.records.push((found.next, place));
                at_byte += end;
            }
            Next::Changed { end } => {
                found.damage.push(damage(at_byte, at_byte + end));
                at_byte += end;
            }
            Next::Torn => {
                found.bytes = length(at_byte);
                let cut = found.file.set_len(found.bytes).and_then(|()| found.file.sync_all());
                cut.map_err(at(path))?;
                break;
            }
            // Where the next frame begins is not known either.
            Next::Lost => {
                found.damage.push(damage(at_byte, bytes.len()));
                break;
            }
        }
        found.next += 1;
    }
    Ok(found)
}

/// What comes next in a file.
enum Next {
    /// A record, whose frame ends there.
    Record { end: usize },
    /// A frame whose record is not what was written, and where it ends.
    Changed { end: usize },
    /// The beginning of a frame.
    Torn,
    /// No frame.
    Lost,
}

fn next(bytes: &[u8], number: u64) -> Next {
    let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) else {
        let begun = number.to_be_bytes();
        let known = bytes.len().min(begun.len());
        let is_start = bytes.get(..known) == begun.get(..known);
        return if is_start { Next::Torn } else { Next::Lost };
    };
    let field = |range: Range<usize>| {
        let bytes = header.get(range).and_then(|bytes| bytes.try_into().ok());
        u32::from_be_bytes(bytes.unwrap_or_default())
    };
    let told = header.get(..16).is_some_and(|fields| checksum(fields) == field(16..20));
    if !told || !header.starts_with(&number.to_be_bytes()) {
        return Next::Lost;
    }
    let length = usize::try_from(field(8..12)).unwrap_or(usize::MAX);
    let Some(record) = rest.get(..length) else { return Next::Torn };
    let end = HEADER_BYTES + length;
    if checksum(record) == field(12..16) { Next::Record { end } } else { Next::Changed { end } }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

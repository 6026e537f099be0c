//! Erasing content: the blocks that hold it are written again without it.
//!
//! That makes it unreadable, and its bytes are still in what sled keeps of the old values and in the
//! free space of its file. So a file beside the database says, before the first erasure is written,
//! that there is something to be left behind, until the database was copied without it
//! ([`super::compact()`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::block::{self, BlockWriter, StoredPart, write_content};
use super::layout::{CONTENT, VALUE_BYTES_MAX, fragment_key};
use super::{Error, Reader};
use crate::files::sync_parent;

/// Writes the content blocks of these records again, with every part of their content erased. What
/// else is in a block stays byte for byte. A record without content is passed over.
pub(super) fn erase(reader: &Reader, seqs: &[u64], writes: &mut sled::Batch) -> Result<(), Error> {
    let mut blocks: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for seq in seqs {
        if let Some(first_seq) = reader.content_block_with(*seq)? {
            blocks.entry(first_seq).or_default().insert(*seq);
        }
    }
    for (first_seq, seqs) in blocks {
        let old = reader.content_block(first_seq)?;
        let raw = block::unpack(&old)?;
        for (fragment, _) in (0u16..).zip(old.chunks(VALUE_BYTES_MAX)) {
            writes.remove(&fragment_key(CONTENT, first_seq, fragment));
        }
        // It has the same records, none of them longer than before: it is one block again, and begins
        // with the same record.
        let mut block = BlockWriter::new(CONTENT, writes);
        for record in block::contents(&raw) {
            let (seq, mut parts) = record?;
            if seqs.contains(&seq) {
                parts.fill(StoredPart::Erased);
            }
            block.push(seq, |raw| write_content(raw, seq, &parts))?;
        }
        block.close()?;
    }
    Ok(())
}

/// Where it is noted that a database still holds bytes of what was erased.
pub(super) fn marker(path: &Path) -> PathBuf {
    path.with_extension("erased")
}

/// Notes that the database at `path` will hold bytes of what was erased. Durable on return.
pub(super) fn mark(path: &Path) -> io::Result<()> {
    let marker = marker(path);
    if !marker.exists() {
        File::create(&marker)?.sync_all()?;
    }
    sync_parent(&marker)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::canon::Salt;
    use crate::store::index::Index;

    /// Parts of all sizes, of noise that no compression makes smaller.
    fn records() -> impl Strategy<Value = Vec<(bool, Vec<usize>)>> {
        let sizes = prop_oneof![0..40_usize, 0..9_000_usize, 20_000..40_000_usize];
        prop::collection::vec((any::<bool>(), prop::collection::vec(sizes, 0..4)), 1..30)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn erasing_some_leaves_the_others_byte_for_byte(records in records()) {
            let db = sled::Config::new().temporary(true).open().unwrap();
            let reader = Reader::new(db.clone(), Arc::new(Index::open(db.clone()).unwrap()));
            let mut noise = blake3::Hasher::new().finalize_xof();
            let (mut writes, mut expected) = (sled::Batch::default(), Vec::new());
            let mut writer = BlockWriter::new(CONTENT, &mut writes);
            for (seq, (_, sizes)) in (0u64..).zip(&records) {
                let part = |size: &usize| {
                    let (mut salt, mut bytes) = ([0; 32], vec![0; *size]);
                    noise.fill(&mut salt);
                    noise.fill(&mut bytes);
                    StoredPart::Kept { salt: Salt::from_bytes(salt), bytes }
                };
                let parts: Vec<_> = sizes.iter().map(part).collect();
                if !parts.is_empty() {
                    writer.push(seq, |raw| write_content(raw, seq, &parts)).unwrap();
                    expected.push((seq, parts));
                }
            }
            writer.close().unwrap();
            db.apply_batch(writes).unwrap();

            let erased = (0u64..).zip(&records).filter(|(_, (erased, _))| *erased);
            let erased: Vec<_> = erased.map(|(seq, _)| seq).collect();
            for _ in 0..2 {
                let mut writes = sled::Batch::default();
                erase(&reader, &erased, &mut writes).unwrap();
                db.apply_batch(writes).unwrap();
            }
            for (seq, parts) in &mut expected {
                if erased.contains(seq) {
                    parts.fill(StoredPart::Erased);
                }
                prop_assert_eq!(&reader.content(*seq).unwrap(), &*parts);
            }
            prop_assert_eq!(reader.contents(0..u64::MAX).unwrap(), expected);
        }
    }
}

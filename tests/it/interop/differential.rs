//! The same work done by `signed_note` 0.2.0 and `tlog_tiles` 0.2.0, on random input.
//!
//! Where the two sides part, ours is the stricter one; what they accept and we refuse is:
//! - a verifier key whose id has upper-case digits or a plus sign, or whose point has small order;
//! - a key name of more than 255 bytes, or with a control character (DEL, or C1 in UTF-8);
//! - an Ed25519 signature whose R has small order;
//! - a checkpoint with extension lines, one of size 0 with another root than the empty tree's, and
//!   one whose origin is no key name (with a space, say);
//! - tile heights other than 8, since our paths do not name the height. At a level beyond 63 and a
//!   width of 0, which we refuse, their path parser panics.
//!
//! What we accept and they do not know is: `tile/entries/` (their name is `data`), `content/`, and
//! verifier keys of type 4, which are none for a signed note.

use proptest::prelude::*;
use signed_note::{StandardSigner, StandardVerifier, VerifierList};
use tlog_tiles::{Hash, HashReader, stored_hashes_for_record_hash};
use whence::canon::TreeHash;
use whence::proof::{TilePath, consistency, inclusion, root_at, tile_width};
use whence::proof::{verify_consistency, verify_inclusion};
use whence::seal::{Checkpoint, KeyKind, Note, Origin, SigningKey, VerifierKey};

use super::{Log, base64};

/// Their form of a log: every hash of the tree, in the order in which it can be computed.
struct Stored(Vec<Hash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0[usize::try_from(*index).unwrap()]).collect())
    }
}

fn theirs(hash: &TreeHash) -> Hash {
    Hash(*hash.as_bytes())
}

fn all_theirs(hashes: &[TreeHash]) -> Vec<Hash> {
    hashes.iter().map(theirs).collect()
}

const SIZE: u64 = 1_300;

fn both() -> (Log, Stored) {
    let log = Log::new((0..SIZE).map(|number| number.to_be_bytes().to_vec()));
    let mut stored = Stored(Vec::new());
    for (number, entry) in (0..).zip(&log.entries) {
        let hash = theirs(&TreeHash::leaf(entry));
        let hashes = stored_hashes_for_record_hash(number, hash, &stored).unwrap();
        stored.0.extend(hashes);
    }
    (log, stored)
}

#[test]
fn roots_and_tiles_are_the_same() {
    let (log, stored) = both();
    for size in 0..=SIZE {
        let root = root_at(&log, size).unwrap();
        assert_eq!(theirs(&root), tlog_tiles::tree_hash(size, &stored).unwrap(), "{size}");
    }
    for size in [1, 255, 256, 257, 512, SIZE] {
        for tile in tlog_tiles::Tile::new_tiles(8, 0, size) {
            let (level, index) = (tile.level(), tile.level_index());
            let width = u16::try_from(tile.width()).unwrap();
            assert_eq!(tile_width(size, level, index), Some(width));
            let path = TilePath::Hash { level, index, width };
            assert_eq!(log.file(path), tile.read_data(&stored).unwrap(), "{path}");
        }
    }
}

#[test]
fn proofs_are_the_same_and_each_side_verifies_the_other() {
    let (log, stored) = both();
    let mut runner = proptest::test_runner::TestRunner::default();
    let numbers = (1..=SIZE, 1..=SIZE, 0..SIZE, any::<prop::sample::Index>());
    let tested = runner.run(&numbers, |(a, b, other, at)| {
        let (from, size) = (a.min(b), a.max(b));
        let [earlier, root] = [from, size].map(|size| root_at(&log, size).unwrap());

        let index = at.index(usize::try_from(size).unwrap());
        let leaf = TreeHash::leaf(&log.entries[index]);
        let index = u64::try_from(index).unwrap();
        let proof = inclusion(&log, index, size).unwrap();
        prop_assert_eq!(
            all_theirs(&proof),
            tlog_tiles::prove_record(size, index, &stored).unwrap()
        );
        for place in [index, other % size] {
            prop_assert_eq!(
                verify_inclusion(&leaf, place, size, &proof, &root).is_ok(),
                tlog_tiles::check_record(
                    &all_theirs(&proof),
                    size,
                    theirs(&root),
                    place,
                    theirs(&leaf)
                )
                .is_ok()
            );
        }

        let proof = consistency(&log, from, size).unwrap();
        prop_assert_eq!(all_theirs(&proof), tlog_tiles::prove_tree(size, from, &stored).unwrap());
        for from in [from, 1 + other % size] {
            prop_assert_eq!(
                verify_consistency(from, &earlier, size, &root, &proof).is_ok(),
                tlog_tiles::check_tree(
                    &all_theirs(&proof),
                    size,
                    theirs(&root),
                    from,
                    theirs(&earlier)
                )
                .is_ok()
            );
        }
        Ok(())
    });
    tested.unwrap();
}

const NAME: &str = "example.com/log";

fn signers() -> (SigningKey, VerifierKey, StandardSigner) {
    let seed = [7; 32];
    let key = SigningKey::from_seed(&seed);
    let verifier = key.verifier_key(NAME.parse().unwrap());
    let private = base64(&[[1].as_slice(), &seed].concat());
    let text = format!("PRIVATE+KEY+{NAME}+{:08x}+{private}", verifier.id());
    (key, verifier, StandardSigner::new(&text).unwrap())
}

fn verifiers(key: &VerifierKey) -> VerifierList {
    VerifierList::new(vec![Box::new(StandardVerifier::new(&key.to_string()).unwrap())])
}

/// Replaces one byte of a text, more often than not by one that has a meaning somewhere.
fn change(text: &str, at: prop::sample::Index, with: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    let at = at.index(bytes.len());
    bytes.splice(at..=at, with.bytes());
    bytes
}

const CHANGES: &str = "([-+=\n \u{2014}x0A/\r]|[\u{0}-\u{ff}]){0,2}";

proptest! {
    #[test]
    fn each_side_verifies_the_notes_of_the_other(size in 1..u64::MAX, text in "([a-z ]*\n){1,4}") {
        let (key, verifier, signer) = signers();
        let checkpoint =
            Checkpoint::new(NAME.parse().unwrap(), size, TreeHash::leaf(b"x")).unwrap();
        let ours = checkpoint.sign(&key).to_string();
        let note = signed_note::Note::from_bytes(ours.as_bytes()).unwrap();
        prop_assert!(note.verify(&verifiers(&verifier)).is_ok());
        prop_assert_eq!(note.to_bytes(), ours.as_bytes());
        let read = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
        prop_assert_eq!((read.origin(), read.size()), (NAME, size));
        prop_assert_eq!(read.hash(), &theirs(&checkpoint.root()));

        for text in [text, checkpoint.to_string()] {
            let mut note = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
            note.add_sigs(&[&signer]).unwrap();
            let read = Note::parse(&note.to_bytes()).unwrap();
            prop_assert_eq!(read.text(), &text);
            prop_assert!(read.verify(std::slice::from_ref(&verifier)).is_ok());
        }
    }

    #[test]
    fn a_note_that_they_refuse_is_refused(
        text in "([a-z\u{2014} ]{0,5}\n){1,4}",
        at: prop::sample::Index,
        with in CHANGES,
    ) {
        let (_, verifier, signer) = signers();
        let mut note = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
        note.add_sigs(&[&signer]).unwrap();
        let changed = change(str::from_utf8(&note.to_bytes()).unwrap(), at, &with);

        let ours = Note::parse(&changed);
        let theirs = signed_note::Note::from_bytes(&changed);
        if let Ok(ours) = ours {
            let theirs = theirs.unwrap();
            prop_assert_eq!(ours.text().as_bytes(), theirs.text());
            prop_assert_eq!(
                ours.verify(std::slice::from_ref(&verifier)).is_ok(),
                theirs.verify(&verifiers(&verifier)).is_ok()
            );
        } else if let Ok(theirs) = theirs {
            let name = theirs.to_bytes();
            prop_assert!(str::from_utf8(&name).unwrap().contains(|c: char| c.is_control()));
        }
    }

    #[test]
    fn a_verifier_key_that_they_refuse_is_refused(at: prop::sample::Index, with in CHANGES) {
        let (_, verifier, _) = signers();
        let changed = String::from_utf8(change(&verifier.to_string(), at, &with)).unwrap();
        let ours = changed.parse::<VerifierKey>();
        prop_assert!(
            !ours.is_ok_and(|key| key.kind() == KeyKind::Note)
                || StandardVerifier::new(&changed).is_ok()
        );
    }

    #[test]
    fn a_checkpoint_that_they_refuse_is_refused(
        size in any::<u64>(), shift in 0..64u32, at: prop::sample::Index, with in CHANGES,
    ) {
        let origin: Origin = NAME.parse().unwrap();
        let size = (size >> shift).max(1);
        let text = Checkpoint::new(origin, size, TreeHash::leaf(b"x")).unwrap().to_string();
        let changed = change(&text, at, &with);
        let ours = str::from_utf8(&changed).ok().and_then(|text| text.parse::<Checkpoint>().ok());
        if let Some(ours) = ours {
            let read = tlog_tiles::Checkpoint::from_bytes(&changed).unwrap();
            prop_assert_eq!((read.origin(), read.size()), (ours.origin().as_str(), ours.size()));
            prop_assert_eq!(read.hash(), &theirs(&ours.root()));
        }
    }

    #[test]
    fn tile_paths_are_the_same(
        level in 0..64u8,
        index in any::<u64>(),
        shift in 0..64u32,
        width in 1..=256u16,
        at: prop::sample::Index,
        with in "[-+0-9xp./]{0,2}",
    ) {
        let path = TilePath::Hash { level, index: index >> shift, width };
        let tile = tlog_tiles::Tile::new(8, level, index >> shift, u32::from(width), false);
        let text = path.to_string();
        prop_assert_eq!(text.replacen("tile/", "tile/8/", 1), tile.path());

        let changed = String::from_utf8(change(&text, at, &with)).unwrap();
        // `+0` and `00` are no widths either.
        let width = changed.rsplit_once(".p/").and_then(|(_, width)| width.parse::<u32>().ok());
        let panics = width == Some(0)
            || changed.split('/').nth(1).and_then(|level| level.parse::<u8>().ok()) > Some(63);
        if let Some(rest) = changed.strip_prefix("tile/").filter(|_| !panics) {
            let theirs = tlog_tiles::Tile::from_path(&format!("tile/8/{rest}"));
            prop_assert_eq!(changed.parse::<TilePath>().is_ok(), theirs.is_ok(), "{}", changed);
        } else {
            prop_assert!(changed.parse::<TilePath>().is_err());
        }
    }
}

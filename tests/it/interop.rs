//! The transparency-log formats, against what others wrote.
//!
//! Two witnesses: recorded files of another implementation where they are at hand (below), the
//! crates `signed_note` and `tlog_tiles` on random input ([`differential`]).

mod differential;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use whence::canon::TreeHash;
use whence::proof::{
    Tile, TilePath, TileReader, Tree, bundle, consistency, inclusion, root_at, tile_width,
    verify_consistency,
};
use whence::seal::{
    Checkpoint, Cosigner, NoteSignature, Origin, SignedCheckpoint, SigningKey, TlogProof,
    UnverifiedCheckpoint, VerifierKey,
};

/// A log in memory, with all of its tiles.
pub(crate) struct Log {
    entries: Vec<Vec<u8>>,
    tree: Tree,
    full: BTreeMap<(u8, u64), Arc<Tile>>,
}

#[derive(Debug, thiserror::Error)]
#[error("the log has no such tile")]
pub(crate) struct NoTile;

impl Log {
    pub(crate) fn new(entries: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let (mut tree, mut completed) = (Tree::new(), Vec::new());
        let entries: Vec<_> = entries.into_iter().collect();
        for entry in &entries {
            tree.append(TreeHash::leaf(entry), &mut completed);
        }
        let full = completed.into_iter().map(|done| ((done.level, done.index), done.tile));
        Self { entries, tree, full: full.collect() }
    }

    /// The file at a path, as a log of `size` entries serves it.
    fn file(&self, path: TilePath) -> Vec<u8> {
        match path {
            TilePath::Hash { level, index, width } => {
                let bytes = self.tile(level, index).unwrap().to_bytes();
                bytes[..32 * usize::from(width)].to_vec()
            }
            TilePath::Entries { index, width } => {
                let start = usize::try_from(index * 256).unwrap();
                let mut bytes = Vec::new();
                for entry in &self.entries[start..][..usize::from(width)] {
                    bundle::push_entry(&mut bytes, entry).unwrap();
                }
                bytes
            }
            TilePath::Content { .. } => Vec::new(),
        }
    }
}

impl TileReader for Log {
    type Error = NoTile;

    fn tile(&self, level: u8, index: u64) -> Result<Arc<Tile>, NoTile> {
        let tile = self.tree.edge_at(level, index).or_else(|| self.full.get(&(level, index)));
        tile.map(Arc::clone).ok_or(NoTile)
    }
}

/// The files that another implementation wrote, for the log and keys below. None, with a note, when
/// they are not at hand.
fn recorded() -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/reference/tlog-vectors");
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: no recorded files of another implementation at {}", path.display());
    None
}

fn recorded_log() -> Log {
    Log::new((0..300).map(|number| format!("agent-record-{number}").into_bytes()))
}

fn recorded_key() -> SigningKey {
    SigningKey::from_seed(&std::array::from_fn(|place| u8::try_from(place).unwrap()))
}

fn recorded_witness() -> Cosigner {
    Cosigner::new("witness.example/w1".parse().unwrap(), SigningKey::from_seed(&[0x42; 32]))
}

fn recorded_checkpoint(log: &Log, size: u64) -> SignedCheckpoint {
    let origin: Origin = "log.example/agents".parse().unwrap();
    let root = root_at(log, size).unwrap();
    Checkpoint::new(origin, size, root).unwrap().sign(&recorded_key())
}

/// When the recorded cosignature was made.
const COSIGNED_AT: u64 = 1_760_000_000;

#[test]
fn recorded_keys_and_checkpoints_are_ours() {
    let Some(dir) = recorded() else { return };
    let keys: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.join("keys.json")).unwrap()).unwrap();
    let name = "log.example/agents".parse().unwrap();
    assert_eq!(keys["log_vkey"], recorded_key().verifier_key(name).to_string());
    assert_eq!(keys["witness_vkey"], recorded_witness().verifier_key().to_string());
    let by: [VerifierKey; 2] =
        ["log_vkey", "witness_vkey"].map(|name| keys[name].as_str().unwrap().parse().unwrap());

    let log = recorded_log();
    for size in [0, 1, 5, 255, 256, 257, 300] {
        let bytes = fs::read(dir.join(format!("checkpoint.{size}"))).unwrap();
        assert_eq!(recorded_checkpoint(&log, size).to_string().into_bytes(), bytes, "{size}");
        let read = UnverifiedCheckpoint::parse(&bytes).unwrap().verify(&by).unwrap();
        assert_eq!(read, recorded_checkpoint(&log, size));
    }

    let bytes = fs::read(dir.join("checkpoint.5.cosigned")).unwrap();
    let read = UnverifiedCheckpoint::parse(&bytes).unwrap().verify(&by).unwrap();
    assert_eq!(read.verified().last().unwrap().time, Some(COSIGNED_AT));
    let ours = recorded_checkpoint(&log, 5);
    let ours = ours.with_own_cosignature(&recorded_witness(), COSIGNED_AT).unwrap();
    assert_eq!(ours.to_string().into_bytes(), bytes);
}

#[test]
fn recorded_tiles_are_ours() {
    let Some(dir) = recorded() else { return };
    let log = recorded_log();
    let mut seen = 0;
    let mut dirs = vec![dir.join("tile")];
    while let Some(place) = dirs.pop() {
        for entry in fs::read_dir(place).unwrap() {
            let file = entry.unwrap().path();
            if file.is_dir() {
                dirs.push(file);
                continue;
            }
            let path = file.strip_prefix(&dir).unwrap().to_str().unwrap();
            let path: TilePath = path.parse().unwrap();
            assert_eq!(log.file(path), fs::read(&file).unwrap(), "{path}");
            let (TilePath::Hash { index, width, .. }
            | TilePath::Entries { index, width }
            | TilePath::Content { index, width }) = path;
            let level = if let TilePath::Hash { level, .. } = path { level } else { 0 };
            assert_eq!(tile_width(300, level, index), Some(width), "{path}");
            seen += 1;
        }
    }
    assert_eq!(seen, 5);
}

#[test]
fn a_recorded_proof_is_ours() {
    let Some(dir) = recorded() else { return };
    let bytes = fs::read(dir.join("entry2-size5.tlog-proof")).unwrap();
    let log = recorded_log();
    let signed = recorded_checkpoint(&log, 5);
    let signed = signed.with_own_cosignature(&recorded_witness(), COSIGNED_AT).unwrap();
    let ours = TlogProof::new(2, inclusion(&log, 2, 5).unwrap(), &signed).unwrap();
    assert_eq!(ours.to_string().into_bytes(), bytes);

    let keys = [recorded_key().verifier_key("log.example/agents".parse().unwrap())];
    let read = TlogProof::parse(&bytes).unwrap();
    assert!(read.verify(&TreeHash::leaf(b"agent-record-2"), &keys).is_ok());
    assert!(read.verify(&TreeHash::leaf(b"agent-record-3"), &keys).is_err());
}

#[test]
fn recorded_consistency_proofs_are_ours() {
    let Some(dir) = recorded() else { return };
    let log = recorded_log();
    for (from, to) in [(0, 5), (5, 300)] {
        let request = fs::read(dir.join(format!("add-checkpoint.{from}-{to}.request"))).unwrap();
        let proof = consistency(&log, from, to).unwrap();
        let lines = proof.iter().map(|hash| base64(hash.as_bytes()) + "\n");
        let lines: String = lines.collect();
        let note = recorded_checkpoint(&log, to);
        assert_eq!(format!("old {from}\n{lines}\n{note}").into_bytes(), request);
        let [earlier, later] = [from, to].map(|size| root_at(&log, size).unwrap());
        assert_eq!(verify_consistency(from, &earlier, to, &later, &proof), Ok(()));
    }
}

/// A witness answers with signature lines, which are added once they are found to be right.
#[test]
fn a_recorded_cosignature_is_added_to_our_checkpoint() {
    let Some(dir) = recorded() else { return };
    let cosigned = fs::read_to_string(dir.join("checkpoint.5.cosigned")).unwrap();
    let line = NoteSignature::parse(cosigned.lines().last().unwrap()).unwrap();
    let by = [recorded_witness().verifier_key().clone()];
    let log = recorded_log();
    let ours = recorded_checkpoint(&log, 5).with_cosignature(line.clone(), &by).unwrap();
    assert_eq!(ours.to_string(), cosigned);
    assert!(recorded_checkpoint(&log, 256).with_cosignature(line, &by).is_err());
}

fn base64(bytes: &[u8]) -> String {
    data_encoding::BASE64.encode(bytes)
}

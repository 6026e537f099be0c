//! The example of SPEC 1.4 is what this implementation makes of its inputs.

use std::fs;

use serde_json::{Value, json};
use whence::canon::{EntryHash, TreeHash};
use whence::proof::{TileReader, Tree};
use whence::seal::{TlogProof, UnverifiedCheckpoint};

use super::sealed::{SealedLog, vkey};
use super::{blessing, folder, outcome};

fn records() -> [Value; 2] {
    [
        json!({
            "id": "p-1", "kind": "prompt", "occurred_at": "2026-11-24T01:06:14.120+01:00",
            "user": { "id": "alice@example.com", "type": "human" }, "session": { "id": "s-1" },
            "source": { "observed_by": "agent_process", "producer": "billing-1" },
            "data": { "role": "user" }, "content": { "text": "Pay the invoice." },
        }),
        json!({
            "id": "o-1", "kind": "model_output", "occurred_at": "2026-11-24T00:06:15Z",
            "user": { "id": "alice@example.com", "type": "human" }, "session": { "id": "s-1" },
            "agent": { "id": "invoice-agent", "version": "1.4.2" },
            "causes": [{ "id": "p-1", "rel": "triggered_by" }],
            "source": { "observed_by": "agent_process", "producer": "billing-1", "producer_seq": 2 },
            "data": { "model": { "provider": "example", "requested": "m-1" }, "finish_reasons": ["stop"] },
            "content": { "text": "Done.", "reasoning": { "steps": [1, 2.50], "b": null } },
        }),
    ]
}

/// Every value of the example, by its name.
fn example() -> Vec<(String, String)> {
    let mut log = SealedLog::new("2026-11-24T00:00:00Z", "whence/1");
    log.batch(&records(), "2026-11-24T00:06:16.5Z", 0x20);
    let mut values = vec![("vkey".to_owned(), vkey())];
    let mut leaves = Vec::new();
    for (seq, record) in log.records.iter().enumerate() {
        let text = String::from_utf8(record.entry.clone()).unwrap();
        leaves.push(TreeHash::leaf(&record.entry));
        values.push((format!("entry_{seq}"), text));
        values.push((format!("entry_hash_{seq}"), EntryHash::of(&record.entry).to_string()));
        values.push((format!("leaf_hash_{seq}"), leaves[seq].to_string()));
    }
    for (seq, place, name) in [(1, 0, "1_text"), (2, 0, "2_reasoning"), (2, 1, "2_text")] {
        let digest = log.entry(seq)["content"][place]["digest"].as_str().unwrap().to_owned();
        values.push((format!("content_digest_{name}"), digest));
    }
    let note = log.checkpoint(3);
    let read = UnverifiedCheckpoint::parse(note.as_bytes()).unwrap();
    let signed = read.verify(&[vkey().parse().unwrap()]).unwrap();
    let path = whence::proof::inclusion(&Edge(&log), 1, 3).unwrap();
    let proof = TlogProof::new(1, path, &signed).unwrap().to_string();
    let files = log.files();
    let bundle = &files["tile/entries/000.p/3"];
    values.extend([
        ("root_3".to_owned(), log.root(3).to_string()),
        ("checkpoint_3".to_owned(), note.trim_end().to_owned()),
        ("tlog_proof_1".to_owned(), proof.trim_end().to_owned()),
        ("entries_bundle_bytes".to_owned(), bundle.len().to_string()),
        ("entries_bundle_head".to_owned(), outcome::hex(&bundle[..8])),
        ("content_bundle".to_owned(), outcome::hex(&files["content/000.p/3"])),
    ]);
    values
}

/// The one tile of a log of three entries.
struct Edge<'a>(&'a SealedLog);

#[derive(Debug, thiserror::Error)]
#[error("no tile")]
struct NoTile;

impl TileReader for Edge<'_> {
    type Error = NoTile;

    fn tile(&self, level: u8, index: u64) -> Result<std::sync::Arc<whence::proof::Tile>, NoTile> {
        let mut tree = Tree::new();
        for record in &self.0.records {
            tree.append(TreeHash::leaf(&record.entry), &mut Vec::new());
        }
        tree.edge_at(level, index).cloned().ok_or(NoTile)
    }
}

#[test]
fn the_example_of_the_specification_is_right() {
    let path = folder().join("../SPEC.md");
    let mut text = fs::read_to_string(&path).unwrap();
    if blessing() {
        for (name, value) in example() {
            text = text.replace(&format!("@@EXAMPLE:{name}@@"), &value);
        }
        fs::write(&path, &text).unwrap();
    }
    for (name, value) in example() {
        assert!(text.contains(&value), "{name} should be\n{value}");
    }
    assert!(!text.contains("@@"), "a value of the example is not filled in");
}

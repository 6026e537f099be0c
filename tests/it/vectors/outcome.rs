//! What this implementation makes of an input of each type.

use serde_json::{Value, json};
use whence::canon::{self, ContentDigest, EntryHash, Json, Salt, TreeHash};
use whence::proof::{TilePath, bundle, verify_consistency, verify_inclusion};
use whence::record::{Draft, Entry, Event, Timestamp};
use whence::seal::{TlogProof, UnverifiedCheckpoint, VerifierKey};
use whence::verify::parse_checkpoints;

/// What an accepted input comes to, or why it is refused: for a record its errors, else a word.
pub(crate) fn outcome(kind: &str, input: &Value) -> Result<Value, Vec<Value>> {
    match kind {
        "record" => record(&bytes(input)),
        "entry" => entry(&bytes(input)),
        "content" => content(input),
        "checkpoint" => checkpoint(input),
        "tlog_proof" => tlog_proof(input),
        "inclusion" => inclusion(input),
        "consistency" => consistency(input),
        "tile_path" => tile_path(input.as_str().unwrap()),
        "bundle" => entry_bundle(&unhex(input)),
        "checkpoints_file" => checkpoints_file(&bytes(input)),
        "timestamp" => {
            let time: Timestamp = input.as_str().unwrap().parse().map_err(refused)?;
            Ok(json!({ "canonical": time.to_string() }))
        }
        "canon" => {
            let value: Json = serde_json::from_slice(&bytes(input)).map_err(refused)?;
            let canonical = String::from_utf8(value.to_bytes().map_err(refused)?).unwrap();
            Ok(json!({ "canonical": canonical }))
        }
        _ => panic!("there is no type {kind}"),
    }
}

/// A text, or bytes that are none.
pub(crate) fn bytes(input: &Value) -> Vec<u8> {
    match input.as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => unhex(&input["hex"]),
    }
}

pub(crate) fn unhex(text: &Value) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_str().unwrap().as_bytes()).unwrap()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn refused(why: impl std::fmt::Display) -> Vec<Value> {
    vec![json!({ "why": why.to_string() })]
}

fn tree_hash(text: &Value) -> Result<TreeHash, Vec<Value>> {
    text.as_str().unwrap().parse().map_err(refused)
}

fn tree_hashes(list: &Value) -> Result<Vec<TreeHash>, Vec<Value>> {
    list.as_array().unwrap().iter().map(tree_hash).collect()
}

fn keys(list: &Value) -> Result<Vec<VerifierKey>, Vec<Value>> {
    let keys = list.as_array().unwrap().iter();
    keys.map(|key| key.as_str().unwrap().parse().map_err(refused)).collect()
}

fn record(bytes: &[u8]) -> Result<Value, Vec<Value>> {
    let refused = |invalid: whence::record::Invalid| -> Vec<Value> {
        let errors = invalid.errors.into_iter();
        errors.map(|error| json!({ "pointer": error.pointer, "code": error.code })).collect()
    };
    let event = Event::try_from(Draft::parse(bytes).map_err(refused)?).map_err(refused)?;
    let content = event.content().iter().map(|part| {
        json!({ "name": part.name, "canonical": String::from_utf8(part.bytes.clone()).unwrap() })
    });
    Ok(json!({
        "kind": event.kind(), "flags": event.flags(), "content": content.collect::<Vec<_>>(),
    }))
}

fn entry(bytes: &[u8]) -> Result<Value, Vec<Value>> {
    Entry::parse(bytes).map_err(refused)?;
    Ok(json!({ "entry_hash": EntryHash::of(bytes), "leaf_hash": TreeHash::leaf(bytes) }))
}

fn content(input: &Value) -> Result<Value, Vec<Value>> {
    let salt = Salt::from_bytes(unhex(&input["salt"]).try_into().unwrap());
    let text = input["canonical"].as_str().unwrap();
    let digest = ContentDigest::of(&salt, text.as_bytes()).to_string();
    if input["digest"] == digest { Ok(json!({})) } else { Err(refused("another digest")) }
}

fn checkpoint(input: &Value) -> Result<Value, Vec<Value>> {
    let keys = keys(&input["vkeys"])?;
    let note = UnverifiedCheckpoint::parse(&bytes(&input["note"])).map_err(refused)?;
    let signed = note.verify(&keys).map_err(refused)?;
    let checkpoint = signed.checkpoint();
    Ok(json!({
        "origin": checkpoint.origin().as_str(),
        "size": checkpoint.size(),
        "root": checkpoint.root(),
    }))
}

fn tlog_proof(input: &Value) -> Result<Value, Vec<Value>> {
    let keys = keys(&input["vkeys"])?;
    let proof = TlogProof::parse(&bytes(&input["proof"])).map_err(refused)?;
    let signed = proof.verify(&tree_hash(&input["leaf_hash"])?, &keys).map_err(refused)?;
    Ok(json!({ "index": proof.index(), "size": signed.checkpoint().size() }))
}

fn inclusion(input: &Value) -> Result<Value, Vec<Value>> {
    let (index, size) = (input["index"].as_u64().unwrap(), input["size"].as_u64().unwrap());
    let (leaf, root) = (tree_hash(&input["leaf"])?, tree_hash(&input["root"])?);
    let proof = tree_hashes(&input["proof"])?;
    verify_inclusion(&leaf, index, size, &proof, &root).map_err(refused)?;
    Ok(json!({}))
}

fn consistency(input: &Value) -> Result<Value, Vec<Value>> {
    let (from, to) = (input["from"].as_u64().unwrap(), input["to"].as_u64().unwrap());
    let (before, after) = (tree_hash(&input["from_root"])?, tree_hash(&input["to_root"])?);
    let proof = tree_hashes(&input["proof"])?;
    verify_consistency(from, &before, to, &after, &proof).map_err(refused)?;
    Ok(json!({}))
}

fn tile_path(text: &str) -> Result<Value, Vec<Value>> {
    Ok(match text.parse().map_err(refused)? {
        TilePath::Hash { level, index, width } => {
            json!({ "kind": "hash", "level": level, "index": index, "width": width })
        }
        TilePath::Entries { index, width } => {
            json!({ "kind": "entries", "index": index, "width": width })
        }
        TilePath::Content { index, width } => {
            json!({ "kind": "content", "index": index, "width": width })
        }
    })
}

fn entry_bundle(bytes: &[u8]) -> Result<Value, Vec<Value>> {
    let entries = bundle::entries(bytes).map(|entry| Ok(hex(entry.map_err(refused)?)));
    Ok(json!({ "entries": entries.collect::<Result<Vec<_>, Vec<Value>>>()? }))
}

fn checkpoints_file(bytes: &[u8]) -> Result<Value, Vec<Value>> {
    let notes = parse_checkpoints(bytes).ok_or_else(|| refused("no file of checkpoints"))?;
    let notes = notes.into_iter().map(|note| String::from_utf8(note).unwrap());
    Ok(json!({ "notes": notes.collect::<Vec<_>>() }))
}

/// The canonical form is the only one that this module writes by itself.
pub(crate) fn canonical(value: &Value) -> String {
    String::from_utf8(canon::to_bytes(value).unwrap()).unwrap()
}

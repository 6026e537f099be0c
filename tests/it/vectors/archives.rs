//! Vectors of whole archives (SPEC 6 and 8): folders in `schema/vectors/archive`, checked with the
//! command that auditors use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use whence::canon::Salt;
use whence::seal::SigningKey;

use super::outcome::canonical;
use super::records::prompt;
use super::sealed::{ORIGIN, SealedLog, framed, log_key, push_part, vkey};
use super::{blessing, folder};

mod signatures;

type Files = BTreeMap<String, Vec<u8>>;

/// An archive, what an auditor brings along, and what comes of it.
struct Archive {
    name: &'static str,
    rule: &'static str,
    what: &'static str,
    files: Files,
    keys: Vec<String>,
    since: BTreeMap<&'static str, Vec<u8>>,
    receipts: BTreeMap<&'static str, Vec<u8>>,
    exit: i32,
    /// A code that must be among the findings, and its place.
    finding: Option<(Option<u64>, &'static str)>,
    /// Whether other verifiers may find more.
    more: bool,
}

impl Archive {
    fn of(name: &'static str, rule: &'static str, what: &'static str, files: Files) -> Self {
        Self {
            name,
            rule,
            what,
            files,
            keys: vec![vkey()],
            since: BTreeMap::new(),
            receipts: BTreeMap::new(),
            exit: 0,
            finding: None,
            more: false,
        }
    }

    fn finds(self, seq: impl Into<Option<u64>>, code: &'static str) -> Self {
        Self { exit: 1, finding: Some((seq.into(), code)), ..self }
    }

    fn cannot_be_checked(self) -> Self {
        Self { exit: 2, ..self }
    }
}

/// Nine entries in four batches and two sessions: the mission's chain, and two prompts.
fn small() -> SealedLog {
    let mut log = SealedLog::new("2026-11-24T00:00:00Z", "whence/1");
    let mut chain = crate::log::chain(1);
    log.batch(&chain, "2026-11-24T00:06:16.5Z", 0x20);
    let mut other = prompt();
    other["session"]["id"] = json!("s-2");
    log.batch(&[other.clone()], "2026-11-24T00:06:17Z", 0x30);
    chain = crate::log::chain(6);
    chain.truncate(2);
    log.batch(&chain, "2026-11-24T00:06:18Z", 0x40);
    other["id"] = json!("p-2");
    log.batch(&[other], "2026-11-24T00:06:19Z", 0x50);
    log
}

/// 260 entries: two bundles, and a tile of the second level.
fn large() -> SealedLog {
    let mut log = SealedLog::new("2026-11-24T00:00:00Z", "whence/1");
    let records: Vec<_> = (0..259)
        .map(|number| {
            let mut record = prompt();
            record["id"] = json!(format!("p-{number}"));
            record["session"]["id"] = json!(format!("s-{}", number % 3));
            record["content"] = json!({ "text": number });
            if number >= 3 && number % 50 == 0 {
                record["causes"] =
                    json!([{ "id": format!("p-{}", number - 3), "rel": "informed_by" }]);
            }
            record
        })
        .collect();
    log.batch(&records[..200], "2026-11-24T00:06:16Z", 0);
    log.batch(&records[200..], "2026-11-24T00:06:17Z", 0);
    log
}

/// The files of a log after a change that needs no key.
fn changed(log: &SealedLog, change: impl FnOnce(&mut Files)) -> Files {
    let mut files = log.files();
    change(&mut files);
    files
}

/// The files of a log that was changed by somebody who has its key.
fn forged(mut log: SealedLog, change: impl FnOnce(&mut SealedLog)) -> Files {
    change(&mut log);
    log.files()
}

/// Other members of `archive.json`.
fn described(log: &SealedLog, members: Value) -> impl FnOnce(&mut Files) {
    let mut meta = log.meta();
    meta.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    move |files| drop(files.insert("archive.json".to_owned(), canonical(&meta).into_bytes()))
}

/// The file that `path` stands for, to be changed.
fn file<'a>(files: &'a mut Files, path: &str) -> &'a mut Vec<u8> {
    files.get_mut(path).unwrap_or_else(|| panic!("there is no {path}"))
}

/// Takes the last byte away.
fn cut(bytes: &mut Vec<u8>) {
    bytes.truncate(bytes.len() - 1);
}

/// Replaces one text by another of the same length.
fn replace(bytes: &mut [u8], text: &str, other: &str) {
    assert_eq!(text.len(), other.len());
    let place = bytes.windows(text.len()).position(|window| window == text.as_bytes());
    let place = place.unwrap_or_else(|| panic!("{text} is not there"));
    bytes[place..place + text.len()].copy_from_slice(other.as_bytes());
}

fn all() -> Vec<Archive> {
    [
        whole(),
        descriptions(),
        checkpoints(),
        bundles(),
        content(),
        tiles(),
        links(),
        kept(),
        signatures::all(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn whole() -> Vec<Archive> {
    let (one, two) = (small(), large());
    let range = changed(&two, |files| {
        files.retain(|path, _| path != "tile/entries/000" && path != "content/000");
        described(&two, json!({ "from": 256 }))(files);
    });
    let withheld = changed(&one, |files| {
        files.retain(|path, _| !path.starts_with("content/"));
        described(&one, json!({ "content": "withheld" }))(files);
    });
    let mut without_key = Archive::of("no-key-given", "R-VER-2", "the key in the log", one.files());
    without_key.keys = Vec::new();
    let mut wrong_key = Archive::of("other-key", "R-VER-4", "another key", one.files())
        .finds(None, "signature_wrong");
    let other = SigningKey::from_seed(&[1; 32]).verifier_key(ORIGIN.parse().unwrap());
    wrong_key.keys = vec![other.to_string()];
    let mut no_key = Archive::of("no-key-to-be-had", "R-VER-2", "no key, and no genesis", {
        changed(&one, |files| {
            replace(
                file(files, "tile/entries/000.p/9"),
                "\"kind\":\"genesis\"",
                "\"kind\":\"Genesis\"",
            );
        })
    })
    .cannot_be_checked();
    no_key.keys = Vec::new();
    let with_more = changed(&two, |files| {
        files.remove("content/000");
        described(&two, json!({ "from": 256 }))(files);
    });
    let without_root = changed(&two, |files| {
        files.retain(|path, _| path != "tile/entries/000" && path != "content/000");
        files.remove("tile/1/000.p/1");
        described(&two, json!({ "from": 256 }))(files);
    });
    vec![
        Archive::of(
            "bundle-beside-the-range",
            "R-VER-30",
            "a bundle that the range leaves out",
            with_more,
        )
        .finds(0, "bundle_unexpected"),
        Archive::of(
            "range-without-an-upper-tile",
            "R-ARCH-3",
            "a part of a log without a tile",
            without_root,
        )
        .finds(None, "tile_missing"),
        Archive::of("whole", "R-ARCH-1", "a whole log", one.files()),
        Archive::of("two-bundles", "R-TILE-5", "a log of two bundles", two.files()),
        Archive::of("range", "R-ARCH-2", "a part of a log", range),
        Archive::of("withheld", "R-ARCH-4", "a log without its content", withheld),
        without_key,
        wrong_key,
        no_key,
    ]
}

fn descriptions() -> Vec<Archive> {
    let log = small();
    let told = |name, rule, what, members: Value| {
        let files = changed(&log, described(&log, members));
        Archive::of(name, rule, what, files).cannot_be_checked()
    };
    vec![
        told("layout-2", "R-VERS-1", "a layout of another version", json!({ "archive": 2 })),
        told(
            "unknown-member",
            "R-ARCH-1",
            "a member that is not known",
            json!({ "colour": "red" }),
        ),
        told(
            "range-backwards",
            "R-ARCH-2",
            "a range that ends before it begins",
            json!({ "from": 256 }),
        ),
        told(
            "range-within-a-bundle",
            "R-ARCH-2",
            "a range that begins within a bundle",
            json!({ "from": 3 }),
        ),
        Archive::of("no-description", "R-VER-1", "no archive.json", {
            changed(&log, |files| drop(files.remove("archive.json")))
        })
        .cannot_be_checked(),
        Archive::of("larger", "R-VER-5", "a log that says it is larger than was signed", {
            changed(&log, described(&log, json!({ "size": 10, "to": 10 })))
        })
        .finds(None, "root_wrong")
        .with_more(),
        Archive::of("origin-of-another-log", "R-NAME-2", "the origin of another log", {
            changed(&log, described(&log, json!({ "origin": "log.example/other" })))
        })
        .finds(None, "checkpoint_malformed"),
        Archive::of("other-ledger", "R-VER-11", "the name of another ledger", {
            changed(&log, described(&log, json!({ "ledger": "other" })))
        })
        .finds(0, "ledger_wrong"),
    ]
}

impl Archive {
    fn with_more(self) -> Self {
        Self { more: true, ..self }
    }
}

fn checkpoints() -> Vec<Archive> {
    let log = small();
    let notes = |sizes: &[usize]| framed(sizes.iter().map(|size| log.checkpoint(*size)));
    let with_notes = |sizes: &[usize]| {
        let notes = notes(sizes);
        changed(&log, |files| drop(files.insert("checkpoints".to_owned(), notes)))
    };
    let foreign = |files: &mut Files| {
        let other = log.checkpoint(9).replace(ORIGIN, "log.example/mine");
        files.insert("checkpoint".to_owned(), other.into_bytes());
    };
    vec![
        Archive::of("checkpoint-of-another-log", "R-VER-3", "a checkpoint of another log", {
            changed(&log, foreign)
        })
        .finds(None, "checkpoint_malformed"),
        Archive::of("checkpoint-changed", "R-VER-4", "a bit of a signature", {
            changed(&log, |files| {
                let note = file(files, "checkpoint");
                let place = note.len() - 20;
                note[place] = if note[place] == b'A' { b'B' } else { b'A' };
            })
        })
        .finds(None, "signature_wrong"),
        Archive::of("batches-out-of-order", "R-VER-6", "two checkpoints that changed places", {
            with_notes(&[1, 6, 5, 8, 9])
        })
        .finds(None, "checkpoint_missing"),
        Archive::of("last-batch-missing", "R-VER-7", "the last checkpoint is not there", {
            with_notes(&[1, 5, 6, 8])
        })
        .finds(None, "checkpoint_missing"),
        Archive::of("older-checkpoint", "R-CKF-2", "an older checkpoint for the newest", {
            changed(&log, |files| {
                drop(files.insert("checkpoint".to_owned(), log.checkpoint(8).into_bytes()));
            })
        })
        .finds(None, "root_wrong")
        .with_more(),
    ]
}

fn bundles() -> Vec<Archive> {
    let (log, two) = (small(), large());
    let entries = "tile/entries/000.p/9";
    vec![
        Archive::of("bundle-missing", "R-VER-8", "a bundle is not there", {
            changed(&two, |files| drop(files.remove("tile/entries/001.p/4")))
        })
        .finds(256, "bundle_missing")
        .with_more(),
        Archive::of("bundle-cut", "R-VER-9", "a bundle is cut within its last entry", {
            changed(&log, |files| cut(file(files, entries)))
        })
        .finds(8, "bundle_malformed")
        .with_more(),
        Archive::of("entry-changed", "R-HASH-1", "one letter of an entry", {
            changed(&log, |files| replace(file(files, entries), "send_money", "send-money"))
        })
        .finds(3, "entry_changed"),
        Archive::of("entry-not-canonical", "R-VER-10", "an entry with a space in it", {
            changed(&log, |files| {
                replace(
                    file(files, entries),
                    "\"rel\":\"triggered_by\"",
                    "\"rel\": \"triggeredby\"",
                );
            })
        })
        .finds(2, "entry_malformed"),
        Archive::of("signed-nonsense", "R-ENTRY-1", "bytes that are no entry, and signed", {
            forged(small(), |log| log.records[8].entry = b"{\"v\":1}".to_vec())
        })
        .finds(8, "entry_malformed"),
        Archive::of("seq-wrong", "R-VER-11", "an entry that says it stands elsewhere, signed", {
            forged(small(), |log| log.edit(8, |entry| entry["seq"] = json!(9)))
        })
        .finds(8, "seq_wrong"),
        Archive::of("genesis-missing", "R-VER-12", "a log that begins with a prompt, signed", {
            forged(small(), |log| log.records[0] = log.records[1].clone())
        })
        .finds(0, "genesis_wrong"),
        Archive::of(
            "genesis-of-another-origin",
            "R-GEN-1",
            "a genesis entry of another origin, signed",
            {
                forged(small(), |log| {
                    log.edit(0, |entry| entry["data"]["origin"] = json!("log.example/other"));
                    log.relink();
                })
            },
        )
        .finds(0, "genesis_wrong"),
    ]
}

fn content() -> Vec<Archive> {
    let log = small();
    let path = "content/000.p/9";
    let mut erased = small();
    erased.records[3].parts = vec![0x00];
    vec![
        Archive::of("erased", "R-CBNDL-1", "one part is erased", erased.files()),
        Archive::of("content-changed", "R-VER-13", "one letter of a content part", {
            changed(&log, |files| replace(file(files, path), "Pay the invoice", "pay the invoice"))
        })
        .finds(1, "content_wrong"),
        Archive::of("salt-changed", "R-DIG-1", "another salt", {
            forged(small(), |log| {
                let salt = Salt::from_bytes([9; 32]);
                log.records[5].parts.clear();
                push_part(&mut log.records[5].parts, &salt, b"\"Pay the invoice.\"");
            })
        })
        .finds(5, "content_wrong"),
        Archive::of("content-cut", "R-VER-14", "a content bundle that is cut", {
            changed(&log, |files| cut(file(files, path)))
        })
        .finds(8, "bundle_malformed"),
        Archive::of("content-left-over", "R-VER-15", "a byte too many in a content bundle", {
            changed(&log, |files| file(files, path).push(0))
        })
        .finds(0, "bundle_malformed"),
        Archive::of("content-bundle-missing", "R-VER-31", "content that is said to be there", {
            changed(&log, |files| drop(files.remove(path)))
        })
        .finds(0, "content_missing"),
        Archive::of("second-content-bundle-missing", "R-ARCH-4", "half of the content", {
            changed(&large(), |files| drop(files.remove("content/001.p/4")))
        })
        .finds(256, "content_missing"),
        Archive::of("content-of-a-third-state", "R-CBNDL-1", "a part that starts with 0x02", {
            changed(&log, |files| file(files, path)[0] = 2)
        })
        .finds(1, "bundle_malformed"),
        Archive::of("content-of-one-part-too-many", "R-CBNDL-2", "a part too many", {
            changed(&log, |files| file(files, path).extend([0, 0]))
        })
        .finds(0, "bundle_malformed"),
    ]
}

fn tiles() -> Vec<Archive> {
    let (log, two) = (small(), large());
    vec![
        Archive::of("tile-missing", "R-VER-16", "a tile of leaf hashes is not there", {
            changed(&log, |files| drop(files.remove("tile/0/000.p/9")))
        })
        .finds(None, "tile_missing"),
        Archive::of("tile-of-another-width", "R-TILE-5", "a tile of a smaller log", {
            changed(&log, |files| {
                let mut tile = files.remove("tile/0/000.p/9").unwrap();
                tile.truncate(8 * 32);
                files.insert("tile/0/000.p/8".to_owned(), tile);
            })
        })
        .finds(None, "tile_missing"),
        Archive::of("nothing-there", "R-VER-29", "neither entries nor leaf hashes", {
            changed(&log, |files| files.retain(|path, _| !path.starts_with("tile/")))
        })
        .finds(0, "bundle_missing")
        .with_more(),
        Archive::of("entry-and-tile-changed", "R-EXIT-1", "an entry and its leaf hash", {
            let mut log = small();
            log.edit(3, |entry| entry["data"]["tool"] = json!("get_balance"));
            let forged = log.files();
            changed(&small(), |files| {
                for path in ["tile/entries/000.p/9", "tile/0/000.p/9"] {
                    files.insert(path.to_owned(), forged[path].clone());
                }
            })
        })
        .finds(None, "root_wrong")
        .with_more(),
        Archive::of("tile-changed", "R-VER-17", "a bit of a leaf hash in a tile", {
            changed(&log, |files| file(files, "tile/0/000.p/9")[70] ^= 1)
        })
        .finds(None, "tile_wrong"),
        Archive::of("upper-tile-changed", "R-VER-18", "a bit of a tile of the second level", {
            changed(&two, |files| file(files, "tile/1/000.p/1")[3] ^= 1)
        })
        .finds(None, "tile_wrong"),
        Archive::of("upper-tile-missing", "R-TILE-6", "a tile of the second level is not there", {
            changed(&two, |files| drop(files.remove("tile/1/000.p/1")))
        })
        .finds(None, "tile_missing"),
        Archive::of(
            "tail-cut",
            "R-VER-19",
            "the last entry is cut off everywhere but in the checkpoint",
            {
                let mut short = small();
                short.records.pop();
                short.batches.pop();
                let mut files = short.files();
                let note = log.checkpoint(9).into_bytes();
                files.insert("checkpoint".to_owned(), note);
                files.insert(
                    "checkpoints".to_owned(),
                    framed([1, 5, 6, 8, 9].iter().map(|size| log.checkpoint(*size))),
                );
                files
            },
        )
        .finds(None, "root_wrong")
        .with_more(),
    ]
}

fn links() -> Vec<Archive> {
    let edited = |name, rule, what, seq: usize, edit: fn(&mut Value)| {
        let files = forged(small(), |log| log.edit(seq, edit));
        Archive::of(name, rule, what, files)
    };
    vec![
        edited(
            "chain-broken",
            "R-VER-20",
            "an entry names another entry before it, signed",
            8,
            |entry| {
                entry["prev"] = json!("ab".repeat(32));
            },
        )
        .finds(8, "chain_broken"),
        edited(
            "session-number-wrong",
            "R-VER-21",
            "a number in the session is passed over, signed",
            8,
            |entry| {
                entry["session"]["n"] = json!(2);
            },
        )
        .finds(8, "session_chain_broken"),
        edited(
            "session-link-wrong",
            "R-CHAIN-2",
            "an entry names another entry of its session, signed",
            8,
            |entry| {
                entry["session"]["prev"] = json!("ab".repeat(32));
            },
        )
        .finds(8, "session_chain_broken"),
        edited("cause-wrong", "R-VER-22", "a cause with another hash, signed", 7, |entry| {
            entry["causes"][0]["entry_hash"] = json!("ab".repeat(32));
        })
        .finds(7, "cause_wrong"),
        edited(
            "cause-of-a-wrong-kind",
            "R-CAUSE-8",
            "an API call that a prompt triggered, signed",
            4,
            |entry| {
                entry["causes"][0]["seq"] = json!(1);
                entry["causes"][0]["id"] = json!("prompt-1");
            },
        )
        .finds(4, "cause_wrong")
        .with_more(),
        Archive::of("id-repeated", "R-VER-23", "two entries with one id, signed", {
            forged(small(), |log| log.edit(8, |entry| entry["id"] = json!("p-1")))
        })
        .finds(8, "id_repeated"),
        edited(
            "time-goes-back",
            "R-VER-24",
            "an entry received before the one before it, signed",
            8,
            |entry| {
                entry["received_at"] = json!("2026-11-24T00:06:17.9Z");
            },
        )
        .finds(8, "time_goes_back"),
        edited(
            "chain-to-an-earlier-entry",
            "R-CHAIN-1",
            "an entry names the one but one before it, signed",
            8,
            |entry| {
                entry["prev"] = entry["session"]["prev"].clone();
            },
        )
        .finds(8, "chain_broken"),
        edited(
            "id-of-the-first-chain",
            "R-CHAIN-3",
            "an id that stands seven places earlier, signed",
            8,
            |entry| {
                entry["id"] = json!("prompt-1");
            },
        )
        .finds(8, "id_repeated"),
    ]
}

fn kept() -> Vec<Archive> {
    let log = small();
    let with_receipt = |name, rule, what, receipt: Value| {
        let mut archive = Archive::of(name, rule, what, log.files());
        archive.receipts.insert("receipt.json", canonical(&receipt).into_bytes());
        archive
    };
    let with_since = |name, rule, what, note: String| {
        let mut archive = Archive::of(name, rule, what, log.files());
        archive.since.insert("kept.checkpoint", note.into_bytes());
        archive
    };
    let changed = |member: &str, value: Value| {
        let mut receipt = log.receipt(3);
        receipt[member] = value;
        receipt
    };
    let mut fork = small();
    fork.edit(3, |entry| entry["labels"] = json!({ "a": "b" }));
    fork.relink();
    let mut not_a_key = Archive::of("not-a-key", "R-VER-1", "a key that is none", log.files());
    not_a_key.keys = vec!["log.example/main+00000000+AAAA".to_owned()];
    assert_eq!(log_key().verifier_key(ORIGIN.parse().unwrap()).to_string(), vkey());
    vec![
        with_since("since", "R-VER-19", "a checkpoint that was kept", log.checkpoint(5)),
        with_since(
            "since-another-history",
            "R-VER-19",
            "a kept checkpoint of another history",
            fork.checkpoint(5),
        )
        .finds(None, "known_checkpoint_wrong"),
        with_since(
            "since-nonsense",
            "R-VER-1",
            "a kept checkpoint that is none",
            "nothing\n".to_owned(),
        )
        .cannot_be_checked(),
        with_receipt("receipt", "R-RCPT-2", "a receipt that was kept", log.receipt(3)),
        with_receipt(
            "receipt-beyond",
            "R-VER-25",
            "a receipt for an entry that is not there",
            changed("seq", json!(9)),
        )
        .finds(9, "receipt_wrong"),
        with_receipt(
            "receipt-of-another-entry",
            "R-VER-26",
            "a receipt with another hash",
            changed("entry_hash", json!("ab".repeat(32))),
        )
        .finds(3, "receipt_wrong"),
        with_receipt(
            "receipt-of-another-record",
            "R-VER-26",
            "a receipt with another id",
            changed("id", json!("api-2")),
        )
        .finds(3, "receipt_wrong"),
        with_receipt(
            "receipt-not-covered",
            "R-VER-27",
            "a receipt whose checkpoint is too old",
            changed("checkpoint", json!(log.checkpoint(1))),
        )
        .finds(3, "receipt_wrong"),
        with_receipt("receipt-without-seq", "R-RCPT-2", "a receipt without a seq", {
            let mut receipt = log.receipt(3);
            receipt.as_object_mut().unwrap().remove("seq");
            receipt
        })
        .cannot_be_checked(),
        not_a_key.cannot_be_checked(),
    ]
}

fn place(name: &str) -> PathBuf {
    folder().join("archive").join(name)
}

fn write(archive: &Archive) {
    let folder = place(archive.name);
    for (path, bytes) in &archive.files {
        let path = folder.join("archive").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    for (name, bytes) in archive.since.iter().chain(&archive.receipts) {
        fs::write(folder.join(name), bytes).unwrap();
    }
    let mut expect = json!({
        "rule": archive.rule, "what": archive.what, "keys": archive.keys, "exit": archive.exit,
        "since": archive.since.keys().collect::<Vec<_>>(),
        "receipts": archive.receipts.keys().collect::<Vec<_>>(),
    });
    if archive.more {
        expect["more"] = json!(true);
    }
    let (exit, codes) = verify(&folder, &expect);
    assert_eq!(exit, archive.exit, "{}: {codes:?}", archive.name);
    expect["codes"] = json!(codes);
    if let (true, Some((seq, code))) = (archive.more, archive.finding) {
        expect["codes"] = json!([{ "seq": seq, "code": code }]);
    }
    let text = format!("{}\n", serde_json::to_string_pretty(&expect).unwrap());
    fs::write(folder.join("expect.json"), text).unwrap();
}

/// The exit code, and the findings as a set, as the command gives them.
fn verify(folder: &Path, expect: &Value) -> (i32, Vec<Value>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whence"));
    command.arg("verify").arg(folder.join("archive")).arg("--json");
    for (flag, list) in [("--key", "keys"), ("--since", "since"), ("--receipt", "receipts")] {
        for value in expect[list].as_array().into_iter().flatten() {
            let value = value.as_str().unwrap();
            let file = folder.join(value);
            command.arg(flag).arg(if list == "keys" { value.into() } else { file });
        }
    }
    let output = command.output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let found = report.pointer("/findings/listed").and_then(Value::as_array).into_iter().flatten();
    let found: BTreeSet<(Option<u64>, String)> = found
        .map(|finding| (finding["seq"].as_u64(), finding["code"].as_str().unwrap().to_owned()))
        .collect();
    let codes = found.into_iter().map(|(seq, code)| json!({ "seq": seq, "code": code }));
    (output.status.code().unwrap(), codes.collect())
}

/// The rule of each archive, and whether it is verified.
pub(super) fn rules() -> Vec<(String, bool)> {
    all().iter().map(|archive| (archive.rule.to_owned(), archive.exit == 0)).collect()
}

#[test]
fn the_archives_are_those_of_the_tables() {
    let all = all();
    if blessing() {
        drop(fs::remove_dir_all(folder().join("archive")));
        all.iter().for_each(write);
    }
    let names: BTreeSet<_> = all.iter().map(|archive| archive.name.to_owned()).collect();
    let there = fs::read_dir(folder().join("archive")).unwrap();
    let there: BTreeSet<_> =
        there.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names, there);
    for archive in all {
        for (path, bytes) in &archive.files {
            let stored = fs::read(place(archive.name).join("archive").join(path)).unwrap();
            assert_eq!(stored, *bytes, "{}: {path}", archive.name);
        }
    }
}

#[test]
fn every_archive_is_verified_as_it_says() {
    for archive in all() {
        let folder = place(archive.name);
        let text = fs::read(folder.join("expect.json")).unwrap();
        let expect: Value = serde_json::from_slice(&text).unwrap();
        let (exit, codes) = verify(&folder, &expect);
        assert_eq!(json!(exit), expect["exit"], "{}: {}", archive.name, archive.what);
        let expected = expect["codes"].as_array().unwrap();
        if archive.more {
            assert!(
                expected.iter().all(|code| codes.contains(code)),
                "{}: {codes:?}",
                archive.name
            );
        } else {
            assert_eq!(codes, *expected, "{}: {}", archive.name, archive.what);
        }
        if let Some((seq, code)) = archive.finding {
            let finding = json!({ "seq": seq, "code": code });
            assert!(codes.contains(&finding), "{}: {codes:?}", archive.name);
        }
    }
}

//! One thing is changed where the log is kept: in the database of a stopped server, in its head file,
//! or in an archive's folder. The command finds it, and says so with exit code 1.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::log::{TestLog, chain};

/// The data directory of a stopped server with 405 entries in 102 batches, made once; and its key.
static STOPPED: LazyLock<(TempDir, String)> = LazyLock::new(|| {
    let mut log = TestLog::new();
    for number in 0..101 {
        log.submit(&chain(number)).unwrap();
    }
    let key = log.ledger().key().to_string();
    log.close();
    (log.folder, key)
});

/// A copy of the data directory.
fn copy() -> TempDir {
    let to = tempfile::tempdir().unwrap();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        fs::create_dir_all(to.path().join(&folder)).unwrap();
        for entry in fs::read_dir(STOPPED.0.path().join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            let from = STOPPED.0.path().join(&path);
            if from.is_dir() {
                folders.push(path);
            } else {
                fs::copy(&from, to.path().join(&path)).unwrap();
            }
        }
    }
    to
}

fn whence(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whence"));
    for name in ["WHENCE_DATA", "WHENCE_URL", "WHENCE_TOKEN", "WHENCE_LEDGER", "WHENCE_HEADS"] {
        command.env_remove(name);
    }
    command.args(args).output().unwrap()
}

/// An exit code, and the codes of the findings.
type Audited = (i32, BTreeSet<(Option<u64>, String)>);

/// What the command says.
fn audit(target: &Path, more: &[&str]) -> Audited {
    let args = ["verify", target.to_str().unwrap(), "--json", "--key", &STOPPED.1];
    let output = whence(&[&args[..], more].concat());
    let code = output.status.code().unwrap();
    let Ok(report) = serde_json::from_slice::<Value>(&output.stdout) else {
        assert_eq!(code, 2, "{}", String::from_utf8_lossy(&output.stderr));
        return (code, BTreeSet::new());
    };
    let finding =
        |finding: &Value| (finding["seq"].as_u64(), finding["code"].as_str().unwrap().to_owned());
    (code, report["findings"]["listed"].as_array().unwrap().iter().map(finding).collect())
}

fn found<const N: usize>(findings: [(Option<u64>, &str); N]) -> Audited {
    (1, findings.into_iter().map(|(seq, code)| (seq, code.to_owned())).collect())
}

fn head(folder: &TempDir) -> PathBuf {
    folder.path().join("ledgers/main/head")
}

/// Changes a copy of the database, and audits it.
fn changed(change: impl FnOnce(&sled::Db)) -> (TempDir, Audited) {
    let folder = copy();
    let database = sled::Config::new()
        .path(folder.path().join("ledgers/main/db"))
        .segment_size(2 * 1024 * 1024)
        .flush_every_ms(None)
        .open()
        .unwrap();
    change(&database);
    database.flush().unwrap();
    drop(database);
    let audited = audit(folder.path(), &[]);
    (folder, audited)
}

/// The keys of one kind, in order.
fn keys(database: &sled::Db, kind: u8) -> Vec<sled::IVec> {
    database.scan_prefix([kind]).keys().map(Result::unwrap).collect()
}

/// Changes a block of entries or content before compression.
fn rewrite(database: &sled::Db, key: &sled::IVec, change: impl FnOnce(&mut Vec<u8>)) {
    let block = database.get(key).unwrap().unwrap();
    let length = usize::try_from(u32::from_be_bytes(block[..4].try_into().unwrap())).unwrap();
    let mut raw = zstd::bulk::decompress(&block[4..], length).unwrap();
    change(&mut raw);
    let mut block = u32::try_from(raw.len()).unwrap().to_be_bytes().to_vec();
    block.extend(zstd::bulk::compress(&raw, 1).unwrap());
    database.insert(key, block).unwrap();
}

#[test]
fn an_untouched_database_is_verified() {
    let folder = copy();
    assert_eq!(audit(folder.path(), &[]), (0, BTreeSet::new()));
    // What an archive says of itself, beside it, changes nothing.
    fs::write(folder.path().join("archive.json"), b"{}").unwrap();
    let output = whence(&["verify", folder.path().to_str().unwrap(), "--key", &STOPPED.1]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.starts_with("audited      the database of ledger main in "), "{stdout}");
    assert!(stdout.ends_with("verified: this is the log that the key signed\n"), "{stdout}");
}

#[test]
fn a_changed_entry_in_the_database_is_found_there() {
    for batch in [1, 40, 101] {
        let (_, audited) = changed(|database| {
            let key = &keys(database, b'e')[batch];
            rewrite(database, key, |raw| {
                let place = raw.windows(5).position(|bytes| bytes == b"alice").unwrap();
                raw[place] = b'b';
            });
        });
        let seq = u64::try_from(batch).unwrap() * 4 - 3;
        let (code, findings) = audited;
        assert_eq!(code, 1);
        // The tiles of so young entries are derived from the entries themselves.
        for expected in [(Some(seq + 1), "chain_broken"), (None, "root_wrong")] {
            let expected = (expected.0.filter(|seq| *seq < 405), expected.1.to_owned());
            assert!(findings.contains(&expected), "{batch}: {findings:?}");
        }
    }
}

#[test]
fn changed_content_in_the_database_is_found_at_its_record() {
    for (batch, salt) in [(0, true), (50, false), (100, true)] {
        let (_, audited) = changed(|database| {
            let key = &keys(database, b'c')[batch];
            // u64 seq, u16 parts, 0x01, the salt, u32 length, the bytes.
            rewrite(database, key, |raw| raw[if salt { 11 } else { 11 + 32 + 4 + 2 }] ^= 1);
        });
        let seq = u64::try_from(batch).unwrap() * 4 + 1;
        assert_eq!(audited, found([(Some(seq), "content_wrong")]), "{batch}");
    }
}

#[test]
fn a_changed_batch_header_is_found() {
    let (_, audited) = changed(|database| {
        let key = &keys(database, b'b')[40];
        let mut header = database.get(key).unwrap().unwrap().to_vec();
        let end = header.len() - 20;
        header[end] = if header[end] == b'A' { b'B' } else { b'A' };
        database.insert(key, header).unwrap();
    });
    assert_eq!(audited, found([(None, "signature_wrong")]));
    let (_, audited) = changed(|database| {
        database.insert(&keys(database, b'b')[40], b"x").unwrap();
    });
    let missing = (None, "checkpoint_missing");
    assert_eq!(audited, found([(None, "checkpoint_malformed"), missing]));
}

#[test]
fn a_wrong_tile_in_the_database_is_found() {
    let (_, audited) = changed(|database| {
        let key = [b"t\0".as_slice(), &0u64.to_be_bytes()].concat();
        database.insert(key, vec![7; 32 * 256]).unwrap();
    });
    assert_eq!(audited, found([(None, "tile_wrong")]));
}

#[test]
fn removed_and_damaged_blocks_of_the_database_are_findings_and_no_failures() {
    let (_, (code, findings)) = changed(|database| {
        database.remove(&keys(database, b'e')[20]).unwrap();
    });
    assert_eq!(code, 1);
    assert!(findings.contains(&(None, "root_wrong".to_owned())), "{findings:?}");
    let (_, (code, findings)) = changed(|database| {
        database.insert(&keys(database, b'e')[20], b"damage").unwrap();
    });
    assert_eq!(code, 1);
    assert!(!findings.is_empty());
    let (_, (code, findings)) = changed(|database| {
        database.insert(&keys(database, b'c')[20], b"damage").unwrap();
    });
    assert_eq!(code, 1);
    assert!(findings.contains(&(Some(0), "content_missing".to_owned())), "{findings:?}");
    let (_, (code, _)) = changed(|database| {
        for kind in [b'b', b'e', b'c'] {
            for key in keys(database, kind) {
                database.remove(key).unwrap();
            }
        }
    });
    assert_eq!(code, 1, "the head file knows of what is gone");
}

#[test]
fn a_cut_tail_is_found_by_the_head_file_wherever_that_is() {
    let (folder, audited) = changed(|database| {
        for kind in [b'b', b'e', b'c'] {
            database.remove(keys(database, kind).last().unwrap()).unwrap();
        }
    });
    assert_eq!(audited, found([(None, "known_checkpoint_wrong")]));

    // Without the head file it cannot be told, and that is said.
    let heads = tempfile::tempdir().unwrap();
    fs::rename(head(&folder), heads.path().join("main.head")).unwrap();
    assert_eq!(audit(folder.path(), &[]), found([(None, "head_missing")]));
    let elsewhere = ["--heads", heads.path().to_str().unwrap()];
    assert_eq!(audit(folder.path(), &elsewhere), found([(None, "known_checkpoint_wrong")]));
}

#[test]
fn a_database_that_cannot_be_opened_is_a_finding() {
    let folder = copy();
    let file = folder.path().join("ledgers/main/db/db");
    let mut bytes = fs::read(&file).unwrap();
    let end = bytes.len().min(600_000);
    bytes[..end].fill(0x5a);
    fs::write(&file, bytes).unwrap();
    assert_eq!(audit(folder.path(), &[]).0, 1);
    fs::remove_dir_all(folder.path().join("ledgers/main/db")).unwrap();
    assert_eq!(audit(folder.path(), &[]), found([(None, "database_damaged")]));
    fs::remove_file(head(&folder)).unwrap();
    assert_eq!(audit(folder.path(), &[]).0, 2, "nothing of ours is left");
}

/// An archive of the log, and where it is.
fn exported(more: &[&str]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive");
    let data = copy();
    let args = ["export", archive.to_str().unwrap(), "--data", data.path().to_str().unwrap()];
    let output = whence(&[&args[..], more].concat());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.starts_with("exporting ledger main in "), "{stderr}");
    (folder, archive)
}

#[test]
fn an_archive_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, archive) = exported(&[]);
    let mut paths = vec![archive];
    while let Some(path) = paths.pop() {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
        if path.is_dir() {
            paths.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}

#[test]
fn what_is_no_regular_file_of_its_length_is_a_finding_and_nobody_waits_for_it() {
    let replace = |path: &str, by: fn(&Path)| {
        let (_folder, archive) = exported(&[]);
        let file = archive.join(path);
        fs::remove_file(&file).unwrap();
        by(&file);
        audit(&archive, &[])
    };
    let pipe: fn(&Path) = |path| {
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    };
    let folder: fn(&Path) = |path| fs::create_dir(path).unwrap();
    let device: fn(&Path) = |path| std::os::unix::fs::symlink("/dev/zero", path).unwrap();
    let circle: fn(&Path) = |path| std::os::unix::fs::symlink(path, path).unwrap();
    let sparse: fn(&Path) = |path| fs::File::create(path).unwrap().set_len(1 << 40).unwrap();
    for by in [pipe, folder, device, circle] {
        assert_eq!(replace("tile/entries/000", by), found([(Some(0), "bundle_missing")]));
        assert_eq!(replace("tile/0/000", by), found([(None, "tile_missing")]));
        assert_eq!(replace("content/000", by), found([(Some(0), "content_missing")]));
        assert_eq!(replace("checkpoints", by), found([(None, "checkpoint_missing")]));
        assert_eq!(replace("archive.json", by).0, 2);
    }
    let (code, findings) = replace("tile/entries/000", sparse);
    assert!(code == 1 && findings.contains(&(Some(0), "bundle_malformed".to_owned())));
    assert_eq!(replace("tile/0/000", sparse).0, 1);
    assert_eq!(replace("content/000", sparse).0, 1);
    let damaged = [(None, "checkpoint_malformed"), (None, "checkpoint_missing")];
    assert_eq!(replace("checkpoints", sparse), found(damaged));
    assert_eq!(replace("checkpoint", sparse), found(damaged));
}

#[test]
fn an_archive_says_whether_its_content_was_left_out() {
    let verdict = |archive: &Path| {
        let output = whence(&["verify", archive.to_str().unwrap(), "--key", &STOPPED.1]);
        String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned()
    };
    let (_folder, archive) = exported(&["--without-content", "--from", "256"]);
    let expected = "verified entries 256 to 405 of 405: they are of the log that the key signed, \
                    without its content";
    assert_eq!(verdict(&archive), expected);
    // Whoever takes content away cannot say that it was never there without being noticed later.
    let (_folder, archive) = exported(&[]);
    fs::remove_dir_all(archive.join("content")).unwrap();
    let missing = [(Some(0), "content_missing"), (Some(256), "content_missing")];
    assert_eq!(audit(&archive, &[]), found(missing));
}

#[test]
fn another_version_and_a_range_of_nothing_cannot_be_checked() {
    let (_folder, archive) = exported(&[]);
    let path = archive.join("archive.json");
    let meta: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let with = |name: &str, value: Value| {
        let mut meta = meta.clone();
        meta[name] = value;
        fs::write(&path, meta.to_string()).unwrap();
        audit(&archive, &[])
    };
    assert_eq!(with("archive", 2.into()).0, 2);
    assert_eq!(with("to", 0.into()).0, 2);
    assert_eq!(with("to", 256.into()), found([(Some(256), "bundle_unexpected")]));
    assert_eq!(with("archive", 1.into()).0, 0);
}

#[test]
fn a_wrong_file_is_bad_usage_and_is_named() {
    let folder = copy();
    let garbage = folder.path().join("garbage");
    fs::write(&garbage, "garbage").unwrap();
    for option in ["--since", "--receipt", "--key"] {
        let args = ["verify", folder.path().to_str().unwrap(), option, garbage.to_str().unwrap()];
        let output = whence(&args);
        assert_eq!(output.status.code(), Some(2), "{option}");
        assert!(String::from_utf8(output.stderr).unwrap().contains("garbage"), "{option}");
    }
}

#[test]
fn tampering_is_exit_code_1_even_if_nobody_reads_the_findings() {
    let (_folder, archive) = exported(&[]);
    fs::remove_file(archive.join("tile/entries/000")).unwrap();
    for json in [&[][..], &["--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_whence"));
        command.args(["verify", archive.to_str().unwrap(), "--key", &STOPPED.1]).args(json);
        let status = command.stdout(writer).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(1));
    }
}

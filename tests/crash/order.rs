//! The order of system calls: before a receipt leaves, everything that it promises is on the disk.
//!
//! After `kill -9` the kernel still has what was written, so no kill can show a missing fsync. The
//! trace of the calls can.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use crate::history::History;
use crate::load::{Client, Connection};
use crate::seed;
use crate::server::Setup;
use crate::trace::{self, Call};

/// The calls that are looked at.
const TRACED: &str = "trace=write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,sync_file_range,\
                      fsync,fdatasync,openat,rename,renameat,renameat2";
const SYNCS: [&str; 2] = ["fsync", "fdatasync"];
const WRITES: [&str; 4] = ["write", "writev", "sendto", "sendmsg"];
const PLACED_WRITES: [&str; 3] = ["pwrite64", "pwritev", "pwritev2"];
const RENAMES: [&str; 3] = ["rename", "renameat", "renameat2"];

/// The files of a commit.
struct Files {
    database: PathBuf,
    head: PathBuf,
    new_head: PathBuf,
    folder: PathBuf,
}

impl Files {
    fn new(data: &Path) -> Self {
        let folder = data.join("ledgers/main");
        let head = folder.join("head");
        Self { database: folder.join("db/db"), new_head: head.with_extension("new"), head, folder }
    }
}

/// What a trace shows.
#[derive(Debug, Default)]
struct Shown {
    answers: usize,
    receipts: usize,
    commits: BTreeSet<u64>,
}

/// The sizes of the checkpoints in an answer, if it is one with receipts.
fn receipts(call: &Call) -> Vec<u64> {
    let is_answer = call.is(&WRITES) && call.args.contains("HTTP/1.1 20");
    if !is_answer || !call.args.contains(r#"\"object\":\"receipt\""#) {
        return Vec::new();
    }
    // In JSON a new line is a backslash and an n, and strace doubles the backslash.
    let notes = call.args.split(r#"\"checkpoint\":\"localhost/main\\n"#).skip(1);
    notes.map(|note| note.split('\\').next().unwrap().parse().unwrap()).collect()
}

/// Everything that was written for the checkpoint of this size is durable before `answer` starts.
fn durable(calls: &[Call], files: &Files, size: u64, answer: usize) -> Result<(), String> {
    let missing = |what: &str| format!("size {size}: {what}");
    let note = format!(r"localhost/main\n{size}\n");
    let find = |what: &str, from: usize, wanted: &dyn Fn(&Call) -> bool| {
        let found = calls.iter().find(|call| call.started > from && wanted(call));
        let found = found.filter(|call| call.succeeded() && call.ended < answer);
        found.map(|call| call.ended).ok_or_else(|| missing(what))
    };
    let batch = find("the batch is not written", 0, &|call| {
        call.is(&PLACED_WRITES) && call.on(&files.database) && call.args.contains(&note)
    })?;
    let head = calls
        .iter()
        .find(|call| call.is(&WRITES) && call.on(&files.new_head) && call.args.contains(&note));
    let head = head.filter(|call| call.succeeded()).ok_or_else(|| missing("no head is written"))?;
    // Nothing of the batch may be written once the fsync has started.
    let last = calls.iter().rfind(|call| {
        call.is(&PLACED_WRITES) && call.on(&files.database) && call.started < head.started
    });
    let last = last.map_or(batch, |call| call.ended).max(batch);
    let synced = find("the database is not fsynced", last, &|call| {
        call.is(&SYNCS) && call.on(&files.database)
    })?;
    if synced > head.started {
        return Err(missing("the head is written before the batch is durable"));
    }
    let synced = find("the new head is not fsynced", head.ended, &|call| {
        call.is(&SYNCS) && call.on(&files.new_head)
    })?;
    let renamed = find("the new head does not take the old one's place", synced, &|call| {
        let to = format!("{}\"", files.head.display());
        call.is(&RENAMES) && call.args.contains(&to)
    })?;
    find("the folder of the head is not fsynced", renamed, &|call| {
        call.is(&SYNCS) && call.on(&files.folder)
    })
    .map(drop)
}

/// Every answer with receipts comes after all that it promises.
fn check(calls: &[Call], files: &Files) -> Result<Shown, String> {
    let mut shown = Shown::default();
    for call in calls {
        let sizes = receipts(call);
        if sizes.is_empty() {
            continue;
        }
        shown.answers += 1;
        shown.receipts += sizes.len();
        for size in sizes {
            durable(calls, files, size, call.started)?;
            shown.commits.insert(size);
        }
    }
    Ok(shown)
}

/// A trace of a server under load, and the receipts that its clients got.
fn traced(folder: &Path) -> (Vec<Call>, Files, usize) {
    let setup = Setup::new(&folder.join("data"));
    assert!(setup.run(&["init"]).status.success());
    let token = setup.token();
    let out = folder.join("trace");
    let strace = ["strace", "-f", "-y", "-tt", "-s", "1000000", "-e", TRACED, "-o"];
    let mut strace: Vec<_> = strace.map(str::to_owned).to_vec();
    strace.push(out.display().to_string());
    let server = setup.wrapped(strace).start().unwrap();

    let seed = seed("order");
    let received = thread::scope(|scope| {
        let sending: Vec<_> = (0..4)
            .map(|number| {
                let connection = Connection::new(&server.url, &token);
                scope.spawn(move || Client::new(seed, number).send(&connection, 300))
            })
            .collect();
        sending.into_iter().flat_map(|sending| sending.join().unwrap()).collect::<Vec<_>>()
    });
    let mut history = History::default();
    history.audit(&Connection::new(&server.url, &token), true);
    let received_count = received.len();
    history.take(received);
    assert!(server.stop().status.success());
    let text = fs::read(out).unwrap();
    (trace::parse(&String::from_utf8_lossy(&text)), Files::new(&setup.data), received_count)
}

#[test]
fn an_fsync_lies_between_the_last_write_and_every_acknowledgement() {
    if !trace::possible("order") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (calls, files, received) = traced(folder.path());
    let shown = check(&calls, &files).unwrap();
    assert_eq!(shown.receipts, received, "every receipt is seen in the trace");
    assert!(shown.commits.len() > 20, "{shown:?}");
    println!(
        "order: {} answers with {} receipts of {} commits, each after its fsyncs",
        shown.answers,
        shown.receipts,
        shown.commits.len()
    );
    a_doctored_trace_is_found_out(&calls, &files);
}

/// The check can fail: without any one of the calls that it asks for, or with one out of order.
fn a_doctored_trace_is_found_out(calls: &[Call], files: &Files) {
    let sync_of = |call: &Call, path: &Path| call.is(&SYNCS) && call.on(path);
    let without = |unwanted: &dyn Fn(&Call) -> bool| {
        let kept: Vec<_> = calls.iter().filter(|call| !unwanted(call)).cloned().collect();
        check(&kept, files).unwrap_err()
    };
    let error = without(&|call| sync_of(call, &files.database));
    assert!(error.contains("the database is not fsynced"), "{error}");
    let error = without(&|call| sync_of(call, &files.new_head));
    assert!(error.contains("the new head is not fsynced"), "{error}");
    let error = without(&|call| call.is(&RENAMES));
    assert!(error.contains("take the old one's place"), "{error}");
    let error = without(&|call| sync_of(call, &files.folder));
    assert!(error.contains("the folder of the head is not fsynced"), "{error}");
    let error = without(&|call| call.is(&PLACED_WRITES));
    assert!(error.contains("the batch is not written"), "{error}");
    let error = without(&|call| call.on(&files.new_head) && call.is(&WRITES));
    assert!(error.contains("no head is written"), "{error}");

    // One fsync of the database is gone: that of the last commit that was answered for.
    let answer = calls.iter().rfind(|call| !receipts(call).is_empty()).unwrap();
    let size = receipts(answer).into_iter().max().unwrap();
    let note = format!(r"localhost/main\n{size}\n");
    let head = calls.iter().find(|call| call.on(&files.new_head) && call.args.contains(&note));
    let head = head.unwrap().started;
    let place =
        calls.iter().rposition(|call| sync_of(call, &files.database) && call.started < head);
    let place = place.unwrap();
    let doctored = |doctor: &dyn Fn(&mut Call)| {
        let mut calls = calls.to_vec();
        doctor(calls.get_mut(place).unwrap());
        check(&calls, files).unwrap_err()
    };
    let error = doctored(&|call| "getpid".clone_into(&mut call.name));
    assert!(error.contains(&format!("size {size}: the database is not fsynced")), "{error}");
    // It failed.
    doctored(&|call| "-1 EIO (Input/output error)".clone_into(&mut call.result));
    // It had not ended when the answer left.
    doctored(&|call| call.ended = answer.ended + 1);
    // It is of another file.
    doctored(&|call| "4</elsewhere>".clone_into(&mut call.args));
}

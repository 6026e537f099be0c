//! Every system call on the data directory fails, or the process is killed at it, in turn: while a
//! directory is made, while it is opened, and while batches are committed.
//!
//! strace counts the calls of each thread for itself, so the n-th call is the n-th of some thread. A
//! fault-free run says which calls there are and how many of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::json;

use crate::history::History;
use crate::load::{Answer, Connection, Post};
use crate::log::chain;
use crate::server::{Ended, Setup, copy};
use crate::trace::{self, Call};
use crate::{seed, setting};

/// Cases of the short run.
const SAMPLE: usize = 90;

/// Calls that work on files.
const CALLS: [&str; 17] = [
    "openat",
    "close",
    "read",
    "pread64",
    "write",
    "pwrite64",
    "lseek",
    "sync_file_range",
    "fsync",
    "fdatasync",
    "ftruncate",
    "rename",
    "unlink",
    "mkdir",
    "flock",
    "statx",
    "getdents64",
];

/// What a start may be refused with once the fault is gone, if a call has failed: sled takes what it
/// cannot read for the end of its log and cuts it off there, so an error on reading can cost the
/// database. Nothing here is silent. After a kill, no refusal is accepted.
const REFUSALS: [&str; 4] = [
    "the database failed: Read corrupted data",
    "in the store is damaged: restore the ledger from a backup",
    "the store has lost acknowledged records",
    "the store was changed",
];

/// Where sled panics when its last fsync fails while it closes. Nothing is lost by it.
const PANIC_ON_CLOSE: &str = "sled-0.34.7/src/pagecache/logger.rs";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// `whence init`.
    Init,
    /// `whence serve`: opening, then committing a script.
    Serve,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// The call fails with EIO, and does nothing.
    Fails,
    /// The process is killed before it.
    Killed,
}

/// One fault.
#[derive(Clone, Debug)]
struct Case {
    phase: Phase,
    fault: Fault,
    call: &'static str,
    /// Which call of a thread.
    nth: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {} {}", self.phase, self.fault, self.call, self.nth)
    }
}

/// What came of the cases of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    cases: usize,
    /// Calls that met their fault.
    faults: usize,
    /// The faulty process said why it ended, or halted.
    noticed: usize,
    /// The directory was opened after it.
    opened: usize,
    /// The directory was refused after it, with a clear error.
    refused: usize,
}

/// What every case starts from.
struct Template<'a> {
    setup: &'a Setup,
    history: &'a History,
    /// The files of the data directory that calls are made on, relative to it.
    files: BTreeSet<String>,
}

/// The batches of a case, in order: small, large, and with content of several values.
fn script() -> Vec<Post> {
    let mut large = chain(1_001);
    if let Some(text) = large.first_mut().and_then(|record| record.pointer_mut("/content/text")) {
        // Letters that do not compress to nothing.
        let text_of = |number: u64| (number * number * 7_919).to_string();
        *text = json!((0..5_000).map(text_of).collect::<String>());
    }
    let many: Vec<_> = (1_010..1_026).flat_map(chain).collect();
    let mut posts: Vec<_> = chain(1_000).iter().map(Post::one).collect();
    posts.push(Post::array(&large));
    posts.push(Post::ndjson(&many));
    posts.extend(chain(1_002).iter().map(Post::one));
    posts
}

/// A directory with a full tile of acknowledged records.
fn template(folder: &Path) -> (Setup, History) {
    let setup = Setup::new(&folder.join("template"));
    assert!(setup.run(&["init"]).status.success());
    let server = setup.start().unwrap();
    let connection = Connection::new(&server.url, &setup.token());
    let mut history = History::default();
    history.audit(&connection, true);
    for number in 0..10 {
        let records: Vec<_> = (number * 8..number * 8 + 8).flat_map(chain).collect();
        let Answer::Receipts(receipts, true) = connection.post(&Post::array(&records)) else {
            panic!("the template is not taken");
        };
        history.take(receipts);
    }
    history.audit(&connection, true);
    assert!(server.stop().status.success());
    (setup, history)
}

/// Posts the script until something is wrong. Says whether all of it was taken.
fn play(connection: &Connection, history: &mut History) -> bool {
    script().iter().all(|post| match connection.post(post) {
        Answer::Receipts(receipts, _) => {
            history.take(receipts);
            true
        }
        Answer::Gone | Answer::Refused(500 | 503, _) => false,
        Answer::Refused(status, problem) => panic!("{status} {problem}"),
    })
}

/// A refusal says in one line what is the matter, and is no panic.
fn assert_clear(case: &Case, ended: &Ended) {
    let closing = ended.status.code() == Some(101) && ended.stderr.contains(PANIC_ON_CLOSE);
    if closing && case.fault == Fault::Fails && case.call == "fsync" {
        return;
    }
    assert_eq!(ended.status.code(), Some(2), "{case}: {ended:?}");
    assert!(ended.stderr.contains("error: "), "{case}: {ended:?}");
}

/// Runs `whence init` or the server and its script. Says whether it noticed a fault.
fn run(case: &Case, setup: &Setup, history: &mut History) -> bool {
    if case.phase == Phase::Init {
        let output = setup.run(&["init"]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let ended = Ended { status: output.status, stderr };
        if !ended.status.success() && ended.status.signal().is_none() {
            assert_clear(case, &ended);
        }
        return !ended.status.success();
    }
    match setup.start() {
        Err(ended) => {
            if ended.status.signal().is_none() {
                assert_clear(case, &ended);
            }
            true
        }
        Ok(server) => {
            let connection = Connection::new(&server.url, &setup.token());
            let all = play(&connection, history);
            let ended = server.stop();
            !all || !ended.status.success()
        }
    }
}

/// strace, making a call on these files fail.
fn strace(case: Option<&Case>, data: &Path, files: &BTreeSet<String>, out: &Path) -> Vec<String> {
    let mut command = ["strace", "-f", "-y", "-s", "64", "-o"].map(str::to_owned).to_vec();
    command.push(out.display().to_string());
    let Some(case) = case else {
        command.extend(["-e".to_owned(), format!("trace={}", CALLS.join(","))]);
        return command;
    };
    let fault = match case.fault {
        Fault::Fails => "error=EIO",
        Fault::Killed => "signal=SIGKILL",
    };
    command.extend(["-e".to_owned(), format!("trace={}", case.call)]);
    command.extend(["-e".to_owned(), format!("inject={}:{fault}:when={}", case.call, case.nth)]);
    for file in files {
        let file = if file.is_empty() { data.to_owned() } else { data.join(file) };
        command.extend(["-P".to_owned(), file.display().to_string()]);
    }
    command
}

/// One case from the beginning to the end.
fn try_case(case: &Case, template: &Template<'_>, folder: &Path) -> Tally {
    let setup = Setup::new(&folder.join("data"));
    let out = folder.join("trace");
    drop(fs::remove_dir_all(&setup.data));
    let mut history = History::default();
    if case.phase == Phase::Serve {
        copy(&template.setup.data, &setup.data);
        history = template.history.clone();
    }
    let mut tally = Tally { cases: 1, ..Tally::default() };
    let faulty = setup.wrapped(strace(Some(case), &setup.data, &template.files, &out));
    // Every other case meets its fault a second time, when the first is being recovered from.
    for _ in 0..=case.nth % 2 {
        if case.phase == Phase::Init && setup.data.join("tokens.json").exists() {
            break;
        }
        tally.noticed += usize::from(run(case, &faulty, &mut history));
        let trace = String::from_utf8_lossy(&fs::read(&out).unwrap()).into_owned();
        tally.faults += match case.fault {
            Fault::Fails => trace.matches("(INJECTED)").count(),
            Fault::Killed => usize::from(trace.contains("killed by SIGKILL")),
        };
    }

    match setup.start() {
        Err(ended) => {
            assert_clear(case, &ended);
            let allowed = REFUSALS.iter().any(|refusal| ended.stderr.contains(refusal));
            assert!(allowed && case.fault == Fault::Fails, "{case}: {ended:?}");
            println!("inject: {case}: refused afterwards: {}", ended.stderr.trim_end());
            tally.refused = 1;
        }
        Ok(server) => {
            let connection = Connection::new(&server.url, &setup.token());
            history.audit(&connection, true);
            assert!(play(&connection, &mut history), "{case}: a retry is taken");
            history.audit(&connection, true);
            let ended = server.stop();
            assert!(ended.status.success(), "{case}: {ended:?}");
            setup.verify(&history.key(), &[]);
            tally.opened = 1;
        }
    }
    tally
}

/// The calls of a fault-free run that are on the data directory, and the files that they are on.
fn observe(phase: Phase, template: &Template<'_>, folder: &Path) -> (Vec<Call>, BTreeSet<String>) {
    let setup = Setup::new(&folder.join("data"));
    drop(fs::remove_dir_all(&setup.data));
    let mut history = History::default();
    if phase == Phase::Serve {
        copy(&template.setup.data, &setup.data);
        history = template.history.clone();
    }
    let out = folder.join("trace");
    let none = BTreeSet::new();
    let traced = setup.wrapped(strace(None, &setup.data, &none, &out));
    let case = Case { phase, fault: Fault::Fails, call: "none", nth: 0 };
    assert!(!run(&case, &traced, &mut history), "without a fault there is none to notice");
    let mut calls = trace::parse(&String::from_utf8_lossy(&fs::read(&out).unwrap()));
    let prefix = setup.data.display().to_string();
    calls.retain(|call| call.args.contains(&prefix) || call.result.contains(&prefix));
    let mut files = BTreeSet::new();
    for call in &calls {
        for rest in call.args.split(&prefix).skip(1) {
            let end = rest.find(['>', '"']).unwrap_or(rest.len());
            files.extend(rest.get(..end).map(|file| file.trim_start_matches('/').to_owned()));
        }
    }
    (calls, files)
}

/// A case for each call of a thread, and each fault.
fn cases(phase: Phase, calls: &[Call]) -> Vec<Case> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for call in calls {
        *counts.entry((&call.name, &call.thread)).or_default() += 1;
    }
    let mut cases = Vec::new();
    for call in CALLS {
        let most = counts.iter().filter(|((name, _), _)| *name == call).map(|(_, count)| *count);
        for nth in 1..=most.max().unwrap_or(0) {
            for fault in [Fault::Fails, Fault::Killed] {
                // The standard library itself panics when it cannot close a folder.
                if (call, fault) == ("close", Fault::Fails) {
                    continue;
                }
                cases.push(Case { phase, fault, call, nth });
            }
        }
    }
    cases
}

#[test]
fn no_system_call_that_fails_or_is_never_made_loses_what_was_acknowledged() {
    if !trace::possible("inject") {
        return;
    }
    let seed = seed("inject");
    let folder = tempfile::tempdir().unwrap();
    let (setup, history) = template(folder.path());
    let mut template = Template { setup: &setup, history: &history, files: BTreeSet::new() };
    let mut all = Vec::new();
    for phase in [Phase::Init, Phase::Serve] {
        let (calls, files) = observe(phase, &template, folder.path());
        all.extend(cases(phase, &calls));
        template.files.extend(files);
    }
    let known = all.len();
    if setting("WHENCE_CRASH_ALL", 0) == 0 {
        // Odd, because cases come in pairs: one that fails and one that is killed.
        let step = known.div_ceil(SAMPLE) | 1;
        let first = usize::try_from(seed).unwrap_or(0) % step;
        all = all.into_iter().skip(first).step_by(step).collect();
    }

    let tallies = Mutex::new(BTreeMap::<_, Tally>::new());
    let failed = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for worker in 0..2 {
            let folder = folder.path().join(format!("worker-{worker}"));
            let (template, all, tallies, failed, next) =
                (&template, &all, &tallies, &failed, &next);
            scope.spawn(move || {
                fs::create_dir_all(&folder).unwrap();
                while let Some(case) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // All that fails is listed, and not only what fails first.
                    let tried = catch_unwind(|| try_case(case, template, &folder));
                    let Ok(tally) = tried else {
                        failed.lock().unwrap().push(case.to_string());
                        continue;
                    };
                    let mut tallies = tallies.lock().unwrap();
                    let sum = tallies.entry((case.phase, case.fault, case.call)).or_default();
                    sum.cases += tally.cases;
                    sum.faults += tally.faults;
                    sum.noticed += tally.noticed;
                    sum.opened += tally.opened;
                    sum.refused += tally.refused;
                }
            });
        }
    });
    let tallies = tallies.into_inner().unwrap();
    for ((phase, fault, call), tally) in &tallies {
        println!("inject: {phase:?} {fault:?} {call}: {tally:?}");
    }
    let faults: usize = tallies.values().map(|tally| tally.faults).sum();
    println!("inject: {} of {known} cases, {faults} faults met", all.len());
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} cases went wrong: {failed:#?}", failed.len());
    assert!(faults >= all.len() / 2, "most cases meet their fault");
}

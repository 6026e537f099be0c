//! The disk is full in the middle: the ledger halts, shows nothing that it did not acknowledge, and has
//! everything that it acknowledged once there is space again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::Value;

use crate::history::History;
use crate::load::{Answer, Client, Connection, Post};
use crate::log::prompt;
use crate::seed;
use crate::server::{Server, Setup};

/// Clients that fill the disk.
const CLIENTS: u64 = 4;

/// Posts until the server takes no more, checks what it says then, and stops it.
fn fill(server: Server, token: &str, clients: &mut [Client], history: &mut History) {
    let connection = Connection::new(&server.url, token);
    history.audit(&connection, true);
    let receipts = thread::scope(|scope| {
        let sending: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                let connection = Connection::new(&server.url, token);
                scope.spawn(move || client.send(&connection, usize::MAX))
            })
            .collect();
        sending.into_iter().flat_map(|sending| sending.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(receipts.len() > 100, "the disk was full from the start");
    history.take(receipts);

    match connection.post(&Post::one(&prompt("late", "s-late", "Is there space?"))) {
        Answer::Refused(503, problem) => {
            assert_eq!(problem.get("code").and_then(Value::as_str), Some("ledger_halted"));
        }
        other => panic!("a full disk is answered with {other:?}"),
    }
    history.audit_halted(&connection);
    let ended = server.stop();
    assert!(ended.status.success(), "{ended:?}");
}

/// With space, the log goes on where it was.
fn go_on(setup: &Setup, clients: &mut [Client], history: &mut History) {
    let server = setup.start().unwrap();
    let connection = Connection::new(&server.url, &setup.token());
    history.audit(&connection, true);
    for client in clients {
        let receipts = client.send(&connection, 100);
        assert!(receipts.len() >= 100);
        history.take(receipts);
    }
    history.audit(&connection, true);
    assert!(server.stop().status.success());
    setup.verify(&history.key(), &[]);
}

#[test]
fn a_file_that_may_not_grow_halts_the_ledger_and_loses_nothing() {
    let seed = seed("full");
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(&folder.path().join("data"));
    assert!(setup.run(&["init"]).status.success());
    let mut clients: Vec<_> = (0..CLIENTS).map(|number| Client::new(seed, number)).collect();
    let mut history = History::default();
    // Files of at most 5 MiB; a write beyond that fails with EFBIG.
    let limit = "trap '' XFSZ; ulimit -f 10240; exec \"$@\"";
    let limited = setup.wrapped(["sh", "-c", limit, "sh"].map(str::to_owned).to_vec());
    fill(limited.start().unwrap(), &setup.token(), &mut clients, &mut history);
    let acknowledged = history.acknowledged();
    go_on(&setup, &mut clients, &mut history);
    println!("full: a limited file held {acknowledged} acknowledged records, none lost");
}

/// A small file system in memory.
pub(crate) struct Small(PathBuf);

impl Small {
    pub(crate) fn mount(folder: &Path, size: &str) -> Option<Self> {
        let mounted = Self::command(&format!("size={size}"), folder);
        mounted.then(|| Self(folder.to_owned()))
    }

    pub(crate) fn grow(&self) {
        assert!(Self::command("remount,size=64m", &self.0));
    }

    fn command(options: &str, folder: &Path) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "none"]).arg(folder);
        mount.output().is_ok_and(|output| output.status.success())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).output());
    }
}

#[test]
fn a_full_disk_halts_the_ledger_and_loses_nothing() {
    let seed = seed("full");
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Small::mount(folder.path(), "6m") else {
        println!("full: skipped: no file system can be mounted here");
        return;
    };
    let setup = Setup::new(&folder.path().join("data"));
    assert!(setup.run(&["init"]).status.success());
    let mut clients: Vec<_> = (0..CLIENTS).map(|number| Client::new(seed, number)).collect();
    let mut history = History::default();
    fill(setup.start().unwrap(), &setup.token(), &mut clients, &mut history);
    let acknowledged = history.acknowledged();
    // While the disk is full it opens for reading or says why not; either way nothing changes.
    match setup.start() {
        Ok(server) => {
            history.audit_halted(&Connection::new(&server.url, &setup.token()));
            server.stop();
        }
        Err(ended) => {
            assert_eq!(ended.status.code(), Some(2), "{ended:?}");
            assert!(ended.stderr.contains("No space left"), "{ended:?}");
        }
    }
    disk.grow();
    go_on(&setup, &mut clients, &mut history);
    println!("full: a small disk held {acknowledged} acknowledged records, none lost");
}

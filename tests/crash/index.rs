//! The search index when the server is killed, and when the folder of the index is deleted, replaced or
//! full: the ledger does not notice, searches never show what is not in it, and the index is whole
//! again by itself.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::full::Small;
use crate::history::History;
use crate::load::{Client, Connection, below};
use crate::log::Seeded;
use crate::server::{PATIENCE, Server, Setup};
use crate::{seed, setting};

/// Clients that post at the same time.
const CLIENTS: u64 = 4;
/// Rounds of the short run.
const ROUNDS: u64 = 8;
/// The index waits longer after each failure, so that whoever waits for it waits longer.
const RECOVERY: Duration = Duration::from_mins(1);
/// Hits of a page.
const PAGE: usize = 1_000;

/// A server, what it acknowledged, and who posts to it.
struct Run {
    setup: Setup,
    clients: Vec<Client>,
    history: History,
    random: Seeded,
}

impl Run {
    fn new(data: &Path, seed: u64) -> Self {
        let setup = Setup::new(data);
        assert!(setup.run(&["init"]).status.success());
        let clients = (0..CLIENTS).map(|number| Client::new(seed, number)).collect();
        Self { setup, clients, history: History::default(), random: Seeded::new(seed) }
    }

    fn start(&self) -> (Server, Connection) {
        let server = self.setup.start().unwrap();
        let connection = Connection::new(&server.url, &self.setup.token());
        (server, connection)
    }

    /// Posts some records, all of which are acknowledged.
    fn post(&mut self, connection: &Connection) {
        self.history.audit(connection, false);
        for client in &mut self.clients {
            let receipts = client.send(connection, 60);
            assert!(receipts.len() >= 60, "the server takes no more");
            self.history.take(receipts);
        }
    }

    /// Waits until the index has the whole log, and compares it with it, record by record.
    fn check(&mut self, connection: &Connection, patience: Duration) -> usize {
        let started = Instant::now();
        let ids = loop {
            let (through, size) = reached(connection).unwrap_or((0, u64::MAX));
            if through == size {
                self.history.audit(connection, false);
                let ids = found(connection, "%2A");
                // The server logs who read when it comes to it: only a log that stood still compares.
                if reached(connection).is_ok_and(|(_, after)| after == size) {
                    break ids;
                }
            }
            assert!(started.elapsed() < patience, "the index stays at {through} of {size}");
            thread::sleep(Duration::from_millis(20));
        };
        let ledger: Vec<_> = self.history.read_ids().collect();
        assert_eq!(ids, ledger, "everything is found, and nothing else");
        for (query, prefix) in [
            ("send_money", "invocation-"),
            ("kind%3Aapi_call%20host%3Abank.example", "api-"),
            ("%22pay%20it%22", "output-"),
        ] {
            let of_kind = |id: &&&str| id.starts_with(prefix);
            let expected: Vec<_> = ledger.iter().filter(of_kind).copied().collect();
            assert_eq!(found(connection, query), expected, "{query}");
        }
        for id in self.history.ids().step_by(self.history.acknowledged() / 20 + 1) {
            assert_eq!(found(connection, &format!("id%3A%22{id}%22")), [id]);
        }
        ledger.len()
    }
}

/// How far the index is, and the size of the log; or why it cannot be searched.
fn reached(connection: &Connection) -> Result<(u64, u64), Value> {
    let status = connection.read("/v1/ledgers/main/index")?;
    let status: Value = serde_json::from_slice(&status).unwrap();
    let number = |name: &str| status.get(name).and_then(Value::as_u64).unwrap();
    Ok((number("indexed_through"), number("size")))
}

/// The ids of all records that are found, in the order of the log.
fn found(connection: &Connection, query: &str) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/ledgers/main/records?q={query}&order=asc&limit={PAGE}{after}");
        let page: Value = serde_json::from_slice(&connection.get(&path)).unwrap();
        let hits = page.get("data").and_then(Value::as_array).unwrap();
        let id = |hit: &Value| hit.get("id").and_then(Value::as_str).unwrap().to_owned();
        ids.extend(hits.iter().map(id));
        let Some(seq) = page.pointer("/list_metadata/after").and_then(Value::as_str) else {
            let total = page.get("total").and_then(Value::as_u64);
            assert_eq!(total, u64::try_from(ids.len()).ok(), "the count is exact");
            return ids;
        };
        after = format!("&after={seq}");
    }
}

/// While its index is broken, a search says so, or says how little it looked at. It never shows what
/// is not in the ledger.
fn assert_honest(connection: &Connection, history: &History) {
    match connection.read("/v1/ledgers/main/records?q=%2A&order=asc&limit=1000") {
        Ok(page) => {
            let page: Value = serde_json::from_slice(&page).unwrap();
            let number = |name: &str| page.get(name).and_then(Value::as_u64).unwrap();
            assert_eq!(number("total"), number("indexed_through"));
            let hits = page.get("data").and_then(Value::as_array).unwrap();
            for (hit, id) in hits.iter().zip(history.read_ids()) {
                assert_eq!(hit.get("id").and_then(Value::as_str), Some(id));
            }
        }
        Err(problem) => {
            let code = problem.get("code").and_then(Value::as_str);
            assert_eq!(code, Some("index_unavailable"), "{problem}");
        }
    }
}

#[test]
fn whatever_was_acknowledged_before_a_kill_is_found_after_it_and_nothing_else() {
    let seed = seed("index");
    let rounds = setting("WHENCE_CRASH_ROUNDS", ROUNDS);
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::new(&folder.path().join("data"), seed);
    let (mut slowest, mut rebuilds) = (Duration::ZERO, 0);
    for round in 0..rounds {
        if below(&run.random, 4) == 0 {
            // A kill while the index is opened.
            let delay = Duration::from_micros(below(&run.random, 150_000));
            if let Ok(server) = run.setup.start_and(|server| server.kill_after(delay)) {
                server.kill();
            }
        }
        let (server, connection) = run.start();
        let started = Instant::now();
        run.check(&connection, PATIENCE);
        slowest = slowest.max(started.elapsed());

        let rebuilding = round % 2 == 1;
        let delay = Duration::from_millis(20 + below(&run.random, 900));
        let token = run.setup.token();
        let receipts = thread::scope(|scope| {
            let sending: Vec<_> = run
                .clients
                .iter_mut()
                .map(|client| {
                    let connection = Connection::new(&server.url, &token);
                    scope.spawn(move || client.send(&connection, usize::MAX))
                })
                .collect();
            // Built again and again, so that the kill comes at any moment of it.
            let again = rebuilding.then(|| {
                let connection = connection.clone();
                scope.spawn(move || {
                    let accepted = |status: &Option<u16>| *status == Some(202);
                    let asked = || connection.act("/v1/ledgers/main/reindex");
                    std::iter::repeat_with(asked).take_while(accepted).count()
                })
            });
            server.kill_after(delay);
            rebuilds += again.map_or(0, |again| again.join().unwrap());
            let received = sending.into_iter().map(|sending| sending.join().unwrap());
            received.collect::<Vec<_>>().concat()
        });
        server.kill();
        run.history.take(receipts);
    }
    let (server, connection) = run.start();
    for client in &mut run.clients {
        let receipts = client.send(&connection, 1);
        run.history.take(receipts);
    }
    let records = run.check(&connection, PATIENCE);
    assert!(server.stop().status.success());
    println!(
        "index: {rounds} rounds, {records} records, {rebuilds} calls to build it again, all found and \
         nothing else; it was whole at most {} ms after a start",
        slowest.as_millis()
    );
}

#[test]
fn an_index_that_is_deleted_while_the_server_runs_is_built_again() {
    let seed = seed("index");
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::new(&folder.path().join("data"), seed);
    let (server, connection) = run.start();
    run.post(&connection);
    run.check(&connection, PATIENCE);
    let search = run.setup.data.join("search");
    // The index may be making files in it meanwhile.
    while search.exists() {
        drop(fs::remove_dir_all(&search));
    }
    assert_honest(&connection, &run.history);
    run.post(&connection);
    assert_honest(&connection, &run.history);
    run.check(&connection, RECOVERY);
    assert!(search.join("main/0").is_dir(), "it is on disk again");
    assert!(server.stop().status.success());

    fs::remove_dir_all(&search).unwrap();
    let (server, connection) = run.start();
    run.check(&connection, PATIENCE);
    assert!(server.stop().status.success());
}

#[test]
fn a_file_in_the_place_of_the_index_stops_searches_alone_and_only_as_long_as_it_is_there() {
    let seed = seed("index");
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::new(&folder.path().join("data"), seed);
    let search = run.setup.data.join("search");
    fs::write(&search, "in the way").unwrap();
    let (server, connection) = run.start();
    run.post(&connection);
    let problem = reached(&connection).unwrap_err();
    assert_eq!(problem.get("code").and_then(Value::as_str), Some("index_unavailable"));
    assert_honest(&connection, &run.history);
    fs::remove_file(&search).unwrap();
    run.check(&connection, RECOVERY);

    // The same while it is in use.
    let main = search.join("main");
    fs::rename(&main, folder.path().join("away")).unwrap();
    fs::write(&main, "in the way").unwrap();
    run.post(&connection);
    thread::sleep(Duration::from_secs(1));
    let (through, size) = reached(&connection).unwrap();
    assert!(through < size, "there is no place for what was posted");
    run.history.audit(&connection, false);
    assert_honest(&connection, &run.history);
    fs::remove_file(&main).unwrap();
    run.check(&connection, RECOVERY);

    // In the place of the innermost folder it is derived data like any other, and goes.
    assert!(server.stop().status.success());
    fs::remove_dir_all(main.join("0")).unwrap();
    fs::write(main.join("0"), "in the way").unwrap();
    let (server, connection) = run.start();
    run.check(&connection, PATIENCE);
    assert!(server.stop().status.success());
}

#[test]
fn an_index_without_room_stops_searches_alone_and_goes_on_when_there_is_room() {
    let seed = seed("index");
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::new(&folder.path().join("data"), seed);
    let search = run.setup.data.join("search");
    fs::create_dir_all(&search).unwrap();
    let Some(disk) = Small::mount(&search, "256k") else {
        println!("index: skipped: no file system can be mounted here");
        return;
    };
    let (server, connection) = run.start();
    let started = Instant::now();
    // Until it is full: then the index stays behind while the ledger goes on.
    loop {
        run.post(&connection);
        run.history.audit(&connection, false);
        assert_honest(&connection, &run.history);
        thread::sleep(Duration::from_millis(500));
        let (through, size) = reached(&connection).unwrap();
        if through < size {
            break;
        }
        assert!(started.elapsed() < RECOVERY, "the disk is never full");
    }
    let (through, size) = reached(&connection).unwrap();
    // It starts all the same.
    assert!(server.stop().status.success());
    let (server, connection) = run.start();
    run.post(&connection);
    assert_honest(&connection, &run.history);
    disk.grow();
    let records = run.check(&connection, RECOVERY);
    let log = server.stop();
    assert!(log.status.success());
    assert!(log.stderr.contains("the index cannot go on"), "{}", log.stderr);
    println!("index: a full disk held it at {through} of {size}; with room it found all {records}");
}

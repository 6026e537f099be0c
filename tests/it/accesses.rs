//! Reading is logged: in the ledger that was read, whatever happens, and not for those who only write.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt;
use whence::access::Role;
use whence::http::{Limits, ServeOptions, serve};
use whence::ledger::{Ledger, StoredPart};
use whence::store::Step;

use crate::api::Server;
use crate::faults::{Failure, Trap};
use crate::limits::Dam;
use crate::log::{chain, prompt};

/// Writes what was read as soon as can be.
pub(crate) fn soon() -> Limits {
    Limits { accesses_interval: Duration::from_millis(10), ..Limits::default() }
}

/// Writes what was read at the end and not before.
fn late() -> Limits {
    Limits { accesses_interval: Duration::from_hours(1), ..Limits::default() }
}

impl Server {
    pub(crate) fn ledger(&self) -> Ledger {
        self.ledgers.get(&"main".parse().unwrap()).unwrap()
    }

    /// Everything of these kinds in the ledger: its entry, and its content as text.
    pub(crate) fn of_kinds(&self, kinds: &[&str]) -> Vec<(Value, String)> {
        let view = self.ledger().view();
        let records = (0..view.size()).map(|seq| view.record(seq).unwrap().unwrap());
        let records = records.map(|record| {
            let content = record.content.iter().map(|part| match part {
                StoredPart::Kept { bytes, .. } => String::from_utf8(bytes.clone()).unwrap(),
                StoredPart::Erased => "erased".to_owned(),
            });
            let content: Vec<_> = content.collect();
            (serde_json::from_slice::<Value>(&record.entry).unwrap(), content.join(" "))
        });
        records.filter(|(entry, _)| kinds.contains(&entry["kind"].as_str().unwrap())).collect()
    }

    /// The log of who read, once so many calls are in it.
    pub(crate) fn read_by(&self, calls: u64) -> Vec<(Value, String)> {
        let started = Instant::now();
        loop {
            let found = self.of_kinds(&["log_access"]);
            let counted: u64 = found.iter().map(|(entry, _)| count(entry, "calls")).sum();
            if counted >= calls {
                assert_eq!(counted, calls, "more calls than there were");
                return found;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "{counted} of {calls} calls");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn token_id(&self, token: &str) -> String {
        self.tokens.authenticate(token, 0).unwrap().id.clone()
    }
}

fn count(entry: &Value, name: &str) -> u64 {
    entry["data"][name].as_u64().unwrap()
}

#[test]
fn every_call_that_shows_records_leaves_one_that_says_who_saw_what() {
    let server = Server::with(soon(), None);
    let writer = server.token(Role::Writer, None);
    let (reader, auditor) =
        (server.token(Role::Investigator, None), server.token(Role::Auditor, None));
    server.post(&writer, &Value::Array(chain(1)));
    for (path, token, operation, records, content) in [
        ("/v1/ledgers/main/records/api-1", &reader, "record", 1, r#"["api-1"]"#),
        ("/v1/ledgers/main/sessions/s-1?limit=3", &reader, "session", 3, r#"["s-1"]"#),
        ("/tlog/main/tile/entries/000.p/5", &auditor, "entries", 5, ""),
        ("/tlog/main/content/000.p/4", &auditor, "content", 4, ""),
        ("/v1/ledgers/main/erasures", &reader, "erasures", 0, ""),
        ("/v1/ledgers/main/holds", &reader, "holds", 0, ""),
    ] {
        let before = server.of_kinds(&["log_access"]).len();
        assert_eq!(server.get(path, token).status, StatusCode::OK, "{path}");
        let found = server.read_by(u64::try_from(before).unwrap() + 1).pop().unwrap();
        let (entry, said) = found;
        assert_eq!(entry["data"]["operation"], operation);
        assert_eq!(entry["data"]["actor"], server.token_id(token));
        assert_eq!((count(&entry, "calls"), count(&entry, "records")), (1, records), "{path}");
        assert_eq!(said, content);
        assert!(entry.get("source").is_none(), "the server writes it");
    }
    let everything = server.of_kinds(&["log_access"]);
    let everything = format!("{everything:?}");
    for secret in [&reader, &auditor] {
        assert!(!everything.contains(secret.as_str()));
    }
}

#[test]
fn what_shows_nothing_of_a_ledger_leaves_nothing() {
    let server = Server::with(soon(), None);
    let writer = server.token(Role::Writer, None);
    let reader = server.token(Role::Investigator, None);
    server.post(&writer, &prompt("p", "s", "hello"));
    for (path, token) in [
        ("/v1/ledgers/main", &writer),
        ("/v1/ledgers/main/records/p/proof", &writer),
        ("/v1/ledgers/main/proof/consistency?from=1", &writer),
        ("/tlog/main/checkpoint", &writer),
        ("/v1/ledgers/main/records/p", &writer),
        ("/v1/ledgers/main/records/nobody", &reader),
        ("/v1/ledgers/main/sessions/nobody", &reader),
    ] {
        server.get(path, token);
    }
    // This one is written, and nothing else with it.
    server.get("/v1/ledgers/main/records/p", &reader);
    assert_eq!(server.read_by(1).len(), 1);
}

#[test]
fn calls_at_the_same_time_are_all_counted_in_few_records() {
    let server = Server::with(soon(), None);
    let writer = server.token(Role::Writer, None);
    let readers = [server.token(Role::Investigator, None), server.token(Role::Investigator, None)];
    server.post(&writer, &Value::Array(chain(1)));
    let calls: Vec<_> = (0..400)
        .map(|number| {
            let id = ["prompt-1", "output-1", "api-1"][number % 3];
            let request = Request::builder().uri(format!("/v1/ledgers/main/records/{id}"));
            let token = format!("Bearer {}", readers[number % 2]);
            let request = request.header(header::AUTHORIZATION, token).body(Body::empty());
            server.runtime.spawn(server.router.clone().oneshot(request.unwrap()))
        })
        .collect();
    for call in calls {
        assert_eq!(server.runtime.block_on(call).unwrap().unwrap().status(), StatusCode::OK);
    }
    let found = server.read_by(400);
    assert!(found.len() < 200, "{} records", found.len());
    for reader in &readers {
        let own =
            found.iter().filter(|(entry, _)| entry["data"]["actor"] == server.token_id(reader));
        let own: Vec<_> = own.collect();
        assert_eq!(own.iter().map(|(entry, _)| count(entry, "calls")).sum::<u64>(), 200);
        assert_eq!(own.iter().map(|(entry, _)| count(entry, "records")).sum::<u64>(), 200);
        let asked: String = own.iter().map(|(_, content)| content.as_str()).collect();
        assert!(["prompt-1", "output-1", "api-1"].iter().all(|id| asked.contains(id)), "{asked}");
    }
}

/// Waits until those that are refused are answered: the others wait behind the dam.
fn settle<T>(sent: &[tokio::task::JoinHandle<T>]) {
    let answered = || sent.iter().filter(|request| request.is_finished()).count();
    let mut before = 0;
    loop {
        std::thread::sleep(Duration::from_millis(300));
        let now = answered();
        if now > 0 && now == before {
            return;
        }
        before = now;
    }
}

#[test]
fn a_full_queue_only_delays_the_log_of_who_read() {
    let dam = Arc::new(Dam::default());
    dam.set(true);
    let server = Server::with(soon(), Some(dam.clone()));
    let (writer, reader) =
        (server.token(Role::Writer, None), server.token(Role::Investigator, None));
    server.post(&writer, &prompt("p", "s", "hello"));
    dam.set(false);
    // The queue takes 4,096 requests, and up to three batches of 1,024 are on their way. The last of
    // them may be taken out of the queue after others were refused, so that a second wave fills it.
    let mut sent = Vec::new();
    for number in 0..12_000 {
        if number == 8_000 {
            settle(&sent);
        }
        let request = Request::builder().method("POST").uri("/v1/ledgers/main/records");
        let request = request.header(header::AUTHORIZATION, format!("Bearer {writer}"));
        let record = prompt(&format!("p-{number}"), "s", "x").to_string();
        let request = request.body(Body::from(record)).unwrap();
        sent.push(server.runtime.spawn(server.router.clone().oneshot(request)));
    }
    settle(&sent);
    for _ in 0..3 {
        assert_eq!(server.get("/v1/ledgers/main/records/p", &reader).status, StatusCode::OK);
    }
    // Long enough for it to be tried, and to meet the same as everybody else.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(server.post(&writer, &prompt("q", "s", "x")).code(), "busy");
    assert_eq!(server.of_kinds(&["log_access"]).len(), 0);
    dam.set(true);
    server.read_by(3);
    for answer in sent {
        server.runtime.block_on(answer).unwrap().unwrap();
    }
}

#[test]
fn a_ledger_that_takes_no_records_shows_none_but_proves_what_it_has() {
    let trap = Arc::new(Trap::default());
    let server = Server::with(soon(), Some(trap.clone()));
    let (writer, reader) =
        (server.token(Role::Writer, None), server.token(Role::Investigator, None));
    let auditor = server.token(Role::Auditor, None);
    server.post(&writer, &prompt("p", "s", "hello"));
    trap.arm(Step::HeadWrite, Failure::NotPersisted);
    assert_eq!(server.post(&writer, &prompt("q", "s", "hello")).code(), "ledger_halted");
    // Its sender learns it a moment before everybody else does.
    while !server.ledger().is_halted() {
        std::thread::yield_now();
    }
    for (path, token) in [
        ("/v1/ledgers/main/records/p", &reader),
        ("/v1/ledgers/main/sessions/s", &reader),
        ("/tlog/main/tile/entries/000.p/2", &auditor),
        ("/tlog/main/content/000.p/2", &auditor),
        ("/v1/ledgers/main/export", &reader),
        ("/v1/ledgers/main/accesses", &reader),
    ] {
        let answer = server.get(path, token);
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.code(), "reading_unlogged");
        assert!(answer.headers.contains_key(header::RETRY_AFTER));
    }
    assert_eq!(server.get("/tlog/main/checkpoint", &reader).status, StatusCode::OK);
    assert_eq!(server.get("/v1/ledgers/main/records/p/proof", &reader).status, StatusCode::OK);
    assert_eq!(server.get("/tlog/main/tile/0/000.p/2", &auditor).status, StatusCode::OK);
}

#[test]
fn what_cannot_be_noted_is_not_shown() {
    let limits = Limits { accesses_bytes_max: 2_000, ..late() };
    let server = Server::with(limits, None);
    let writer = server.token(Role::Writer, None);
    server.post(&writer, &prompt("p", "s", "hello"));
    let mut answers = Vec::new();
    let readers: Vec<_> = (0..6).map(|_| server.token(Role::Investigator, None)).collect();
    for reader in &readers {
        answers.push(server.get("/v1/ledgers/main/records/p", reader).status.as_u16());
    }
    assert_eq!(answers, [200, 200, 200, 503, 503, 503]);
    // Those who have a note already need no further room for the same question, but for another one.
    assert_eq!(server.get("/v1/ledgers/main/records/p", &readers[0]).status, StatusCode::OK);
    assert_eq!(server.get("/v1/ledgers/main/sessions/s", &readers[0]).code(), "reading_unlogged");
}

#[test]
fn questions_beyond_a_record_s_limit_go_into_the_next_one_and_none_is_lost() {
    let server = Server::with(soon(), None);
    let (writer, reader) =
        (server.token(Role::Writer, None), server.token(Role::Investigator, None));
    let records: Vec<_> =
        (0..600).map(|number| prompt(&format!("p-{number}"), "s", "hello")).collect();
    server.post(&writer, &Value::Array(records));
    for number in 0..600 {
        let path = format!("/v1/ledgers/main/records/p-{number}");
        assert_eq!(server.get(&path, &reader).status, StatusCode::OK);
    }
    let asked: Vec<String> = server
        .read_by(600)
        .iter()
        .flat_map(|(_, content)| serde_json::from_str::<Vec<String>>(content).unwrap())
        .collect();
    let expected: Vec<_> = (0..600).map(|number| format!("p-{number}")).collect();
    assert_eq!(asked, expected);
}

#[test]
fn a_server_that_stops_writes_who_read_before_it_closes_its_ledgers() {
    let server = Server::with(late(), None);
    let (writer, reader) =
        (server.token(Role::Writer, None), server.token(Role::Investigator, None));
    server.post(&writer, &prompt("p", "s", "hello"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let options = ServeOptions { listener, tls: None, drain: Duration::from_secs(5) };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = server.runtime.spawn(serve(server.app.clone(), options, async move {
        drop(stopped.await);
    }));
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "GET /v1/ledgers/main/records/p HTTP/1.1\r\nhost: whence\r\nconnection: close\r\n\
         authorization: Bearer {reader}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(server.of_kinds(&["log_access"]).len(), 0, "it is to be written at the end");

    drop(stop);
    server.runtime.block_on(serving).unwrap().unwrap();
    let found = server.of_kinds(&["log_access"]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0["data"]["actor"], server.token_id(&reader));
    // From now on nothing would be written, so nothing is shown.
    assert_eq!(server.get("/v1/ledgers/main/records/p", &reader).code(), "reading_unlogged");
}

#[test]
fn a_client_cannot_post_what_says_who_read() {
    let server = Server::new();
    let writer = server.token(Role::Writer, None);
    let mut forged = prompt("p", "s", "hello");
    forged["kind"] = json!("log_access");
    forged["data"] = json!({ "actor": "tok_1", "operation": "record" });
    assert_eq!(server.post(&writer, &forged).code(), "kind_reserved");
}

#[test]
fn admins_and_investigators_see_who_read_newest_first_and_that_is_logged_too() {
    let server = Server::with(soon(), None);
    let writer = server.token(Role::Writer, None);
    let (reader, admin) = (server.token(Role::Investigator, None), server.token(Role::Admin, None));
    for number in 0..20 {
        server.post(&writer, &Value::Array(chain(number)));
    }
    for (calls, id) in [(1, "api-1"), (2, "api-2"), (3, "api-3")] {
        server.get(&format!("/v1/ledgers/main/records/{id}"), &reader);
        server.read_by(calls);
    }
    server.get("/v1/ledgers/main/export", &reader);
    server.read_by(4);

    let list = |token: &str, query: &str| {
        let answer = server.get(&format!("/v1/ledgers/main/accesses{query}"), token);
        assert_eq!(answer.status, StatusCode::OK);
        answer.json()
    };
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = list(&admin, &format!("?limit=1{after}"));
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= 1);
        seen.extend(data.iter().map(|record| {
            let asked = record["content"][0]["value"][0].clone();
            (record["entry"]["kind"].clone(), record["entry"]["data"]["actor"].clone(), asked)
        }));
        let Some(next) = page["list_metadata"]["after"].as_str() else { break };
        after = format!("&after={next}");
    }
    let reader_id = server.token_id(&reader);
    assert!(seen.iter().filter(|(_, actor, _)| *actor == reader_id).count() >= 5);
    let of_reader = seen.iter().filter(|(_, actor, _)| *actor == reader_id);
    let of_reader: Vec<_> =
        of_reader.map(|(kind, _, asked)| (kind.as_str().unwrap(), asked)).collect();
    assert_eq!(of_reader.last().unwrap().1, "api-1");
    assert!(of_reader.iter().any(|(kind, _)| *kind == "log_export"));
    // What the admin looked at is there as well, some time later.
    let started = Instant::now();
    while !server.of_kinds(&["log_access"]).iter().any(|(entry, _)| {
        entry["data"]["operation"] == "accesses"
            && entry["data"]["actor"] == server.token_id(&admin)
    }) {
        assert!(started.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn polls_that_find_nothing_new_leave_nothing() {
    let server = Server::with(soon(), None);
    let reader = server.token(Role::Investigator, None);
    let path = "/v1/ledgers/main/searches/siem";
    assert_eq!(server.call("PUT", path, &reader, "{}").status, StatusCode::CREATED);
    let poll = |after: u64| server.get(&format!("{path}/poll?after={after}"), &reader).body;
    for _ in 0..5 {
        poll(1_000);
    }
    poll(0);
    let found = server.read_by(1);
    assert_eq!(found[0].0["data"]["operation"], "poll");
    assert_eq!(found[0].1, r#"["siem: "]"#);
}

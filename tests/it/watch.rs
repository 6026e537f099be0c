//! Ledgers are watched: findings are sealed once, and webhooks are told of them, whatever happens.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use data_encoding::BASE64;
use serde_json::{Value, json};
use whence::access::Role;
use whence::canon::hmac_sha256;
use whence::http::Limits;
use whence::watch::{DETECTIONS, Raises};

use crate::api::Server;
use crate::log::prompt;

const HOOK: &str = "/v1/ledgers/main/webhooks/siem";

fn quick() -> Limits {
    Limits {
        watch_interval: Some(Duration::from_millis(20)),
        webhook_retry: Duration::from_millis(10),
        ..Limits::default()
    }
}

/// What somebody was sent.
#[derive(Clone, Debug)]
struct Sent {
    id: String,
    timestamp: String,
    signature: String,
    body: String,
}

impl Sent {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A receiver of webhooks, on a port of its own.
struct Receiver {
    url: String,
    taken: Arc<Mutex<Vec<Sent>>>,
    /// Requests that are answered with 500.
    failing: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook?key=in-the-path", listener.local_addr().unwrap());
        let receiver = Self {
            url,
            taken: Arc::default(),
            failing: Arc::default(),
            failed: Arc::default(),
            stop: Arc::default(),
        };
        let (taken, stop) = (receiver.taken.clone(), receiver.stop.clone());
        let (failing, failed) = (receiver.failing.clone(), receiver.failed.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream = stream.unwrap();
                let sent = receive(&mut stream);
                let fails = failing
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                    .is_ok();
                let status = if fails { "500 No" } else { "204 Taken" };
                if fails {
                    failed.fetch_add(1, Ordering::SeqCst);
                } else {
                    taken.lock().unwrap().push(sent);
                }
                let answer =
                    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        receiver
    }

    /// What was taken, once it is as much as this.
    fn taken(&self, count: usize) -> Vec<Sent> {
        wait(|| Some(self.taken.lock().unwrap().clone()).filter(|taken| taken.len() >= count))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let host = self.url.trim_start_matches("http://").split('/').next().unwrap();
        drop(TcpStream::connect(host));
    }
}

fn receive(stream: &mut TcpStream) -> Sent {
    let mut reader = BufReader::new(stream);
    let mut sent = Sent {
        id: String::new(),
        timestamp: String::new(),
        signature: String::new(),
        body: String::new(),
    };
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        match name.to_lowercase().as_str() {
            "webhook-id" => value.clone_into(&mut sent.id),
            "webhook-timestamp" => value.clone_into(&mut sent.timestamp),
            "webhook-signature" => value.clone_into(&mut sent.signature),
            "content-length" => length = value.parse().unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    sent.body = String::from_utf8(body).unwrap();
    sent
}

fn wait<T>(found: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "it does not come");
        thread::sleep(Duration::from_millis(5));
    }
}

/// An API call that a gateway saw and nothing explains: it is sealed with a flag.
fn orphan(number: u64) -> Value {
    let mut call = prompt(&format!("call-{number}"), "s", "");
    call["kind"] = json!("api_call");
    call["agent"] = json!({ "id": "agent" });
    call["source"] = json!({ "observed_by": "egress_proxy", "producer": "proxy" });
    call["data"] = json!({ "method": "GET", "url": "https://a.example/", "status_code": 200 });
    call.as_object_mut().unwrap().remove("content");
    call
}

/// An agent that has used one tool many times, and then uses another one: a finding.
fn first_use() -> Value {
    let mut records = vec![prompt("asked", "s", "Go on.")];
    for number in 0..21 {
        let mut invocation = prompt(&format!("use-{number}"), "s", "");
        invocation["kind"] = json!("tool_invocation");
        invocation["agent"] = json!({ "id": "agent" });
        invocation["delegation"] = json!("jti-7f");
        invocation["causes"] = json!([{ "id": "asked", "rel": "triggered_by" }]);
        let tool = if number < 20 { "look" } else { "delete_all" };
        invocation["data"] = json!({ "tool": tool, "effect": "read" });
        invocation["content"] = json!({ "arguments": {} });
        records.push(invocation);
    }
    Value::Array(records)
}

fn findings(server: &Server, count: usize) -> Vec<Value> {
    let found = wait(|| {
        Some(server.of_kinds(&["flag", "capture_gap"])).filter(|found| found.len() >= count)
    });
    found.into_iter().map(|(entry, _)| entry).collect()
}

#[test]
fn a_finding_is_sealed_once_whatever_becomes_of_the_state() {
    let mut server = Server::with(quick(), None);
    let writer = server.token(Role::Writer, None);
    // Nobody can take the id of the finding first.
    let seq = 22;
    let taken = server.post(&writer, &prompt(&format!("flag.tool_first_use.{seq}"), "s", "mine"));
    assert_eq!(taken.json()["errors"][0]["pointer"], "/id");
    server.post(&writer, &first_use());
    let found = findings(&server, 1);
    assert_eq!(found[0]["id"], format!("flag.tool_first_use.{seq}"));
    assert_eq!(found[0]["data"]["code"], "tool_first_use");
    assert_eq!(found[0]["causes"][0]["id"], "use-20");
    assert_eq!(found[0]["session"]["id"], "s");
    assert_eq!(found[0]["user"]["id"], "alice@example.com");
    let reader = server.token(Role::Investigator, None);
    let path = format!(
        "/v1/ledgers/main/records?q=flag:tool_first_use%20session:s&wait_for={}",
        found[0]["seq"]
    );
    assert_eq!(server.get(&path, &reader).json()["total"], 1, "it is found as what it raises");
    for way in ["", "/why"] {
        let seen = server.get(&format!("/v1/ledgers/main/records/use-20{way}"), &reader).json();
        let raised = seen.pointer("/raised/0").or(seen.pointer("/nodes/data/0/raised/0"));
        assert_eq!(raised.unwrap()["flag"], "tool_first_use", "{seen}");
        assert_eq!(raised.unwrap()["id"], found[0]["id"]);
    }
    for kept in [true, false] {
        server = restarted(server, kept);
        let writer = server.token(Role::Writer, None);
        server.post(&writer, &prompt(&format!("after-{kept}"), "s", "more"));
        wait_until_watched(&server);
        let found = findings(&server, 1);
        let found = found.iter().filter(|entry| entry["data"]["code"] == "tool_first_use");
        assert_eq!(found.count(), 1);
    }
}

/// Waits until everything that is in the ledger was watched: what comes after it is told.
fn wait_until_watched(server: &Server) {
    let writer = server.token(Role::Writer, None);
    let size = server.ledger().view().size();
    let mut grant = prompt(&format!("grant-{size}"), "s", "");
    grant["kind"] = json!("delegation_grant");
    grant["data"] = json!({
        "audience": ["x"], "credential": { "id": "c", "type": "jwt" }, "delegate": "alice@example.com",
        "delegation": format!("d-{size}"), "expires_at": "2026-11-24T17:00:00Z",
        "issued_at": "2026-11-24T00:00:00Z", "issuer": "i", "lifetime_basis": "grant", "scopes": ["x"],
        "subject": "alice@example.com",
    });
    grant.as_object_mut().unwrap().remove("content");
    assert_eq!(server.post(&writer, &grant).status, StatusCode::CREATED);
    wait(|| {
        let found = server.of_kinds(&["flag"]);
        found.iter().any(|(entry, _)| entry["causes"][0]["id"] == grant["id"]).then_some(())
    });
}

/// The same folder with another server on it, with or without the file of what was watched.
fn restarted(server: Server, kept: bool) -> Server {
    let folder = server.stopped();
    let file = folder.path().join("ledgers/main/watch.json");
    assert!(file.exists());
    if !kept {
        fs::remove_file(file).unwrap();
    }
    Server::on(folder, &[], quick(), None)
}

#[test]
fn a_webhook_is_told_in_order_and_signed_of_all_that_is_flagged_after_failures_and_restarts() {
    let receiver = Receiver::start();
    let server = Server::with(quick(), None);
    let (writer, admin) = (server.token(Role::Writer, None), server.token(Role::Admin, None));
    server.post(&writer, &orphan(0));
    let flags = ["orphan_api_call", "tool_first_use"];
    let wanted = json!({ "url": receiver.url, "flags": flags }).to_string();
    let made = server.call("PUT", HOOK, &admin, wanted.clone());
    assert_eq!(made.status, StatusCode::CREATED);
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    receiver.failing.store(3, Ordering::SeqCst);
    for number in 1..5 {
        server.post(&writer, &json!([prompt(&format!("p{number}"), "s", "x"), orphan(number)]));
    }
    let sent = receiver.taken(4);
    assert_eq!(receiver.failed.load(Ordering::SeqCst), 3);
    let key = BASE64.decode(secret.strip_prefix("whsec_").unwrap().as_bytes()).unwrap();
    for sent in &sent {
        let signed = format!("{}.{}.{}", sent.id, sent.timestamp, sent.body);
        let signature = BASE64.encode(&hmac_sha256(&key, &[signed.as_bytes()]));
        assert_eq!(sent.signature, format!("v1,{signature}"));
        assert_eq!(sent.json()["id"], sent.id);
        assert_eq!(sent.json()["flags"][1]["code"], "orphan_api_call");
    }
    // It is no receiver for a while, and the server is another one afterwards.
    receiver.failing.store(u64::MAX, Ordering::SeqCst);
    server.post(&writer, &first_use());
    server.post(&writer, &orphan(5));
    wait(|| server.get(HOOK, &admin).json()["failing_since"].is_string().then_some(()));
    assert_eq!(server.get(HOOK, &admin).json()["last_status"], 500);
    let again = server.call("PUT", HOOK, &admin, wanted);
    assert_eq!(again.status, StatusCode::OK);
    assert!(again.json().get("secret").is_none());
    findings(&server, 1);
    let server = Server::on(server.stopped(), &[], quick(), None);
    let writer = server.token(Role::Writer, None);
    receiver.failing.store(0, Ordering::SeqCst);
    server.post(&writer, &orphan(6));
    let sent = receiver.taken(7);
    let seqs: Vec<_> = sent.iter().map(|sent| sent.json()["seq"].as_u64().unwrap()).collect();
    let records: BTreeSet<_> =
        sent.iter().map(|sent| sent.json()["record"].as_str().unwrap().to_owned()).collect();
    assert!(seqs.is_sorted(), "{seqs:?}");
    for number in 1..7 {
        assert!(records.contains(&format!("call-{number}")), "{records:?}");
    }
    assert!(records.iter().any(|id| id.starts_with("flag.tool_first_use.")), "{records:?}");
    assert!(!records.contains("call-0"), "that was before");
}

#[test]
fn a_webhook_is_told_only_of_what_it_is_for_and_of_nothing_once_it_is_removed() {
    let receiver = Receiver::start();
    let server = Server::with(quick(), None);
    let (writer, admin) = (server.token(Role::Writer, None), server.token(Role::Admin, None));
    let wanted = json!({ "url": receiver.url, "flags": ["tool_first_use"], "min_severity": "low" });
    assert_eq!(server.call("PUT", HOOK, &admin, wanted.to_string()).status, StatusCode::CREATED);
    server.post(&writer, &orphan(1));
    server.post(&writer, &first_use());
    let sent = receiver.taken(1).pop().unwrap().json();
    assert_eq!(sent["flags"], json!([{ "code": "tool_first_use", "severity": "low" }]));
    assert_eq!((&sent["about"], &sent["user"]), (&json!(["use-20"]), &json!("alice@example.com")));
    assert_eq!(receiver.taken(1).len(), 1);
    assert_eq!(server.call("DELETE", HOOK, &admin, "").status, StatusCode::NO_CONTENT);
    assert_eq!(server.get(HOOK, &admin).code(), "webhook_unknown");

    // Each change is in the ledger, without the secret and without the path.
    let changes = format!("{:?}", server.of_kinds(&["config_change"]));
    assert_eq!(server.of_kinds(&["config_change"]).len(), 2);
    assert!(changes.contains("http://127.0.0.1") && !changes.contains("in-the-path"));
    assert!(!changes.contains("whsec_"));
}

#[test]
fn only_an_admin_keeps_webhooks_and_only_such_as_can_be() {
    let server = Server::with(quick(), None);
    let (reader, admin) = (server.token(Role::Investigator, None), server.token(Role::Admin, None));
    let right = json!({ "url": "https://siem.example/x" }).to_string();
    assert_eq!(server.call("PUT", HOOK, &reader, right.clone()).status, StatusCode::FORBIDDEN);
    for (wrong, code) in [
        (json!({ "url": "ftp://siem.example" }), "webhook_invalid"),
        (json!({ "url": "https://me:secret@siem.example/" }), "webhook_invalid"),
        (json!({ "url": "https://siem.example", "flags": ["nothing"] }), "webhook_invalid"),
        (json!({ "flags": [] }), "json_invalid"),
    ] {
        assert_eq!(server.call("PUT", HOOK, &admin, wrong.to_string()).code(), code, "{wrong}");
    }
    for number in 0..16 {
        let path = format!("/v1/ledgers/main/webhooks/h{number}");
        assert_eq!(server.call("PUT", &path, &admin, right.clone()).status, StatusCode::CREATED);
    }
    assert_eq!(server.call("PUT", HOOK, &admin, right).code(), "too_many_webhooks");
    let list = server.get("/v1/ledgers/main/webhooks", &admin).json();
    assert_eq!(list["data"].as_array().unwrap().len(), 16);
    assert!(!list.to_string().contains("whsec_"));
}

#[test]
fn the_document_says_what_the_table_of_detections_says() {
    let mut rows =
        vec!["| id | raises | severity | when |".to_owned(), "|---|---|---|---|".to_owned()];
    let mut numbers =
        vec!["| detection | number | value | what |".to_owned(), "|---|---|---|---|".to_owned()];
    for row in DETECTIONS {
        let kind = match row.raises {
            Raises::Flag(_) => "flag",
            Raises::Gap(_) => "capture_gap",
        };
        assert_eq!(row.id, row.raises.as_str(), "one name for both");
        rows.push(format!("| `{}` | `{kind}` | {} | {} |", row.id, row.severity, row.description));
        for number in row.parameters {
            numbers.push(format!(
                "| `{}` | `{}` | {} | {} |",
                row.id, number.name, number.value, number.what
            ));
        }
    }
    let document = fs::read_to_string("schema/DETECTIONS.md").unwrap();
    let found: Vec<_> = document.lines().filter(|line| line.starts_with('|')).collect();
    let expected = [rows, numbers].concat();
    assert_eq!(found, expected, "\n{}", expected.join("\n"));
}

//! What a client cannot make the server do: hold much, wait long, run out of files, or forget what it
//! took.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use http_body_util::channel::Channel;
use serde_json::{Value, json};
use tower::ServiceExt;
use whence::access::Role;
use whence::http::Limits;
use whence::store::{Faults, Step};

use crate::api::Server;
use crate::cli::Serving;
use crate::log::prompt;

/// A plain connection to a server.
fn connect(url: &str) -> TcpStream {
    let stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// Posts a record over a connection that stays open, and says with which status it was answered.
fn post(stream: &mut TcpStream, token: &str, record: &Value) -> io::Result<u16> {
    let body = record.to_string();
    let head = format!(
        "POST /v1/ledgers/main/records HTTP/1.1\r\nhost: whence\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    answer(stream)
}

/// Reads one answer with an announced length.
fn answer(stream: &mut TcpStream) -> io::Result<u16> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.split("content-length: ").nth(1).map(|rest| rest.split("\r\n").next());
    let length: usize = length.flatten().map_or(0, |length| length.parse().unwrap());
    stream.read_exact(&mut vec![0; length])?;
    Ok(head[9..12].parse().unwrap())
}

/// KiB of memory that a process has.
fn resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Sends a body without end, and says how many bytes went out before the answer came, and which.
fn pour(url: &str, head: &str, chunk: &[u8]) -> (usize, u16) {
    let mut stream = connect(url);
    let answered = Arc::new(AtomicBool::new(false));
    let mut reading = stream.try_clone().unwrap();
    let seen = Arc::clone(&answered);
    let reader = thread::spawn(move || {
        let status = answer(&mut reading);
        seen.store(true, Ordering::SeqCst);
        status.unwrap()
    });
    stream.write_all(head.as_bytes()).unwrap();
    let mut sent = 0;
    while sent < 100_000_000 && !answered.load(Ordering::SeqCst) {
        if stream.write_all(chunk).is_err() {
            break;
        }
        sent += chunk.len();
    }
    (sent, reader.join().unwrap())
}

#[test]
fn a_body_of_100_mb_is_refused_early_and_takes_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(folder.path(), &[]);
    let token = fs::read_to_string(folder.path().join("data/admin.token")).unwrap();
    let token = token.trim_end();
    let head = |kind: &str, length: &str| {
        format!(
            "POST /v1/ledgers/main/records HTTP/1.1\r\nhost: whence\r\nauthorization: Bearer \
             {token}\r\ncontent-type: {kind}\r\n{length}\r\n\r\n"
        )
    };
    // The index takes memory of its own once it is open, which is soon after the start.
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
    let search = agent.get(format!("{}/v1/ledgers/main/records?wait_for=0", serving.url));
    search.header("authorization", format!("Bearer {token}")).call().unwrap();
    let before = resident_kib(serving.process());
    let announced = head("application/json", "content-length: 100000000");
    let chunked = head("application/x-ndjson", "transfer-encoding: chunked");
    let spaces = vec![b' '; 64 * 1024];
    // One byte and a line feed: as many records as fit.
    let mut lines = b"10000\r\n".to_vec();
    lines.extend(b"1\n".repeat(32 * 1024));
    lines.extend(b"\r\n");
    for _ in 0..4 {
        for (head, chunk) in [(&announced, &spaces), (&chunked, &lines)] {
            let (sent, status) = pour(&serving.url, head, chunk);
            assert_eq!(status, 413);
            // What is on its way when the server answers depends on who runs when.
            assert!(sent < 50_000_000, "{sent} bytes went out before the refusal");
        }
    }
    let after = resident_kib(serving.process());
    assert!(after < before + 64 * 1024, "{before} KiB became {after} KiB");

    // Deep JSON is refused at once, whatever follows it.
    let deep = b"[".repeat(10_000);
    let length = format!("content-length: {}", deep.len());
    let mut stream = connect(&serving.url);
    stream.write_all(head("application/json", &length).as_bytes()).unwrap();
    stream.write_all(&deep).unwrap();
    assert!(matches!(answer(&mut stream).unwrap(), 400 | 422));
    serving.stop();
}

#[test]
fn idle_connections_take_neither_the_last_file_nor_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start_with_files(folder.path(), 256);
    let token = fs::read_to_string(folder.path().join("data/admin.token")).unwrap();
    let token = token.trim_end();
    let mut early = connect(&serving.url);
    assert_eq!(post(&mut early, token, &prompt("p-0", "s", "x")).unwrap(), 201);

    let mut idle = Vec::new();
    for _ in 0..400 {
        idle.push(connect(&serving.url));
    }
    for number in 1..20 {
        let record = prompt(&format!("p-{number}"), "s", "x");
        assert_eq!(post(&mut early, token, &record).unwrap(), 201, "commits go on");
    }
    // Those that send nothing are closed after a while, and make room for others.
    assert_eq!(idle[0].read(&mut [0]).unwrap_or(0), 0, "it was closed");
    let late = (0..100).find_map(|_| {
        thread::sleep(Duration::from_millis(100));
        post(&mut connect(&serving.url), token, &prompt("late", "s", "x")).ok()
    });
    assert_eq!(late, Some(201));
    drop(idle);
    serving.stop();
}

#[test]
fn a_body_that_stalls_keeps_nobody_else_out_and_is_given_up() {
    let limits = Limits {
        bodies_kib_max: 64,
        body_stall_max: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = Server::with(limits, None);
    let writer = server.token(Role::Writer, None);
    let stalled: Vec<_> = (0..20)
        .map(|_| {
            let (sender, body) = Channel::<axum::body::Bytes, io::Error>::new(1);
            let request = Request::builder().method("POST").uri("/v1/ledgers/main/records");
            let request = request.header(header::AUTHORIZATION, format!("Bearer {writer}"));
            let request = request.header(header::CONTENT_LENGTH, 4 << 20);
            let request = request.body(Body::new(body)).unwrap();
            (sender, server.runtime.spawn(server.router.clone().oneshot(request)))
        })
        .collect();
    let answer = server.post(&writer, &prompt("p", "s", "x"));
    assert_eq!(answer.status.as_u16(), 201);
    for (sender, request) in stalled {
        let response = server.runtime.block_on(request).unwrap().unwrap();
        assert_eq!(response.status().as_u16(), 408);
        drop(sender);
    }
}

/// Holds up every commit until it is opened.
#[derive(Debug, Default)]
pub(crate) struct Dam {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Dam {
    pub(crate) fn set(&self, open: bool) {
        *self.open.lock().unwrap() = open;
        self.opened.notify_all();
    }
}

impl Faults for Dam {
    fn before(&self, step: Step) -> io::Result<()> {
        if step == Step::Sync {
            let open = self.open.lock().unwrap();
            drop(self.opened.wait_while(open, |open| !*open).unwrap());
        }
        Ok(())
    }

    fn after(&self, _: Step) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_queue_is_429_and_drains() {
    let dam = Arc::new(Dam::default());
    dam.set(true);
    let server = Server::with(Limits::default(), Some(dam.clone()));
    let writer = server.token(Role::Writer, None);
    dam.set(false);
    let text = "x".repeat(1_000_000);
    let send = |number: usize| {
        let request = Request::builder().method("POST").uri("/v1/ledgers/main/records");
        let request = request.header(header::AUTHORIZATION, format!("Bearer {writer}"));
        let record = prompt(&format!("p-{number}"), "s", &text).to_string();
        server
            .runtime
            .spawn(server.router.clone().oneshot(request.body(Body::from(record)).unwrap()))
    };
    // The queue takes 64 MiB, and a few batches are on their way.
    let mut waiting: Vec<_> = (0..110).map(send).collect();
    let refused = server.runtime.block_on(async {
        loop {
            if let Some(place) = waiting.iter().position(tokio::task::JoinHandle::is_finished) {
                break waiting.swap_remove(place).await.unwrap().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert_eq!(refused.status().as_u16(), 429);
    assert_eq!(refused.headers()[header::RETRY_AFTER], "1");
    assert_eq!(refused.headers()[header::CONTENT_TYPE], "application/problem+json");

    dam.set(true);
    let mut taken = 0;
    for request in waiting {
        match server.runtime.block_on(request).unwrap().unwrap().status().as_u16() {
            201 => taken += 1,
            status => assert_eq!(status, 429),
        }
    }
    assert!(taken >= 50, "{taken}");
    let after = server.post(&writer, &prompt("after", "s", "x"));
    assert_eq!(after.status.as_u16(), 201);
    let size = server.get("/v1/ledgers/main", &writer).json()["size"].clone();
    assert_eq!(size, json!(taken + 2), "what was refused is not in the log");
}

#[test]
fn a_server_that_is_told_to_stop_answers_what_it_took_and_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(folder.path(), &[]);
    let token = fs::read_to_string(folder.path().join("data/admin.token")).unwrap();
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let mut clients = Vec::new();
    for client in 0..8 {
        let (url, token) = (serving.url.clone(), token.trim_end().to_owned());
        let acknowledged = Arc::clone(&acknowledged);
        clients.push(thread::spawn(move || {
            let mut stream = connect(&url);
            for number in 0.. {
                let id = format!("c{client}-{number}");
                match post(&mut stream, &token, &prompt(&id, &format!("s-{client}"), "x")) {
                    Ok(status) => assert_eq!(status, 201),
                    Err(_) => return,
                }
                acknowledged.lock().unwrap().push(id);
            }
        }));
    }
    while acknowledged.lock().unwrap().len() < 200 {
        thread::sleep(Duration::from_millis(5));
    }
    serving.stop();
    for client in clients {
        client.join().unwrap();
    }

    let acknowledged = acknowledged.lock().unwrap();
    let serving = Serving::start(folder.path(), &[]);
    let (size, missing) = serving.look_up(token.trim_end(), &acknowledged);
    assert!(missing.is_empty(), "acknowledged and gone: {missing:?}");
    // The genesis record, and nothing that was taken without an answer.
    assert_eq!(size, u64::try_from(acknowledged.len()).unwrap() + 1);
    serving.stop();
}

//! A server that is killed after it answered: what it answered for is told by the next one.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;

/// A server in a process of its own, and where it listens.
struct Process {
    child: Child,
    address: String,
}

impl Process {
    fn start(data: &Path, settle: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_whence"))
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "error", "--data"])
            .arg(data)
            .env("WHENCE_TELEMETRY_SETTLE", settle)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .map_while(Result::ok)
            .find_map(|line| Some(line.strip_prefix("listening on http://")?.to_owned()));
        Self { child, address: address.unwrap() }
    }

    /// Sends a request on a connection of its own, and gives the whole answer.
    fn ask(&self, method: &str, path: &str, token: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: whence\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
             content-type: {PROTOBUF}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL: nothing is finished, nothing is written.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn what_was_answered_is_told_after_the_server_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let made =
        Command::new(env!("CARGO_BIN_EXE_whence")).args(["init", "--data"]).arg(&data).output();
    assert!(made.unwrap().status.success());
    let token = std::fs::read_to_string(data.join("admin.token")).unwrap().trim().to_owned();
    for trace in 1..=5 {
        // Some are killed before anything is due, some while it is told.
        let settle = if trace % 2 == 0 { "0.01" } else { "60" };
        let server = Process::start(&data, settle);
        let post = spans(vec![chat(trace, 1, 0, &format!("Pay {trace}."))]);
        let answer = server.ask("POST", "/v1/traces", &token, &post.encode_to_vec());
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let server = Process::start(&data, "0.05");
    let began = Instant::now();
    loop {
        let answer = server.ask("GET", "/v1/ledgers/main", &token, b"");
        // A prompt and an output for each, and the genesis.
        if answer.contains("\"size\":11") {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{answer}");
        thread::sleep(Duration::from_millis(20));
    }
}

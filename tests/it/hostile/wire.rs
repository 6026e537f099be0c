//! What is not even a request, over a socket.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use whence::http::{ServeOptions, serve};

use super::mutate::{self, Rng};
use super::requests::{Case, mutated, valid};
use super::server::{CANARY, Server, allocated, count_panics};
use super::{in_parallel, seed};

/// Connections of one run.
const CASES: u64 = 1_500;
/// How long a server may think about an unfinished request before the client ends its side.
const PATIENCE: Duration = Duration::from_millis(40);
/// How long a connection may take after that.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How much memory all of it may add.
const GROWTH_MAX: u64 = 96 << 20;

/// Openings that are nobody's valid request.
const OPENINGS: &[&[u8]] = &[
    b"",
    b"\r\n\r\n\r\n",
    b"\0\0\0\0",
    b"GET\r\n\r\n",
    b"GET /healthz\r\n\r\n",
    b"GET /healthz HTTP/0.9\r\n\r\n",
    b"GET /healthz HTTP/3.0\r\n\r\n",
    b"GET  /healthz  HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\nHost: x\n\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHo\0st: x\r\n\r\n",
    b"GET http://other.example/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT other.example:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /v1/ledgers HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/ledgers HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    b"POST /v1/ledgers HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/ledgers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    b"POST /v1/ledgers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nab\r\n0\r\n\r\n",
    b"POST /v1/ledgers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked, x\r\n\r\n",
    b"POST /v1/ledgers HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: upgrade, http2-settings\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\xff\xff\xff\x01\x05\0\0\0\x01",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x03\x01\x05\0\0\0\x01\x82\x87\x84",
    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
];

#[test]
#[ignore = "run by another test, in a process of its own"]
fn garbage() {
    count_panics();
    let server = Server::new();
    println!("seed {}, {CASES} connections", seed());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let options = ServeOptions { listener, tls: None, drain: Duration::from_secs(5) };
    let serving = server.runtime.spawn(serve(server.app.clone(), options, async {
        drop(stopped.await);
    }));
    let before = allocated();
    let statuses = in_parallel(CASES, |number| one(&server, address, number));
    let growth = allocated().saturating_sub(before);
    println!("{statuses:?}, {} MiB more in memory", growth >> 20);
    server.still_works();
    stop.send(()).unwrap();
    server.runtime.block_on(serving).unwrap().unwrap();

    assert!(growth < GROWTH_MAX, "{growth} bytes more after {CASES} connections");
    assert!(statuses.contains_key(&Some(201)), "some have to get through");
    assert!(statuses.contains_key(&Some(400)), "some have to be refused");
}

/// Sends one case, looks at the answer, and gives the status of it.
fn one(server: &Server, address: SocketAddr, number: u64) -> Option<u16> {
    let mut rng = Rng::new(seed(), 1 << 40 | number);
    let bytes = if rng.one_in(4) {
        let mut bytes = rng.pick(OPENINGS).to_vec();
        if rng.one_in(2) {
            mutate::bytes(&mut rng, &mut bytes);
        }
        bytes
    } else {
        let case = valid(&mut rng, server, 1 << 40 | number);
        let case = if rng.one_in(10) { case } else { mutated(&mut rng, case) };
        let mut bytes = written(&case);
        if rng.one_in(2) {
            // In the head, most of the time: bodies get their share elsewhere.
            let end = bytes.len().min(400);
            let mut head = bytes[..end].to_vec();
            mutate::bytes(&mut rng, &mut head);
            bytes.splice(..end, head);
        }
        bytes
    };
    let answer = exchange(address, &bytes);
    let text = String::from_utf8_lossy(&answer);
    let status = text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
    let shown = || String::from_utf8_lossy(&bytes[..bytes.len().min(2_000)]).into_owned();
    let which = format!("connection {number} of seed {}", seed());
    assert!(!text.contains("HTTP/1.1 5"), "{which}: {text}\n{}", shown());
    let token = server.tokens.iter().find(|token| text.contains(token.as_str()));
    assert_eq!(token, None, "{which}: {text}\n{}", shown());
    if status.is_some_and(|status: u16| status >= 400) {
        assert!(!text.contains(CANARY), "{which}: {text}\n{}", shown());
        // What is no request at all is refused by the HTTP library, without a body.
        let problem = text.contains("content-type: application/problem+json");
        let empty = text.ends_with("\r\n\r\n");
        assert!(problem || empty, "{which}: {text}\n{}", shown());
    }
    status
}

fn written(case: &Case) -> Vec<u8> {
    let Case { method, target, headers, body } = case;
    let mut bytes =
        format!("{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    if !headers.iter().any(|(name, _)| name == "content-length") {
        bytes.extend(format!("content-length: {}\r\n", body.len()).bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    bytes
}

/// Everything that the server answers on a connection of its own.
fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_write_timeout(Some(TIMEOUT)).unwrap();
    // The server may answer, and close, before it has taken everything.
    drop(stream.write_all(bytes));
    let mut answer = Vec::new();
    for (timeout, last) in [(PATIENCE, false), (TIMEOUT, true)] {
        stream.set_read_timeout(Some(timeout)).unwrap();
        match stream.read_to_end(&mut answer) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                assert!(!last, "the server keeps a connection that was ended");
                drop(stream.shutdown(Shutdown::Write));
            }
            Ok(_) | Err(_) => break,
        }
    }
    answer
}

//! Streamable HTTP: bodies pass as they come, and headers but those of a connection.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use whence::proxy::mcp::http::serve;

use super::{captured, check_capture, gateway};
use crate::front::{Front, keeps};
use crate::receiver::Receiver;
use crate::wire::{Arrived, Head, Scripted, request, send};

/// Headers that stay on a connection.
const OF_CONNECTION: [&str; 5] =
    ["connection", "keep-alive", "transfer-encoding", "host", "content-length"];

/// A proxy in front of a server.
fn start(receiver: &Receiver, upstream: &str, enforce: bool) -> Front {
    let (gateway, upstream) = (gateway(&receiver.url, enforce), upstream.to_owned());
    Front::start(receiver, move |listener, teller, stop| async move {
        serve(gateway, &teller, (listener, &upstream), stop).await
    })
}

fn end_to_end(headers: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut headers = headers.clone();
    for name in OF_CONNECTION {
        headers.remove(name);
    }
    headers
}

/// The headers of a captured message, by their names in small letters.
fn headers(http: &Value) -> BTreeMap<String, String> {
    let pairs = http["headers"].as_array().unwrap().iter();
    let pair = |pair: &Value| {
        (pair[0].as_str().unwrap().to_lowercase(), pair[1].as_str().unwrap().to_owned())
    };
    pairs.map(pair).collect()
}

#[test]
fn captured_traffic_passes_unchanged_and_is_told() {
    let Some(messages) = captured("streamable-http-jsclient.jsonl") else { return };
    let (receiver, server) = (Receiver::start(), Scripted::start());
    let front = start(&receiver, &server.url, false);
    let last = |exchange: u64| {
        let of_it = messages.iter().rposition(|message| message["exchange"] == exchange);
        of_it.unwrap()
    };
    let mut ends: BTreeMap<u64, (Arrived, Option<Head>)> = BTreeMap::new();
    let mut waiting = BTreeMap::new();
    for (place, message) in messages.iter().enumerate() {
        let raw = message["raw"].as_str().unwrap().as_bytes();
        let exchange = message["exchange"].as_u64().unwrap();
        let http = &message["http"];
        if message["dir"] == "c2s" {
            let first =
                format!("{} {}", http["method"].as_str().unwrap(), http["path"].as_str().unwrap());
            let mut sent = headers(http);
            sent.insert("authorization".to_owned(), "Bearer key-of-the-client".to_owned());
            sent.insert("cookie".to_owned(), "cookie-of-the-client".to_owned());
            let pairs = end_to_end(&sent);
            let pairs: Vec<_> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            let client = send(&front.url, &request(&first, &pairs, raw));
            let arrived = server.arrived.recv_timeout(Duration::from_secs(20)).unwrap();
            assert_eq!(arrived.first, format!("{first} HTTP/1.1"));
            assert_eq!(end_to_end(&arrived.headers), end_to_end(&sent));
            assert_eq!(arrived.body, raw);
            assert_eq!(arrived.headers["host"], server.url.strip_prefix("http://").unwrap());
            waiting.insert(exchange, client);
            ends.insert(exchange, (arrived, None));
            continue;
        }
        let (server, client) = ends.get_mut(&exchange).unwrap();
        if message["sse"] == true {
            server.write_chunk(raw);
            // It is here before the next piece is written: nothing waits for more.
            assert_eq!(client.as_mut().unwrap().chunks(raw.len()), raw);
        } else {
            let mut head = format!("HTTP/1.1 {} Fine\r\n", http["status"]);
            for (name, value) in headers(http) {
                head.extend([&name, ": ", &value, "\r\n"]);
            }
            server.write(format!("{head}\r\n").as_bytes());
            let answer = Head::read(waiting.remove(&exchange).unwrap()).unwrap();
            assert!(answer.first.starts_with(&format!("HTTP/1.1 {}", http["status"])));
            assert_eq!(end_to_end(&answer.headers), end_to_end(&headers(http)));
            *client = Some(answer);
        }
        if place == last(exchange) && exchange != 3 && exchange != 29 {
            server.write(b"0\r\n\r\n");
            assert!(client.as_mut().unwrap().chunk().is_empty());
        }
    }
    drop(ends);
    let spool = front.end();
    check_capture(&receiver.spans());
    assert!(receiver.gaps().is_empty());
    assert!(!keeps(&receiver, spool.path(), "of-the-client"), "a secret of the client was kept");
}

fn call(id: u64, tool: &str) -> Vec<u8> {
    let params = json!({ "name": tool, "arguments": {} });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
        .to_string()
        .into_bytes()
}

fn post(front: &Front, headers: &[(&str, &str)], body: &[u8]) -> (Head, Vec<u8>) {
    let mut answer = Head::read(send(&front.url, &request("POST /mcp", headers, body))).unwrap();
    let body = answer.body();
    (answer, body)
}

#[test]
fn two_clients_without_a_session_use_the_same_ids() {
    let (receiver, server) = (Receiver::start(), Scripted::start());
    let front = start(&receiver, &server.url, false);
    let clients =
        ["a", "b"].map(|tool| send(&front.url, &request("POST /mcp", &[], &call(1, tool))));
    let mut arrived: Vec<_> =
        (0..2).map(|_| server.arrived.recv_timeout(Duration::from_secs(20)).unwrap()).collect();
    arrived.sort_by_key(|one| one.body.clone());
    // The second is answered first.
    for (mut one, tool) in arrived.into_iter().zip(["a", "b"]).rev() {
        let answer = json!({ "id": 1, "result": { "content": [tool] } }).to_string();
        let length = answer.len();
        one.write(
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{answer}")
                .as_bytes(),
        );
    }
    for client in clients {
        assert!(Head::read(client).unwrap().body().starts_with(b"{"));
    }
    front.end();
    let spans = receiver.spans();
    assert_eq!(spans.len(), 2);
    for span in spans {
        let tool = span.text("gen_ai.tool.name").to_owned();
        assert_eq!(span.json("gen_ai.tool.call.result"), json!({ "content": [tool] }));
    }
}

#[test]
fn a_call_that_the_server_does_not_answer_is_told_as_failed() {
    let receiver = Receiver::start();
    let refusing =
        b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nwww-authenticate: Bearer\r\n\r\n";
    let front = start(&receiver, &Scripted::always(refusing), false);
    let (answer, _) = post(&front, &[], &call(1, "a"));
    assert!(answer.first.contains("401"));
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    let told = receiver.wait_for(1);
    assert_eq!(told[0].text("error.type"), "401");
    front.end();

    let front = start(&receiver, "http://127.0.0.1:1", false);
    let (answer, _) = post(&front, &[], &call(1, "b"));
    assert!(answer.first.contains("502"));
    let (answer, _) = post(&front, &[("Host", "evil.example")], &call(1, "c"));
    assert!(answer.first.contains("400") || answer.first.contains("421"), "{}", answer.first);
    front.end();
    assert_eq!(receiver.spans().len(), 1, "what never reached the server did not happen");
}

#[test]
fn with_enforcement_only_calls_that_the_log_allows_pass() {
    let receiver = Receiver::start();
    let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 21\r\n\r\n{\"id\":1,\"result\":{}} ";
    let front = start(&receiver, &Scripted::always(answer), true);
    receiver.answer("/preflight", 409, &json!({ "code": "tool_not_in_catalog", "detail": "no" }));
    let (_, body) = post(&front, &[], &call(1, "a"));
    let refused: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(1), &json!(-32_003)));
    let (answer, _) = post(&front, &[("content-encoding", "gzip")], &call(1, "a"));
    assert!(answer.first.contains("415"));
    receiver.answer("/preflight", 201, &json!({}));
    let (_, body) = post(&front, &[], &call(1, "a"));
    assert_eq!(body, b"{\"id\":1,\"result\":{}} ");
    front.end();
    let spans = receiver.spans();
    assert_eq!(spans.len(), 1);
    assert!(spans[0].text("whence.requested").starts_with("mcp-"));
}

#[test]
fn with_enforcement_nothing_passes_that_some_server_could_take_for_a_post() {
    let (receiver, server) = (Receiver::start(), Scripted::start());
    let front = start(&receiver, &server.url, true);
    let call = call(1, "a");
    for method in ["post", "PUT", "PATCH", "GET", "DELETE"] {
        let asked = request(&format!("{method} /mcp"), &[], &call);
        let answer = Head::read(send(&front.url, &asked)).unwrap();
        assert!(answer.first.contains("405"), "{method}: {}", answer.first);
    }
    assert!(server.arrived.try_recv().is_err(), "nothing reached the server");
    front.end();
}

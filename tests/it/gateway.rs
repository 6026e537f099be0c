//! The proxy in front of models' APIs: everything passes unchanged, and each exchange is told as a chat.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use whence::proxy::gateway::{Gateway, Speaks, serve};
use whence::proxy::{Ids, Who};

use crate::front::{Front, keeps};
use crate::receiver::{Receiver, TestMachine, Told};
use crate::wire::{Arrived, Head, Scripted, request, send};

const KEY: &str = "sk-key-of-the-client";
const PATIENCE: Duration = Duration::from_secs(20);

fn start(receiver: &Receiver, upstream: &str, who: Who) -> Front {
    let gateway = Gateway {
        who,
        speaks: Speaks::Any,
        machine: Arc::new(TestMachine),
        ids: Arc::new(Ids::new(&TestMachine).unwrap()),
    };
    let upstream = upstream.to_owned();
    Front::start(receiver, move |listener, teller, stop| async move {
        serve(gateway, &teller, (listener, &upstream), stop).await
    })
}

/// What clients say of themselves, and the key.
fn headers() -> Vec<(&'static str, &'static str)> {
    vec![
        ("authorization", "Bearer sk-key-of-the-client"),
        ("x-api-key", KEY),
        ("whence-user", "alice@example.com"),
        ("whence-session", "s-1"),
        ("whence-agent", "support-agent"),
        ("whence-delegation", "jti-7f"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ]
}

/// One exchange that passes through a gateway: what the server got, and what was told.
fn exchange(path: &str, asked: &Value, answer: Answer<'_>) -> (Arrived, Told) {
    let (receiver, server) = (Receiver::start(), Scripted::start());
    let front = start(&receiver, &server.url, Who::default());
    let body = asked.to_string();
    let path = format!("POST {path}?key={KEY}");
    let client = send(&front.url, &request(&path, &headers(), body.as_bytes()));
    let mut arrived = server.arrived.recv_timeout(PATIENCE).unwrap();
    assert_eq!(arrived.body, body.as_bytes());
    assert_eq!(arrived.first, format!("{path} HTTP/1.1"));
    assert_eq!(arrived.headers["x-api-key"], KEY);
    assert!(!arrived.headers.keys().any(|name| name.starts_with("whence-")), "they go no further");
    match answer {
        Answer::Whole(status, body) => {
            let body = body.to_string();
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\nx-request-id: r-1\r\n"
            );
            arrived.write(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes());
            let mut got = Head::read(client).unwrap();
            assert_eq!(got.headers["x-request-id"], "r-1");
            assert_eq!(got.body(), body.as_bytes());
        }
        Answer::Stream(events) => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n";
            arrived.write(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes());
            let mut got = Head::read(client).unwrap();
            for event in events {
                arrived.write_chunk(event.as_bytes());
                // It is here before the next one is written.
                assert_eq!(got.chunks(event.len()), event.as_bytes());
            }
            arrived.write(b"0\r\n\r\n");
            assert!(got.chunk().is_empty());
        }
    }
    let spool = front.end();
    let spans = receiver.spans();
    assert_eq!(spans.len(), 1);
    let told = spans[0].clone();
    for (name, value) in [
        ("user.id", "alice@example.com"),
        ("session.id", "s-1"),
        ("gen_ai.agent.id", "support-agent"),
        ("whence.delegation", "jti-7f"),
        ("gen_ai.operation.name", "chat"),
    ] {
        assert_eq!(told.text(name), value);
    }
    assert_eq!(told.parent, "b7ad6b7169203331");
    assert!(!keeps(&receiver, spool.path(), KEY), "the key was kept");
    (arrived, told)
}

enum Answer<'a> {
    Whole(u16, Value),
    Stream(&'a [String]),
}

fn events(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| format!("event: x\ndata: {event}\n\n")).collect()
}

fn chat() -> Value {
    json!({
        "model": "gpt-x",
        "messages": [
            { "role": "developer", "content": "Be kind." },
            { "role": "user", "content": [
                { "type": "text", "text": "Where is A-1002?" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBO" } },
            ] },
            { "role": "assistant", "content": null, "tool_calls": [{ "id": "c-1", "type": "function",
                "function": { "name": "look_up", "arguments": "{\"order\":\"A-1002\"}" } }] },
            { "role": "tool", "tool_call_id": "c-1", "content": "in Paris" },
        ],
        "tools": [{ "type": "function", "function": {
            "name": "look_up", "description": "Looks up.", "parameters": { "type": "object" } } }],
    })
}

fn check_chat(told: &Told) {
    assert_eq!(told.text("gen_ai.provider.name"), "openai");
    assert_eq!(told.text("gen_ai.request.model"), "gpt-x");
    assert_eq!(told.text("gen_ai.response.model"), "gpt-x-2026");
    assert_eq!(told.text("gen_ai.response.id"), "r-7");
    assert_eq!(told.attributes["gen_ai.response.finish_reasons"], json!(["tool_calls"]));
    assert_eq!(told.attributes["gen_ai.usage.input_tokens"], json!(21));
    assert_eq!(told.attributes["gen_ai.usage.output_tokens"], json!(9));
    let input = told.json("gen_ai.input.messages");
    assert_eq!(
        input[0],
        json!({ "role": "system", "parts": [{ "type": "text", "content": "Be kind." }] })
    );
    assert_eq!(input[1]["parts"][0], json!({ "type": "text", "content": "Where is A-1002?" }));
    assert_eq!(input[1]["parts"][1]["mime_type"], "image/png");
    let call = json!({ "type": "tool_call", "id": "c-1", "name": "look_up", "arguments": { "order": "A-1002" } });
    assert_eq!(input[2]["parts"], json!([call]));
    let response = json!({ "type": "tool_call_response", "id": "c-1", "response": "in Paris" });
    assert_eq!(input[3], json!({ "role": "tool", "parts": [response] }));
    let tool = json!({ "type": "function", "name": "look_up", "description": "Looks up.",
        "parameters": { "type": "object" } });
    assert_eq!(told.json("gen_ai.tool.definitions"), json!([tool]));
    let again =
        json!({ "type": "tool_call", "id": "c-2", "name": "send", "arguments": { "to": "Ana" } });
    let said = json!([
        { "type": "reasoning", "content": "Hm. So." },
        { "type": "text", "content": "It is in Paris." },
        again,
    ]);
    let output = told.json("gen_ai.output.messages");
    let message = json!({ "role": "assistant", "parts": said, "finish_reason": "tool_calls" });
    assert_eq!(output, json!([message]));
    assert_eq!((told.failed, told.dropped), (false, 0));
}

#[test]
fn chat_completions_are_told_whole_or_streamed() {
    let call = json!({ "id": "c-2", "type": "function",
        "function": { "name": "send", "arguments": "{\"to\":\"Ana\"}" } });
    let message = json!({ "role": "assistant", "content": "It is in Paris.",
        "reasoning_content": "Hm. So.", "tool_calls": [call] });
    let answer = json!({ "id": "r-7", "model": "gpt-x-2026",
        "choices": [{ "index": 0, "message": message, "finish_reason": "tool_calls" }],
        "usage": { "prompt_tokens": 21, "completion_tokens": 9 } });
    let (_, told) = exchange("/v1/chat/completions", &chat(), Answer::Whole(200, answer));
    check_chat(&told);

    let delta = |delta: Value| json!({ "id": "r-7", "model": "gpt-x-2026", "choices": [{ "index": 0, "delta": delta }] });
    let piece = |piece: Value| delta(json!({ "tool_calls": [piece] }));
    let function = |arguments: &str| json!({ "index": 0, "function": { "arguments": arguments } });
    let mut stream = events(&[
        delta(json!({ "role": "assistant", "content": "", "reasoning_content": "Hm. " })),
        delta(json!({ "reasoning_content": "So." })),
        delta(json!({ "content": "It is " })),
        delta(json!({ "content": "in Paris." })),
        piece(json!({ "index": 0, "id": "c-2", "function": { "name": "send", "arguments": "" } })),
        piece(function("{\"to\":")),
        piece(function("\"Ana\"}")),
        json!({ "id": "r-7", "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] }),
        json!({ "id": "r-7", "choices": [], "usage": { "prompt_tokens": 21, "completion_tokens": 9 } }),
    ]);
    stream.push("data: [DONE]\n\n".to_owned());
    let (_, told) = exchange("/v1/chat/completions", &chat(), Answer::Stream(&stream));
    check_chat(&told);
}

#[test]
fn responses_are_told_whole_or_streamed() {
    let asked = json!({
        "model": "gpt-x", "instructions": "Be kind.",
        "input": [
            { "role": "user", "content": [{ "type": "input_text", "text": "Where is A-1002?" }] },
            { "type": "function_call", "call_id": "c-1", "name": "look_up", "arguments": "{}" },
            { "type": "function_call_output", "call_id": "c-1", "output": "in Paris" },
        ],
        "tools": [
            { "type": "function", "name": "look_up", "parameters": { "type": "object" } },
            // The provider calls it by itself, and gets the keys for it in the request.
            { "type": "mcp", "server_label": "bank", "server_url": format!("https://bank.example/?key={KEY}"),
              "authorization": KEY, "headers": { "x-api-key": KEY } },
        ],
    });
    let items = json!([
        { "type": "reasoning", "summary": [{ "type": "summary_text", "text": "Hm." }] },
        { "type": "message", "role": "assistant",
          "content": [{ "type": "output_text", "text": "It is in Paris." }] },
        { "type": "function_call", "call_id": "c-2", "name": "send", "arguments": "{\"to\":\"Ana\"}" },
    ]);
    let answer = json!({ "id": "r-7", "model": "gpt-x-2026", "status": "completed", "output": items,
        "usage": { "input_tokens": 21, "output_tokens": 9 } });
    let stream = events(&[
        json!({ "type": "response.created", "response": { "id": "r-7", "model": "gpt-x-2026" } }),
        json!({ "type": "response.output_text.delta", "output_index": 1, "delta": "It is" }),
        json!({ "type": "response.completed", "response": answer }),
    ]);
    for answer in [Answer::Whole(200, answer), Answer::Stream(&stream)] {
        let (_, told) = exchange("/v1/responses", &asked, answer);
        let instructions = json!([{ "type": "text", "content": "Be kind." }]);
        assert_eq!(told.json("gen_ai.system_instructions"), instructions);
        let input = told.json("gen_ai.input.messages");
        assert_eq!(input[0]["parts"][0]["content"], "Where is A-1002?");
        assert_eq!(input[1]["parts"][0]["id"], "c-1");
        assert_eq!(input[2]["role"], "tool");
        assert_eq!(input[2]["parts"][0]["response"], "in Paris");
        let output = &told.json("gen_ai.output.messages")[0];
        let kinds: Vec<_> =
            output["parts"].as_array().unwrap().iter().map(|p| &p["type"]).collect();
        assert_eq!(kinds, ["reasoning", "text", "tool_call"]);
        assert_eq!(output["parts"][2]["arguments"], json!({ "to": "Ana" }));
        assert_eq!(told.attributes["gen_ai.response.finish_reasons"], json!(["tool_calls"]));
        assert_eq!(told.attributes["gen_ai.usage.input_tokens"], json!(21));
        let tools = told.json("gen_ai.tool.definitions");
        assert_eq!(tools[0]["name"], "look_up");
        assert_eq!(tools[1], json!({ "type": "mcp", "server_label": "bank" }));
    }
}

#[test]
fn calls_in_pieces_without_numbers_and_in_older_forms_are_told_apart() {
    let delta = |delta: Value| json!({ "id": "r-7", "model": "m", "choices": [{ "index": 0, "delta": delta }] });
    let piece = |piece: Value| delta(json!({ "tool_calls": [piece] }));
    let ended = "data: [DONE]\n\n".to_owned();
    let mut unnumbered = events(&[
        piece(json!({ "id": "c-1", "function": { "name": "read", "arguments": "{\"a\":" } })),
        piece(json!({ "id": "c-1", "function": { "arguments": "1}" } })),
        piece(json!({ "id": "c-2", "function": { "name": "send", "arguments": "{\"b\":2}" } })),
        piece(json!({ "id": "c-3", "custom": { "name": "run", "input": "ls" } })),
    ]);
    unnumbered.push(ended.clone());
    let mut older = events(&[
        delta(json!({ "function_call": { "name": "read", "arguments": "" } })),
        delta(json!({ "function_call": { "arguments": "{\"a\":1}" } })),
    ]);
    older.push(ended);
    let read = ("read", json!({ "a": 1 }));
    let all = vec![read.clone(), ("send", json!({ "b": 2 })), ("run", json!("ls"))];
    for (stream, calls) in [(unnumbered, all), (older, vec![read])] {
        let (_, told) = exchange("/v1/chat/completions", &chat(), Answer::Stream(&stream));
        let output = &told.json("gen_ai.output.messages")[0];
        let told = output["parts"].as_array().unwrap().iter();
        let told: Vec<_> =
            told.map(|part| (part["name"].as_str().unwrap(), part["arguments"].clone())).collect();
        assert_eq!(told, calls);
    }
}

#[test]
fn what_a_gateway_that_stops_had_in_flight_is_told_as_broken_off() {
    let (receiver, server) = (Receiver::start(), Scripted::start());
    let front = start(&receiver, &server.url, Who::default());
    let body = chat().to_string();
    let client =
        send(&front.url, &request("POST /v1/chat/completions", &headers(), body.as_bytes()));
    let mut arrived = server.arrived.recv_timeout(PATIENCE).unwrap();
    arrived.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    let said = json!({ "id": "r-7", "choices": [{ "index": 0, "delta": { "content": "It is" } }] });
    arrived.write_chunk(events(&[said])[0].as_bytes());
    let mut got = Head::read(client).unwrap();
    assert!(!got.chunk().is_empty());
    // Neither side ends it.
    drop(front.end());
    let spans = receiver.spans();
    assert_eq!(spans.len(), 1, "it is told what there was of it");
    assert!(spans[0].failed);
    assert_eq!(spans[0].json("gen_ai.output.messages")[0]["parts"][0]["content"], "It is");
}

#[test]
fn messages_are_told_whole_or_streamed() {
    let asked = json!({
        "model": "claude-x", "max_tokens": 100, "system": [{ "type": "text", "text": "Be kind." }],
        "messages": [
            { "role": "user", "content": "Where is A-1002?" },
            { "role": "assistant", "content": [{ "type": "tool_use", "id": "c-1", "name": "look_up", "input": {} }] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "c-1", "content": [{ "type": "text", "text": "in Paris" }] },
                { "type": "text", "text": "Well?" },
            ] },
        ],
        "tools": [{ "name": "look_up", "input_schema": { "type": "object" } }],
    });
    let answer = json!({ "id": "r-7", "model": "claude-x-2026", "role": "assistant", "stop_reason": "tool_use",
        "content": [
            { "type": "thinking", "thinking": "Hm." },
            { "type": "text", "text": "It is in Paris." },
            { "type": "tool_use", "id": "c-2", "name": "send", "input": { "to": "Ana" } },
        ],
        "usage": { "input_tokens": 11, "cache_read_input_tokens": 10, "output_tokens": 9 } });
    let start = |index: u64, block: Value| json!({ "type": "content_block_start", "index": index, "content_block": block });
    let delta = |index: u64, delta: Value| json!({ "type": "content_block_delta", "index": index, "delta": delta });
    let stream = events(&[
        json!({ "type": "message_start", "message": { "id": "r-7", "model": "claude-x-2026",
            "role": "assistant", "content": [], "stop_reason": null,
            "usage": { "input_tokens": 11, "cache_read_input_tokens": 10, "output_tokens": 1 } } }),
        start(0, json!({ "type": "thinking", "thinking": "" })),
        delta(0, json!({ "type": "thinking_delta", "thinking": "Hm." })),
        start(1, json!({ "type": "text", "text": "" })),
        json!({ "type": "ping" }),
        delta(1, json!({ "type": "text_delta", "text": "It is " })),
        delta(1, json!({ "type": "text_delta", "text": "in Paris." })),
        start(2, json!({ "type": "tool_use", "id": "c-2", "name": "send", "input": {} })),
        delta(2, json!({ "type": "input_json_delta", "partial_json": "{\"to\":" })),
        delta(2, json!({ "type": "input_json_delta", "partial_json": "\"Ana\"}" })),
        json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" }, "usage": { "output_tokens": 9 } }),
        json!({ "type": "message_stop" }),
    ]);
    for answer in [Answer::Whole(200, answer), Answer::Stream(&stream)] {
        let (_, told) = exchange("/v1/messages", &asked, answer);
        assert_eq!(told.text("gen_ai.provider.name"), "anthropic");
        assert_eq!(told.json("gen_ai.system_instructions")[0]["content"], "Be kind.");
        let input = told.json("gen_ai.input.messages");
        let roles: Vec<_> = input.as_array().unwrap().iter().map(|m| m["role"].clone()).collect();
        assert_eq!(roles, ["user", "assistant", "tool", "user"]);
        assert_eq!(input[2]["parts"][0]["id"], "c-1");
        let call = json!({ "type": "tool_call", "id": "c-2", "name": "send", "arguments": { "to": "Ana" } });
        let parts = json!([
            { "type": "reasoning", "content": "Hm." },
            { "type": "text", "content": "It is in Paris." },
            call,
        ]);
        let message = json!({ "role": "assistant", "parts": parts, "finish_reason": "tool_use" });
        assert_eq!(told.json("gen_ai.output.messages"), json!([message]));
        assert_eq!(told.attributes["gen_ai.usage.input_tokens"], json!(21));
        assert_eq!(told.attributes["gen_ai.usage.output_tokens"], json!(9));
        assert_eq!(told.text("gen_ai.response.model"), "claude-x-2026");
    }
}

#[test]
fn errors_are_told_by_their_kind_and_never_with_a_key() {
    let message = format!("Incorrect API key provided: {KEY}");
    let error =
        json!({ "error": { "message": message, "type": "invalid_request_error", "code": KEY } });
    let (_, told) = exchange("/v1/chat/completions", &chat(), Answer::Whole(401, error));
    assert_eq!((told.text("error.type"), told.failed), ("401", true));
    assert!(told.json("gen_ai.input.messages").is_array());
    let error =
        json!({ "type": "error", "error": { "type": "overloaded_error", "message": message } });
    let asked = json!({ "model": "m", "messages": [] });
    let (_, told) = exchange("/v1/messages", &asked, Answer::Stream(&events(&[error])));
    assert_eq!(told.text("error.type"), "overloaded_error");
}

#[test]
fn without_a_user_nothing_passes_that_would_be_recorded() {
    let (receiver, server) = (Receiver::start(), Scripted::start());
    let front = start(&receiver, &server.url, Who::default());
    for (headers, missing) in [
        (vec![], "whence-user"),
        (vec![("whence-user", "alice")], "whence-agent"),
        (vec![("whence-user", "a"), ("whence-agent", "a")], "refuse"),
        (vec![("whence-user", "alice\u{202e}"), ("whence-agent", "a")], "refuse"),
    ] {
        let path = "POST /v1/chat/completions";
        let mut answer = Head::read(send(&front.url, &request(path, &headers, b"{}"))).unwrap();
        assert!(answer.first.contains("400"), "{}", answer.first);
        let body: Value = serde_json::from_slice(&answer.body()).unwrap();
        assert!(body["error"]["message"].as_str().unwrap().contains(missing), "{body}");
    }
    let client = send(&front.url, &request("GET /v1/models", &[], b""));
    let mut arrived = server.arrived.recv_timeout(PATIENCE).unwrap();
    assert_eq!(arrived.first, "GET /v1/models HTTP/1.1");
    arrived.write(b"HTTP/1.1 204 No Content\r\n\r\n");
    assert!(Head::read(client).unwrap().first.contains("204"));
    front.end();
    assert!(receiver.spans().is_empty());
}

#[test]
fn compressed_and_broken_answers_pass_unchanged() {
    let receiver = Receiver::start();
    let server = Scripted::start();
    let who = Who {
        user: Some("bob".to_owned()),
        user_type: Some("human".to_owned()),
        session: Some("s-2".to_owned()),
        agent: Some("a-1".to_owned()),
        delegation: None,
    };
    let front = start(&receiver, &format!("{}/prefix", server.url), who);
    let ask = |headers: &[(&str, &str)], body: &[u8]| {
        let client = send(&front.url, &request("POST /v1/chat/completions", headers, body));
        (client, server.arrived.recv_timeout(PATIENCE).unwrap())
    };
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(json!({ "id": "r-1", "choices": [] }).to_string().as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let (client, mut arrived) = ask(&[("accept-encoding", "gzip, br")], b"{\"model\":\"m\"}");
    assert_eq!(arrived.first, "POST /prefix/v1/chat/completions HTTP/1.1");
    assert_eq!(arrived.headers["accept-encoding"], "gzip", "what the copy can be read in");
    let length = packed.len();
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\n\r\n");
    arrived.write(&[head.as_bytes(), &packed].concat());
    assert_eq!(Head::read(client).unwrap().body(), packed);

    let huge = vec![b'x'; 9_000_000];
    let (client, mut arrived) = ask(&[], &huge);
    assert_eq!(arrived.body, huge);
    arrived.write(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nno JSON.");
    assert_eq!(Head::read(client).unwrap().body(), b"no JSON.");

    let (client, mut arrived) = ask(&[], b"{}");
    arrived.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    let part = json!({ "id": "r-3", "choices": [{ "index": 0, "delta": { "content": "half" } }] });
    arrived.write_chunk(format!("data: {part}\n\n").as_bytes());
    let mut got = Head::read(client).unwrap();
    assert!(!got.chunk().is_empty());
    arrived.stream.shutdown(std::net::Shutdown::Both).unwrap();
    drop((arrived, got));

    let told = receiver.wait_for(3);
    assert_eq!(told[0].text("gen_ai.response.id"), "r-1");
    assert_eq!(told[0].text("user.id"), "bob");
    assert_eq!(told[1].dropped, 2, "neither was kept");
    assert_eq!(told[2].text("error.type"), "incomplete");
    assert_eq!(told[2].json("gen_ai.output.messages")[0]["parts"][0]["content"], "half");
    front.end();
}

#[test]
fn an_exchange_takes_less_than_two_milliseconds_more() {
    let answer =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    let receiver = Receiver::start();
    let server = Scripted::always(answer);
    let front = start(&receiver, &server, Who::default());
    let body = chat().to_string();
    let median = |url: &str| {
        let message = request("POST /v1/chat/completions", &headers(), body.as_bytes());
        let mut reader = send(url, &message);
        let mut times = Vec::new();
        for _ in 0..300 {
            let start = Instant::now();
            let mut head = Head::read(reader).unwrap();
            assert_eq!(head.body(), b"{}");
            times.push(start.elapsed());
            reader = head.rest();
            reader.get_mut().write_all(&message).unwrap();
        }
        times.sort_unstable();
        times[times.len() / 2]
    };
    let (direct, through) = (median(&server), median(&front.url));
    let added = through.saturating_sub(direct);
    println!("an exchange: {direct:?} without, {through:?} with the gateway; {added:?} more");
    assert!(added < Duration::from_millis(2), "{added:?}");
    front.end();
}

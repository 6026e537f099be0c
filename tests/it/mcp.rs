//! The proxy in front of MCP servers: everything passes unchanged, and what matters of it is told.

use std::fs;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write, pipe};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use whence::capture::otlp::Attributes;
use whence::proxy::mcp::stdio::{Ends, Relay};
use whence::proxy::mcp::{Gateway, ServerName};
use whence::proxy::{Ids, Log, Options, Outlet, Who};

use crate::cli::{Serving, text, whence};
use crate::receiver::{Receiver, TestMachine, Told};
use crate::recorded::found;

mod http;
mod speed;

/// Real traffic, read where it is.
const CAPTURES: &str = "../../shared/captures/mcp";
/// The trace and span that the captured client names.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

pub(crate) fn outlet(receiver: &str, spool: &Path, bytes_max: u64) -> Outlet {
    let options = Options {
        log: Log::new(receiver, "main", Some("secret-token"), None).unwrap(),
        spool: spool.to_owned(),
        spool_bytes_max: bytes_max,
        resource: Attributes::from([("service.name".to_owned(), json!("whence-test"))]),
    };
    Outlet::open(options, Arc::new(TestMachine)).unwrap()
}

pub(crate) fn who() -> Who {
    Who {
        user: Some("alice@example.com".to_owned()),
        user_type: Some("human".to_owned()),
        session: Some("s-1".to_owned()),
        agent: Some("support-agent".to_owned()),
        delegation: None,
    }
}

pub(crate) fn gateway(receiver: &str, enforce: bool) -> Gateway {
    Gateway {
        who: who(),
        producer: "whence-mcp".to_owned(),
        server: ServerName::until_known("some-server"),
        enforce,
        log: Log::new(receiver, "main", Some("secret-token"), None).unwrap(),
        machine: Arc::new(TestMachine),
        ids: Arc::new(Ids::new(&TestMachine).unwrap()),
    }
}

/// A proxy with a client and a server at its ends.
struct Between {
    client: PipeWriter,
    to_client: PipeReader,
    server: PipeWriter,
    to_server: PipeReader,
    relay: Relay,
    outlet: Outlet,
    _runtime: Runtime,
    _spool: TempDir,
}

impl Between {
    fn start(url: &str, enforce: bool) -> Self {
        let spool = tempfile::tempdir().unwrap();
        let outlet = outlet(url, spool.path(), 1 << 26);
        let ((from_client, client), (to_client, out)) = (pipe().unwrap(), pipe().unwrap());
        let ((from_server, server), (to_server, into)) = (pipe().unwrap(), pipe().unwrap());
        let ends = Ends {
            from_client: Box::new(from_client),
            to_client: Box::new(out),
            from_server: Box::new(from_server),
            to_server: Box::new(into),
        };
        let runtime = Runtime::new().unwrap();
        let handle = runtime.handle().clone();
        let relay = Relay::start(gateway(url, enforce), &outlet.teller(), ends, handle).unwrap();
        Self {
            client,
            to_client,
            server,
            to_server,
            relay,
            outlet,
            _runtime: runtime,
            _spool: spool,
        }
    }

    /// The client writes, and the server reads the same.
    fn up(&mut self, bytes: &[u8]) {
        passes(&mut self.client, &mut self.to_server, bytes);
    }

    /// The server writes, and the client reads the same.
    fn down(&mut self, bytes: &[u8]) {
        passes(&mut self.server, &mut self.to_client, bytes);
    }

    /// A line to the server and the one that answers it.
    fn exchange(&mut self, request: &Value, answer: &Value) {
        self.up(format!("{request}\n").as_bytes());
        self.down(format!("{answer}\n").as_bytes());
    }

    /// Both go away.
    fn end(self) {
        let Self { client, to_client, server, mut to_server, relay, outlet, .. } = self;
        drop(client);
        assert_eq!(to_server.read(&mut [0; 8]).unwrap(), 0, "the end passes too");
        drop(server);
        drop(to_client);
        while !relay.is_over() {
            std::thread::yield_now();
        }
        relay.close();
        outlet.close(Duration::from_secs(10));
    }
}

/// What is written at one end arrives at the other, also if it is more than a pipe holds.
fn passes(from: &mut PipeWriter, to: &mut PipeReader, bytes: &[u8]) {
    let mut arrived = vec![0; bytes.len()];
    std::thread::scope(|scope| {
        scope.spawn(|| from.write_all(bytes).unwrap());
        to.read_exact(&mut arrived).unwrap();
    });
    assert!(arrived == bytes, "{} bytes changed on their way", bytes.len());
}

/// The messages of captured traffic.
pub(crate) fn captured(name: &str) -> Option<Vec<Value>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(CAPTURES).join(name);
    let Ok(lines) = fs::read_to_string(&path) else {
        println!("skipped: {} is not there", path.display());
        return None;
    };
    Some(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn named<'a>(spans: &'a [Told], name: &str) -> Vec<&'a Told> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// What the captured traffic is told as, whatever it passed over.
pub(crate) fn check_capture(spans: &[Told]) {
    for span in spans {
        assert_eq!(span.text("user.id"), "alice@example.com");
        assert_eq!(span.text("session.id"), "s-1", "not the session of the transport");
        assert_eq!(span.text("gen_ai.agent.id"), "support-agent");
        assert_eq!(span.text("whence.mcp.server"), "mcp-servers/everything");
        assert_eq!(span.text("mcp.protocol.version"), "2025-11-25");
        assert_eq!(span.resource["service.name"], json!("whence-test"));
    }
    let calls: Vec<_> =
        spans.iter().filter(|span| span.text("mcp.method.name") == "tools/call").collect();
    let names: Vec<_> = calls.iter().map(|call| call.text("gen_ai.tool.name")).collect();
    let expected = [
        "echo",
        "get-sum",
        "get-sum",
        "no-such-tool",
        "trigger-long-running-operation",
        "get-structured-content",
        "get-annotated-message",
        "get-tiny-image",
        "trigger-sampling-request",
        "trigger-elicitation-request",
        "get-roots-list",
        "trigger-long-running-operation",
    ];
    assert_eq!(names, expected);
    for call in &calls {
        assert_eq!((call.trace_id.as_str(), call.parent.as_str()), (TRACE, PARENT));
        assert_eq!(call.text("gen_ai.operation.name"), "execute_tool");
        assert_eq!(call.dropped, 0);
    }
    let arguments = calls[0].json("gen_ai.tool.call.arguments");
    assert_eq!(arguments, json!({ "message": "Où est ma commande A-1002 ? 🙏" }));
    let result = calls[1].json("gen_ai.tool.call.result");
    assert_eq!(result["content"][0]["text"], "The sum of 7.5 and 12 is 19.5.");
    assert_eq!(calls[1].text("error.type"), "");
    assert_eq!(calls[1].text("jsonrpc.request.id"), "3");
    for failed in [calls[2], calls[3]] {
        assert_eq!(failed.text("error.type"), "tool_error");
        assert!(failed.failed);
    }
    assert_eq!(calls[4].events, ["mcp.progress"; 4]);
    assert_eq!(calls[11].text("error.type"), "cancelled");
    assert_eq!(calls[11].events, ["mcp.cancelled"]);

    let lists = named(spans, "tools/list");
    assert_eq!(lists.len(), 1);
    assert_eq!(lists[0].json("whence.mcp.tools")[0]["name"], "echo");
    let elicitation = named(spans, "elicitation/create")[0];
    assert_eq!(elicitation.json("whence.mcp.response"), json!({ "action": "decline" }));
    let schema = elicitation.json("whence.mcp.request");
    assert_eq!(schema["message"], "Please provide inputs for the following fields:");
    assert_eq!(elicitation.parent, calls[9].span_id, "asked within the call");
    let sampling = named(spans, "sampling/createMessage")[0];
    assert_eq!(sampling.text("gen_ai.operation.name"), "chat");
    assert_eq!(sampling.text("gen_ai.response.model"), "gpt-4o-mini");
    assert_eq!(sampling.attributes["gen_ai.response.finish_reasons"], json!(["endTurn"]));
    let output = sampling.json("gen_ai.output.messages");
    let part = json!({ "type": "text", "content": "Sampled: paris is 21C ☀" });
    assert_eq!(output, json!([{ "role": "assistant", "parts": [part] }]));
    assert_eq!(sampling.parent, calls[8].span_id, "asked within the call");
    let reads = named(spans, "resources/read");
    assert_eq!(reads.len(), 2);
    assert!(reads[0].text("mcp.resource.uri").ends_with("architecture.md"));
    assert!(reads[0].json("whence.mcp.response")["contents"].is_array());
    assert_eq!(reads[1].text("error.type"), "-32602");
    assert_eq!(named(spans, "prompts/get")[0].text("gen_ai.prompt.name"), "simple-prompt");
    assert_eq!(named(spans, "initialize")[0].text("whence.mcp.client"), "support-agent");
}

#[test]
fn captured_traffic_passes_unchanged_and_is_told() {
    let Some(messages) = captured("stdio-jsclient.jsonl") else { return };
    let receiver = Receiver::start();
    let mut between = Between::start(&receiver.url, false);
    for message in &messages {
        let line = format!("{}\n", message["raw"].as_str().unwrap());
        match message["dir"].as_str().unwrap() {
            "c2s" => between.up(line.as_bytes()),
            "s2c" => between.down(line.as_bytes()),
            _ => {}
        }
    }
    between.end();
    let spans = receiver.spans();
    check_capture(&spans);
    // Initialize is told once it is answered, as everything else, so the order is that of the answers.
    assert_eq!(spans[0].name, "initialize");
    assert!(receiver.gaps().is_empty());
    let posted = receiver.posted("/traces");
    assert_eq!(posted[0].headers["authorization"], "Bearer secret-token");
    assert_eq!(posted[0].headers["content-type"], "application/x-protobuf");
}

#[test]
fn ids_of_the_two_directions_are_not_confused() {
    let receiver = Receiver::start();
    let mut between = Between::start(&receiver.url, false);
    let call = |id: Value, tool: &str| json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": tool } });
    let line = |value: &Value| format!("{value}\n").into_bytes();
    between.up(&line(&call(json!(1), "a")));
    between.up(&line(&call(json!("1"), "b")));
    let asked = json!({ "id": 1, "method": "elicitation/create", "params": { "message": "?" } });
    between.down(&line(&asked));
    between.down(&line(&json!({ "id": "1", "result": { "content": ["b"] } })));
    between.up(&line(&json!({ "id": 1, "result": { "action": "accept" } })));
    between.down(&line(&json!({ "id": 1, "result": { "content": ["a"] } })));
    between.end();
    let spans = receiver.spans();
    let of = |name: &str, attribute: &str| named(&spans, name)[0].json(attribute);
    assert_eq!(of("tools/call a", "gen_ai.tool.call.result"), json!({ "content": ["a"] }));
    assert_eq!(of("tools/call b", "gen_ai.tool.call.result"), json!({ "content": ["b"] }));
    assert_eq!(of("elicitation/create", "whence.mcp.response"), json!({ "action": "accept" }));
    assert_eq!(named(&spans, "elicitation/create")[0].parent, "", "two calls could be meant");
    assert_eq!(spans.len(), 3);
}

#[test]
fn a_call_that_is_answered_with_a_question_is_one_call() {
    let receiver = Receiver::start();
    let mut between = Between::start(&receiver.url, false);
    let call = |id: u64, more: Value| {
        let mut params = json!({ "name": "deploy", "arguments": { "what": "it" } });
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
    };
    let question = json!({ "method": "elicitation/create", "params": { "message": "Where?" } });
    let questions =
        json!({ "resultType": "input_required", "inputRequests": { "where": question } });
    between.exchange(&call(1, json!({})), &json!({ "id": 1, "result": questions }));
    let mut again = questions.clone();
    again["requestState"] = json!("opaque");
    let answered = json!({ "inputResponses": { "where": { "action": "decline" } } });
    between.exchange(&call(2, answered), &json!({ "id": 2, "result": again }));
    let answered =
        json!({ "requestState": "opaque", "inputResponses": { "where": { "action": "accept" } } });
    between.exchange(&call(3, answered), &json!({ "id": 3, "result": { "content": [] } }));
    between.exchange(&call(4, json!({})), &json!({ "id": 4, "result": questions }));
    between.end();
    let spans = receiver.spans();
    let calls = named(&spans, "tools/call deploy");
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].json("gen_ai.tool.call.result"), json!({ "content": [] }));
    assert_eq!(calls[1].text("error.type"), "input_required", "nobody went on with it");
    let asked = named(&spans, "elicitation/create");
    let actions: Vec<_> =
        asked.iter().map(|one| one.json("whence.mcp.response")["action"].clone()).collect();
    assert_eq!(actions, ["decline", "accept"]);
    assert_eq!(asked[0].json("whence.mcp.request"), json!({ "message": "Where?" }));
    assert!(asked.iter().all(|one| one.parent == calls[0].span_id));
}

#[test]
fn what_is_huge_or_no_json_passes_unchanged_too() {
    let receiver = Receiver::start();
    let mut between = Between::start(&receiver.url, false);
    let text = "x".repeat(5_000_000);
    let params = json!({ "arguments": { "text": text }, "name": "send" });
    let huge = json!({ "method": "tools/call", "params": params, "jsonrpc": "2.0", "id": 7 });
    let answer = json!({ "result": { "content": [text], "isError": true }, "id": 7 });
    between.exchange(&huge, &answer);
    between.up(b"this is no JSON \xff\x00\n\r\n\n");
    between.down(b"starting server...\n");
    between.down(b"{\"result\":\n");
    between.down(b"{\"id\":1,\"id\":2}\n");
    let call = json!({ "method": "tools/call", "params": { "name": "after" }, "id": 8 });
    between.exchange(&call, &json!({ "id": 8, "result": {} }));
    let silent = json!({ "method": "tools/call", "params": { "name": "silent" } });
    between.up(format!("{silent}\n").as_bytes());
    between.up(b"no end of line");
    between.end();
    let spans = receiver.spans();
    let told = named(&spans, "tools/call send")[0];
    assert_eq!(
        (told.dropped, told.failed),
        (2, true),
        "neither arguments nor result, and it says so"
    );
    assert!(!told.attributes.contains_key("gen_ai.tool.call.arguments"));
    assert!(!told.attributes.contains_key("gen_ai.tool.call.result"));
    assert_eq!(named(&spans, "tools/call after").len(), 1);
    let silent = named(&spans, "tools/call silent")[0];
    assert_eq!(silent.text("error.type"), "no_response", "it may have been heard");
    let gaps = receiver.gaps();
    assert_eq!(gaps.iter().map(|gap| gap["count"].as_u64().unwrap()).sum::<u64>(), 2);
}

#[test]
fn what_passes_while_the_log_is_down_is_told_by_the_next_process() {
    let spool = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let tell = |outlet: &Outlet, numbers: std::ops::Range<u64>| {
        for number in numbers {
            outlet.teller().tell(span(number));
        }
    };
    let first = outlet(&url, spool.path(), 1 << 24);
    tell(&first, 0..3);
    first.close(Duration::ZERO);
    let second = outlet(&url, spool.path(), 1 << 24);
    let beside = outlet(&url, spool.path(), 1 << 24);
    tell(&second, 3..5);
    tell(&beside, 5..6);
    second.close(Duration::ZERO);
    beside.close(Duration::ZERO);

    let address = url.strip_prefix("http://").unwrap();
    let receiver = Receiver::at(TcpListener::bind(address).unwrap());
    let third = outlet(&url, spool.path(), 1 << 24);
    tell(&third, 6..7);
    third.close(Duration::from_secs(10));
    let mut told: Vec<_> = receiver.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(told.len(), 7);
    let five = told.iter().position(|name| name == "span 5").unwrap();
    told.remove(five);
    let expected: Vec<_> =
        (0..7).filter(|number| *number != 5).map(|n| format!("span {n}")).collect();
    assert_eq!(told, expected, "in their order");
    outlet(&url, spool.path(), 1 << 24).close(Duration::from_secs(1));
    assert_eq!(receiver.spans().len(), 7, "nothing is told twice");
}

#[test]
fn what_a_busy_log_does_not_take_is_told_when_it_does() {
    let receiver = Receiver::start();
    receiver.answer("/traces", 503, &json!({ "code": "busy" }));
    let spool = tempfile::tempdir().unwrap();
    let outlet = outlet(&receiver.url, spool.path(), 1 << 24);
    outlet.teller().tell(span(0));
    std::thread::sleep(Duration::from_millis(300));
    receiver.answer("/traces", 401, &json!({ "code": "token_invalid" }));
    outlet.teller().tell(span(1));
    std::thread::sleep(Duration::from_millis(300));
    receiver.answer("/traces", 200, &json!({}));
    let told = receiver.wait_for(2);
    assert_eq!((told[0].name.as_str(), told[1].name.as_str()), ("span 0", "span 1"));
    outlet.close(Duration::from_secs(1));
}

#[test]
fn what_a_full_spool_does_not_hold_is_counted() {
    let receiver = Receiver::start();
    receiver.answer("/traces", 503, &json!({}));
    let spool = tempfile::tempdir().unwrap();
    let first = outlet(&receiver.url, spool.path(), 2_000);
    for number in 0..40 {
        first.teller().tell(span(number));
        std::thread::sleep(Duration::from_millis(if number % 10 == 9 { 130 } else { 0 }));
    }
    first.close(Duration::ZERO);
    let folder = fs::read_dir(spool.path()).unwrap().next().unwrap().unwrap().path();
    assert!(folder.join("0.gap.json").exists(), "the count outlives the process");

    receiver.answer("/traces", 200, &json!({}));
    outlet(&receiver.url, spool.path(), 2_000).close(Duration::from_secs(10));
    let gaps = receiver.gaps();
    let missing = gaps.iter().map(|gap| gap["count"].as_u64().unwrap()).sum::<u64>();
    assert!(missing > 0);
    assert_eq!(
        missing + u64::try_from(receiver.spans().len()).unwrap(),
        40,
        "none is forgotten, and none told twice"
    );
    assert!(gaps[0]["since_unix_nano"].as_u64() < gaps[0]["until_unix_nano"].as_u64());
    assert!(!folder.join("0.gap.json").exists());
}

#[test]
fn what_the_log_refuses_for_good_is_counted_and_holds_nothing_up() {
    let receiver = Receiver::start();
    receiver.answer("/traces", 400, &json!({ "code": "request_invalid" }));
    let spool = tempfile::tempdir().unwrap();
    let outlet = outlet(&receiver.url, spool.path(), 1 << 24);
    outlet.teller().tell(span(0));
    let gaps = receiver.until(|receiver| Some(receiver.gaps()).filter(|gaps| !gaps.is_empty()));
    assert_eq!(gaps[0]["count"], json!(1));
    receiver.answer("/traces", 200, &json!({}));
    outlet.teller().tell(span(1));
    assert_eq!(receiver.wait_for(1)[0].name, "span 1");
    outlet.close(Duration::from_secs(1));
}

/// A span that says nothing.
fn span(number: u64) -> whence::capture::otlp::Span {
    let ids = Ids::new(&TestMachine).unwrap();
    whence::capture::otlp::Span {
        trace_id: ids.trace(),
        span_id: ids.span(),
        parent: None,
        name: format!("span {number}"),
        kind: whence::capture::otlp::SpanKind::Client,
        start_ns: 1_000 + number,
        end_ns: 2_000 + number,
        attributes: Attributes::new(),
        events: Vec::new(),
        failed: false,
        status_message: String::new(),
        dropped: 0,
    }
}

/// Reads a line of what the client gets.
fn line(from: &mut PipeReader) -> Value {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        from.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    serde_json::from_slice(&line).unwrap()
}

#[test]
fn with_enforcement_only_calls_that_the_log_allows_pass() {
    let receiver = Receiver::start();
    let mut between = Between::start(&receiver.url, true);
    let call = |id: u64, arguments: Value| {
        let params = json!({ "name": "send_money", "arguments": arguments,
            "_meta": { "traceparent": format!("00-{TRACE}-{PARENT}-01") } });
        json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
    };
    between.exchange(&json!({ "id": 0, "method": "ping" }), &json!({ "id": 0, "result": {} }));
    assert!(receiver.posted("/preflight").is_empty(), "nobody asks about what is no call");
    receiver.answer("/preflight", 201, &json!({ "object": "decision", "decision": "allow" }));
    between.exchange(&call(1, json!({ "amount": 5 })), &json!({ "id": 1, "result": {} }));
    let asked: Value = serde_json::from_slice(&receiver.posted("/preflight")[0].body).unwrap();
    assert_eq!(asked["content"], json!({ "arguments": { "amount": 5 } }));
    assert_eq!(asked["data"]["phase"], "requested");
    assert_eq!(asked["data"]["tool"], "send_money");
    assert_eq!(asked["user"], json!({ "id": "alice@example.com", "type": "human" }));
    assert_eq!(asked["trace"]["parent_span_id"], PARENT);

    let problem = json!({ "code": "scope_exceeded", "detail": "the grant does not reach so far" });
    receiver.answer("/preflight", 409, &problem);
    between.down(b"{\"half of");
    let refused = format!("{}\n", call(2, json!({ "amount": 5_000_000 })));
    between.client.write_all(refused.as_bytes()).unwrap();
    receiver.until(|receiver| (receiver.posted("/preflight").len() == 2).then_some(()));
    between.down(b" a line\":1}\n");
    let answer = line(&mut between.to_client);
    assert_eq!(answer["id"], 2);
    assert_eq!(answer["error"]["code"], -32_003);
    assert!(answer["error"]["message"].as_str().unwrap().contains("scope_exceeded"), "{answer}");

    between
        .client
        .write_all(b"{\"id\":3,\"method\":\"ping\",\"method\":\"tools/call\"}\n")
        .unwrap();
    assert_eq!(line(&mut between.to_client)["id"], Value::Null);
    let huge = call(4, json!({ "text": "x".repeat(2_000_000) }));
    between.client.write_all(format!("{huge}\n").as_bytes()).unwrap();
    assert_eq!(line(&mut between.to_client)["error"]["code"], -32_003);
    receiver.answer("/preflight", 500, &json!({}));
    let batch = format!("[{},{}]\n", call(5, json!({})), json!({ "id": 6, "method": "ping" }));
    between.client.write_all(batch.as_bytes()).unwrap();
    let answers = line(&mut between.to_client);
    assert_eq!((&answers[0]["id"], &answers[1]["id"]), (&json!(5), &json!(6)));
    // Had any of them passed, this is not what the server would read next.
    between.up(b"{\"id\":7,\"method\":\"ping\"}\n");
    between.end();
    let spans = receiver.spans();
    assert_eq!(spans.len(), 1, "what did not happen is not told");
    assert_eq!(spans[0].text("whence.requested"), asked["id"].as_str().unwrap());
    assert_eq!(spans[0].span_id, asked["trace"]["span_id"].as_str().unwrap());
}

#[test]
fn with_enforcement_a_log_that_cannot_be_reached_allows_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let mut between = Between::start(&url, true);
    let call = json!({ "id": 1, "method": "tools/call", "params": { "name": "a" } });
    between.client.write_all(format!("{call}\n").as_bytes()).unwrap();
    let answer = line(&mut between.to_client);
    assert!(answer["error"]["message"].as_str().unwrap().contains("cannot be asked"), "{answer}");
    between.up(b"{\"id\":2,\"method\":\"ping\"}\n");
    let Between { client, relay, outlet, .. } = between;
    drop(client);
    relay.close();
    outlet.close(Duration::ZERO);
}

/// The command, with a server that is a shell script.
fn command(folder: &Path, url: &str, script: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whence"));
    command.current_dir(folder).env("WHENCE_URL", url).env("WHENCE_TOKEN", "secret-token");
    command.args(["mcp", "--user", "alice@example.com", "--agent", "a-1", "--session", "s-9"]);
    command.args(["--spool", "spool", "--", "sh", "-c", script]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn the_command_ends_as_its_server_does() {
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    let script = "echo warming up >&2; cat; echo \"token $WHENCE_TOKEN\"; exit 7";
    let mut child = command(folder.path(), &receiver.url, script).spawn().unwrap();
    let call = json!({ "id": 1, "method": "tools/call", "params": { "name": "a" } });
    let sent = format!("{call}\n{}\n", json!({ "id": 1, "result": { "content": [] } }));
    child.stdin.take().unwrap().write_all(sent.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(
        text(&output.stdout),
        format!("{sent}token \n"),
        "the server is not given the token"
    );
    assert!(text(&output.stderr).contains("warming up"));
    assert!(text(&output.stderr).contains("session s-9"));
    let spans = receiver.wait_for(1);
    assert_eq!(spans[0].text("session.id"), "s-9");
    assert_eq!(spans[0].resource["whence.observed_by"], json!("mcp_gateway"));
}

#[test]
fn signals_reach_the_server() {
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    let script = "trap 'echo stopped; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = command(folder.path(), &receiver.url, script).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut ready = String::new();
    stdout.read_line(&mut ready).unwrap();
    signal(&child, Signal::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(3));
    stdout.read_to_string(&mut ready).unwrap();
    assert_eq!(ready, "ready\nstopped\n");

    let script = "echo ready; kill -KILL $$";
    let output = command(folder.path(), &receiver.url, script).output().unwrap();
    assert_eq!(output.status.code(), Some(128 + 9));
}

#[test]
fn what_passed_before_a_crash_is_told_by_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut child = command(folder.path(), &url, "cat").spawn().unwrap();
    let call = json!({ "id": 1, "method": "tools/call", "params": { "name": "a" } });
    let sent = format!("{call}\n{}\n", json!({ "id": 1, "result": { "content": [] } }));
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    stdin.write_all(sent.as_bytes()).unwrap();
    stdout.read_exact(&mut vec![0; sent.len()]).unwrap();
    // A tenth of a second is promised; a busy machine is given more.
    std::thread::sleep(Duration::from_secs(2));
    child.kill().unwrap();
    child.wait().unwrap();
    let receiver = Receiver::at(TcpListener::bind(address).unwrap());
    assert!(command(folder.path(), &url, "true").output().unwrap().status.success());
    assert_eq!(receiver.spans()[0].name, "tools/call a");
}

fn signal(child: &Child, signal: Signal) {
    let process = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(process, signal).unwrap();
}

#[test]
fn without_a_user_or_an_agent_the_command_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    for (args, missing) in [
        (&["mcp", "--", "true"][..], "--user"),
        (&["mcp", "--user", "alice@example.com", "--", "true"], "--agent"),
        (&["mcp", "--user", "a", "--agent", "a", "--", "true"], "the log would refuse this"),
        (&["mcp", "--user", "a", "--agent", "b"], "whence mcp -- "),
    ] {
        let output = whence(folder.path(), args);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(missing), "{}", text(&output.stderr));
    }
    let args = ["mcp", "--user", "a", "--agent", "b", "--spool", "s", "--", "/no/such/program"];
    assert_eq!(whence(folder.path(), &args).status.code(), Some(127));
}

#[test]
fn the_log_itself_decides_about_calls() {
    let folder = tempfile::tempdir().unwrap();
    assert!(whence(folder.path(), &["init", "--data", "data"]).status.success());
    let serving = Serving::start(folder.path(), &[]);
    let token = fs::read_to_string(folder.path().join("data/admin.token")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_whence"));
    command.current_dir(folder.path()).env("WHENCE_TOKEN", token.trim());
    command.args(["mcp", "--enforce", "--url", &serving.url, "--user", "alice@example.com"]);
    command.args(["--agent", "a-1", "--spool", "spool", "--", "cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let call = json!({ "id": 1, "method": "tools/call",
        "params": { "name": "look_up", "arguments": { "order": "A-1002" } } });
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{call}").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stdout), format!("{call}\n"), "allowed, and so it passed");
    let asked = found(folder.path(), &serving.url, "kind:tool_invocation tool:look_up");
    assert!(asked["id"].as_str().unwrap().starts_with("mcp-"), "{asked}");
    serving.stop();
}

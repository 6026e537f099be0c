//! Vectors of posted records (SPEC 2).

use serde_json::{Value, json};

use super::{Vector, accept, reject};

const RECORD: &str = "record";

pub(super) fn vectors() -> Vec<Vector> {
    [
        json_forms(),
        json_values(),
        json_limits(),
        refusals(),
        texts(),
        members(),
        content(),
        identities(),
        collapse(),
        causes(),
        kinds(),
        api_calls(),
        grants(),
        captured(),
        looks(),
        outcomes(),
        own_flags(),
        signatures(),
    ]
    .concat()
}

/// A prompt with nothing but what it needs.
pub(super) fn prompt() -> Value {
    json!({
        "id": "p-1",
        "kind": "prompt",
        "occurred_at": "2026-11-24T00:06:14.12Z",
        "user": { "id": "alice@example.com", "type": "human" },
        "session": { "id": "s-1" },
        "source": { "observed_by": "agent_process", "producer": "billing-1" },
        "data": { "role": "user" },
        "content": { "text": "Pay the invoice." },
    })
}

/// A record of another kind, by the agent, that follows from `cause`.
fn acted(kind: &str, rel: &str, data: Value, content: Value) -> Value {
    let mut record = prompt();
    record["id"] = json!("r-1");
    record["kind"] = json!(kind);
    record["agent"] = json!({ "id": "invoice-agent" });
    record["delegation"] = json!("jti-7f");
    record["causes"] = json!([{ "id": "c-1", "rel": rel }]);
    record["data"] = data;
    record["content"] = content;
    record
}

fn output() -> Value {
    let data = json!({
        "finish_reasons": ["stop"],
        "model": { "provider": "example", "requested": "m-1" },
    });
    acted("model_output", "triggered_by", data, json!({ "text": "Done." }))
}

fn invocation() -> Value {
    let data = json!({ "tool": "send_money", "call_id": "call_1", "effect": "external" });
    acted("tool_invocation", "triggered_by", data, json!({ "arguments": { "amount": 420 } }))
}

fn result() -> Value {
    let data = json!({ "status": "success" });
    acted("tool_result", "completes", data, json!({ "result": { "ok": true } }))
}

fn call() -> Value {
    let data = json!({ "method": "POST", "url": "https://bank.example/v2", "status_code": 201 });
    acted("api_call", "triggered_by", data, json!({ "request_body": { "amount": 420 } }))
}

/// The record with a value at a pointer.
fn with(mut record: Value, pointer: &str, value: impl Into<Value>) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = record.pointer_mut(parent).unwrap();
    if let Value::Array(elements) = parent {
        elements[name.parse::<usize>().unwrap()] = value.into();
    } else {
        parent[name] = value.into();
    }
    record
}

/// The record without the member at a pointer.
fn without(mut record: Value, pointer: &str) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    record.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).unwrap();
    record
}

fn yes(rule: &'static str, what: &'static str, record: &Value) -> Vector {
    accept(rule, RECORD, what, record.to_string())
}

fn no(
    rule: &'static str,
    what: &'static str,
    record: &Value,
    (pointer, code): (&'static str, &'static str),
) -> Vector {
    reject(rule, RECORD, what, record.to_string()).at(pointer, code)
}

/// The text of a prompt with something else for a part of it.
fn text(part: &str, other: &str) -> String {
    let text = prompt().to_string();
    assert!(text.contains(part), "{part} is not in {text}");
    text.replacen(part, other, 1)
}

fn json_forms() -> Vec<Vector> {
    let raw = |rule, what, text: String| reject(rule, RECORD, what, text);
    let full = prompt().to_string();
    vec![
        accept("R-JSON-1", RECORD, "white space around it", format!(" \n\t{full}\r\n")),
        raw("R-JSON-1", "cut short", full[..full.len() - 1].to_owned()),
        raw("R-JSON-1", "a byte order mark", format!("\u{feff}{full}")),
        raw("R-JSON-1", "a second object", format!("{full}{full}")),
        reject("R-JSON-1", RECORD, "a text that is not UTF-8", json!({ "hex": "7bff7d" })),
        raw("R-JSON-1", "an array", format!("[{full}]")).at("", "field_invalid"),
        raw("R-JSON-1", "nothing", String::new()),
        accept("R-JSON-2", RECORD, "one name in two objects", full.clone()),
        raw("R-JSON-2", "a member twice", text("\"kind\":", "\"id\":\"p-2\",\"kind\":")),
        raw("R-JSON-2", "a member twice, written in two ways", {
            text("\"kind\":", "\"\\u006bind\":\"prompt\",\"kind\":")
        }),
        raw(
            "R-JSON-2",
            "a label twice",
            text("\"kind\":", "\"labels\":{\"a\":\"1\",\"a\":\"1\"},\"kind\":"),
        )
        .at("/labels", "json_invalid"),
        raw("R-JSON-2", "a content part twice", text("\"text\":", "\"text\":1,\"text\":"))
            .at("/content", "json_invalid"),
        raw(
            "R-JSON-2",
            "a name twice within content",
            text("\"Pay the invoice.\"", "{\"a\":1,\"a\":2}"),
        )
        .at("/content/text", "json_invalid"),
        yes("R-JSON-3", "only members that are known", &prompt()),
        no(
            "R-JSON-3",
            "a member that is not known",
            &with(prompt(), "/colour", "red"),
            ("", "unknown_field"),
        ),
        no(
            "R-JSON-3",
            "one that the user does not have",
            &with(prompt(), "/user/email", "a@b"),
            ("/user", "unknown_field"),
        ),
        no(
            "R-JSON-3",
            "one that the data does not have",
            &with(prompt(), "/data/tool", "x"),
            ("/data", "unknown_field"),
        ),
        no("R-JSON-3", "one of an entry", &with(prompt(), "/seq", 1), ("", "unknown_field")),
        yes("R-JSON-4", "every member that is needed", &prompt()),
        no("R-JSON-4", "no kind", &without(prompt(), "/kind"), ("/kind", "field_missing")),
        no(
            "R-JSON-4",
            "no time",
            &without(prompt(), "/occurred_at"),
            ("/occurred_at", "field_missing"),
        ),
        no(
            "R-JSON-4",
            "no role in the data",
            &without(prompt(), "/data/role"),
            ("/data/role", "field_missing"),
        ),
        no("R-JSON-4", "no data", &without(prompt(), "/data"), ("/data/role", "field_missing")),
    ]
}

fn json_values() -> Vec<Vector> {
    vec![
        yes("R-JSON-5", "an optional member is null", &with(prompt(), "/trace", Value::Null)),
        yes(
            "R-JSON-5",
            "null is content like any other",
            &with(prompt(), "/content/text", Value::Null),
        ),
        no(
            "R-JSON-5",
            "a required member is null",
            &with(prompt(), "/kind", Value::Null),
            ("/kind", "field_invalid"),
        ),
        no(
            "R-JSON-5",
            "the causes are null",
            &with(prompt(), "/causes", Value::Null),
            ("/causes", "field_invalid"),
        ),
        no(
            "R-JSON-5",
            "the labels are null",
            &with(prompt(), "/labels", Value::Null),
            ("/labels", "field_invalid"),
        ),
        yes("R-JSON-6", "values of their types", &output()),
        no(
            "R-JSON-6",
            "a number for a text",
            &with(prompt(), "/user/id", 7),
            ("/user/id", "field_invalid"),
        ),
        no(
            "R-JSON-6",
            "a text for an object",
            &with(prompt(), "/session", "s-1"),
            ("/session", "field_invalid"),
        ),
        no(
            "R-JSON-6",
            "an array for an object",
            &with(prompt(), "/session", json!(["s-1"])),
            ("/session", "field_invalid"),
        ),
        no(
            "R-JSON-6",
            "an object for a name",
            &with(prompt(), "/data/role", json!({ "user": null })),
            ("/data/role", "field_invalid"),
        ),
        no(
            "R-JSON-6",
            "a name that is not of the set",
            &with(prompt(), "/data/role", "robot"),
            ("/data/role", "field_invalid"),
        ),
        no(
            "R-JSON-6",
            "a name in capitals",
            &with(prompt(), "/user/type", "Human"),
            ("/user/type", "field_invalid"),
        ),
        yes(
            "R-JSON-7",
            "the largest integer",
            &with(prompt(), "/source/producer_seq", 9_007_199_254_740_991_u64),
        ),
        no(
            "R-JSON-7",
            "one more",
            &with(prompt(), "/source/producer_seq", 9_007_199_254_740_992_u64),
            ("/source/producer_seq", "field_invalid"),
        ),
        no(
            "R-JSON-7",
            "a negative one",
            &with(prompt(), "/source/producer_seq", -1),
            ("/source/producer_seq", "field_invalid"),
        ),
        no(
            "R-JSON-7",
            "one with a fraction",
            &with(prompt(), "/source/producer_seq", 1.0),
            ("/source/producer_seq", "field_invalid"),
        ),
        no(
            "R-JSON-7",
            "one as a text",
            &with(prompt(), "/source/producer_seq", "1"),
            ("/source/producer_seq", "field_invalid"),
        ),
        accept("R-JSON-8", RECORD, "a pair of surrogates", text("Pay", "\\ud83d\\ude00")),
        reject("R-JSON-8", RECORD, "half a pair in an id", text("s-1", "s-\\ud83d")),
        reject("R-JSON-8", RECORD, "half a pair in content", text("Pay", "\\ude00")),
        accept(
            "R-JSON-9",
            RECORD,
            "numbers in content",
            text("\"Pay the invoice.\"", "[0.1,-9007199254740991,1e2]"),
        ),
        reject(
            "R-JSON-9",
            RECORD,
            "an integer that a double cannot hold",
            text("\"Pay the invoice.\"", "[9007199254740993]"),
        )
        .at("/content/text", "json_invalid"),
    ]
}

fn json_limits() -> Vec<Vector> {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let wide = |values: usize| format!("[{}0]", "0,".repeat(values - 2));
    let body = "\"Pay the invoice.\"";
    let label = |bytes: usize| with(prompt(), "/labels", json!({ "k": "v".repeat(bytes) }));
    let sized = |bytes: usize| {
        // `data` of 256 texts each way is the largest that there is.
        let mut record = output();
        let calls: Vec<_> = (0..bytes / 400)
            .map(|_| json!({ "id": "i".repeat(256), "name": "n".repeat(120) }))
            .collect();
        record["data"]["tool_calls"] = json!(calls);
        record
    };
    vec![
        accept("R-JSON-10", RECORD, "64 arrays in content", text(body, &nested(64))),
        reject("R-JSON-10", RECORD, "65 arrays in content", text(body, &nested(65)))
            .at("/content/text", "json_invalid"),
        reject("R-JSON-10", RECORD, "10,000 arrays in content", text(body, &nested(10_000))),
        accept("R-JSON-11", RECORD, "65,536 values in content", text(body, &wide(65_536))),
        reject("R-JSON-11", RECORD, "65,537 values in content", text(body, &wide(65_537)))
            .at("/content/text", "json_invalid"),
        yes("R-LABEL-3", "a label of 500 bytes", &label(500)),
        no("R-LABEL-3", "a label of 501 bytes", &label(501), ("/labels/k", "field_too_long")),
        no("R-LABEL-3", "an empty label", &label(0), ("/labels/k", "field_invalid")),
        yes("R-SIZE-2", "a record that fits into an entry", &sized(60_000)),
        no("R-SIZE-2", "a record that may not fit", &sized(68_000), ("", "entry_too_large")),
    ]
}

fn refusals() -> Vec<Vector> {
    vec![
        no(
            "R-REF-1",
            "a fault of shape is reported and a missing user is not",
            &without(with(prompt(), "/session", "s-1"), "/user"),
            ("/session", "field_invalid"),
        ),
        no(
            "R-REF-2",
            "the pointer into a list",
            &with(output(), "/causes/0/rel", "corrects"),
            ("/causes/0/rel", "cause_invalid"),
        ),
        no(
            "R-REF-2",
            "the pointer of a part whose name is at fault",
            &with(prompt(), "/content", json!({ "Text": "x" })),
            ("/content", "field_invalid"),
        ),
    ]
}

fn texts() -> Vec<Vector> {
    let user = |id: &str| with(prompt(), "/user/id", id);
    let id = |id: &str| with(prompt(), "/id", id);
    let at = ("/user/id", "field_invalid");
    vec![
        yes("R-TEXT-1", "a text of one character", &user("a")),
        no("R-TEXT-1", "an empty text", &user(""), at),
        yes("R-TEXT-2", "256 bytes of two each", &user(&"\u{e9}".repeat(128))),
        no("R-TEXT-2", "257 bytes", &user(&"a".repeat(257)), ("/user/id", "field_too_long")),
        no(
            "R-TEXT-2",
            "258 bytes of two each",
            &user(&"\u{e9}".repeat(129)),
            ("/user/id", "field_too_long"),
        ),
        yes(
            "R-TEXT-3",
            "a space and letters of other scripts",
            &user("\u{5c71}\u{7530} \u{592a}\u{90ce}"),
        ),
        no("R-TEXT-3", "a line feed", &user("a\nb"), at),
        no("R-TEXT-3", "U+0000", &user("a\u{0}"), at),
        no("R-TEXT-3", "U+0085", &user("a\u{85}b"), at),
        yes("R-ID-1", "every character that an id may have", &id("Az09._~:@-")),
        yes("R-ID-1", "an id of 128 bytes", &id(&"i".repeat(128))),
        no("R-ID-1", "an id of 129 bytes", &id(&"i".repeat(129)), ("/id", "field_too_long")),
        no("R-ID-1", "an id with a slash", &id("a/b"), ("/id", "field_invalid")),
        no("R-ID-1", "an empty id", &id(""), ("/id", "field_invalid")),
        no("R-ID-1", "an id of two dots", &id(".."), ("/id", "field_invalid")),
        yes("R-ID-2", "an id that begins almost as a finding's", &id("flags.1")),
        no("R-ID-2", "the id of a finding", &id("flag.late.1"), ("/id", "field_invalid")),
        no("R-ID-2", "the id of a gap", &id("gap.session.1"), ("/id", "field_invalid")),
        yes("R-HEX-1", "a digest", &with(output(), "/agent/charter_digest", "0a".repeat(32))),
        no(
            "R-HEX-1",
            "a digest in capitals",
            &with(output(), "/agent/charter_digest", "0A".repeat(32)),
            ("/agent/charter_digest", "field_invalid"),
        ),
        no(
            "R-HEX-1",
            "a digest that is short",
            &with(output(), "/agent/charter_digest", "0a".repeat(31)),
            ("/agent/charter_digest", "field_invalid"),
        ),
    ]
}

fn members() -> Vec<Vector> {
    let trace = json!({ "trace_id": "ab".repeat(16), "span_id": "cd".repeat(8) });
    let labels = |count: usize| {
        let labels = (0..count).map(|number| (format!("k{number}"), json!("v")));
        with(prompt(), "/labels", Value::Object(labels.collect()))
    };
    let keyed = |key: &str| with(prompt(), "/labels", json!({ key: "v" }));
    let reasons = |count: usize| with(output(), "/data/finish_reasons", vec!["stop"; count]);
    vec![
        yes("R-LIST-1", "a list of 256 elements", &reasons(256)),
        no(
            "R-LIST-1",
            "a list of 257 elements",
            &reasons(257),
            ("/data/finish_reasons", "too_many"),
        ),
        yes("R-LIST-2", "a list of one element", &reasons(1)),
        no(
            "R-LIST-2",
            "an empty list where one is needed",
            &reasons(0),
            ("/data/finish_reasons", "field_missing"),
        ),
        yes(
            "R-OBJ-1",
            "an object with a member",
            &with(output(), "/data/usage", json!({ "input_tokens": 7 })),
        ),
        no(
            "R-OBJ-1",
            "an object without members",
            &with(output(), "/data/usage", json!({})),
            ("/data/usage", "field_invalid"),
        ),
        yes(
            "R-SRC-1",
            "every member of a source",
            &with(
                prompt(),
                "/source",
                json!({
                    "format": "otlp", "link_confidence": "inferred", "observed_by": "imported",
                    "producer": "importer", "producer_seq": 0,
                }),
            ),
        ),
        no("R-SRC-1", "no source", &without(prompt(), "/source"), ("/source", "field_missing")),
        no(
            "R-SRC-1",
            "an observer that is not known",
            &with(prompt(), "/source/observed_by", "me"),
            ("/source/observed_by", "field_invalid"),
        ),
        yes("R-TRACE-1", "a span", &with(prompt(), "/trace", trace.clone())),
        no(
            "R-TRACE-1",
            "no span id",
            &without(with(prompt(), "/trace", trace), "/trace/span_id"),
            ("/trace/span_id", "field_missing"),
        ),
        yes("R-LABEL-1", "50 labels", &labels(50)),
        no("R-LABEL-1", "51 labels", &labels(51), ("/labels", "too_many")),
        yes("R-LABEL-2", "every character that a key may have", &keyed("Az_09.-")),
        no("R-LABEL-2", "a key with a space", &keyed("a b"), ("/labels", "field_invalid")),
        no("R-LABEL-2", "an empty key", &keyed(""), ("/labels", "field_invalid")),
        no(
            "R-LABEL-2",
            "a key of 41 bytes",
            &keyed(&"k".repeat(41)),
            ("/labels", "field_too_long"),
        ),
    ]
}

fn content() -> Vec<Vector> {
    let parts = |count: usize| {
        let parts = (0..count).map(|number| (format!("p{number}"), json!(number)));
        with(prompt(), "/content", Value::Object(parts.collect()))
    };
    let named = |name: &str| with(prompt(), "/content", json!({ name: 1 }));
    let long = |bytes: usize| with(prompt(), "/content/text", "a".repeat(bytes - 2));
    // Files of a megabyte would say no more than these: the limit itself is in the tests of the types.
    vec![
        yes("R-CONTENT-1", "32 parts", &parts(32)),
        no("R-CONTENT-1", "33 parts", &parts(33), ("/content", "too_many")),
        yes("R-CONTENT-2", "every character that a name may have", &named("az_09")),
        no(
            "R-CONTENT-2",
            "a name that starts with a digit",
            &named("0a"),
            ("/content", "field_invalid"),
        ),
        no("R-CONTENT-2", "a name in capitals", &named("Text"), ("/content", "field_invalid")),
        no(
            "R-CONTENT-2",
            "a name of 41 bytes",
            &named(&"p".repeat(41)),
            ("/content", "field_too_long"),
        ),
        yes("R-CONTENT-3", "a part of 20,000 bytes", &long(20_000)),
        no(
            "R-CONTENT-3",
            "a part of a byte too many",
            &long(1_048_577),
            ("/content/text", "content_too_large"),
        ),
    ]
}

fn identities() -> Vec<Vector> {
    vec![
        yes("R-USER-1", "a user", &prompt()),
        no("R-USER-1", "no user", &without(prompt(), "/user"), ("/user", "user_context_missing")),
        yes(
            "R-SESS-1",
            "a session with all that it may have",
            &with(
                prompt(),
                "/session",
                json!({
                    "id": "s-1", "login_session_id": "sid-9", "turn_id": "turn-3",
                }),
            ),
        ),
        no(
            "R-SESS-1",
            "no session",
            &without(prompt(), "/session"),
            ("/session", "user_context_missing"),
        ),
        yes(
            "R-AGENT-1",
            "an agent with all that it may have",
            &with(
                output(),
                "/agent",
                json!({
                    "charter_digest": "00".repeat(32), "id": "invoice-agent", "instance_id": "i-1",
                    "name": "Invoice agent", "operator": "ops@example.com", "version": "1.4.2",
                }),
            ),
        ),
        no("R-AGENT-1", "no agent", &without(output(), "/agent"), ("/agent", "field_missing")),
    ]
}

fn collapse() -> Vec<Vector> {
    let service = |more: Value| {
        let mut user = json!({ "id": "nightly", "type": "service" });
        user.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        with(output(), "/user", user)
    };
    let user = |id: &str| with(output(), "/user/id", id);
    let trigger = json!({ "trigger": { "type": "schedule", "ref": "cron-7" } });
    let at = ("/user/id", "provenance_collapsed");
    vec![
        yes("R-COLL-1", "a service with a trigger", &service(trigger)),
        yes(
            "R-COLL-1",
            "a service with an owner",
            &service(json!({ "owner": "alice@example.com" })),
        ),
        no(
            "R-COLL-1",
            "a service and nobody behind it",
            &service(json!({})),
            ("/user", "provenance_collapsed"),
        ),
        yes("R-COLL-2", "a user and an agent", &output()),
        no("R-COLL-2", "the user is the agent", &user("invoice-agent"), at),
        no(
            "R-COLL-2",
            "the user is the running agent",
            &with(with(output(), "/agent/instance_id", "i-1"), "/user/id", "i-1"),
            at,
        ),
        yes(
            "R-COLL-3",
            "an owner who is a person",
            &service(json!({ "owner": "bob@example.com" })),
        ),
        no(
            "R-COLL-3",
            "the agent owns the service",
            &service(json!({ "owner": "invoice-agent" })),
            ("/user/owner", "provenance_collapsed"),
        ),
        yes("R-COLL-4", "an id that only begins like the agent's", &user("invoice-agent-2")),
        no("R-COLL-4", "the agent's id in capitals", &user("Invoice-Agent"), at),
        no("R-COLL-4", "the agent's id after a space", &user(" invoice-agent"), at),
        no(
            "R-COLL-4",
            "the agent's id in capitals outside ASCII",
            &{ with(with(output(), "/agent/id", "\u{e4}gent"), "/user/id", "\u{c4}GENT") },
            at,
        ),
    ]
}

fn causes() -> Vec<Vector> {
    let caused = |causes: Value| with(output(), "/causes", causes);
    let first = json!({ "id": "c-1", "rel": "triggered_by" });
    let informed = |count: usize| {
        let mut causes = vec![first.clone()];
        causes.extend(
            (0..count).map(|number| json!({ "id": format!("i-{number}"), "rel": "informed_by" })),
        );
        caused(Value::Array(causes))
    };
    let gateway =
        |record: Value| with(without(record, "/causes"), "/source/observed_by", "egress_proxy");
    vec![
        yes("R-CAUSE-1", "a relation that the kind has", &informed(1)),
        no(
            "R-CAUSE-1",
            "a relation that it does not have",
            &caused(json!([first, { "id": "c-2", "rel": "completes" }])),
            ("/causes/1/rel", "cause_invalid"),
        ),
        yes("R-CAUSE-2", "another record as the cause", &output()),
        no(
            "R-CAUSE-2",
            "itself as the cause",
            &with(output(), "/causes/0/id", "r-1"),
            ("/causes/0/id", "cause_invalid"),
        ),
        yes(
            "R-CAUSE-3",
            "one record with two relations",
            &caused(json!([first, { "id": "c-1", "rel": "informed_by" }])),
        ),
        no(
            "R-CAUSE-3",
            "one record with one relation, twice",
            &caused(
                json!([first, { "id": "i", "rel": "informed_by" }, { "id": "i", "rel": "informed_by" }]),
            ),
            ("/causes/2", "cause_repeated"),
        ),
        yes("R-CAUSE-4", "the cause that an API call needs", &call()),
        no(
            "R-CAUSE-4",
            "an API call without a tool invocation",
            &without(call(), "/causes"),
            ("/causes", "cause_missing"),
        ),
        no(
            "R-CAUSE-4",
            "a tool invocation without a cause",
            &without(invocation(), "/causes"),
            ("/causes", "cause_missing"),
        ),
        no(
            "R-CAUSE-4",
            "a tool result that completes nothing",
            &without(result(), "/causes"),
            ("/causes", "cause_missing"),
        ),
        no(
            "R-CAUSE-4",
            "a model output without a trigger",
            &caused(json!([])),
            ("/causes", "cause_missing"),
        ),
        yes("R-CAUSE-5", "256 causes", &informed(255)),
        no("R-CAUSE-5", "257 causes", &informed(256), ("/causes", "too_many")),
        no(
            "R-CAUSE-5",
            "two triggers",
            &caused(json!([first, { "id": "c-2", "rel": "triggered_by" }])),
            ("/causes", "too_many"),
        ),
        yes("R-CAUSE-6", "an API call that an egress proxy saw", &gateway(call())),
        yes("R-CAUSE-6", "a tool invocation that a gateway saw", &gateway(invocation())),
        yes("R-CAUSE-6", "an imported API call without a cause", &{
            with(without(call(), "/causes"), "/source/observed_by", "imported")
        }),
        no(
            "R-CAUSE-6",
            "an API call without a cause that the agent's own tool executor tells",
            &{ with(without(call(), "/causes"), "/source/observed_by", "tool_executor") },
            ("/causes", "cause_missing"),
        ),
    ]
}

fn kinds() -> Vec<Vector> {
    let mut all = vec![
        yes("R-KIND-1", "a kind", &prompt()),
        no(
            "R-KIND-1",
            "a kind that does not exist",
            &with(prompt(), "/kind", "thought"),
            ("/kind", "unknown_kind"),
        ),
        no(
            "R-KIND-1",
            "a kind in capitals",
            &with(prompt(), "/kind", "Prompt"),
            ("/kind", "unknown_kind"),
        ),
        no(
            "R-KIND-2",
            "a kind that only the server writes",
            &{
                let mut record = prompt();
                record["kind"] = json!("legal_hold");
                record["data"] = json!({ "actor": "a", "hold_id": "h", "reach": { "all": true }, "reason": "r", "state": "placed" });
                record
            },
            ("/kind", "kind_reserved"),
        ),
        no(
            "R-DATA-1",
            "the data of another kind",
            &with(output(), "/data", json!({ "role": "user" })),
            ("/data", "unknown_field"),
        ),
        no(
            "R-DATA-1",
            "a number that is no integer",
            &with(result(), "/data/duration_ms", 1.5),
            ("/data/duration_ms", "field_invalid"),
        ),
    ];
    all.extend(one_of_each().iter().map(|record| yes("R-DATA-1", "data of its kind", record)));
    all
}

fn grants() -> Vec<Vector> {
    let bare = |record: Value| without(record, "/delegation");
    let seen = |by: &str| with(bare(invocation()), "/source/observed_by", by);
    let memory = |op: &str| {
        let data = json!({ "op": op, "store": "notes" });
        bare(without(acted("memory", "triggered_by", data, json!({})), "/causes"))
    };
    let at = ("/delegation", "delegation_missing");
    vec![
        yes("R-DELEG-1", "a tool invocation under a grant", &invocation()),
        yes(
            "R-DELEG-1",
            "one that a gateway saw, which cannot know the grant",
            &seen("mcp_gateway"),
        ),
        yes("R-DELEG-1", "one that was imported", &seen("imported")),
        yes("R-DELEG-1", "a search of a memory, without a grant", &memory("search")),
        no("R-DELEG-1", "a tool invocation without a grant", &bare(invocation()), at),
        no("R-DELEG-1", "one that the executor saw", &seen("tool_executor"), at),
        no("R-DELEG-1", "a tool result without a grant", &bare(result()), at),
        no("R-DELEG-1", "an API call without a grant", &bare(call()), at),
        no("R-DELEG-1", "a change of a memory without a grant", &memory("upsert"), at),
    ]
}

fn captured() -> Vec<Vector> {
    let saying = |record: Value, captured: &str| with(record, "/source/captured", captured);
    let bare = |record: Value| without(record, "/content");
    let at = ("/content", "content_missing");
    let told = ("/source/captured", "field_invalid");
    vec![
        yes(
            "R-CONTENT-4",
            "a prompt whose text was not captured",
            &saying(bare(prompt()), "absent"),
        ),
        yes("R-CONTENT-4", "a prompt that was captured in part", &saying(prompt(), "truncated")),
        yes("R-CONTENT-4", "an API call without content", &bare(call())),
        no("R-CONTENT-4", "a prompt without content", &bare(prompt()), at),
        no(
            "R-CONTENT-4",
            "a model output with no part",
            &with(output(), "/content", json!({})),
            at,
        ),
        no(
            "R-CONTENT-4",
            "content in part, and none is there",
            &saying(bare(call()), "truncated"),
            at,
        ),
        no("R-CONTENT-4", "no content, and some is there", &saying(prompt(), "absent"), told),
    ]
}

/// Texts that do not look like what they are.
fn looks() -> Vec<Vector> {
    let user = |id: &str| with(prompt(), "/user/id", id);
    let agent = |id: &str| with(output(), "/user/id", id);
    let at = ("/user/id", "field_invalid");
    let same = ("/user/id", "provenance_collapsed");
    let full_width = "\u{ff49}\u{ff4e}\u{ff56}\u{ff4f}\u{ff49}\u{ff43}\u{ff45}-agent";
    let apart = with(with(output(), "/agent/id", "\u{e9}lise"), "/user/id", "E\u{301}LISE");
    let dots = ("/session/id", "field_invalid");
    vec![
        yes("R-TEXT-4", "a letter and its accent", &user("Jose\u{301}")),
        no("R-TEXT-4", "a space of no width", &user("alice\u{200b}"), at),
        no("R-TEXT-4", "an override of the direction", &user("\u{202e}ecila"), at),
        no("R-TEXT-4", "a soft hyphen", &user("al\u{ad}ice"), at),
        no("R-TEXT-4", "a variation selector", &user("a\u{fe0f}"), at),
        no("R-TEXT-4", "a noncharacter", &user("a\u{1ffff}"), at),
        yes("R-COLL-4", "an id that looks alike in another script", &agent("invoice-\u{430}gent")),
        no("R-COLL-4", "the agent's id in full-width letters", &agent(full_width), same),
        no("R-COLL-4", "the agent's id with a letter and its accent apart", &apart, same),
        yes("R-SESS-2", "a session of three dots", &with(prompt(), "/session/id", "...")),
        no("R-SESS-2", "a session of two dots", &with(prompt(), "/session/id", ".."), dots),
    ]
}

fn outcomes() -> Vec<Vector> {
    let phase = |phase: &str| with(without(call(), "/data/status_code"), "/data/phase", phase);
    let at = ("/data/status_code", "field_missing");
    vec![
        yes("R-API-3", "a call that is asked for", &phase("requested")),
        yes("R-API-3", "a call that got no answer", &with(call(), "/data/status_code", 0)),
        no("R-API-3", "neither a status nor a phase", &without(call(), "/data/status_code"), at),
        no("R-API-3", "done, and no status", &phase("completed"), at),
    ]
}

/// A record of every kind that clients post.
fn one_of_each() -> Vec<Value> {
    let posted = |kind: &str, data: Value| {
        let mut record = without(acted(kind, "about", data, json!({ "text": "x" })), "/causes");
        record["content"] = json!({});
        record
    };
    let about = |kind: &str, data: Value| acted(kind, "about", data, json!({}));
    let auth = json!({ "method": "sso", "issuer": "https://login.example.com", "amr": ["pwd", "otp"], "mfa": true });
    let tool = json!({ "name": "send_money", "definition_digest": "00".repeat(32), "annotations": { "destructive": true } });
    vec![
        posted("session_start", json!({ "auth": auth, "expires_at": "2026-11-24T17:00:00Z" })),
        posted("session_end", json!({ "reason": "logout" })),
        posted(
            "delegation_grant",
            json!({
                "audience": ["bank.example"], "scopes": ["pay"], "subject": "alice@example.com",
                "delegate": "invoice-agent", "delegation": "jti-7f", "issuer": "https://login.example.com",
                "issued_at": "2026-11-24T00:00:00Z", "expires_at": "2026-11-24T01:00:00Z",
                "credential": { "id": "jti-7f", "type": "jwt" }, "lifetime_basis": "login_session",
                "allowed_effects": ["read", "external"], "max_calls": 3,
            }),
        ),
        posted("delegation_revoke", json!({ "delegation": "jti-7f", "reason": "done" })),
        posted(
            "tool_catalog_snapshot",
            json!({ "catalog_digest": "00".repeat(32), "server": "bank", "tools": [tool] }),
        ),
        prompt(),
        output(),
        invocation(),
        result(),
        call(),
        about(
            "authorization_decision",
            json!({ "decision": "allow", "policy": { "id": "p-7" }, "enforced": true }),
        ),
        about(
            "human_approval",
            json!({ "approver": { "id": "bob@example.com" }, "decision": "approved", "mode": "explicit" }),
        ),
        posted(
            "retrieval",
            json!({ "source": "inbox", "documents": [{ "id": "1187.pdf" }], "trust": "external" }),
        ),
        posted("memory", json!({ "op": "search", "store": "notes" })),
        posted(
            "handoff",
            json!({ "from_agent": "invoice-agent", "to_agent": "tax-agent", "mode": "return" }),
        ),
        about("error", json!({ "error_type": "timeout" })),
        posted(
            "app_event",
            json!({
                "action": "user.signed_in", "actor": { "id": "u", "type": "user" },
                "targets": [{ "id": "t", "type": "team" }], "context": { "location": "192.0.2.1" },
            }),
        ),
        posted("heartbeat", json!({ "interval_ms": 60_000, "last_seq": 41 })),
        acted("correction", "corrects", json!({ "pointers": ["/data/tool"] }), json!({})),
        about("annotation", json!({})),
        about("case_note", json!({ "case_id": "c-9" })),
    ]
}

fn api_calls() -> Vec<Vector> {
    let data = |data: Value| with(call(), "/data", data);
    let url = |url: &str| with(call(), "/data/url", url);
    let at = ("/data/url", "field_invalid");
    vec![
        yes(
            "R-API-1",
            "an operation of a service",
            &data(
                json!({ "method": "PUT", "service": "s3", "operation": "PutObject", "status_code": 200 }),
            ),
        ),
        no(
            "R-API-1",
            "neither a URL nor an operation",
            &data(json!({ "method": "PUT", "service": "s3", "status_code": 200 })),
            ("/data/url", "field_missing"),
        ),
        yes("R-API-2", "a status of three digits", &with(call(), "/data/status_code", 999)),
        no(
            "R-API-2",
            "a status of four digits",
            &with(call(), "/data/status_code", 1000),
            ("/data/status_code", "field_invalid"),
        ),
        yes("R-URL-1", "another scheme", &url("postgres+ssl://db.example/ledger?x=1#y")),
        no("R-URL-1", "a path", &url("/v2/transfers"), at),
        no("R-URL-1", "a scheme that starts with a digit", &url("1http://x"), at),
        no("R-URL-1", "no slashes", &url("mailto:alice"), at),
        yes("R-URL-2", "an at sign in the path", &url("https://bank.example/@alice")),
        no("R-URL-2", "a user name and a password", &url("https://alice:secret@bank.example/"), at),
        no("R-URL-2", "a user name behind more slashes", &url("https:///alice@bank.example/"), at),
    ]
}

fn own_flags() -> Vec<Vector> {
    let orphan = with(without(call(), "/causes"), "/source/observed_by", "mcp_gateway");
    vec![yes("R-FLAG-2", "the flag of an API call that nothing explains", &orphan)]
}

fn signatures() -> Vec<Vector> {
    let signature = json!({ "key": "billing-key-1", "value": "0a".repeat(64) });
    let signed = with(prompt(), "/signature", signature);
    let heartbeat = {
        let data = json!({ "interval_ms": 60_000 });
        let record = without(acted("heartbeat", "about", data, json!({})), "/causes");
        without(without(record, "/user"), "/session")
    };
    let short = with(signed.clone(), "/signature/value", "0a".repeat(63));
    vec![
        yes("R-SIGN-1", "a record that is signed", &signed),
        no("R-SIGN-1", "a signature and no id", &without(signed, "/id"), ("/id", "field_missing")),
        no("R-HEX-1", "a signature of 63 bytes", &short, ("/signature/value", "field_invalid")),
        yes("R-USER-1", "a producer that is alive, and no user", &heartbeat),
        no(
            "R-CAUSE-1",
            "a heartbeat that is about something",
            &acted("heartbeat", "about", json!({ "interval_ms": 60_000 }), json!({})),
            ("/causes/0/rel", "cause_invalid"),
        ),
        yes(
            "R-DATA-1",
            "an invocation with the scopes that it uses",
            &with(with(invocation(), "/data/scopes", json!(["pay"])), "/data/task_id", "t-1"),
        ),
        yes(
            "R-DATA-1",
            "a call with the audience of its credential",
            &with(call(), "/data/audience", "bank.example"),
        ),
    ]
}

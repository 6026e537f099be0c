//! What the assembler makes of the ways in which producers tell things badly.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::record::{Draft, Event, Kind};

mod again;
mod others;

use others::coding;

/// A span: its trace, itself, the span around it, when, and what it tells.
fn span(ids: (u8, u8, u8), (start, end): (u64, u64), name: &str, attributes: Value) -> Item {
    let (trace, id, parent) = ids;
    let kind = if attributes.get("http.request.method").is_some() {
        SpanKind::Client
    } else {
        SpanKind::Internal
    };
    let Value::Object(attributes) = attributes else { panic!("attributes") };
    Item {
        resource: Arc::new([("service.name".to_owned(), json!("shop"))].into()),
        scope: Arc::default(),
        what: What::Span(Span {
            trace_id: TraceId::new(format!("{trace:032x}")).unwrap(),
            span_id: SpanId::new(format!("{id:016x}")).unwrap(),
            parent: (parent > 0).then(|| SpanId::new(format!("{parent:016x}")).unwrap()),
            name: name.to_owned(),
            kind,
            start_ns: start,
            end_ns: end,
            attributes: attributes.into_iter().collect(),
            events: Vec::new(),
            failed: false,
            status_message: String::new(),
            dropped: 0,
        }),
    }
}

fn root(trace: u8) -> Item {
    let told = json!({
        "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "helper",
        "user.id": "alice", "session.id": "s-1",
    });
    span((trace, 1, 0), (1, 1_000), "invoke_agent helper", told)
}

fn said(role: &str, text: &str) -> Value {
    json!({ "role": role, "parts": [{ "type": "text", "content": text }] })
}

fn asks(id: &str, tool: &str, arguments: &Value) -> Value {
    json!({ "role": "assistant", "parts": [{ "type": "tool_call", "id": id, "name": tool, "arguments": arguments }] })
}

fn gave(id: &str, result: &Value) -> Value {
    json!({ "role": "tool", "parts": [{ "type": "tool_call_response", "id": id, "response": result }] })
}

fn chat(trace: u8, id: u8, times: (u64, u64), input: &[Value], output: &Value) -> Item {
    let told = json!({
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "m-1", "gen_ai.provider.name": "p",
        "gen_ai.input.messages": Value::from(input.to_vec()).to_string(),
        "gen_ai.output.messages": json!([output]).to_string(),
    });
    span((trace, id, 1), times, "chat m-1", told)
}

fn tool(trace: u8, id: u8, times: (u64, u64), name: &str, more: &Value) -> Item {
    let mut told = json!({ "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name });
    told.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    span((trace, id, 1), times, "execute_tool", told)
}

fn call(trace: u8, ids: (u8, u8), times: (u64, u64), url: &str) -> Item {
    let told =
        json!({ "http.request.method": "POST", "url.full": url, "http.response.status_code": 201 });
    span((trace, ids.0, ids.1), times, "POST", told)
}

fn sender() -> Sender {
    Sender { producer: "p".into(), user: None, session: None, agent: None }
}

fn tell(items: &[Item], known: &mut Known) -> Vec<Draft> {
    for session in sessions(items, &sender()) {
        known.begin(&session);
    }
    let drafts = assemble(items, &sender(), known);
    for draft in drafts.iter().filter(|draft| draft.user.is_some()) {
        if let Err(faults) = Event::try_from(draft.clone()) {
            panic!("{:?}: {faults:?}", draft.id);
        }
    }
    drafts
}

fn of(drafts: &[Draft], kind: Kind) -> Vec<Value> {
    drafts
        .iter()
        .filter(|draft| draft.kind() == kind)
        .map(|draft| serde_json::to_value(draft).unwrap())
        .collect()
}

fn cause<'a>(record: &'a Value, rel: &str) -> Vec<&'a str> {
    record["causes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|cause| cause["rel"] == rel)
        .map(|cause| cause["id"].as_str().unwrap())
        .collect()
}

/// A conversation of two turns, each a trace of its own; the second repeats the first.
fn turn(trace: u8, before: &[Value], ask: &str, call_id: &str) -> (Vec<Item>, Vec<Value>) {
    let given = json!({ "n": trace });
    let mut history = before.to_vec();
    history.push(said("user", ask));
    let first = chat(trace, 2, (10, 20), &history, &asks(call_id, "pay", &given));
    history.push(asks(call_id, "pay", &given));
    history.push(gave(call_id, &json!({ "paid": trace })));
    let second = chat(trace, 5, (60, 70), &history, &said("assistant", "Done."));
    history.push(said("assistant", "Done."));
    let ran = tool(trace, 3, (25, 50), "pay", &json!({ "gen_ai.tool.call.id": call_id }));
    let api = call(trace, (4, 3), (30, 40), "https://bank.example/pay");
    (vec![api, ran, second, first, root(trace)], history)
}

#[test]
fn a_turn_is_told_from_the_prompt_to_the_call_and_back() {
    let (items, _) = turn(1, &[], "Pay.", "c-1");
    let drafts = tell(&items, &mut Known::default());
    let kinds: Vec<_> = drafts.iter().map(Draft::kind).collect();
    assert_eq!(
        kinds,
        [
            Kind::Prompt,
            Kind::ModelOutput,
            Kind::ToolInvocation,
            Kind::ApiCall,
            Kind::ToolResult,
            Kind::ModelOutput,
        ]
    );
    let id = |place: usize| drafts[place].id.as_ref().unwrap().as_str();
    let at = |place: usize| serde_json::to_value(&drafts[place]).unwrap();
    assert_eq!(cause(&at(1), "triggered_by"), [id(0)]);
    assert_eq!(cause(&at(2), "triggered_by"), [id(1)]);
    assert_eq!(cause(&at(3), "triggered_by"), [id(2)]);
    assert_eq!(cause(&at(4), "completes"), [id(2)]);
    assert_eq!(cause(&at(4), "informed_by"), [id(3)]);
    assert_eq!(cause(&at(5), "triggered_by"), [id(4)]);
    assert_eq!(at(4)["content"]["result"], json!({ "paid": 1 }), "only the history had the result");
    assert_eq!(at(2)["trace"]["span_id"], "0000000000000003", "the span in which the tool ran");
    assert_eq!(at(0)["user"]["id"], "alice");
    assert_eq!(at(1)["agent"]["id"], "helper");
}

#[test]
fn what_is_repeated_is_told_once_and_what_is_said_again_is_told_again() {
    let mut known = Known::default();
    let (first, history) = turn(1, &[], "Pay.", "c-1");
    assert_eq!(tell(&first, &mut known).len(), 6);
    assert!(tell(&first, &mut known).is_empty(), "the same items again");
    let (second, _) = turn(2, &history, "Pay.", "c-2");
    let drafts = tell(&second, &mut known);
    assert_eq!(drafts.len(), 6, "the same words, said again");
    let asked = drafts[0].id.as_ref().unwrap();
    assert!(asked.ends_with(".p4"), "the last message is the new one, and not the first: {asked}");
    let outputs = of(&drafts, Kind::ModelOutput);
    assert_eq!(
        cause(&outputs[0], "informed_by"),
        ["otlp.00000000000000000000000000000001.0000000000000003.r"]
    );
}

#[test]
fn a_reused_call_id_means_the_latest_call() {
    let mut known = Known::default();
    let (first, history) = turn(1, &[], "Pay.", "call_0");
    tell(&first, &mut known);
    let (second, _) = turn(2, &history, "Pay more.", "call_0");
    let drafts = tell(&second, &mut known);
    let result = &of(&drafts, Kind::ToolResult)[0];
    assert_eq!(cause(result, "completes"), [drafts[2].id.as_ref().unwrap().as_str()]);
    assert_eq!(result["content"]["result"], json!({ "paid": 2 }));
}

#[test]
fn a_history_that_leaves_something_out_is_matched_by_what_it_says() {
    let mut known = Known::default();
    let (first, history) = turn(1, &[], "Pay.", "call_0");
    let early = tell(&first, &mut known);
    let (second, _) = turn(2, &history, "Pay more.", "call_0");
    tell(&second, &mut known);
    let asked = [&history[..], &[said("user", "What was it?")]].concat();
    let items = [root(3), chat(3, 2, (10, 20), &asked, &said("assistant", "One."))];
    let drafts = tell(&items, &mut known);
    let result = of(&early, Kind::ToolResult)[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(cause(&of(&drafts, Kind::ModelOutput)[0], "informed_by"), [result]);
}

#[test]
fn calls_without_ids_are_found_by_name_and_arguments_and_say_so() {
    let output = json!({ "role": "assistant", "parts": [
        { "type": "tool_call", "name": "look", "arguments": { "at": "a" } },
        { "type": "tool_call", "name": "look", "arguments": { "at": "b" } },
    ]});
    let items = [
        root(1),
        chat(1, 2, (10, 20), &[said("user", "Look.")], &output),
        tool(
            1,
            3,
            (22, 30),
            "look",
            &json!({ "gen_ai.tool.call.arguments": r#"{"at":"b"}"#, "gen_ai.tool.call.result": "B" }),
        ),
        tool(1, 4, (24, 30), "look", &json!({ "gen_ai.tool.call.result": "A" })),
    ];
    let drafts = tell(&items, &mut Known::default());
    let invocations = of(&drafts, Kind::ToolInvocation);
    let spans: Vec<_> =
        invocations.iter().map(|record| record["trace"]["span_id"].as_str().unwrap()).collect();
    assert_eq!(
        spans,
        ["0000000000000004", "0000000000000003"],
        "b by its arguments, a because it is left"
    );
    assert!(invocations.iter().all(|record| record["source"]["link_confidence"] == "inferred"));
    assert_eq!(
        invocations[0]["content"]["arguments"],
        json!({ "at": "a" }),
        "what the model asked for"
    );
}

#[test]
fn a_call_to_the_model_itself_is_no_api_call() {
    let items = [
        root(1),
        chat(1, 2, (10, 20), &[said("user", "Hello.")], &said("assistant", "Hello.")),
        call(1, (3, 2), (11, 19), "https://models.example/v1/chat/completions"),
    ];
    assert!(of(&tell(&items, &mut Known::default()), Kind::ApiCall).is_empty());

    // An agent that is the tool of another.
    let mut inner = chat(1, 2, (10, 20), &[said("user", "Hello.")], &said("assistant", "Hello."));
    if let What::Span(span) = &mut inner.what {
        span.parent = SpanId::new(format!("{:016x}", 9));
    }
    let items = [root(1), tool(1, 9, (5, 30), "helper", &json!({})), inner, items[2].clone()];
    assert!(of(&tell(&items, &mut Known::default()), Kind::ApiCall).is_empty());
}

#[test]
fn a_call_that_no_tool_made_is_told_without_a_cause() {
    let items = [root(1), call(1, (3, 1), (11, 19), "https://bank.example/pay")];
    let calls = of(&tell(&items, &mut Known::default()), Kind::ApiCall);
    assert_eq!(calls.len(), 1);
    assert!(calls[0].get("causes").is_none());
}

#[test]
fn a_loose_call_belongs_to_the_one_run_that_it_fell_into() {
    let loose = [call(9, (9, 0), (30, 40), "https://bank.example/pay")];
    let (mut items, _) = turn(1, &[], "Pay.", "c-1");
    items.remove(0);
    assert!(is_loose(&loose) && !is_loose(&items));
    assert!(covers(&items, &loose));
    items.extend(loose.clone());
    let calls = of(&tell(&items, &mut Known::default()), Kind::ApiCall);
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0]["source"]["link_confidence"], "inferred");
    assert_eq!(calls[0]["user"]["id"], "alice");

    let later = [call(9, (9, 0), (45, 55), "https://bank.example/pay")];
    assert!(!covers(&items, &later), "it ended after the run");
    let mut two = items.clone();
    two.push(tool(1, 8, (26, 49), "pay", &json!({})));
    assert!(!covers(&two, &loose), "two runs could have made it");
    assert!(
        tell(&later, &mut Known::default()).is_empty(),
        "nobody is accountable, and nothing is invented"
    );
}

#[test]
fn what_comes_late_is_joined_to_what_was_told() {
    let mut known = Known::default();
    let (items, _) = turn(1, &[], "Pay.", "c-1");
    let (api, ran, rest) = (items[0].clone(), items[1].clone(), &items[2..]);
    let early = tell(rest, &mut known);
    assert_eq!(of(&early, Kind::ToolResult).len(), 1, "from the history");
    let late = tell(&[rest, &[ran, api]].concat(), &mut known);
    assert_eq!(late.iter().map(Draft::kind).collect::<Vec<_>>(), [Kind::ApiCall]);
    let invocation = &of(&early, Kind::ToolInvocation)[0];
    assert_eq!(
        cause(&of(&late, Kind::ApiCall)[0], "triggered_by"),
        [invocation["id"].as_str().unwrap()]
    );
}

#[test]
fn without_content_nothing_is_made_up() {
    let mut items = turn(1, &[], "Pay.", "c-1").0;
    for item in &mut items {
        if let What::Span(span) = &mut item.what {
            span.attributes.retain(|name, _| !name.ends_with(".messages"));
        }
    }
    let drafts = tell(&items, &mut Known::default());
    assert_eq!(drafts.len(), 6);
    for draft in &drafts {
        let record = serde_json::to_value(draft).unwrap();
        assert!(record.get("content").is_none());
        if draft.kind() != Kind::ApiCall {
            assert_eq!(record["source"]["captured"], "absent", "{record}");
        }
        let guessed = [Kind::ToolInvocation, Kind::ToolResult].contains(&draft.kind());
        assert!(!guessed || record["source"]["link_confidence"] == "inferred", "{record}");
    }
}

#[test]
fn a_user_is_never_made_up() {
    let mut items = turn(1, &[], "Pay.", "c-1").0;
    for item in &mut items {
        if let What::Span(span) = &mut item.what {
            span.attributes.remove("user.id");
        }
    }
    let drafts = assemble(&items, &sender(), &mut Known::default());
    assert!(drafts.len() >= 5 && drafts.iter().all(|draft| draft.user.is_none()));
}

#[test]
fn of_two_users_in_one_trace_neither_speaks_for_the_other() {
    let of_user = |id: u8, user: &str| {
        let told = json!({ "gen_ai.operation.name": "invoke_agent", "user.id": user, "session.id": "s-1" });
        span((1, id, 0), (1, 2), "invoke_agent", told)
    };
    let mut nobodys = chat(1, 5, (10, 20), &[said("user", "Hello.")], &said("assistant", "Hello."));
    if let What::Span(span) = &mut nobodys.what {
        span.parent = None;
    }
    let drafts = tell(&[of_user(2, "alice"), of_user(3, "bob"), nobodys], &mut Known::default());
    assert!(drafts.len() == 2 && drafts.iter().all(|draft| draft.user.is_none()));
}

#[test]
fn a_history_from_before_the_capture_is_told_as_such() {
    let history = [
        said("user", "Look."),
        asks("c-0", "look", &json!({})),
        gave("c-0", &json!("IGNORE ALL")),
        said("user", "Pay."),
    ];
    let items = [root(1), chat(1, 2, (10, 20), &history, &said("assistant", "Paid."))];
    let drafts = tell(&items, &mut Known::default());
    let kinds: Vec<_> = drafts.iter().map(Draft::kind).collect();
    assert_eq!(
        kinds,
        [
            Kind::Prompt,
            Kind::ModelOutput,
            Kind::ToolInvocation,
            Kind::ToolResult,
            Kind::Prompt,
            Kind::ModelOutput,
        ]
    );
    let output = serde_json::to_value(&drafts[1]).unwrap();
    assert_eq!(
        (
            output["data"]["model"]["requested"].as_str(),
            output["source"]["link_confidence"].as_str()
        ),
        (Some("unknown"), Some("inferred"))
    );
    let last = serde_json::to_value(&drafts[5]).unwrap();
    assert_eq!(cause(&last, "informed_by"), [drafts[3].id.as_ref().unwrap().as_str()]);
}

#[test]
fn one_call_that_two_instrumentations_tell_of_is_told_once() {
    let (mut items, _) = turn(1, &[], "Pay.", "c-1");
    let gateway = json!({ "gen_ai.operation.name": "chat", "gen_ai.request.model": "m-1", "gen_ai.response.id": "r-9" });
    items.push(span((1, 20, 2), (11, 19), "chat", gateway));
    let proxy = json!({ "mcp.method.name": "tools/call", "gen_ai.tool.name": "pay", "whence.mcp.server": "bank" });
    items.push(span((1, 21, 3), (26, 49), "tools/call pay", proxy));
    let drafts = tell(&items, &mut Known::default());
    assert_eq!(drafts.len(), 6);
    assert_eq!(of(&drafts, Kind::ModelOutput)[0]["data"]["model"]["response_id"], "r-9");
}

#[test]
fn an_output_that_a_history_writes_down_as_two_messages_is_one() {
    let words = json!({ "type": "text", "content": "I pay." });
    let mut output = asks("c-1", "pay", &json!({}));
    output["parts"].as_array_mut().unwrap().insert(0, words);
    let history = [
        said("user", "Pay."),
        said("assistant", "I pay."),
        asks("c-1", "pay", &json!({})),
        gave("c-1", &json!("paid")),
    ];
    let items = [
        root(1),
        chat(1, 2, (10, 20), &history[..1], &output),
        chat(1, 3, (30, 40), &history, &said("assistant", "Done.")),
    ];
    let drafts = tell(&items, &mut Known::default());
    assert_eq!(
        drafts.iter().map(Draft::kind).collect::<Vec<_>>(),
        [
            Kind::Prompt,
            Kind::ModelOutput,
            Kind::ToolInvocation,
            Kind::ToolResult,
            Kind::ModelOutput,
        ]
    );
}

#[test]
fn a_tool_that_is_given_nothing_and_gives_nothing_back_says_so() {
    let told = json!({ "gen_ai.tool.call.arguments": "{}", "gen_ai.tool.call.result": "[]" });
    let drafts = tell(&[root(1), tool(1, 3, (10, 20), "list", &told)], &mut Known::default());
    let (invocation, result) =
        (&of(&drafts, Kind::ToolInvocation)[0], &of(&drafts, Kind::ToolResult)[0]);
    assert_eq!(invocation["content"]["arguments"], json!({}));
    assert_eq!(result["content"]["result"], json!([]));
    assert!(invocation["source"].get("captured").is_none());
}

#[test]
fn documents_that_were_looked_for_inform_the_next_answer() {
    let found = json!({
        "openinference.span.kind": "RETRIEVER", "input.value": "rates",
        "retrieval.documents.0.document.id": "d-7", "retrieval.documents.0.document.content": "7 %",
    });
    let items = [
        root(1),
        span((1, 7, 1), (3, 5), "search", found),
        chat(1, 2, (10, 20), &[said("user", "Rates?")], &said("assistant", "7 %.")),
    ];
    let drafts = tell(&items, &mut Known::default());
    let retrieval = &of(&drafts, Kind::Retrieval)[0];
    assert_eq!(retrieval["data"]["documents"][0]["id"], "d-7");
    assert_eq!(
        cause(&of(&drafts, Kind::ModelOutput)[0], "informed_by"),
        [retrieval["id"].as_str().unwrap()]
    );
}

#[test]
fn a_model_that_failed_is_an_error_about_what_it_was_asked() {
    let mut failed = chat(1, 2, (10, 20), &[said("user", "Hello.")], &json!({}));
    if let What::Span(span) = &mut failed.what {
        span.attributes.remove("gen_ai.output.messages");
        span.attributes.insert("error.type".to_owned(), json!("timeout"));
        span.failed = true;
    }
    let drafts = tell(&[root(1), failed], &mut Known::default());
    assert_eq!(drafts.iter().map(Draft::kind).collect::<Vec<_>>(), [Kind::Prompt, Kind::Error]);
    assert_eq!(serde_json::to_value(&drafts[1]).unwrap()["data"]["error_type"], "timeout");
}

#[test]
fn each_row_of_the_table_is_reachable() {
    for (place, row) in mapping::TABLE.iter().enumerate() {
        let again = mapping::TABLE
            .iter()
            .take(place)
            .any(|other| (other.field, other.name, other.form) == (row.field, row.name, row.form));
        assert!(!again, "{row:?} stands there twice");
    }
    for (place, row) in mapping::ROLES.iter().enumerate() {
        let hidden = mapping::ROLES.iter().take(place).any(|other| {
            other.name == row.name && (other.value.is_empty() || other.value == row.value)
        });
        assert!(!hidden, "{row:?} is never reached");
    }
}

proptest! {
    /// The order of items, and how often they come, change nothing.
    #[test]
    fn order_and_repetition_change_nothing(order in Just(()).prop_perturb(|(), mut random| {
        let mut all = [turn(1, &[], "Pay.", "c-1").0, coding()].concat();
        all.extend(all.clone());
        for place in (1..all.len()).rev() {
            let other = usize::try_from(random.next_u64()).unwrap_or(usize::MAX) % (place + 1);
            all.swap(place, other);
        }
        all
    })) {
        let expected = tell(&[turn(1, &[], "Pay.", "c-1").0, coding()].concat(), &mut Known::default());
        prop_assert_eq!(tell(&order, &mut Known::default()), expected);
    }

    /// Whatever stands in attributes, nothing panics.
    #[test]
    fn hostile_messages_do_no_harm(text in "\\PC*", deep in 0usize..200) {
        let nested = format!("{}{}", "[".repeat(deep), "]".repeat(deep));
        for value in [text.as_str(), &nested, r#"[{"role":"tool","parts":[{}]}]"#, r#"{"messages":[[{}]]}"#] {
            let told = json!({
                "gen_ai.operation.name": "chat", "gen_ai.input.messages": value, "gen_ai.output.messages": value,
                "user.id": "alice", "session.id": "s-1", "gen_ai.request.model": text, "gen_ai.tool.name": text,
            });
            let items = [span((1, 1, 1), (5, 3), "chat", told.clone()), span((1, 2, 0), (0, u64::MAX), "tool", json!({
                "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": text, "gen_ai.tool.call.arguments": value,
                "user.id": text,
            }))];
            assemble(&items, &sender(), &mut Known::default());
        }
    }
}

//! What is said again: in one trace, after its words are gone, by somebody else, and very often.

use serde_json::{Value, json};

use super::{asks, cause, chat, of, root, said, sender, span, tell, tool};
use crate::capture::otlp::{Item, Known, assemble};
use crate::record::{Draft, Kind};

fn ids(drafts: &[Draft], kind: Kind) -> Vec<String> {
    of(drafts, kind).iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
}

/// The same records, noted anew from a log in which the contents of some are not what was told.
fn noted_anew(drafts: &[Draft], change: impl Fn(&mut Draft)) -> Known {
    let mut known = Known::default();
    for draft in drafts {
        let mut kept = draft.clone();
        change(&mut kept);
        known.note(&kept);
    }
    known
}

/// Two turns with tools between them, of which the second repeats the first, and a third.
fn three_turns() -> ([Vec<Item>; 2], Vec<Item>) {
    let mut history =
        vec![said("system", "Help."), said("user", "Hello."), said("assistant", "Hi.")];
    let first = vec![root(1), chat(1, 2, (10, 20), &history[..2], &history[2])];
    history.push(said("user", "Who am I?"));
    history.push(said("assistant", "Alice."));
    let second = vec![root(2), chat(2, 2, (30, 40), &history[..4], &history[4])];
    history.push(said("user", "Hello."));
    let third = vec![root(3), chat(3, 2, (50, 60), &history, &said("assistant", "Hi."))];
    ([first, second], third)
}

#[test]
fn the_same_words_in_one_trace_are_another_prompt_once_they_were_answered() {
    let mut known = Known::default();
    let yes = said("user", "Yes.");
    let history = [yes.clone(), said("assistant", "Sure?"), yes];
    let items = [
        root(1),
        chat(1, 2, (10, 20), &history[..1], &history[1]),
        chat(1, 3, (30, 40), &history, &said("assistant", "Done.")),
        // The same question, put to another model beside it.
        chat(1, 4, (31, 41), &history, &said("assistant", "Fine.")),
    ];
    let drafts = tell(&items, &mut known);
    let prompts = ids(&drafts, Kind::Prompt);
    let outputs = of(&drafts, Kind::ModelOutput);
    assert_eq!((prompts.len(), outputs.len()), (2, 3));
    assert_eq!(cause(&outputs[0], "triggered_by"), [&*prompts[0]]);
    assert_eq!(cause(&outputs[1], "triggered_by"), [&*prompts[1]]);
    assert_eq!(cause(&outputs[2], "triggered_by"), [&*prompts[1]]);
    assert!(tell(&items, &mut known).is_empty(), "the same items again");
}

#[test]
fn what_was_erased_is_not_told_again_when_a_history_repeats_it() {
    let ([first, second], third) = three_turns();
    let mut known = Known::default();
    let drafts = [tell(&first, &mut known), tell(&second, &mut known)].concat();
    assert_eq!(drafts.len(), 5);
    let all: &dyn Fn(&mut Draft) = &|draft| draft.content = [].into_iter().collect();
    let one: &dyn Fn(&mut Draft) = &|draft| {
        if draft.content.values().any(|text| *text.as_value() == json!("Who am I?")) {
            draft.content = [].into_iter().collect();
        }
    };
    let redacted: &dyn Fn(&mut Draft) = &|draft| {
        let text = json!("It is [redacted:named-secret].");
        draft.content =
            [("text".to_owned(), crate::canon::Json::from_value(text))].into_iter().collect();
    };
    for (change, inferred) in [(all, true), (one, true), (redacted, true), (&|_| (), false)] {
        let told = tell(&third, &mut noted_anew(&drafts, change));
        let kinds: Vec<_> = told.iter().map(Draft::kind).collect();
        assert_eq!(kinds, [Kind::Prompt, Kind::ModelOutput], "the new ones alone: {told:?}");
        assert_eq!(ids(&told, Kind::Prompt)[0].rsplit('.').next(), Some("p5"));
        let output = &of(&told, Kind::ModelOutput)[0];
        let confidence = if inferred { "inferred" } else { "stated" };
        assert_eq!(output["source"]["link_confidence"], confidence, "by place alone, or by words");
    }
}

#[test]
fn a_text_that_is_too_long_to_keep_is_recognised_by_what_is_kept() {
    let long = "long ".repeat(300_000);
    let history = [said("user", &long), said("assistant", "Long."), said("user", "So?")];
    let first = [root(1), chat(1, 2, (10, 20), &history[..1], &history[1])];
    let drafts = tell(&first, &mut Known::default());
    let second = [root(2), chat(2, 2, (30, 40), &history, &said("assistant", "So."))];
    let told = tell(&second, &mut noted_anew(&drafts, |_| ()));
    assert_eq!(told.iter().map(Draft::kind).collect::<Vec<_>>(), [Kind::Prompt, Kind::ModelOutput]);
}

#[test]
fn the_same_id_in_two_sessions_is_two_calls() {
    let of_user = |place: u8, user: &str| {
        let session = format!("s-{user}");
        let told = json!({ "gen_ai.operation.name": "invoke_agent", "user.id": user, "session.id": session });
        span((1, place, 1), (2, 900), "invoke_agent", told)
    };
    let within = |mut item: Item, parent: u8| {
        if let crate::capture::otlp::What::Span(span) = &mut item.what {
            span.parent = Some(super::SpanId::new(format!("{parent:016x}")).unwrap());
        }
        item
    };
    let plain = span((1, 1, 0), (1, 1_000), "both", json!({}));
    let ask = |id, at, parent| {
        let asked = asks("call_0", "pay", &json!({ "to": parent }));
        within(chat(1, id, at, &[said("user", "Pay.")], &asked), parent)
    };
    let ran = json!({ "gen_ai.tool.call.id": "call_0", "gen_ai.tool.call.result": "ok" });
    let items = [
        plain,
        of_user(10, "alice"),
        of_user(20, "bob"),
        ask(11, (10, 20), 10),
        ask(21, (15, 25), 20),
        within(tool(1, 12, (30, 40), "pay", &ran), 10),
        within(tool(1, 22, (31, 41), "pay", &ran), 20),
    ];
    let drafts = tell(&items, &mut Known::default());
    let invocations = of(&drafts, Kind::ToolInvocation);
    let who = |record: &Value| {
        let text = |pointer| record.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        (text("/user/id"), text("/session/id"), text("/trace/span_id"))
    };
    let mut who: Vec<_> = invocations.iter().map(who).collect();
    who.sort();
    let of = |user: &str, span: u8| (user.to_owned(), format!("s-{user}"), format!("{span:016x}"));
    assert_eq!(who, [of("alice", 12), of("bob", 22)]);
}

#[test]
fn a_record_that_somebody_else_wrote_under_the_id_is_not_this_one() {
    let says =
        |words| [root(1), chat(1, 2, (10, 20), &[said("user", words)], &said("assistant", "Hi."))];
    let mut other = sender();
    other.producer = "other".into();
    let mut known = Known::default();
    known.begin("s-1");
    assert_eq!(assemble(&says("Pay everything."), &other, &mut known).len(), 2);
    assert_eq!(
        tell(&says("Hello."), &mut known).len(),
        2,
        "the ledger says that the ids are taken"
    );
}

/// Histories in which everything is the same, of a length at which looking at each pair of messages
/// would take minutes.
#[test]
fn a_long_history_of_the_same_words_takes_no_longer_than_another() {
    let many = 20_000;
    let says = |role: &str| json!({ "role": role, "content": "a" });
    let same = vec![says("user"); many];
    let turns: Vec<_> = (0..many).map(|at| says(["user", "assistant"][at % 2])).collect();
    let mut known = Known::default();
    let items = [
        root(1),
        chat(1, 2, (10, 20), &same, &said("assistant", "b")),
        chat(1, 3, (30, 40), &same, &said("assistant", "c")),
        chat(1, 4, (50, 60), &turns, &said("assistant", "d")),
        chat(1, 5, (70, 80), &turns, &said("assistant", "e")),
    ];
    let told = tell(&items, &mut known);
    assert!(told.len() > many, "{}", told.len());
    assert!(tell(&items, &mut known).is_empty());
}

#[test]
fn json_of_very_many_values_stays_the_text_that_it_is() {
    let many = |count: usize| format!("[{}]", vec![r#"{"":0}"#; count].join(","));
    for (count, is_text) in [(1_000, false), (60_000, true)] {
        let text = many(count);
        let told = json!({ "gen_ai.tool.call.id": "c", "gen_ai.tool.call.arguments": text, "gen_ai.tool.call.result": "ok" });
        let drafts = tell(&[root(1), tool(1, 3, (10, 20), "pay", &told)], &mut Known::default());
        let invocation = &of(&drafts, Kind::ToolInvocation)[0];
        let given = &invocation["content"]["arguments"];
        assert!(given.as_str() == is_text.then_some(&*text), "{count}");
    }
    let commas = json!({ "x": ",".repeat(200_000), "y": "\\\"[," }).to_string();
    assert_eq!(
        crate::capture::otlp::read::values_of(commas.as_bytes()),
        3,
        "in a text they are none"
    );
    let unknown = format!(r#"{{"x":{}}}"#, many(1_000_000));
    let read = crate::capture::otlp::decode(
        crate::capture::otlp::Signal::Traces,
        crate::capture::otlp::Encoding::Json,
        unknown.as_bytes(),
    );
    assert_eq!(read.unwrap_err(), crate::capture::otlp::DecodeError::TooMany);
}

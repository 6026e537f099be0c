//! Servers of tools, and coding agents.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{cause, of, span, tell};
use crate::capture::otlp::{Item, Known, Log, What};
use crate::record::{Draft, Event, Kind};

#[test]
fn what_a_server_offers_and_what_a_person_answers_are_told() {
    let tools = json!([{ "name": "pay", "inputSchema": { "type": "object" }, "annotations": { "destructiveHint": true } }]);
    let listed = json!({ "mcp.method.name": "tools/list", "whence.mcp.server": "bank", "whence.mcp.tools": tools.to_string() });
    let ran = json!({ "mcp.method.name": "tools/call", "gen_ai.tool.name": "pay", "user.id": "alice", "session.id": "s-1", "gen_ai.tool.call.result": "ok" });
    let asked = json!({
        "mcp.method.name": "elicitation/create", "whence.mcp.request": r#"{"message":"Really?"}"#,
        "whence.mcp.response": r#"{"action":"decline"}"#,
    });
    let items = [
        span((1, 1, 0), (1, 2), "tools/list", listed),
        span((2, 2, 0), (10, 90), "tools/call pay", ran),
        span((2, 3, 2), (20, 30), "elicitation/create", asked),
    ];
    let offered = tell(&items[..1], &mut Known::default());
    assert_eq!(offered.iter().map(Draft::kind).collect::<Vec<_>>(), [Kind::ToolCatalogSnapshot]);
    assert!(Event::try_from(offered[0].clone()).is_ok());
    let drafts = tell(&items[1..], &mut Known::default());
    let approval = &of(&drafts, Kind::HumanApproval)[0];
    assert_eq!(approval["data"]["decision"], "rejected");
    assert_eq!(
        cause(approval, "about"),
        [of(&drafts, Kind::ToolInvocation)[0]["id"].as_str().unwrap()]
    );
}

/// A log record of a coding agent.
fn log(time_ns: u64, event_name: &str, mut attributes: Value) -> Item {
    attributes["session.id"] = json!("s-9");
    attributes["user.email"] = json!("bob@example.com");
    attributes["user.id"] = json!("an-anonymous-installation");
    let Value::Object(attributes) = attributes else { panic!("attributes") };
    Item {
        resource: Arc::new([("service.name".to_owned(), json!("claude-code"))].into()),
        scope: Arc::default(),
        what: What::Log(Log {
            trace_id: None,
            span_id: None,
            time_ns,
            event_name: event_name.to_owned(),
            body: Value::Null,
            attributes: attributes.into_iter().collect(),
            dropped: 0,
        }),
    }
}

pub(super) fn coding() -> Vec<Item> {
    vec![
        log(1, "claude_code.user_prompt", json!({ "prompt": "Fix it.", "prompt.id": "p-1" })),
        log(
            2,
            "claude_code.api_request",
            json!({ "model": "m-1", "request_id": "r-1", "input_tokens": "7" }),
        ),
        log(
            3,
            "claude_code.tool_decision",
            json!({ "tool_name": "Bash", "tool_use_id": "t-1", "decision": "accept", "source": "user_temporary" }),
        ),
        log(
            4,
            "claude_code.tool_result",
            json!({ "tool_name": "Bash", "tool_use_id": "t-1", "success": "false", "duration_ms": 12, "tool_input": r#"{"command":"ls"}"# }),
        ),
        log(5, "claude_code.api_request", json!({ "model": "m-1", "request_id": "r-2" })),
    ]
}

#[test]
fn coding_agents_are_told_from_their_log_records() {
    let drafts = tell(&coding(), &mut Known::default());
    let kinds: Vec<_> = drafts.iter().map(Draft::kind).collect();
    assert_eq!(
        kinds,
        [
            Kind::Prompt,
            Kind::ModelOutput,
            Kind::ToolInvocation,
            Kind::HumanApproval,
            Kind::ToolResult,
            Kind::ModelOutput,
        ]
    );
    let at = |place: usize| serde_json::to_value(&drafts[place]).unwrap();
    let id = |place: usize| drafts[place].id.as_ref().unwrap().as_str();
    assert_eq!(
        (at(0)["user"]["id"].as_str(), at(0)["session"]["turn_id"].as_str()),
        (Some("bob@example.com"), Some("p-1"))
    );
    assert_eq!(
        at(2)["content"]["arguments"],
        json!({ "command": "ls" }),
        "told by the run, which comes later"
    );
    assert_eq!(cause(&at(3), "about"), [id(2)]);
    assert_eq!(at(4)["data"]["status"], "error");
    assert_eq!(cause(&at(5), "triggered_by"), [id(4)]);
    assert_eq!(at(1)["source"]["captured"], "absent");
}

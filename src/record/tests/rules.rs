//! The rules that join one member to another, by their names in SPEC 2.

use serde_json::{Value, json};

use super::records::{check, full_record};
use crate::record::data::MemoryOp;
use crate::record::limits::CAUSES_MAX;
use crate::record::source::ObservedBy;
use crate::record::{Flag, Kind, Rel, cause_allowed};

/// A full record with some members set, or taken away where the value is `null`.
pub(super) fn with(kind: Kind, changes: &[(&str, Value)]) -> Value {
    let mut record = full_record(kind);
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let object = record.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            object.remove(name).unwrap();
        } else {
            object.insert(name.to_owned(), value.clone());
        }
    }
    record
}

/// What is found: `pointer code` of each error, or the flags of the record.
pub(super) fn outcome(record: &Value) -> Vec<String> {
    match check(record) {
        Ok(event) => event.flags().iter().map(|flag| format!("flag {flag}")).collect(),
        Err(invalid) => {
            invalid.errors.iter().map(|error| format!("{} {}", error.pointer, error.code)).collect()
        }
    }
}

fn assert_outcome(kind: Kind, changes: &[(&str, Value)], expected: &[&str]) {
    assert_eq!(outcome(&with(kind, changes)), expected, "{kind} with {changes:?}");
}

const NOTHING: Value = Value::Null;

#[test]
fn r1_a_record_without_user_or_session_is_refused() {
    let unattributed = [Kind::ToolCatalogSnapshot, Kind::Heartbeat];
    let no_session = [Kind::Correction, Kind::Annotation, Kind::CaseNote];
    for kind in Kind::ALL.iter().copied().filter(|kind| !kind.rules().reserved) {
        let user: &[_] =
            if unattributed.contains(&kind) { &[] } else { &["/user user_context_missing"] };
        assert_outcome(kind, &[("/user", NOTHING)], user);
        let free = unattributed.contains(&kind) || no_session.contains(&kind);
        let session: &[_] = if free { &[] } else { &["/session user_context_missing"] };
        assert_outcome(kind, &[("/session", NOTHING)], session);
    }
}

#[test]
fn r1_what_an_agent_does_names_the_agent() {
    let acts = [
        "model_output",
        "tool_invocation",
        "tool_result",
        "api_call",
        "retrieval",
        "memory",
        "handoff",
    ];
    for kind in Kind::ALL.iter().copied() {
        let expected: &[_] =
            if acts.contains(&kind.as_str()) { &["/agent field_missing"] } else { &[] };
        assert_outcome(kind, &[("/agent", NOTHING)], expected);
    }
}

#[test]
fn r2_the_user_is_not_the_agent() {
    for id in ["agent", "AGENT", " agent ", "ａｇｅｎｔ", "agent\u{a0}", "agent-1"] {
        assert_outcome(
            Kind::Prompt,
            &[("/user/id", json!(id))],
            &["/user/id provenance_collapsed"],
        );
        assert_outcome(
            Kind::Prompt,
            &[("/user/owner", json!(id))],
            &["/user/owner provenance_collapsed"],
        );
    }
    for id in ["agent\u{200b}", "\u{202e}tnega", "a\u{ad}gent", "agent\u{e0020}", "agent\u{feff}"] {
        assert_outcome(Kind::Prompt, &[("/user/id", json!(id))], &["/user/id field_invalid"]);
    }
    assert_outcome(Kind::Prompt, &[("/user/id", json!("agent-2"))], &[]);
}

#[test]
fn r2_a_service_names_its_trigger_or_its_owner() {
    let service = ("/user/type", json!("service"));
    let (owner, trigger) = (("/user/owner", NOTHING), ("/user/trigger", NOTHING));
    let collapsed = &["/user provenance_collapsed"];
    assert_outcome(Kind::Prompt, &[service.clone(), owner.clone(), trigger.clone()], collapsed);
    assert_outcome(Kind::Prompt, &[service.clone(), owner.clone()], &[]);
    assert_outcome(Kind::Prompt, &[service, trigger.clone()], &[]);
    assert_outcome(Kind::Prompt, &[("/user/type", json!("organization")), owner, trigger], &[]);
}

#[test]
fn r4_an_act_without_its_cause_is_refused_or_from_outside_flagged() {
    let orphans = [
        (Kind::ToolInvocation, "flag orphan_tool_invocation"),
        (Kind::ApiCall, "flag orphan_api_call"),
    ];
    for (kind, flag) in orphans {
        for observer in ObservedBy::ALL {
            let changes = [("/causes", NOTHING), ("/source/observed_by", json!(observer))];
            let knows = matches!(observer, ObservedBy::AgentProcess | ObservedBy::ToolExecutor);
            assert_outcome(kind, &changes, &[if knows { "/causes cause_missing" } else { flag }]);
        }
    }
}

#[test]
fn r5_a_cause_has_a_kind_that_the_relation_can_lead_to() {
    use Kind::{ApiCall, Handoff, ModelOutput, Prompt, SessionStart, ToolInvocation, ToolResult};
    let triggers: [(Kind, &[Kind]); 3] = [
        (ModelOutput, &[SessionStart, Prompt, ToolResult, Handoff]),
        (ToolInvocation, &[Prompt, ModelOutput, Handoff]),
        (ApiCall, &[ToolInvocation]),
    ];
    for (kind, allowed) in triggers {
        for cause in Kind::ALL {
            let expected = allowed.contains(cause);
            assert_eq!(cause_allowed(kind, Rel::TriggeredBy, *cause), expected, "{kind} {cause}");
        }
    }
    for cause in Kind::ALL {
        assert_eq!(cause_allowed(ToolResult, Rel::Completes, *cause), *cause == ToolInvocation);
        assert!(!cause_allowed(Prompt, Rel::Completes, *cause));
    }
}

#[test]
fn every_relation_is_accepted_as_often_as_the_table_says_and_no_other_is() {
    for kind in Kind::ALL {
        for rel in Rel::ALL {
            let others = kind.rules().edges.iter().filter(|edge| edge.rel != *rel);
            let causes = |count: usize| {
                let others = others.clone().flat_map(|edge| vec![edge.rel; edge.min]);
                let rels = std::iter::repeat_n(*rel, count).chain(others);
                let causes: Vec<_> = rels.zip(1..).map(cause).collect();
                outcome(&with(*kind, &[("/causes", json!(causes))]))
            };
            let Some(edge) = kind.rules().edge(*rel) else {
                assert_eq!(causes(1), ["/causes/0/rel cause_invalid"], "{kind} {rel}");
                continue;
            };
            assert!(causes(edge.min.max(1)).is_empty(), "{kind} {rel}");
            if edge.min > 0 {
                assert_eq!(causes(edge.min - 1), ["/causes cause_missing"], "{kind} {rel}");
            }
            assert!(causes(edge.max.min(CAUSES_MAX - 2)).is_empty(), "{kind} {rel}");
            let many = causes(edge.max + 1);
            assert!(!many.is_empty(), "{kind} {rel}");
            assert!(many.iter().all(|fault| fault == "/causes too_many"), "{kind} {rel} {many:?}");
        }
    }
}

fn cause((rel, id): (Rel, usize)) -> Value {
    json!({ "id": format!("c-{id}"), "rel": rel })
}

#[test]
fn a_cause_stands_there_once_and_is_another_record() {
    let trigger = cause((Rel::TriggeredBy, 0));
    let informed = json!({ "id": "c-1", "rel": "informed_by" });
    let twice = json!([trigger, informed, informed]);
    assert_outcome(Kind::ModelOutput, &[("/causes", twice)], &["/causes/2 cause_repeated"]);
    let both = json!([trigger, { "id": "c-0", "rel": "informed_by" }]);
    assert_outcome(Kind::ModelOutput, &[("/causes", both)], &[]);
    let itself = json!([{ "id": "record-1", "rel": "triggered_by" }]);
    assert_outcome(Kind::ModelOutput, &[("/causes", itself)], &["/causes/0/id cause_invalid"]);
}

#[test]
fn who_acts_under_a_grant_names_it_and_who_cannot_know_it_is_flagged() {
    let delegated = ["tool_invocation", "tool_result", "api_call", "memory", "handoff"];
    for kind in Kind::ALL.iter().copied().filter(|kind| !kind.rules().reserved) {
        for observer in ObservedBy::ALL {
            let native = matches!(observer, ObservedBy::AgentProcess | ObservedBy::ToolExecutor);
            let expected: &[_] = match (delegated.contains(&kind.as_str()), native) {
                (false, _) => &[],
                (true, true) => &["/delegation delegation_missing"],
                (true, false) => &["flag delegation_missing"],
            };
            let changes = [("/delegation", NOTHING), ("/source/observed_by", json!(observer))];
            assert_outcome(kind, &changes, expected);
            assert_outcome(kind, &changes[1..], &[]);
        }
    }
}

#[test]
fn a_memory_that_is_only_searched_needs_no_grant() {
    for op in MemoryOp::ALL {
        let changes = [("/delegation", NOTHING), ("/data/op", json!(op))];
        let refused: &[_] = &["/delegation delegation_missing"];
        assert_outcome(Kind::Memory, &changes, if *op == MemoryOp::Search { &[] } else { refused });
    }
}

#[test]
fn flags_of_one_record_are_sorted() {
    let changes = [
        ("/causes", NOTHING),
        ("/delegation", NOTHING),
        ("/source/observed_by", json!("egress_proxy")),
    ];
    assert_outcome(Kind::ApiCall, &changes, &["flag delegation_missing", "flag orphan_api_call"]);
    assert!(Flag::ALL.is_sorted() && Flag::NAMES.is_sorted());
}

#[test]
fn content_is_there_or_said_to_be_absent() {
    let worded = ["prompt", "model_output", "tool_invocation", "tool_result"];
    for kind in Kind::ALL.iter().copied().filter(|kind| !kind.rules().reserved) {
        let missing: &[_] = &["/content content_missing"];
        let full = if worded.contains(&kind.as_str()) { missing } else { &[] };
        assert_outcome(kind, &[("/content", json!({}))], full);
        assert_outcome(kind, &[("/content", NOTHING), ("/source/captured", NOTHING)], full);
        let captured = |name: &str| ("/source/captured", json!(name));
        assert_outcome(kind, &[("/content", NOTHING), captured("absent")], &[]);
        assert_outcome(kind, &[("/content", NOTHING), captured("truncated")], missing);
        assert_outcome(kind, &[captured("truncated")], &[]);
        assert_outcome(kind, &[captured("absent")], &["/source/captured field_invalid"]);
    }
}

#[test]
fn an_api_call_says_what_was_called_and_what_came_of_it() {
    let without = |names: &[&'static str]| -> Vec<(&'static str, Value)> {
        names.iter().map(|name| (*name, NOTHING)).collect()
    };
    let status = without(&["/data/status_code"]);
    assert_outcome(Kind::ApiCall, &status, &[]);
    let neither = without(&["/data/status_code", "/data/phase"]);
    assert_outcome(Kind::ApiCall, &neither, &["/data/status_code field_missing"]);
    let completed = [("/data/status_code", NOTHING), ("/data/phase", json!("completed"))];
    assert_outcome(Kind::ApiCall, &completed, &["/data/status_code field_missing"]);
    assert_outcome(Kind::ApiCall, &without(&["/data/phase"]), &[]);
    assert_outcome(Kind::ApiCall, &[("/data/status_code", json!(999))], &[]);
    let long = &["/data/status_code field_invalid"];
    assert_outcome(Kind::ApiCall, &[("/data/status_code", json!(1000))], long);

    assert_outcome(Kind::ApiCall, &without(&["/data/url"]), &[]);
    assert_outcome(Kind::ApiCall, &without(&["/data/service", "/data/operation"]), &[]);
    for other in ["/data/service", "/data/operation"] {
        assert_outcome(
            Kind::ApiCall,
            &without(&["/data/url", other]),
            &["/data/url field_missing"],
        );
    }
}

#[test]
fn a_url_carries_no_user_and_is_absolute() {
    let refused = &["/data/url field_invalid"];
    for url in
        ["https://u:p@h/", "https://u@h", "https:///u@h", r"https://\u@h", "h/p", "//h/p", "1s://h"]
    {
        assert_outcome(Kind::ApiCall, &[("/data/url", json!(url))], refused);
    }
    for url in ["https://h/a@b", "postgres://h:5432/db?q=u@h", "s3://bucket"] {
        assert_outcome(Kind::ApiCall, &[("/data/url", json!(url))], &[]);
    }
}

#[test]
fn the_ids_of_findings_are_for_the_server_alone() {
    for id in ["flag.tool_first_use.4", "gap.", "flag."] {
        assert_outcome(Kind::Prompt, &[("/id", json!(id))], &["/id field_invalid"]);
        assert_outcome(Kind::CaptureGap, &[("/id", json!(id))], &[]);
    }
    for id in ["flag", "gaps.1", "Flag.1", "flag-1", "a.flag.1"] {
        assert_outcome(Kind::Prompt, &[("/id", json!(id))], &[]);
    }
}

#[test]
fn a_session_id_can_stand_in_a_url() {
    for id in [".", ".."] {
        assert_outcome(Kind::Prompt, &[("/session/id", json!(id))], &["/session/id field_invalid"]);
    }
    assert_outcome(Kind::Prompt, &[("/session/id", json!("..."))], &[]);
}

#[test]
fn what_the_server_writes_has_no_producers_signature() {
    let signature = json!({ "key": "billing-key-1", "value": "ab".repeat(64) });
    let signed = [("/signature", signature)];
    assert_outcome(Kind::LegalHold, &signed, &["/signature field_invalid"]);
    assert_outcome(Kind::Prompt, &signed, &[]);
    let short = [("/signature/value", json!("ab".repeat(63)))];
    let draft = super::records::parse(&with(Kind::Prompt, &short)).unwrap_err();
    assert_eq!(draft.errors[0].pointer, "/signature/value");
}

#[test]
fn a_kind_belongs_to_clients_or_to_the_server() {
    use crate::record::{Draft, Event};

    for kind in Kind::ALL {
        let record = full_record(*kind);
        let source = json!({ "observed_by": "imported", "producer": "p" });
        let posted = with(*kind, &[("/source", source)]);
        let draft = Draft::parse(posted.to_string().as_bytes()).unwrap();
        let by_client = Event::try_from(draft.clone());
        let by_server = Event::by_server(Draft { signature: None, source: None, ..draft });
        assert_eq!(by_client.is_ok(), !kind.rules().reserved, "{kind}");
        assert_eq!(by_server.is_ok(), kind.rules().reserved, "{kind}");
        assert!(check(&record).is_ok(), "{kind}");
    }
}

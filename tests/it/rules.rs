//! The rules of the ledger (SPEC 2.9): what is refused, and what is sealed with a flag.

use proptest::prelude::*;
use serde_json::{Value, json};
use whence::ledger::SubmitError;

use crate::log::{TestLog, prepare, prompt};

/// A session of alice with a grant for her agent, a prompt and an answer of the model.
pub(crate) fn begun(session: &str) -> Vec<Value> {
    let mut start = prompt(&format!("{session}-start"), session, "");
    start.as_object_mut().unwrap().remove("content");
    start["kind"] = json!("session_start");
    start["data"] = json!({
        "auth": { "method": "sso", "issuer": "https://login.example" },
        "expires_at": "2026-11-24T08:00:00Z",
    });
    let mut grant = start.clone();
    grant["id"] = json!(format!("{session}-grant"));
    grant["kind"] = json!("delegation_grant");
    grant["data"] = terms(session);
    let mut output = prompt(&format!("{session}-output"), session, "I will pay it.");
    output["kind"] = json!("model_output");
    output["agent"] = json!({ "id": "invoice-agent" });
    output["causes"] = json!([{ "id": format!("{session}-prompt"), "rel": "triggered_by" }]);
    output["data"] = json!({
        "model": { "provider": "example", "requested": "m-1" },
        "finish_reasons": ["tool_calls"],
    });
    vec![start, grant, prompt(&format!("{session}-prompt"), session, "Pay."), output]
}

fn terms(session: &str) -> Value {
    json!({
        "allowed_effects": ["read", "external"],
        "approved_tools": ["send_money", "get_balance"],
        "audience": ["https://bank.example"],
        "credential": { "id": "jti", "type": "jwt" },
        "delegate": "invoice-agent",
        "delegation": format!("{session}-jti"),
        "expires_at": "2026-11-24T07:00:00Z",
        "issued_at": "2026-11-24T00:00:00Z",
        "issuer": "https://login.example",
        "lifetime_basis": "login_session",
        "max_calls": 3,
        "scopes": ["bank:transfer"],
        "subject": "alice@example.com",
        "task_id": "t-1",
    })
}

/// The agent invokes a tool, in this phase, as seen by this observer.
pub(crate) fn invocation(session: &str, phase: Option<&str>, observed_by: &str) -> Value {
    let mut record = prompt(&format!("{session}-call"), session, "");
    record["kind"] = json!("tool_invocation");
    record["agent"] = json!({ "id": "invoice-agent" });
    record["delegation"] = json!(format!("{session}-jti"));
    record["causes"] = json!([{ "id": format!("{session}-output"), "rel": "triggered_by" }]);
    record["content"] = json!({ "arguments": { "to": "DE02", "amount": 10 } });
    record["source"]["observed_by"] = json!(observed_by);
    record["data"] = json!({
        "tool": "send_money",
        "server": format!("{session}-bank"),
        "effect": "external",
        "scopes": ["bank:transfer"],
        "task_id": "t-1",
    });
    if let Some(phase) = phase {
        record["data"]["phase"] = json!(phase);
    }
    record
}

fn set(record: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    record.pointer_mut(parent).unwrap()[name] = value;
}

/// A catalog of the session's bank.
pub(crate) fn catalog(session: &str, id: &str, review: Option<&str>, digest: char) -> Value {
    let mut record = prompt(&format!("{session}-{id}"), session, "");
    record.as_object_mut().unwrap().remove("content");
    record["kind"] = json!("tool_catalog_snapshot");
    let digest = digest.to_string().repeat(64);
    record["data"] = json!({
        "server": format!("{session}-bank"),
        "catalog_digest": digest,
        "tools": [{ "name": "send_money", "definition_digest": digest }],
    });
    if let Some(review) = review {
        record["data"]["review_status"] = json!(review);
    }
    record
}

fn end(session: &str) -> Value {
    let mut record = prompt(&format!("{session}-end"), session, "");
    record.as_object_mut().unwrap().remove("content");
    record["kind"] = json!("session_end");
    record["data"] = json!({ "reason": "logout" });
    record
}

fn revoked(session: &str) -> Value {
    let mut record = end(session);
    record["kind"] = json!("delegation_revoke");
    record["data"] = json!({ "delegation": format!("{session}-jti"), "reason": "misuse" });
    record
}

/// A person's yes to a request with these arguments.
pub(crate) fn approval(session: &str, arguments: &Value) -> Value {
    let mut record = prompt(&format!("{session}-approval"), session, "");
    record["kind"] = json!("human_approval");
    record["causes"] = json!([{ "id": format!("{session}-output"), "rel": "about" }]);
    record["content"] = json!({ "arguments": arguments });
    record["data"] = json!({
        "approver": { "id": "alice@example.com" }, "decision": "approved", "mode": "explicit",
    });
    record
}

/// What is wrong with an invocation: what comes before it, and what is changed in it.
type Wrong = fn(&str, &mut Value) -> Vec<Value>;

const LATER: &str = "2026-11-24T00:08:00Z";

/// The flag of a report, the code of a request that is refused, and how it comes about.
const RULES: &[(&str, &str, Wrong)] = &[
    ("after_session_end", "session_ended", |session, call| {
        set(call, "/occurred_at", json!(LATER));
        vec![end(session)]
    }),
    ("after_session_end", "session_ended", |session, call| {
        let mut again = begun(session).swap_remove(0);
        again["id"] = json!(format!("{session}-again"));
        again["data"]["expires_at"] = json!("2026-11-24T00:07:00Z");
        set(call, "/occurred_at", json!(LATER));
        vec![again]
    }),
    ("delegation_expired", "delegation_expired", |session, _| {
        let mut grant = begun(session).swap_remove(1);
        grant["id"] = json!(format!("{session}-shorter"));
        grant["data"]["expires_at"] = json!("2026-11-24T00:01:00Z");
        vec![grant]
    }),
    ("delegation_revoked", "delegation_revoked", |session, call| {
        set(call, "/occurred_at", json!(LATER));
        vec![revoked(session)]
    }),
    ("delegation_unknown", "delegation_unknown", |_, call| {
        set(call, "/delegation", json!("nobody"));
        vec![]
    }),
    ("scope_exceeded", "scope_exceeded", |_, call| {
        set(call, "/data/scopes", json!(["bank:transfer", "bank:close"]));
        vec![]
    }),
    ("scope_exceeded", "scope_exceeded", |_, call| {
        set(call, "/data/tool", json!("close_account"));
        vec![]
    }),
    ("effect_exceeded", "effect_exceeded", |_, call| {
        set(call, "/data/effect", json!("destructive"));
        vec![]
    }),
    ("task_mismatch", "task_mismatch", |_, call| {
        set(call, "/data/task_id", json!("t-2"));
        vec![]
    }),
    ("delegate_mismatch", "delegate_mismatch", |_, call| {
        set(call, "/agent/id", json!("other-agent"));
        vec![]
    }),
    ("subject_mismatch", "subject_mismatch", |session, call| {
        let mut grant = begun(session).swap_remove(1);
        grant["id"] = json!(format!("{session}-other"));
        grant["data"]["subject"] = json!("bob@example.com");
        grant["data"]["delegation"] = json!("of-bob");
        set(call, "/delegation", json!("of-bob"));
        vec![grant]
    }),
    ("calls_exceeded", "calls_exceeded", |session, _| {
        let earlier = |number: u64| {
            let mut call = invocation(session, None, "agent_process");
            call["id"] = json!(format!("{session}-earlier-{number}"));
            call
        };
        (0..3).map(earlier).collect()
    }),
    ("tool_not_in_catalog", "tool_not_in_catalog", |session, call| {
        set(call, "/data/tool", json!("get_balance"));
        vec![catalog(session, "approved", Some("approved"), 'a')]
    }),
    ("tool_definition_changed", "tool_definition_changed", |session, _| {
        vec![
            catalog(session, "approved", Some("approved"), 'a'),
            catalog(session, "newer", None, 'b'),
        ]
    }),
    ("approval_not_bound", "approval_not_bound", |session, call| {
        let output = json!({ "id": format!("{session}-output"), "rel": "triggered_by" });
        let approved = json!({ "id": format!("{session}-approval"), "rel": "authorized_by" });
        set(call, "/causes", json!([output, approved]));
        vec![approval(session, &json!({ "to": "DE02", "amount": 9 }))]
    }),
];

fn code(error: &SubmitError) -> &str {
    let SubmitError::Refused(refused) = error else { panic!("{error}") };
    refused.error.code.as_str()
}

#[test]
fn a_request_is_refused_where_a_report_is_flagged_whoever_tells_it_and_after_reopening() {
    let mut log = TestLog::new();
    for (number, (flag, refusal, wrong)) in RULES.iter().enumerate() {
        let session = format!("s-{number}");
        let mut seen = Vec::new();
        log.submit(&begun(&session)).unwrap();
        for observer in ["agent_process", "mcp_gateway"] {
            for phase in [Some("requested"), None, Some("completed")] {
                let mut call = invocation(&session, phase, observer);
                let before = wrong(&session, &mut call);
                if seen.is_empty() && !before.is_empty() {
                    log.submit(&before).unwrap();
                }
                call["id"] = json!(format!("{session}-{observer}-{}", phase.unwrap_or("none")));
                // The state is told again from the store, and is what it was.
                log.reopen();
                let answer = log.submit(&[call]);
                if phase == Some("requested") {
                    assert_eq!(code(&answer.unwrap_err()), *refusal, "{flag} {observer}");
                    seen.push("refused".to_owned());
                } else {
                    let flags: Vec<_> =
                        answer.unwrap()[0].flags.iter().map(ToString::to_string).collect();
                    assert!(flags.contains(&(*flag).to_owned()), "{flag} {observer}: {flags:?}");
                    // Every call counts, so that the later ones are too many.
                    let others = flags.into_iter().filter(|flag| flag != "calls_exceeded");
                    seen.push(others.collect::<Vec<_>>().join(","));
                }
            }
        }
        assert_eq!(seen[1..3], seen[4..6], "whoever tells it: {flag}");
    }
}

#[test]
fn what_is_within_its_grant_has_no_flag() {
    let log = TestLog::new();
    log.submit(&begun("s")).unwrap();
    log.submit(&[catalog("s", "approved", Some("approved"), 'a')]).unwrap();
    log.submit(&[approval("s", &json!({ "to": "DE02", "amount": 10 }))]).unwrap();
    let mut call = invocation("s", Some("requested"), "agent_process");
    call["causes"] = json!([
        { "id": "s-output", "rel": "triggered_by" },
        { "id": "s-approval", "rel": "authorized_by" },
    ]);
    assert_eq!(log.submit(&[call]).unwrap()[0].flags, []);
}

#[test]
fn a_session_has_one_user_and_nothing_happens_in_the_future() {
    let log = TestLog::new();
    log.submit(&begun("s")).unwrap();
    let mut other = prompt("other", "s", "x");
    other["user"]["id"] = json!("bob@example.com");
    assert_eq!(code(&log.submit(&[other]).unwrap_err()), "user_mismatch");
    let mut ahead = prompt("ahead", "s", "x");
    ahead["occurred_at"] = json!("2026-11-24T00:30:00Z");
    assert_eq!(code(&log.submit(&[ahead]).unwrap_err()), "time_invalid");
    let mut old = prompt("old", "s-old", "x");
    old["occurred_at"] = json!("2026-11-22T00:00:00Z");
    let flags = &log.submit(&[old.clone()]).unwrap()[0].flags;
    assert_eq!(flags.iter().map(|flag| flag.as_str()).collect::<Vec<_>>(), ["backdated"]);
    old["id"] = json!("imported");
    old["source"]["observed_by"] = json!("imported");
    assert_eq!(log.submit(&[old]).unwrap()[0].flags, []);
}

#[test]
fn what_happened_before_the_end_and_is_told_after_it_is_late() {
    let log = TestLog::new();
    log.submit(&begun("s")).unwrap();
    let mut over = end("s");
    over["occurred_at"] = json!(LATER);
    log.submit(&[over]).unwrap();
    let flags = &log.submit(&[prompt("told-late", "s", "x")]).unwrap()[0].flags;
    assert_eq!(flags.iter().map(|flag| flag.as_str()).collect::<Vec<_>>(), ["late"]);
}

#[test]
fn a_grant_that_is_wider_than_its_parent_is_flagged() {
    let log = TestLog::new();
    log.submit(&begun("s")).unwrap();
    let mut child = begun("s").swap_remove(1);
    child["id"] = json!("child");
    child["data"]["delegation"] = json!("child-jti");
    child["data"]["parent"] = json!("s-jti");
    assert_eq!(log.submit(&[child.clone()]).unwrap()[0].flags, []);
    child["id"] = json!("wider");
    child["data"]["delegation"] = json!("wider-jti");
    child["data"]["scopes"] = json!(["bank:transfer", "bank:close"]);
    let flags = &log.submit(&[child]).unwrap()[0].flags;
    assert_eq!(flags.iter().map(|flag| flag.as_str()).collect::<Vec<_>>(), ["delegation_widened"]);
}

#[test]
fn a_secret_is_replaced_before_it_is_sealed() {
    let log = TestLog::new();
    let secret = format!("ghp_{}", "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5");
    let record = prompt("p", "s", &format!("use {secret} to clone"));
    let receipt = &log.submit(std::slice::from_ref(&record)).unwrap()[0];
    let flags: Vec<_> = receipt.flags.iter().map(|flag| flag.as_str()).collect();
    assert_eq!(flags, ["secret_redacted"]);
    let stored = log.ledger().view().record(receipt.seq).unwrap().unwrap();
    assert!(!format!("{:?}", stored.content).contains(&format!("{:?}", secret.as_bytes())));
    assert!(log.submit(&[record]).unwrap()[0].duplicate, "the same record again");
}

/// A step of a random history: which record comes, of which session, and how it differs.
type Happening = (u8, u8, u8);

/// The record that a step is. Some cannot be taken, which is a part of the history.
fn happening(number: usize, (kind, session, how): Happening) -> Value {
    let session = format!("s-{session}");
    let phase = [None, Some("requested"), Some("completed")][usize::from(how % 3)];
    let mut record = match kind {
        0..4 => begun(&session).swap_remove(usize::from(kind)),
        4 => catalog(
            &session,
            "c",
            [Some("approved"), Some("rejected"), None][usize::from(how % 3)],
            ['a', 'b'][usize::from(how % 2)],
        ),
        5 => end(&session),
        6 => revoked(&session),
        7 => approval(&session, &json!({ "to": "DE02", "amount": 9 + how })),
        8 => {
            let mut grant = begun(&session).swap_remove(1);
            grant["data"]["parent"] = json!("s-0-jti");
            grant["data"]["max_calls"] = json!(how);
            grant
        }
        _ => invocation(&session, phase, "mcp_gateway"),
    };
    let named = ["-output", "-approval", "-prompt"];
    if !named.iter().any(|end| record["id"].as_str().unwrap().ends_with(end)) || how == 5 {
        record["id"] = json!(format!("r-{number}"));
    }
    if kind > 8 && how > 2 {
        let approved = json!({ "id": format!("{session}-approval"), "rel": "authorized_by" });
        record["causes"].as_array_mut().unwrap().push(approved);
    }
    if kind > 10 {
        set(&mut record, "/occurred_at", json!(LATER));
    }
    record
}

/// What became of a record.
fn outcome(answer: Result<Vec<whence::ledger::Receipt>, SubmitError>) -> String {
    match answer {
        Ok(receipts) => format!("{} {:?}", receipts[0].duplicate, receipts[0].flags),
        Err(error) => code(&error).to_owned(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn flags_depend_on_the_history_alone(
        steps in prop::collection::vec((0_u8..13, 0_u8..2, 0_u8..6), 20..60),
        reopened in prop::collection::vec(any::<bool>(), 60),
    ) {
        let history = steps.iter().enumerate();
        let history: Vec<_> = history.map(|(number, step)| happening(number, *step)).collect();

        let one_by_one = TestLog::new();
        let expected: Vec<_> =
            history.iter().map(|record| outcome(one_by_one.submit(std::slice::from_ref(record)))).collect();

        // The state is told again from the store, here and there.
        let mut told_again = TestLog::new();
        for ((record, expected), reopened) in history.iter().zip(&expected).zip(&reopened) {
            if *reopened && expected.len() % 2 == 0 {
                told_again.reopen();
            }
            let found = outcome(told_again.submit(std::slice::from_ref(record)));
            prop_assert_eq!(&found, expected, "{}", record);
        }

        // All of it is queued at once, and goes into few batches.
        let at_once = TestLog::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found: Vec<_> = runtime.block_on(async {
            let asked: Vec<_> = history.iter().map(|record| {
                let ledger = at_once.ledger();
                let prepared = vec![prepare(&ledger, record)];
                tokio::spawn(async move { ledger.submit(prepared).await })
            }).collect();
            let mut found = Vec::new();
            for answer in asked {
                found.push(outcome(answer.await.unwrap()));
            }
            found
        });
        prop_assert_eq!(found, expected);
    }
}

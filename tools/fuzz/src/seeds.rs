//! Valid inputs for every target, made from the formats alone and the same each time: a record of
//! every kind, and the archive of a ledger that holds them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use whence::canon::{ContentDigest, Salt, TreeHash, to_bytes};
use whence::ledger::archive::{ARCHIVE_VERSION, ArchiveMeta, ArchivedContent, push_checkpoint};
use whence::proof::{TilePath, Tree, bundle};
use whence::record::data::Genesis;
use whence::record::{
    CauseLink, Draft, Entry, Event, LedgerName, Placement, SessionLink, Timestamp,
};
use whence::seal::{Checkpoint, Origin, SignedCheckpoint, SigningKey, TlogProof, VerifierKey};

use super::laws::Files;

/// The ledger of the seeds.
pub fn ledger() -> LedgerName {
    "main".parse().expect("a valid name")
}

/// The key that the ledger's checkpoints are checked with.
pub fn key() -> VerifierKey {
    signer().verifier_key(origin().key_name().clone())
}

/// The digest of a part of content, under the salt that all parts have here.
pub fn digest(content: &[u8]) -> ContentDigest {
    ContentDigest::of(&SALT, content)
}

const SALT: Salt = Salt::from_bytes([5; 32]);

fn signer() -> SigningKey {
    SigningKey::from_seed(&[3; 32])
}

fn origin() -> Origin {
    "log.example/main".parse().expect("a valid origin")
}

/// A posted record with everything that a record can have, but causes and data.
fn base(id: &str, kind: &str) -> Value {
    json!({
        "agent": { "id": "invoice-agent", "instance_id": "i-1", "name": "Invoices", "operator": "acme",
                   "version": "1.4.2", "charter_digest": "ab".repeat(32) },
        "content": { "text": "Pay the invoice.", "numbers": [0, -1.5, 1e-7, true, null, { "é": "\u{1f600}" }] },
        "delegation": "grant-1",
        "id": id,
        "kind": kind,
        "labels": { "team": "finance", "env": "test" },
        "occurred_at": "2026-11-24T00:06:14.123456789Z",
        "session": { "id": "s-1", "login_session_id": "sid-1", "turn_id": "t-1" },
        "source": { "observed_by": "agent_process", "producer": "test", "producer_seq": 7,
                    "format": "otel", "link_confidence": "stated" },
        "trace": { "trace_id": "ab".repeat(16), "span_id": "cd".repeat(8), "parent_span_id": "ef".repeat(8) },
        "user": { "id": "alice@example.com", "issuer": "https://idp.example", "type": "human",
                  "pseudonym": "p-1", "subject": "00u1" },
    })
}

/// One kind, its causes as `rel:id`, and its data.
type Row = (&'static str, &'static [&'static str], Value);

fn session_rows() -> Vec<Row> {
    let digest = || "01".repeat(32);
    vec![
        (
            "session_start",
            &[],
            json!({
            "auth": { "issuer": "https://idp.example", "method": "passkey", "mfa": true, "amr": ["pwd", "hwk"] },
            "expires_at": "2026-11-25T00:00:00Z", "ip": "192.0.2.1", "user_agent": "Example/1.0" }),
        ),
        (
            "delegation_grant",
            &["triggered_by:session_start"],
            json!({
            "audience": ["bank"], "credential": { "id": "jti-1", "type": "jwt", "alg": "EdDSA" },
            "allowed_effects": ["read", "external"], "approved_tools": ["send_money"],
            "delegate": "invoice-agent", "delegation": "grant-1", "expires_at": "2026-11-25T00:00:00Z",
            "issued_at": "2026-11-24T00:00:00Z", "issuer": "https://idp.example",
            "lifetime_basis": "grant", "max_calls": 5, "scopes": ["pay"], "subject": "alice@example.com" }),
        ),
        (
            "tool_catalog_snapshot",
            &["triggered_by:session_start"],
            json!({
            "catalog_digest": digest(), "server": "bank-mcp", "ttl_ms": 1000, "review_status": "approved",
            "tools": [{ "name": "send_money", "definition_digest": digest(),
                        "annotations": { "destructive": true, "read_only": false } }] }),
        ),
        (
            "prompt",
            &["triggered_by:session_start"],
            json!({ "role": "user", "channel": "chat", "origin": "human" }),
        ),
        (
            "retrieval",
            &["triggered_by:prompt"],
            json!({
            "source": "kb", "documents": [{ "id": "d-1", "version": "3" }], "top_k": 4, "trust": "external" }),
        ),
        (
            "memory",
            &["triggered_by:prompt"],
            json!({ "op": "upsert", "store": "notes", "record_ids": ["m-1"] }),
        ),
        (
            "model_output",
            &["triggered_by:prompt", "informed_by:retrieval", "informed_by:memory"],
            json!({
            "finish_reasons": ["tool_calls"], "model": { "provider": "example", "requested": "m-1", "served": "m-1b" },
            "tool_calls": [{ "id": "call-1", "name": "send_money" }],
            "usage": { "input_tokens": 1200, "output_tokens": 40 } }),
        ),
        (
            "authorization_decision",
            &["about:model_output"],
            json!({
            "decision": "require_approval", "effect": "external", "enforced": true,
            "obligations": ["ask"], "policy": { "id": "payments", "version": "2", "digest": digest() } }),
        ),
        (
            "human_approval",
            &["about:authorization_decision"],
            json!({
            "approver": { "id": "bob@example.com", "issuer": "https://idp.example", "name": "Bob" },
            "decision": "approved", "mode": "explicit", "risk_tier": "high" }),
        ),
    ]
}

fn action_rows() -> Vec<Row> {
    vec![
        (
            "tool_invocation",
            &["triggered_by:model_output", "authorized_by:human_approval"],
            json!({ "tool": "send_money", "call_id": "call-1", "effect": "external", "phase": "completed" }),
        ),
        (
            "api_call",
            &["triggered_by:tool_invocation"],
            json!({
            "method": "POST", "url": "https://bank.example/transfers?x=1", "status_code": 201, "crud": "c",
            "resources": [{ "id": "tr-1", "type": "transfer" }], "upstream_request_id": "r-1" }),
        ),
        (
            "tool_result",
            &["completes:tool_invocation", "triggered_by:api_call"],
            json!({ "status": "success", "call_id": "call-1", "duration_ms": 80 }),
        ),
        (
            "handoff",
            &["triggered_by:tool_result"],
            json!({
            "from_agent": "invoice-agent", "to_agent": "audit-agent", "mode": "return", "protocol": "a2a" }),
        ),
        ("error", &["about:handoff"], json!({ "error_type": "timeout" })),
        (
            "app_event",
            &["triggered_by:api_call"],
            json!({
            "action": "transfer.created", "actor": { "id": "svc", "type": "service" }, "crud": "c",
            "context": { "location": "192.0.2.9" }, "is_failure": false, "version": 1,
            "targets": [{ "id": "tr-1", "type": "transfer" }] }),
        ),
        ("correction", &["corrects:prompt"], json!({ "pointers": ["/data/role"] })),
        (
            "annotation",
            &["about:api_call"],
            json!({ "topic": "review", "adds_cause": "informed_by" }),
        ),
        ("case_note", &["about:error"], json!({ "case_id": "case-1" })),
        (
            "delegation_revoke",
            &["triggered_by:human_approval", "about:delegation_grant"],
            json!({ "delegation": "grant-1", "reason": "done", "revoked_by": "alice@example.com" }),
        ),
        ("session_end", &["triggered_by:session_start"], json!({ "reason": "logout" })),
    ]
}

/// A record of every kind that can be posted, in an order in which a ledger takes them. The id of
/// each is its kind.
pub fn records() -> Vec<Value> {
    let rows = session_rows().into_iter().chain(action_rows());
    let record = |(kind, causes, data): Row| {
        let mut record = base(kind, kind);
        let cause = |cause: &&str| {
            let (rel, id) = cause.split_once(':').expect("a row has `rel:id`");
            json!({ "id": id, "rel": rel })
        };
        record["causes"] = causes.iter().map(cause).collect();
        record["data"] = data;
        record
    };
    rows.map(record).collect()
}

/// The records as they are posted.
pub fn record() -> Vec<Vec<u8>> {
    records().iter().map(|record| record.to_string().into_bytes()).collect()
}

/// Their entries, after the first one of the ledger.
pub fn entry() -> Vec<Vec<u8>> {
    let first = Genesis {
        key: key().to_string().into(),
        origin: origin().to_string().into(),
        software: "whence/test".into(),
    };
    let first = Event::genesis(first, time("2026-11-24T00:00:00Z")).expect("a valid genesis");
    let mut entries: Vec<Vec<u8>> = Vec::new();
    let (mut links, mut prev, mut in_session) = (BTreeMap::new(), None, None);
    for event in std::iter::once(first).chain(records().iter().map(event)) {
        let seq = u64::try_from(entries.len()).expect("few entries");
        let causes = event.causes().iter().map(|cause| links[cause.id.as_str()]);
        let content = event.content().iter().map(|part| digest(&part.bytes));
        let session = event.session().map(|_| SessionLink { n: seq - 1, prev: in_session });
        let place = Placement {
            ledger: &ledger(),
            seq,
            received_at: event.occurred_at(),
            prev,
            session,
            causes: &causes.collect::<Vec<CauseLink>>(),
            content: &content.collect::<Vec<_>>(),
            flags: &[],
        };
        let sealed = Entry::seal(&event, place).expect("a seed can be sealed");
        prev = Some(sealed.hash);
        in_session = session.and(prev);
        let id = event.id().expect("a seed has an id").to_string();
        links.insert(id, CauseLink { seq, entry_hash: sealed.hash });
        entries.push(sealed.bytes);
    }
    entries
}

fn event(record: &Value) -> Event {
    let draft = Draft::parse(record.to_string().as_bytes()).expect("a seed has the right shape");
    Event::try_from(draft).expect("a seed keeps the rules")
}

fn time(text: &str) -> Timestamp {
    serde_json::from_value(json!(text)).expect("a valid time")
}

/// The tree over all entries, and a signed checkpoint at every size.
fn tree() -> (Tree, Vec<SignedCheckpoint>) {
    let (mut tree, mut notes) = (Tree::new(), Vec::new());
    for entry in entry() {
        tree.append(TreeHash::leaf(&entry), &mut Vec::new());
        let checkpoint = Checkpoint::new(origin(), tree.size(), tree.root());
        notes.push(checkpoint.expect("a valid checkpoint").sign(&signer()));
    }
    (tree, notes)
}

/// Signed checkpoints, a bare one, and a key.
pub fn note() -> Vec<Vec<u8>> {
    let (_, notes) = tree();
    let twice = notes[0].clone().with_signature(&SigningKey::from_seed(&[4; 32]));
    let last = &notes[notes.len() - 1];
    let texts = [
        notes[0].note().to_string(),
        twice.expect("room for a signature").note().to_string(),
        last.note().to_string(),
        last.checkpoint().to_string(),
        key().to_string(),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}

/// Proofs, of which the first holds.
pub fn tlog_proof() -> Vec<Vec<u8>> {
    let (_, notes) = tree();
    let leaf = |index: usize| TreeHash::leaf(&entry()[index]);
    let proof = |index, path, note| TlogProof::new(index, path, note).expect("a short path");
    let extra = proof(0, vec![], &notes[0]).with_extra(b"extra".to_vec()).expect("short bytes");
    let long = proof(5, vec![leaf(1); 12], &notes[notes.len() - 1]);
    let proofs = [proof(0, vec![leaf(1)], &notes[1]), extra, long];
    proofs.iter().map(|proof| proof.to_string().into_bytes()).collect()
}

/// The archive of the ledger: whole, without its content, and without its entries.
pub fn archive() -> Vec<Vec<u8>> {
    let whole = archive_files();
    let mut bare = archive_files();
    bare.0.retain(|path, _| !path.starts_with("content/"));
    let mut empty = archive_files();
    empty.0.retain(|path, _| !path.starts_with("content/") && !path.starts_with("tile/"));
    [whole, bare, empty].iter().map(Files::pack).collect()
}

/// The files of the archive.
pub fn archive_files() -> Files {
    let (entries, (tree, notes)) = (entry(), tree());
    let size = tree.size();
    let meta = ArchiveMeta {
        archive: ARCHIVE_VERSION,
        content: ArchivedContent::Kept,
        from: 0,
        ledger: ledger().to_string(),
        origin: origin().to_string(),
        size,
        software: "whence/test".to_owned(),
        to: size,
    };
    let (mut bundle, mut content, mut checkpoints) = (Vec::new(), Vec::new(), Vec::new());
    for entry in &entries {
        bundle::push_entry(&mut bundle, entry).expect("an entry fits a bundle");
    }
    for part in records().iter().map(event).flat_map(|event| event.content().to_vec()) {
        content.push(0x01);
        content.extend(SALT.as_bytes());
        content.extend(u32::try_from(part.bytes.len()).expect("a short part").to_be_bytes());
        content.extend(part.bytes);
    }
    for note in &notes {
        push_checkpoint(&mut checkpoints, &note.note().to_string());
    }
    let width = u16::try_from(size).expect("less than a bundle");
    let tile = tree.edge(0).expect("a tile").to_bytes();
    let newest = notes[notes.len() - 1].note().to_string().into_bytes();
    Files(BTreeMap::from([
        ("archive.json".to_owned(), to_bytes(&meta).expect("a canonical form")),
        ("checkpoint".to_owned(), newest),
        ("checkpoints".to_owned(), checkpoints),
        (TilePath::Hash { level: 0, index: 0, width }.to_string(), tile),
        (TilePath::Entries { index: 0, width }.to_string(), bundle),
        (TilePath::Content { index: 0, width }.to_string(), content),
    ]))
}

/// Paths of every form.
pub fn tile_path() -> Vec<Vec<u8>> {
    let paths = [
        "tile/0/000",
        "tile/0/000.p/1",
        "tile/3/x001/234.p/255",
        "tile/63/x001/x002/x003/004",
        "tile/entries/x123/456",
        "tile/entries/x018/x446/x744/x073/x709/x551/615.p/7",
        "content/000.p/21",
        "content/x001/000",
    ];
    paths.iter().map(|path| path.as_bytes().to_vec()).collect()
}

/// JSON with every kind of value.
pub fn json() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"b":[1,-0,1.5e-7,1E2,9007199254740991,true,false,null],"a":{"\ud83d\ude00":"\u0000\"\\\/é","":{}}}"#,
        r#"[[[[[[]]]],{"a":{"a":{"a":"a"}}}]]"#,
        "  0.1e1 ",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).chain(record()).collect()
}

/// Queries of every form.
pub fn query() -> Vec<Vec<u8>> {
    let texts = [
        "user:alice@example.com tool:send_money \"wire transfer\" -agent:test* since:2026-11-01 until:2h flag:*",
        "data.amount:>1000 content.arguments.to:\"Acme Lt\"* data.x:-1.5..2e3 data.a\\:b:* data.y:..",
        "(a OR b AND NOT c) -(d (e f)) trans* \\AND \"x \\\"\" *",
        "kind:(prompt OR api_call) label.env:prod received:2026-11-01..2026-11-02T00:00:00.5Z seq:>=7 status:<400",
        "支付 Überweisung ½ path:/a/..b occurred:<4w session:S-1 document:x trace:y call_id:z",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Telemetry of an agent: a conversation with a tool call that calls out, a part of it from another
/// convention, and log records.
pub fn otlp() -> Vec<Vec<u8>> {
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let message = |role: &str, part: &Value| json!([{"role": role, "parts": [part]}]).to_string();
    let asked = message("user", &json!({"type": "text", "content": "Pay it."}));
    let call =
        json!({"type": "tool_call", "id": "c1", "name": "send", "arguments": {"to": "Acme"}});
    let chat = json!([
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.request.model", "m-1"),
        text("user.id", "alice@example.com"),
        text("session.id", "s-1"),
        text("gen_ai.input.messages", &asked),
        text("gen_ai.output.messages", &message("assistant", &call)),
    ]);
    let tool = json!([
        text("gen_ai.operation.name", "execute_tool"),
        text("gen_ai.tool.name", "send"),
        text("gen_ai.tool.call.id", "c1"),
        text("gen_ai.tool.call.arguments", "{\"to\":\"Acme\"}"),
        text("gen_ai.tool.call.result", "\"done\""),
    ]);
    let http = json!([
        text("http.request.method", "POST"),
        text("url.full", "https://bank.example/transfers"),
        {"key": "http.response.status_code", "value": {"intValue": "201"}},
    ]);
    let older = json!([
        text("openinference.span.kind", "LLM"),
        text("llm.input_messages.0.message.role", "user"),
        text("llm.input_messages.0.message.content", "Pay it."),
        text("llm.output_messages.0.message.role", "assistant"),
        text("llm.output_messages.0.message.content", "I will."),
    ]);
    let span = |number: u64, parent: &str, kind: u64, attributes: &Value| {
        let (start, end) = (1_795_480_000_000_000_000 + number * 10, 1_795_480_000_000_000_100_u64);
        json!({
            "traceId": "5b8efff798038103d269b633813fc60c", "spanId": format!("{number:016x}"),
            "parentSpanId": parent, "name": "span", "kind": kind,
            "startTimeUnixNano": start.to_string(), "endTimeUnixNano": end, "attributes": attributes,
            "events": [{"name": "exception", "timeUnixNano": "1", "attributes": []}],
            "status": {"code": 2, "message": "broken"},
        })
    };
    let root = "0000000000000001";
    let spans = json!([
        span(1, "", 1, &json!([text("gen_ai.operation.name", "invoke_agent")])),
        span(2, root, 3, &chat),
        span(3, root, 1, &tool),
        span(4, "0000000000000003", 3, &http),
        span(5, root, 1, &older),
    ]);
    let logs = json!([{
        "timeUnixNano": "1795480000000000000", "eventName": "claude_code.user_prompt",
        "body": {"stringValue": "claude_code.user_prompt"},
        "attributes": [text("prompt", "Pay it."), text("session.id", "s-1"), text("user.email", "a@b.c")],
    }]);
    let resource = json!({"attributes": [text("service.name", "billing")]});
    let scope = json!({"name": "lib", "version": "1"});
    let traces = json!({"resourceSpans": [
        {"resource": resource, "scopeSpans": [{"scope": scope, "spans": spans}]},
    ]});
    let logs =
        json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": logs}]}]});
    // The smallest span in protocol buffers: its two ids.
    let ids = [&[0x0a, 16][..], &[7; 16], &[0x12, 8], &[9; 8]].concat();
    let wrap = |field: u8, body: &[u8]| {
        let length = u8::try_from(body.len()).expect("a short message");
        [&[field << 3 | 2, length], body].concat()
    };
    let binary = wrap(1, &wrap(2, &wrap(2, &ids)));
    vec![traces.to_string().into_bytes(), logs.to_string().into_bytes(), binary]
}

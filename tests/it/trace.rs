//! Walks over causes: against a slow reference on random logs, at every bound, and on logs that are
//! deep, wide or knotted by shared documents.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use whence::ledger::View;
use whence::ledger::trace::{
    Bounds, Edge, Links, LinksError, NoLinks, Relation, Role, Step, effects, why,
};
use whence::record::{Data, Entry, Kind, Rel};

use whence::access::Role as TokenRole;
use whence::http::Limits;

use crate::api::Server;
use crate::log::{TestLog, chain, prompt};

fn all(view: &View) -> Bounds {
    Bounds { depth_max: u64::MAX, nodes_max: usize::MAX, size: view.size() }
}

/// Links that are told what is the same: the id of a retrieval's document, or a memory's store.
struct Told {
    documents: BTreeMap<u64, String>,
    grants: BTreeMap<u64, String>,
}

impl Told {
    fn of(view: &View) -> Self {
        let (mut documents, mut grants) = (BTreeMap::new(), BTreeMap::new());
        for (seq, bytes) in view.entries(0..u64::MAX).unwrap() {
            let entry = Entry::parse(&bytes).unwrap();
            if let Data::Retrieval(retrieval) = &*entry.data {
                documents.insert(seq, retrieval.source.to_string());
            } else if let Data::Memory(memory) = &*entry.data {
                documents.insert(seq, memory.store.to_string());
            } else if let Data::DelegationGrant(grant) = &*entry.data {
                grants.insert(seq, grant.delegation.to_string());
            }
        }
        Self { documents, grants }
    }
}

impl Links for Told {
    fn same_documents(
        &self,
        seq: u64,
        seqs: Range<u64>,
        limit: usize,
    ) -> Result<Vec<u64>, LinksError> {
        let Some(document) = self.documents.get(&seq) else { return Ok(Vec::new()) };
        let same = self.documents.range(seqs);
        let same = same.filter(|(other, of)| **other != seq && *of == document);
        Ok(same.map(|(other, _)| *other).take(limit).collect())
    }

    fn grant(&self, delegation: &str, below: u64) -> Result<Option<u64>, LinksError> {
        let grants = self.grants.range(..below).rev();
        Ok(grants.into_iter().find(|(_, id)| *id == delegation).map(|(seq, _)| *seq))
    }
}

/// A record in a session, with causes that were in its context.
fn record(number: usize, kind: &str, session: &str, causes: &[(usize, &str)]) -> Value {
    let mut record = prompt(&format!("r-{number}"), session, "text");
    record["kind"] = json!(kind);
    let causes: Vec<_> =
        causes.iter().map(|(n, rel)| json!({ "id": format!("r-{n}"), "rel": rel })).collect();
    record["causes"] = json!(causes);
    if kind != "prompt" {
        record["agent"] = json!({ "id": "agent" });
        record["content"] = json!({ "documents": "text" });
    }
    record
}

fn retrieval(number: usize, session: &str, source: &str, causes: &[(usize, &str)]) -> Value {
    let mut record = record(number, "retrieval", session, causes);
    record["data"] = json!({ "source": source });
    record
}

fn memory(number: usize, session: &str, op: &str, store: &str, causes: &[(usize, &str)]) -> Value {
    let mut record = record(number, "memory", session, causes);
    record["data"] = json!({ "op": op, "store": store });
    record["delegation"] = json!("d");
    record
}

fn grant(number: usize, id: &str, parent: Option<&str>) -> Value {
    let mut record = record(number, "delegation_grant", "s", &[]);
    let members = record.as_object_mut().unwrap();
    members.remove("content");
    members.remove("causes");
    record["data"] = json!({
        "audience": ["bank"],
        "credential": { "id": id, "type": "jwt" },
        "delegate": "agent",
        "delegation": id,
        "expires_at": "2026-12-01T00:00:00Z",
        "issued_at": "2026-11-01T00:00:00Z",
        "issuer": "https://login.example.com",
        "lifetime_basis": "grant",
        "scopes": ["bank:transfer"],
        "subject": "alice@example.com",
    });
    if let Some(parent) = parent {
        record["data"]["parent"] = json!(parent);
    }
    record
}

fn submit_all(log: &TestLog, records: &[Value]) {
    for records in records.chunks(1_000) {
        log.submit(records).unwrap();
    }
}

/// What every walk promises: each record once, each but the first reached from an earlier step, and
/// one step further away than the nearest of those.
fn sound(steps: &[Step]) {
    let depths: BTreeMap<_, _> = steps.iter().map(|step| (step.seq, step.depth)).collect();
    assert_eq!(depths.len(), steps.len(), "a record is there twice");
    assert!(steps[0].edges.is_empty() && steps[0].depth == 0);
    for step in &steps[1..] {
        let nearest = step.edges.iter().map(|edge| depths[&edge.from]).min();
        assert_eq!(nearest.map(|depth| depth + 1), Some(step.depth), "{step:?}");
    }
}

/// The log as a graph, read entry by entry.
struct Graph(BTreeMap<u64, (Kind, Vec<Edge>)>);

impl Graph {
    /// Its edges lead from a record to what led to it.
    fn of(view: &View, links: &dyn Links) -> Self {
        let mut graph = BTreeMap::new();
        for (seq, bytes) in view.entries(0..u64::MAX).unwrap() {
            let entry = Entry::parse(&bytes).unwrap();
            let causes = entry.causes.iter();
            let mut causes: Vec<_> = causes
                .map(|cause| Edge { from: cause.seq, rel: Relation::Cause(cause.rel) })
                .collect();
            let mut delegation = entry.delegation.as_deref();
            if let Data::DelegationGrant(grant) = &*entry.data {
                delegation = grant.parent.as_ref();
            }
            let grant = delegation.and_then(|id| links.grant(id, seq).unwrap());
            causes.extend(grant.map(|from| Edge { from, rel: Relation::Delegation }));
            graph.insert(seq, (entry.kind, causes));
        }
        Self(graph)
    }

    /// All that led to a record, with the fewest steps, found by going over the log until nothing
    /// changes.
    fn causes(&self, seq: u64) -> BTreeMap<u64, u64> {
        let mut found = BTreeMap::from([(seq, 0)]);
        loop {
            let mut next = found.clone();
            for (seq, depth) in &found {
                for edge in &self.0[seq].1 {
                    let known = next.entry(edge.from).or_insert(depth + 1);
                    *known = (*known).min(depth + 1);
                }
            }
            if next == found {
                return found;
            }
            found = next;
        }
    }

    /// All that came of a record, in the same way.
    fn effects(&self, seq: u64, links: &Told) -> BTreeMap<u64, u64> {
        let mut found = BTreeMap::from([(seq, 0)]);
        loop {
            let mut next = found.clone();
            let mut reach = |other: u64, depth: u64| {
                let known = next.entry(other).or_insert(depth);
                *known = (*known).min(depth);
            };
            for (from, depth) in &found {
                for (other, (_, causes)) in &self.0 {
                    let named = causes
                        .iter()
                        .any(|edge| edge.from == *from && matches!(edge.rel, Relation::Cause(_)));
                    let document = links.documents.get(from);
                    let same = document.is_some() && document == links.documents.get(other);
                    // The memories of these logs that are named so are those that are written.
                    let written = document.is_some_and(|name| name.starts_with("written"));
                    let followed = *depth == 0 || (written && other > from);
                    if named || (same && followed && other != from) {
                        reach(*other, depth + 1);
                    }
                }
            }
            if next == found {
                return found;
            }
            found = next;
        }
    }
}

/// A random log: of each record its kind and the records that were in its context.
fn logs() -> impl Strategy<Value = Vec<Value>> {
    let one = (0..8u8, 0..3u8, vec(any::<prop::sample::Index>(), 0..5));
    vec(one, 2..60).prop_map(|choices| {
        let mut records = vec![grant(0, "d-0", None), grant(1, "d", Some("d-0"))];
        for (kind, session, causes) in choices {
            let number = records.len();
            let causes = causes.iter().map(|cause| cause.index(number));
            // Grants are not context.
            let causes: BTreeSet<_> = causes.filter(|cause| *cause > 1).collect();
            let causes: Vec<_> = causes.into_iter().map(|cause| (cause, "informed_by")).collect();
            let session = format!("s-{session}");
            records.push(match kind {
                0..=2 => record(number, "prompt", &session, &causes),
                3 => memory(number, &session, "create", "written-1", &causes),
                4 => memory(number, &session, "search", "found-1", &causes),
                5 => retrieval(number, &session, "inbox", &causes),
                _ => retrieval(number, &session, &format!("file-{number}"), &causes),
            });
        }
        records
    })
}

fn depths(steps: &[Step]) -> BTreeMap<u64, u64> {
    steps.iter().map(|step| (step.seq, step.depth)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_walk_finds_what_the_reference_finds(
        records in logs(),
        start in any::<prop::sample::Index>(),
        nodes_max in 1..40usize,
        depth_max in 0..6u64,
    ) {
        let log = TestLog::new();
        submit_all(&log, &records);
        let view = log.ledger().view();
        let links = Told::of(&view);
        let graph = Graph::of(&view, &links);
        let start = 1 + u64::try_from(start.index(records.len())).unwrap();

        let back = why(&view, start, all(&view), &links).unwrap();
        sound(&back.steps);
        let found = depths(&back.steps);
        prop_assert_eq!(&found, &graph.causes(start));
        prop_assert!(back.steps.is_sorted_by(|one, next| one.seq > next.seq));
        prop_assert!(!back.truncated);
        for step in &back.steps[1..] {
            let from = back.steps.iter().flat_map(|other| {
                let edges = graph.0[&other.seq].1.iter().filter(|edge| edge.from == step.seq);
                edges.map(|edge| Edge { from: other.seq, rel: edge.rel })
            });
            prop_assert_eq!(from.collect::<BTreeSet<_>>(), step.edges.iter().copied().collect());
        }

        let forth = effects(&view, start, all(&view), &links).unwrap();
        sound(&forth.steps);
        let reached = depths(&forth.steps);
        prop_assert_eq!(&reached, &graph.effects(start, &links));
        prop_assert!(forth.steps.is_sorted_by(|one, next| one.depth <= next.depth));
        prop_assert!(!forth.truncated);
        let of_sessions: u64 = forth.sessions.iter().map(|session| session.records).sum();
        prop_assert_eq!(usize::try_from(of_sessions), Ok(forth.steps.len()));

        let bounds = Bounds { nodes_max, ..all(&view) };
        let some = why(&view, start, bounds, &links).unwrap();
        prop_assert_eq!(some.steps.len(), nodes_max.min(back.steps.len()));
        prop_assert_eq!(some.truncated, nodes_max < back.steps.len());
        for (step, whole) in some.steps.iter().zip(&back.steps) {
            prop_assert_eq!(step, whole);
        }
        let some = effects(&view, start, bounds, &links).unwrap();
        prop_assert_eq!(some.steps.len(), nodes_max.min(forth.steps.len()));
        prop_assert_eq!(some.truncated, nodes_max < forth.steps.len());
        for (step, whole) in some.steps.iter().zip(&forth.steps) {
            prop_assert_eq!((step.seq, step.depth), (whole.seq, whole.depth));
        }

        let bounds = Bounds { depth_max, ..all(&view) };
        let near = |found: &BTreeMap<u64, u64>| -> BTreeMap<u64, u64> {
            found.iter().filter(|(_, depth)| **depth <= depth_max).map(|(a, b)| (*a, *b)).collect()
        };
        let some = why(&view, start, bounds, &links).unwrap();
        prop_assert_eq!(depths(&some.steps), near(&found));
        prop_assert_eq!(some.steps.len() < found.len(), some.truncated && some.steps.len() < found.len());
        let some = effects(&view, start, bounds, &links).unwrap();
        prop_assert_eq!(depths(&some.steps), near(&reached));
        prop_assert_eq!(some.truncated, some.steps.len() < reached.len());

        let early = Bounds { size: view.size() - 1, ..all(&view) };
        if start < early.size {
            let before = effects(&view, start, early, &links).unwrap();
            prop_assert!(before.steps.iter().all(|step| step.seq < early.size));
        }
    }
}

#[test]
fn a_chain_is_walked_to_its_end_however_deep_it_is() {
    for length in [40, 5_000] {
        let log = TestLog::new();
        let informed = |n: usize| if n == 0 { vec![] } else { vec![(n - 1, "informed_by")] };
        let records: Vec<_> = (0..length).map(|n| record(n, "prompt", "s", &informed(n))).collect();
        submit_all(&log, &records);
        let view = log.ledger().view();
        let end = view.size() - 1;
        let back = why(&view, end, all(&view), &NoLinks).unwrap();
        assert_eq!(back.steps.len(), length);
        assert_eq!(back.steps.last().unwrap().depth, end - 1);
        sound(&back.steps);
        let forth = effects(&view, 1, all(&view), &NoLinks).unwrap();
        assert_eq!(forth.steps.len(), length);
        assert_eq!((forth.users, forth.sessions.len(), forth.api_calls()), (1, 1, 0));
        sound(&forth.steps);
    }
}

#[test]
fn what_ten_thousand_came_of_is_walked_or_said_to_be_cut() {
    let log = TestLog::new();
    let mut records = vec![record(0, "prompt", "s", &[])];
    records.extend((1..=10_000).map(|n| retrieval(n, "s", "inbox", &[(0, "triggered_by")])));
    submit_all(&log, &records);
    let view = log.ledger().view();
    let whole = effects(&view, 1, all(&view), &NoLinks).unwrap();
    assert_eq!((whole.steps.len(), whole.truncated), (10_001, false));
    let cut = effects(&view, 1, Bounds { nodes_max: 10_000, ..all(&view) }, &NoLinks).unwrap();
    assert_eq!((cut.steps.len(), cut.truncated), (10_000, true));
    assert!(cut.summary.contains("there is more beyond it"), "{}", cut.summary);
    // All of them saw the same document, so that each leads to all others, and no two to each other.
    let same = effects(&view, 2, all(&view), &Told::of(&view)).unwrap();
    assert_eq!((same.steps.len(), same.truncated), (10_000, false));
    assert_eq!(same.steps.iter().map(|step| step.edges.len()).sum::<usize>(), 9_999);
    // A record may name 256 causes, and so may each of those: what waits is bounded too.
    let mut records = Vec::new();
    for n in 10_001..10_060 {
        let causes: Vec<_> =
            (0..255).map(|k| (1 + (n * 255 + k) % 10_000, "informed_by")).collect();
        records.push(record(n, "prompt", "s", &[&causes[..], &[(n - 1, "informed_by")]].concat()));
    }
    submit_all(&log, &records);
    let view = log.ledger().view();
    let end = view.size() - 1;
    let whole = why(&view, end, all(&view), &NoLinks).unwrap();
    let cut = why(&view, end, Bounds { nodes_max: 100, ..all(&view) }, &NoLinks).unwrap();
    assert!(cut.truncated && !whole.truncated && whole.steps.len() == 10_060);
    assert!(cut.steps.iter().zip(&whole.steps).all(|(one, other)| one.seq == other.seq));
}

/// A poisoned document in two sessions, of which one writes it into a memory that a third one finds.
fn poisoned() -> Vec<Value> {
    let mut records = vec![
        record(0, "prompt", "s-0", &[]),
        retrieval(1, "s-0", "poison", &[(0, "triggered_by")]),
        record(2, "prompt", "s-1", &[]),
        retrieval(3, "s-1", "poison", &[(2, "triggered_by")]),
        memory(4, "s-1", "create", "notes", &[(3, "informed_by")]),
        record(5, "prompt", "s-2", &[]),
        memory(6, "s-2", "search", "notes", &[(5, "triggered_by")]),
        record(7, "prompt", "s-2", &[(6, "informed_by")]),
        retrieval(8, "s-2", "handbook", &[(7, "triggered_by")]),
        retrieval(9, "s-3", "handbook", &[]),
    ];
    for record in &mut records[5..] {
        record["user"]["id"] = json!("bob@example.com");
    }
    records
}

#[test]
fn a_document_is_followed_into_every_session_that_saw_it_and_into_memories() {
    let log = TestLog::new();
    submit_all(&log, &poisoned());
    let view = log.ledger().view();
    let links = Told::of(&view);
    // Seqs are one more than the numbers. Who else read the handbook has nothing to do with it.
    let reached = |seq| depths(&effects(&view, seq, all(&view), &links).unwrap().steps);
    let from_first = BTreeMap::from([(2, 0), (4, 1), (5, 2), (7, 3), (8, 4), (9, 5)]);
    assert_eq!(reached(2), from_first);
    assert_eq!(reached(4)[&2], 1, "an earlier session saw it too");
    let forth = effects(&view, 2, all(&view), &links).unwrap();
    assert_eq!((forth.sessions.len(), forth.users), (3, 2));
    let same = |step: &&Step| step.edges.iter().any(|edge| edge.rel == Relation::SameDocument);
    assert_eq!(forth.steps.iter().filter(same).map(|step| step.seq).collect::<Vec<_>>(), [4, 7]);
    assert_eq!(
        forth.summary,
        "Retrieval of poison (seq 2) reached 3 sessions of 2 users, as the same document is in 2 \
         other records; no API call followed."
    );
    let none = effects(&view, 10, all(&view), &NoLinks).unwrap();
    assert_eq!(none.summary, "Retrieval of handbook (seq 10) had no recorded effect.");
}

#[test]
fn an_api_call_is_explained_with_its_prompt_its_grant_and_what_it_had_read() {
    let log = TestLog::new();
    submit_all(&log, &[grant(0, "root", None), grant(1, "jti-7f", Some("root"))]);
    let mut records = chain(1);
    records[0]["content"]["text"] = json!("Pay the\n\u{1b}[2Jinvoice.");
    let mut document = retrieval(9, "s-1", "inbox", &[]);
    document["causes"] = json!([{ "id": "prompt-1", "rel": "triggered_by" }]);
    records.insert(1, document);
    let causes = records[2]["causes"].as_array_mut().unwrap();
    causes.push(json!({ "id": "r-9", "rel": "informed_by" }));
    submit_all(&log, &records);
    let view = log.ledger().view();
    let links = Told::of(&view);
    let back = why(&view, 7, all(&view), &links).unwrap();
    assert_eq!(
        back.summary,
        "API call POST bank.example/transfers happened because tool send_money was invoked by model \
         m-1 answering the prompt “Pay the \\u{1b}[2Jinvoice.” of alice@example.com, under \
         delegation jti-7f (bank:transfer, until 2026-12-01T00:00:00Z); 1 untrusted input could have \
         influenced it: retrieval of inbox (seq 4)."
    );
    let steps: Vec<_> = back.steps.iter().map(|step| (step.seq, step.role)).collect();
    let expected = [
        (7, Role::Other),
        (6, Role::Other),
        (5, Role::Other),
        (4, Role::UntrustedInput),
        (3, Role::Prompt),
        (2, Role::Delegation),
        (1, Role::Delegation),
    ];
    assert_eq!(steps, expected);
    assert_eq!(back.steps[6].edges, [Edge { from: 2, rel: Relation::Delegation }]);
    let triggered = Edge { from: 7, rel: Relation::Cause(Rel::TriggeredBy) };
    assert_eq!(back.steps[1].edges, [triggered]);
    let unlinked = why(&view, 7, all(&view), &NoLinks).unwrap();
    assert!(unlinked.summary.contains("jti-7f (its grant was not found)"), "{}", unlinked.summary);
    let forth = effects(&view, 4, all(&view), &NoLinks).unwrap();
    assert_eq!(
        forth.summary,
        "Retrieval of inbox (seq 4) reached 1 session of 1 user; 1 API call followed: POST \
         bank.example/transfers 201 (seq 7, session s-1)."
    );
}

#[test]
fn what_is_missing_is_said() {
    let log = TestLog::new();
    let mut records = chain(1);
    let mut orphan = records.remove(3);
    orphan["causes"] = json!([]);
    orphan["delegation"] = Value::Null;
    let members = orphan.as_object_mut().unwrap();
    members.remove("causes");
    members.remove("delegation");
    orphan["source"] = json!({ "observed_by": "egress_proxy", "producer": "proxy" });
    let mut nightly = record(1, "session_start", "s-9", &[]);
    nightly["user"] = json!({
        "id": "reports", "type": "service", "owner": "ops",
        "trigger": { "type": "schedule", "ref": "nightly" },
    });
    nightly.as_object_mut().unwrap().remove("content");
    let auth = json!({ "method": "certificate", "issuer": "ca" });
    nightly["data"] = json!({ "auth": auth, "expires_at": "2026-11-25T00:00:00Z" });
    let mut output = records[1].clone();
    output["id"] = json!("nightly-output");
    output["session"] = json!({ "id": "s-9" });
    output["user"] = nightly["user"].clone();
    output["causes"] = json!([{ "id": "r-1", "rel": "triggered_by" }]);
    submit_all(&log, &[orphan, nightly, output, records.remove(0)]);
    let view = log.ledger().view();
    let summary = |seq| why(&view, seq, all(&view), &NoLinks).unwrap().summary;
    assert_eq!(
        summary(0),
        "Genesis log.example/main has no recorded cause; no untrusted input is recorded."
    );
    assert_eq!(
        summary(1),
        "API call POST bank.example/transfers has no recorded cause; nobody is recorded as having \
         asked for it, alice@example.com is accountable, under no recorded delegation; no untrusted \
         input is recorded."
    );
    assert_eq!(
        summary(3),
        "Output of model m-1 happened because of session start certificate (seq 2); it was set off by \
         the schedule nightly of reports (owner ops); no untrusted input is recorded."
    );
    assert_eq!(
        summary(4),
        "Prompt “Pay the invoice.” has no recorded cause; it was asked by alice@example.com; no \
         untrusted input is recorded."
    );
}

/// Every page of a walk, put together; after each page the log grows.
fn pages(server: &Server, path: &str, limit: usize) -> (Vec<Value>, Vec<Value>) {
    let (writer, reader) =
        (server.token(TokenRole::Writer, None), server.token(TokenRole::Investigator, None));
    let (mut nodes, mut answers) = (Vec::new(), Vec::new());
    let mut after = String::new();
    loop {
        let answer = server.get(&format!("{path}?limit={limit}{after}"), &reader);
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let answer = answer.json();
        let page = answer["nodes"]["data"].as_array().unwrap();
        assert!((1..=limit).contains(&page.len()));
        nodes.extend(page.clone());
        let next = answer["nodes"]["list_metadata"]["after"].as_str().map(str::to_owned);
        answers.push(answer);
        match next {
            Some(next) => after = format!("&after={next}"),
            None => return (nodes, answers),
        }
        assert!(answers.len() < 100, "the walk grows with the log");
        let late = format!("late-{}-{}", nodes.len(), path.len() * 100 + limit);
        let mut late = prompt(&late, "s-1", "late");
        late["causes"] = json!([{ "id": "prompt-1", "rel": "informed_by" }]);
        assert_eq!(server.post(&writer, &late).status, 201);
    }
}

#[test]
fn pages_fit_together_while_the_log_grows() {
    let server = Server::new();
    let writer = server.token(TokenRole::Writer, None);
    let mut records = chain(1);
    for number in 2..9 {
        let mut next = chain(number);
        next[0]["causes"] = json!([{ "id": "prompt-1", "rel": "informed_by" }]);
        let causes = next[3]["causes"].as_array_mut().unwrap();
        causes
            .extend((1..number).map(|n| json!({ "id": format!("api-{n}"), "rel": "informed_by" })));
        records.extend(next);
    }
    server.post(&writer, &Value::Array(records));
    for (id, what, count) in [("api-8", "why", 32), ("prompt-1", "effects", 32)] {
        let path = format!("/v1/ledgers/main/records/{id}/{what}");
        let mut before = None;
        for limit in [1_000, 1, 7, 31] {
            let (nodes, answers) = pages(&server, &path, limit);
            let size = answers[0]["size"].clone();
            assert!(answers.iter().all(|answer| answer["size"] == size));
            assert!(answers.iter().all(|answer| answer["summary"] == answers[0]["summary"]));
            // What was appended for an earlier round is in a later one.
            let late = |node: &&Value| node["id"].as_str().unwrap().starts_with("late-");
            let kept: Vec<_> = nodes.iter().filter(|node| !late(node)).cloned().collect();
            assert_eq!(kept.len(), count);
            let ids = |nodes: &[Value]| nodes.iter().map(|node| node["id"].clone()).collect();
            let ids: Vec<Value> = ids(&kept);
            assert_eq!(*before.get_or_insert_with(|| ids.clone()), ids, "{what} by {limit}");
            let first_only = answers[1..].iter().all(|answer| answer["sessions"].is_null());
            assert!(first_only);
        }
    }
}

#[test]
fn a_page_is_bounded_and_a_cursor_that_was_not_given_out_is_refused() {
    let server = Server::with(Limits { walk_max: 3, ..Limits::default() }, None);
    let (writer, reader) =
        (server.token(TokenRole::Writer, None), server.token(TokenRole::Investigator, None));
    server.post(&writer, &Value::Array(chain(1)));
    let get = |path: &str| server.get(&format!("/v1/ledgers/main/records/{path}"), &reader);
    let why = get("api-1/why").json();
    assert_eq!(
        (why["nodes"]["data"].as_array().unwrap().len(), &why["truncated"]),
        (3, &json!(true))
    );
    assert!(why["summary"].as_str().unwrap().contains("there is more behind it"), "{why}");
    let effects = get("prompt-1/effects").json();
    assert_eq!(effects["truncated"], true);
    let near = get("api-1/why?depth=0").json();
    assert_eq!(
        (near["nodes"]["data"].as_array().unwrap().len(), &near["truncated"]),
        (1, &json!(true))
    );
    let node = &near["nodes"]["data"][0];
    assert_eq!(node["title"], "api_call POST bank.example/transfers 201");
    assert_eq!((&node["session"], &node["user"]), (&json!("s-1"), &json!("alice@example.com")));
    assert!(node.get("entry").is_none() && node.get("content").is_none());

    for what in ["why", "effects"] {
        // Past the end there is nothing, which is no error: the walk may have been cut shorter.
        let past = get(&format!("api-1/{what}?after=5-99")).json();
        assert_eq!(
            past["nodes"],
            json!({
                "object": "list", "data": [], "list_metadata": { "before": null, "after": null },
            })
        );
        for cursor in [
            "",
            "-",
            "5",
            "5-",
            "-1",
            "+5-0",
            "05-0",
            "5-00",
            "5--1",
            "6-0",
            "4-0",
            "0-0",
            "5-0-0",
            "5.0-1",
            "18446744073709551616-0",
            "5-99999999999999999999",
            "%35-%F0%9F%92%A9",
            "5-0%00",
            "%20",
            "NaN-0",
        ] {
            let answer = get(&format!("api-1/{what}?after={cursor}"));
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (400, "query_invalid"),
                "{cursor}"
            );
        }
        for query in ["limit=x", "depth=-1", "size=1", "limit=1&limit=2"] {
            assert_eq!(get(&format!("api-1/{what}?{query}")).code(), "query_invalid", "{query}");
        }
        assert_eq!(
            get(&format!("api-1/{what}?limit=0")).json()["nodes"]["data"].as_array().unwrap().len(),
            1
        );
        assert_eq!(get(&format!("nobody/{what}")).code(), "record_unknown");
        assert_eq!(get(&format!("%00%2F..%2Fapi-1/{what}")).code(), "record_unknown");
    }
}

#[test]
fn what_was_written_before_does_not_hide_who_finds_it_after() {
    let log = TestLog::new();
    let write = |number, session| memory(number, session, "create", "written-1", &[]);
    let mut records: Vec<_> = (0..10).map(|number| write(number, "s-0")).collect();
    records.push(record(10, "prompt", "s-1", &[]));
    records.push(memory(11, "s-1", "create", "written-1", &[(10, "informed_by")]));
    records.push(memory(12, "s-2", "search", "written-1", &[]));
    submit_all(&log, &records);
    let view = log.ledger().view();
    // So few that the ten before would have filled what the walk asks for.
    let bounds = Bounds { nodes_max: 4, ..all(&view) };
    let found = effects(&view, 11, bounds, &Told::of(&view)).unwrap();
    let seqs: Vec<_> = found.steps.iter().map(|step| step.seq).collect();
    assert_eq!((seqs, found.truncated), (vec![11, 12, 13], false));
}

//! Telemetry that is refused after its sender was answered, and what a token may not say.

use super::*;

use whence::access::{Grant, Scope};
use whence::http::new_token;

use crate::log::Seeded;

/// A model call of a session that names no user.
fn of_nobody(number: u8) -> Span {
    let mut span = chat(1, number, 0, &format!("Pay invoice {number}."));
    span.attributes.retain(|attribute| attribute.key != "user.id");
    span
}

/// The refused records that are kept, as texts.
fn refused(ledger: &Ledger) -> Vec<String> {
    let view = ledger.view();
    let entries = view.entries(0..view.size()).unwrap();
    let refusals = entries
        .iter()
        .filter(|(_, bytes)| Entry::parse(bytes).unwrap().kind.to_string() == "ingest_refusal");
    let kept = refusals.flat_map(|(seq, _)| view.content(*seq).unwrap());
    let texts = kept.map(|part| match part {
        StoredPart::Kept { bytes, .. } => String::from_utf8(bytes).unwrap(),
        StoredPart::Erased => panic!("nothing was erased"),
    });
    texts.collect()
}

/// A token that may append only some records.
fn limited(server: &Server, limit: impl FnOnce(&mut Grant)) -> String {
    let (random, clock) = (Seeded::new(2), Ticking::from(NOW_MS));
    let roles = BTreeSet::from([Role::Writer]);
    let (token, mut grant) = new_token("limited", roles, Scope::All, &random, &clock).unwrap();
    limit(&mut grant);
    server.tokens.add(&token, grant).unwrap();
    token.reveal().to_owned()
}

/// What a program says that is missing of a producer.
fn gap_of(producer: &str) -> Vec<u8> {
    let gap = LogRecord {
        time_unix_nano: START_NS,
        event_name: "whence.capture_gap".to_owned(),
        attributes: vec![attribute("count", "3")],
        ..LogRecord::default()
    };
    let mut post = logs(vec![gap]);
    let attributes = vec![attribute("service.name", producer)];
    post.resource_logs[0].resource = Some(Resource { attributes, ..Resource::default() });
    post.encode_to_vec()
}

fn export_logs(server: &Server, token: &str, body: Vec<u8>) {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", PROTOBUF)];
    assert_eq!(server.export("/v1/logs", &headers, body).status, 200);
}

/// The producers that gaps name.
fn gaps(ledger: &Ledger) -> Vec<String> {
    let view = ledger.view();
    let entries = view.entries(0..view.size()).unwrap();
    let producers = entries.iter().filter_map(|(_, bytes)| {
        let Data::CaptureGap(gap) = Entry::parse(bytes).unwrap().data.into_owned() else {
            return None;
        };
        Some(gap.producer.unwrap().to_string())
    });
    producers.collect()
}

#[test]
fn however_much_is_refused_all_of_what_was_answered_is_kept() {
    let server = server();
    let token = server.token(Role::Writer, None);
    let post = spans((1..=100).map(of_nobody).collect());
    assert_eq!(server.export_spans(&token, &post).status, 200);
    let refusals = |ledger: &Ledger| kinds(ledger).get("ingest_refusal").copied();
    // A prompt and an output of each.
    server.wait_until("all are refused", |ledger| refusals(ledger) >= Some(200));
    let kept = refused(&server.main());
    assert_eq!((refusals(&server.main()), kept.len()), (Some(200), 200));
    for number in 1..=100 {
        let asked = format!("\"Pay invoice {number}.\"");
        assert!(kept.iter().any(|record| record.contains(&asked)), "{asked}");
    }
}

#[test]
fn a_token_says_of_no_producer_but_its_own_that_something_is_missing() {
    let server = server();
    let token = limited(&server, |grant| {
        grant.producers = Some(BTreeSet::from(["billing".to_owned()]));
    });
    export_logs(&server, &token, gap_of("payroll"));
    server.wait_until("a gap", |ledger| !gaps(ledger).is_empty());
    assert_eq!(gaps(&server.main()), ["billing"]);
}

#[test]
fn a_token_that_may_not_append_gaps_is_refused_one() {
    let server = server();
    let token = limited(&server, |grant| grant.kinds = Some(BTreeSet::from(["prompt".to_owned()])));
    export_logs(&server, &token, gap_of("billing"));
    server.wait_until("a refusal", |ledger| refused(ledger).len() == 1);
    assert_eq!(gaps(&server.main()), [""; 0]);
    assert!(refused(&server.main())[0].contains("capture_gap"));
}

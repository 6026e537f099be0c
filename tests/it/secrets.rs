//! Secrets in labels and URLs: replaced before anything is hashed, and nothing else is touched.

use serde_json::{Value, json};
use whence::record::Entry;
use whence::record::limits::{LABEL_VALUE_BYTES_MAX, URL_BYTES_MAX};

use crate::log::{TestLog, chain};

fn letters(count: usize) -> String {
    "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5".chars().cycle().take(count).collect()
}

fn aws_key() -> String {
    format!("AK{}{}", "IA", "Q4ZT7WX2MPLB6KDN")
}

fn github_token() -> String {
    format!("gh{}{}", "p_", letters(36))
}

fn jwt() -> String {
    format!(
        "ey{}.ey{}.{}",
        format_args!("J{}", letters(30)),
        format_args!("J{}", letters(60)),
        letters(43)
    )
}

/// A chain whose call has this URL and these labels.
fn call(number: u64, url: &str, labels: &Value) -> Vec<Value> {
    let mut records = chain(number);
    let call = records.last_mut().unwrap();
    call["data"]["url"] = json!(url);
    call["labels"] = labels.clone();
    records
}

/// The URL, the labels and the flag of the last record, as they are sealed.
fn sealed(log: &TestLog, records: &[Value]) -> (String, Value, bool) {
    let receipt = log.submit(records).unwrap().pop().unwrap();
    let bytes = log.ledger().view().entry(receipt.seq).unwrap().unwrap();
    let entry: Value = serde_json::from_slice(&bytes).unwrap();
    Entry::parse(&bytes).unwrap();
    let flagged = receipt.flags.iter().any(|flag| flag.as_str() == "secret_redacted");
    (entry["data"]["url"].as_str().unwrap().to_owned(), entry["labels"].clone(), flagged)
}

#[test]
fn a_secret_in_a_url_or_a_label_is_replaced_before_it_is_sealed() {
    let log = TestLog::new();
    let url = format!("https://api.example/v1?key={}&page=2", aws_key());
    let labels = json!({ "env": "prod", "note": format!("sent {} along", jwt()) });
    let records = call(1, &url, &labels);
    let (url, labels, flagged) = sealed(&log, &records);
    assert_eq!(url, "https://api.example/v1?key=[redacted:aws-access-key]&page=2");
    assert_eq!(labels, json!({ "env": "prod", "note": "sent [redacted:jwt] along" }));
    assert!(flagged);
    assert!(log.submit(&records).unwrap().iter().all(|receipt| receipt.duplicate), "a retry");

    let url = format!("https://api.example/v1?access_token={}#top", github_token());
    let (url, labels, flagged) = sealed(&log, &call(2, &url, &json!({ "api_key": letters(12) })));
    assert_eq!(url, "https://api.example/v1?access_token=[redacted:github-token]#top");
    assert_eq!(labels, json!({ "api_key": "[redacted:named-secret]" }));
    assert!(flagged);
}

#[test]
fn what_only_looks_like_a_secret_stays_in_urls_and_labels() {
    let log = TestLog::new();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let harmless = [
        "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "eyJvZmZzZXQiOjEyMzQ1Njc4OTAsInNvcnQiOiJhc2MifQ==",
        "Y3Vyc29yOnYyOpK5MjAyNi0xMS0yNFQwMDowNjoxNFo",
        trace,
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ];
    for (number, text) in (1..).zip(harmless) {
        let url = format!("https://api.example/v1/{text}?cursor={text}&page_token={text}#{text}");
        let labels = json!({ "trace": text, "next_page_token": text, "max_tokens": "4096" });
        assert_eq!(sealed(&log, &call(number, &url, &labels)), (url, labels, false), "{text}");
    }
}

#[test]
fn what_is_left_of_a_url_or_a_label_is_one_within_its_limits() {
    let log = TestLog::new();
    let padded = |start: String, max: usize| format!("{start}{}", "/".repeat(max - start.len()));
    let left = [
        // The mark is longer than what it takes the place of.
        (
            padded("https://h.example/?next=db://a:Xy9@b".to_owned(), URL_BYTES_MAX),
            "https://h.example/[redacted]",
        ),
        // Without the secret, a name and a password would stand before the host.
        ("https://password:aB3d/E5fG7h(x@y".to_owned(), "https://[redacted]"),
        (format!("https://{}.example/a", aws_key()), "https://[redacted:aws-access-key].example/a"),
        (format!("{}://host/a", aws_key()), "redacted://[redacted]"),
    ];
    for (number, (url, left)) in (1..).zip(left) {
        let labels = json!({ "db": padded("db://a:Xy9@b".to_owned(), LABEL_VALUE_BYTES_MAX) });
        let (url, labels, flagged) = sealed(&log, &call(number, &url, &labels));
        assert_eq!((&*url, labels, flagged), (left, json!({ "db": "[redacted]" }), true));
    }
}

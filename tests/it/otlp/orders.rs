//! Real telemetry in any order, twice, in small posts, with restarts in between: the same records.

use super::*;

use crate::captures::{self, captures};

/// Posts of one variant, taken apart into posts of one span or log record each.
fn pieces(variant: &[captures::Post]) -> Vec<(&'static str, Vec<u8>)> {
    let mut pieces = Vec::new();
    for post in variant {
        let body = post.plain();
        match post.path.as_str() {
            "/v1/traces" => {
                let post = ExportTraceServiceRequest::decode(&*body).unwrap();
                for group in &post.resource_spans {
                    for scope in &group.scope_spans {
                        for span in &scope.spans {
                            let scope = ScopeSpans { spans: vec![span.clone()], ..scope.clone() };
                            let group = ResourceSpans { scope_spans: vec![scope], ..group.clone() };
                            let post = ExportTraceServiceRequest { resource_spans: vec![group] };
                            pieces.push(("/v1/traces", post.encode_to_vec()));
                        }
                    }
                }
            }
            "/v1/logs" => {
                let post = ExportLogsServiceRequest::decode(&*body).unwrap();
                for group in &post.resource_logs {
                    for scope in &group.scope_logs {
                        for log in &scope.log_records {
                            let scope =
                                ScopeLogs { log_records: vec![log.clone()], ..scope.clone() };
                            let group = ResourceLogs { scope_logs: vec![scope], ..group.clone() };
                            let post = ExportLogsServiceRequest { resource_logs: vec![group] };
                            pieces.push(("/v1/logs", post.encode_to_vec()));
                        }
                    }
                }
            }
            _ => {}
        }
    }
    pieces
}

/// Numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

/// What a server tells of posts. It is stopped and started again after those of which `restarts` says so.
fn tell(posts: &[(&str, &[u8])], restarts: &BTreeSet<usize>) -> BTreeMap<String, Told> {
    let mut limits = limits();
    limits.telemetry_times.settle = Duration::from_millis(600);
    limits.telemetry_times.timeout = Duration::from_millis(1_200);
    let mut server = started(limits);
    let token = server.token(Role::Writer, None);
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", PROTOBUF),
        ("whence-user", "nobody@example.com"),
    ];
    for (number, (path, body)) in posts.iter().enumerate() {
        let answer = server.export(path, &headers, body.to_vec());
        assert_eq!(answer.status, 200);
        if restarts.contains(&number) {
            server = restarted(server.stopped(), limits);
        }
    }
    // Whoever asks for a ledger lets its telemetry go on, if nobody posts anything.
    server.get("/v1/ledgers/main", &token);
    let journal = server.folder.path().join("ledgers/main/telemetry");
    let is_empty = || std::fs::read_dir(&journal).unwrap().count() == 0;
    server.wait_until("all of it is told", |_| is_empty());
    told(&server.main())
}

/// Every producer of the captures that posts protocol buffers, in several orders.
#[test]
fn the_order_of_posts_and_restarts_between_them_change_nothing() {
    let Some(folder) = captures() else { return };
    let variants = captures::variants(&folder);
    let mut compared = 0;
    let work: Vec<_> = variants
        .iter()
        .filter(|(name, _)| !name.contains("json") && !name.contains("vercel"))
        .collect();
    for chunk in work.chunks(6) {
        thread::scope(|scope| {
            for (seed, (name, variant)) in (0..).zip(chunk) {
                scope.spawn(move || one_variant(name, variant, seed));
            }
        });
        compared += chunk.len();
    }
    assert!(compared >= 12, "{compared} variants");
}

fn one_variant(name: &str, variant: &[captures::Post], seed: u64) {
    let pieces = pieces(variant);
    let whole: Vec<(&str, Vec<u8>)> = variant
        .iter()
        .filter(|post| post.path != "/v1/metrics")
        .map(|post| (post.path.as_str(), post.plain()))
        .collect();
    let whole: Vec<(&str, &[u8])> = whole.iter().map(|(path, body)| (*path, &**body)).collect();
    let expected = tell(&whole, &BTreeSet::new());
    assert!(expected.len() >= 3, "{name}: {expected:#?}");

    let mut dice = Dice(seed * 7 + 1);
    let mut posts: Vec<(&str, &[u8])> = Vec::new();
    for (path, body) in &pieces {
        posts.push((path, body));
        if dice.below(3) == 0 {
            posts.push((path, body));
        }
    }
    for place in (1..posts.len()).rev() {
        posts.swap(place, dice.below(place + 1));
    }
    let restarts = (0..2).map(|_| dice.below(posts.len())).collect();
    let found = tell(&posts, &restarts);
    let changed: Vec<_> = expected
        .iter()
        .filter(|(id, record)| found.get(*id) != Some(record))
        .map(|(id, record)| (id, record, found.get(id)))
        .collect();
    let more: Vec<_> = found.iter().filter(|(id, _)| !expected.contains_key(*id)).collect();
    assert!(changed.is_empty() && more.is_empty(), "{name}: {changed:#?}\n{more:#?}");
}

use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::capture::otlp::{Attributes, Log, Scope, Sender, Span, SpanKind};
use crate::record::Hex;

const TIMES: Times = Times {
    settle: Duration::from_secs(5),
    timeout: Duration::from_secs(30),
    retain: Duration::from_mins(2),
};

thread_local! {
    /// How often the assembler was asked whether one trace covers another.
    pub(super) static ASKED: Cell<usize> = const { Cell::new(0) };
}

/// Nothing was told.
const NONE: [usize; 0] = [];

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn origin(producer: &str) -> Arc<Origin> {
    let sender = Sender { producer: producer.into(), user: None, session: None, agent: None };
    Arc::new(Origin { token: "t".to_owned(), kinds: None, producers: None, sender })
}

fn item(what: What) -> Item {
    Item { resource: Arc::default(), scope: Arc::new(Scope::default()), what }
}

/// A span of a trace, by small numbers. One without a span around it is a root.
fn span(trace: u8, number: u8, parent: Option<u8>, attributes: Attributes) -> Item {
    let id = |number: u8| Hex::new(format!("{number:016x}")).unwrap();
    let start_ns = u64::from(trace) * 1_000_000 + u64::from(number);
    item(What::Span(Span {
        trace_id: Hex::new(format!("{trace:032x}")).unwrap(),
        span_id: id(number),
        parent: parent.map(id),
        name: String::new(),
        kind: SpanKind::Internal,
        start_ns,
        end_ns: start_ns + 1,
        attributes,
        events: Vec::new(),
        failed: false,
        status_message: String::new(),
        dropped: 0,
    }))
}

fn plain(trace: u8, number: u8, parent: Option<u8>) -> Item {
    span(trace, number, parent, Attributes::new())
}

fn of_session(trace: u8, number: u8, parent: Option<u8>) -> Item {
    let attributes = [("session.id", "s-1"), ("gen_ai.operation.name", "chat")];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), value.into()));
    span(trace, number, parent, attributes.into_iter().collect())
}

fn log(attributes: Attributes) -> Item {
    item(What::Log(Log {
        trace_id: None,
        span_id: None,
        time_ns: 7,
        event_name: String::new(),
        body: serde_json::Value::Null,
        attributes,
        dropped: 0,
    }))
}

/// A buffer, and a way to see which posts it holds.
struct Waiting {
    buffer: Buffer<Rc<()>>,
    post: Rc<()>,
    origin: Arc<Origin>,
}

impl Waiting {
    fn new() -> Self {
        Self { buffer: Buffer::new(TIMES), post: Rc::new(()), origin: origin("a") }
    }

    fn add(&mut self, items: Vec<Item>, now: Duration) {
        self.buffer.add(&self.origin, items, &self.post, now);
    }

    /// How many items are told in which order of traces, and notes that they were.
    fn tell(&mut self, now: Duration) -> Vec<usize> {
        let due = self.buffer.due(now);
        let told = due.iter().map(|telling| {
            let told = self.buffer.items(telling);
            told.iter().map(|told| told.items.len()).sum()
        });
        let told = told.collect();
        for telling in &due {
            self.buffer.told(telling, now);
        }
        told
    }

    fn release(&mut self, now: Duration) -> bool {
        self.buffer.release(now, TIMES.retain);
        assert_eq!(self.buffer.is_empty(), Rc::strong_count(&self.post) == 1);
        self.buffer.is_empty()
    }
}

#[test]
fn a_trace_is_due_when_its_root_has_ended_and_it_is_quiet() {
    let mut held = Waiting::new();
    held.add(vec![plain(1, 2, Some(1))], at(0));
    held.add(vec![plain(1, 1, None)], at(3));
    assert_eq!(held.tell(at(7)), NONE);
    assert_eq!(held.tell(at(8)), [2]);
    assert_eq!(held.tell(at(9)), NONE, "once");
}

#[test]
fn a_trace_without_a_root_is_due_when_nothing_came_for_long() {
    let mut held = Waiting::new();
    held.add(vec![plain(1, 2, Some(1))], at(0));
    held.add(vec![plain(1, 3, Some(1))], at(20));
    assert_eq!(held.tell(at(49)), NONE);
    assert_eq!(held.tell(at(50)), [2]);
}

#[test]
fn a_trace_that_goes_on_and_on_is_told_in_between() {
    let mut held = Waiting::new();
    for second in 0..300 {
        held.add(vec![plain(1, 2, Some(1))], at(second));
        assert_eq!(held.tell(at(second)), NONE);
    }
    assert_eq!(held.tell(at(300)), [300]);
    held.add(vec![plain(1, 2, Some(1)); ITEMS_MAX + 1], at(301));
    assert_eq!(held.tell(at(301)), [300 + ITEMS_MAX + 1]);
}

#[test]
fn what_comes_late_is_told_together_with_what_was_told() {
    let mut held = Waiting::new();
    held.add(vec![plain(1, 1, None)], at(0));
    assert_eq!(held.tell(at(5)), [1]);
    assert!(!held.release(at(100)));
    held.add(vec![plain(1, 2, Some(1))], at(100));
    assert_eq!(held.tell(at(104)), NONE);
    assert_eq!(held.tell(at(105)), [2]);
    assert!(!held.release(at(126)), "the late one is kept as long");
    assert!(held.release(at(225)));
    held.add(vec![plain(1, 3, Some(1))], at(300));
    assert_eq!(held.tell(at(330)), [1], "it is on its own");
}

#[test]
fn nothing_is_let_go_before_it_was_told() {
    let mut held = Waiting::new();
    held.add(vec![plain(1, 1, None), log(Attributes::new())], at(0));
    held.buffer.release(at(1_000), Duration::ZERO);
    assert_eq!(Rc::strong_count(&held.post), 3);
    assert_eq!(held.tell(at(1_000)), [1, 1]);
    held.buffer.release(at(1_000), Duration::ZERO);
    assert!(held.release(at(1_000)));
}

#[test]
fn traces_that_are_due_together_are_told_in_the_order_of_their_start() {
    let mut held = Waiting::new();
    for trace in [3, 1, 2] {
        held.add(vec![plain(trace, 1, None); usize::from(trace)], at(0));
    }
    assert_eq!(held.tell(at(5)), [1, 2, 3]);
}

#[test]
fn a_trace_waits_for_one_of_its_session_that_began_earlier_but_not_for_ever() {
    let mut held = Waiting::new();
    held.add(vec![of_session(2, 1, None)], at(0));
    held.add(vec![of_session(3, 1, None)], at(0));
    held.add(vec![plain(4, 1, None)], at(0));
    held.add(vec![of_session(1, 2, Some(1))], at(4));
    assert_eq!(held.tell(at(5)), [1], "the one of no session is told");
    held.add(vec![of_session(1, 1, None)], at(6));
    assert_eq!(held.tell(at(11)), [2, 1, 1]);

    held.add(vec![of_session(6, 1, None)], at(100));
    held.add(vec![of_session(5, 2, Some(1))], at(120));
    assert_eq!(held.tell(at(129)), NONE);
    assert_eq!(held.tell(at(130)), [1]);
}

#[test]
fn log_records_are_told_by_session_or_one_by_one() {
    let mut held = Waiting::new();
    let named = Attributes::from([("session.id".to_owned(), "s-1".into())]);
    held.add(vec![log(named.clone()), log(Attributes::new()), log(Attributes::new())], at(0));
    let due = held.buffer.due(at(5));
    let items: Vec<Vec<usize>> = due
        .iter()
        .map(|telling| held.buffer.items(telling).iter().map(|told| told.items.len()).collect())
        .collect();
    assert_eq!(items.len(), 2);
    assert!(items.contains(&vec![1]) && items.contains(&vec![1, 1]), "{items:?}");
    // A session that goes on all the time is told in between.
    for second in 5..35 {
        held.add(vec![log(named.clone())], at(second));
    }
    assert!(!held.tell(at(30)).is_empty());
}

#[test]
fn nobody_speaks_in_the_name_of_another() {
    let mut held = Waiting::new();
    held.add(vec![plain(1, 1, None)], at(0));
    held.buffer.add(&origin("b"), vec![plain(1, 2, Some(1))], &Rc::clone(&held.post), at(0));
    let due = held.buffer.due(at(5));
    let told = held.buffer.items(&due[0]);
    let producers: Vec<_> =
        told.iter().map(|told| told.origin.sender.producer.to_string()).collect();
    assert_eq!((due.len(), producers), (1, vec!["a".to_owned(), "b".to_owned()]));
}

/// A span of a trace from one moment to another.
fn lasting(
    trace: u8,
    from_ns: u64,
    to_ns: u64,
    attributes: &[(&str, &str)],
    kind: SpanKind,
) -> Item {
    let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
    let mut item = span(trace, 1, None, attributes.collect());
    if let What::Span(span) = &mut item.what {
        (span.start_ns, span.end_ns, span.kind) = (from_ns, to_ns, kind);
    }
    item
}

/// A trace that is one call over the network.
fn call(trace: u8, from_ns: u64) -> Item {
    let attributes = [("http.request.method", "GET"), ("url.full", "https://example.com/")];
    lasting(trace, from_ns, from_ns + 1, &attributes, SpanKind::Client)
}

/// A run of a tool.
fn run(trace: u8, from_ns: u64, to_ns: u64) -> Item {
    let attributes = [("gen_ai.operation.name", "execute_tool")];
    lasting(trace, from_ns, to_ns, &attributes, SpanKind::Internal)
}

fn asked() -> usize {
    ASKED.with(Cell::take)
}

#[test]
fn calls_of_a_trace_of_their_own_are_told_with_the_run_they_fell_into() {
    let mut held = Waiting::new();
    held.add(vec![call(2, 50)], at(0));
    held.add(vec![call(3, 500)], at(0));
    assert_eq!(held.tell(at(5)), NONE, "what they fell into may come");
    held.add(vec![run(1, 10, 100)], at(6));
    assert_eq!(held.tell(at(11)), [2]);
    assert_eq!(held.tell(at(30)), [1], "nothing was around the other one");
}

#[test]
fn calls_that_fell_into_two_runs_are_told_with_neither() {
    let mut held = Waiting::new();
    held.add(vec![run(1, 10, 100)], at(0));
    held.add(vec![call(3, 50)], at(0));
    held.add(vec![run(2, 20, 90)], at(0));
    assert_eq!(held.tell(at(5)), [1, 1]);
    assert_eq!(held.tell(at(30)), [1]);
}

#[test]
fn ordinary_calls_that_wait_are_not_compared_with_all_others_again_and_again() {
    let mut held = Waiting::new();
    asked();
    for trace in 100..200 {
        held.add(vec![call(trace, u64::from(trace))], at(0));
    }
    // Of a program that answers calls, and of an agent at another time.
    for trace in 1..50 {
        held.add(vec![lasting(trace, 0, 1_000, &[], SpanKind::Server)], at(0));
    }
    held.add(vec![run(90, 2_000, 3_000), of_session(90, 2, None)], at(0));
    for second in 5..20 {
        held.tell(at(second));
    }
    assert_eq!(asked(), 0);

    // Half of them may have fallen into two runs, and each is asked of once.
    held.add(vec![run(91, 0, 149)], at(20));
    held.add(vec![run(92, 0, 149)], at(20));
    for second in 20..25 {
        held.tell(at(second));
    }
    assert_eq!(asked(), 49 * 2);
    held.add(vec![plain(92, 3, Some(1))], at(25));
    for second in 25..30 {
        held.tell(at(second));
    }
    assert_eq!(asked(), 49, "of those that have not changed is not asked again");
}

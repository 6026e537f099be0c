//! What every form means, what every error says, and what holds for all queries.

use std::ops::Bound;

use proptest::prelude::*;

use super::*;
use crate::record::{Flag, Kind, Timestamp};
use crate::search::text;

fn now() -> Timestamp {
    "2026-11-25T12:00:00Z".parse().unwrap()
}

fn read(text: &str) -> Query {
    parse(text, now()).unwrap_or_else(|error| panic!("{text}\n{error}\n{}", error.caret(text)))
}

fn refused(text: &str) -> QueryError {
    parse(text, now()).expect_err(text)
}

fn words(text: &str, prefix: bool) -> Words {
    Words { words: text.split(' ').map(str::to_owned).collect(), prefix }
}

fn found(text: &str) -> Query {
    Query::Text(words(text, false))
}

fn is(field: Field, value: &str) -> Query {
    Query::Field(field, Match::Is(value.to_owned()))
}

fn not(query: Query) -> Query {
    Query::Not(Box::new(query))
}

fn nanos(text: &str) -> Number {
    let time: Timestamp = text.parse().unwrap();
    Number::Whole(i64::try_from(time.unix_nanos()).unwrap())
}

fn range(field: NumberField, from: Bound<Number>, to: Bound<Number>) -> Query {
    Query::Range(field, Span { from, to })
}

fn path(path: &str, from: Bound<Number>, to: Bound<Number>) -> Query {
    range(NumberField::Path(path.to_owned()), from, to)
}

#[test]
fn a_query_of_many_forms_means_what_it_says() {
    let text = "user:alice@example.com tool:send_money \"wire transfer\" -agent:test* \
                since:2026-11-01 until:2h flag:* data.amount:>1000";
    let expected = Query::And(vec![
        is(Field::User, "alice@example.com"),
        is(Field::Tool, "send_money"),
        found("wire transfer"),
        not(Query::Field(Field::Agent, Match::Prefix("test".to_owned()))),
        range(
            NumberField::Received,
            Bound::Included(nanos("2026-11-01T00:00:00Z")),
            Bound::Unbounded,
        ),
        range(
            NumberField::Received,
            Bound::Unbounded,
            Bound::Excluded(nanos("2026-11-25T10:00:00Z")),
        ),
        Query::Field(Field::Flag, Match::Any),
        path("data.amount", Bound::Excluded(Number::Real(1_000.0)), Bound::Unbounded),
    ]);
    assert_eq!(read(text), expected);
}

#[test]
fn operators_bind_as_in_other_search_languages() {
    let (a, b, c) = (|| found("a"), || found("b"), || found("c"));
    for (text, expected) in [
        ("a b OR c", Query::Or(vec![Query::And(vec![a(), b()]), c()])),
        ("a AND b OR NOT c", Query::Or(vec![Query::And(vec![a(), b()]), not(c())])),
        ("a (b OR c)", Query::And(vec![a(), Query::Or(vec![b(), c()])])),
        ("(a)(b)", Query::And(vec![a(), b()])),
        ("(a)OR(b)", Query::Or(vec![a(), b()])),
        ("-a -(b c)", Query::And(vec![not(a()), not(Query::And(vec![b(), c()]))])),
        ("NOT NOT a", not(not(a()))),
        ("--a", not(not(a()))),
        ("((a))", a()),
        ("a and b or not", Query::And("a and b or not".split(' ').map(found).collect())),
        ("\"OR\" \\AND", Query::And(vec![found("or"), found("and")])),
        ("", Query::All),
        (" \t\n", Query::All),
        ("*", Query::All),
        ("-*", not(Query::All)),
    ] {
        assert_eq!(read(text), expected, "{text}");
    }
}

#[test]
fn texts_become_words() {
    for (text, expected, prefix) in [
        ("Überweisung", "uberweisung", false),
        ("send_money", "send money", false),
        ("\"Wire  TRANSFER!\"", "wire transfer", false),
        ("trans*", "trans", true),
        ("\"wire tran\"*", "wire tran", true),
        ("a\\:b", "a b", false),
        ("\"user:alice (admin) \\\"x\\\" \\\\\"", "user alice admin x", false),
        ("支付", "支 付", false),
        ("well-known", "well known", false),
    ] {
        assert_eq!(read(text), Query::Text(words(expected, prefix)), "{text}");
    }
}

#[test]
fn every_field_of_names_is_read_and_folds_where_its_case_does_not_matter() {
    let label = Field::Label("Env.x-1_".to_owned());
    let fields = [
        (Field::User, "alïce"),
        (Field::Session, ""),
        (Field::Agent, "alïce"),
        (Field::Tool, "alïce"),
        (Field::Model, "alïce"),
        (Field::CallId, ""),
        (Field::Host, "alïce"),
        (Field::Method, "alïce"),
        (Field::UrlPath, ""),
        (label, "alïce"),
        (Field::Delegation, ""),
        (Field::Id, ""),
        (Field::Trace, ""),
        (Field::Document, ""),
    ];
    for (field, folded) in fields {
        let expected = if folded.is_empty() { "ALïce" } else { "alice" };
        assert_eq!(field.folds(), !folded.is_empty());
        let name = field.name();
        assert_eq!(read(&format!("{name}:ALïce")), is(field.clone(), expected));
        assert_eq!(read(&format!("{name}:\"ALïce\"")), is(field.clone(), expected));
        let prefix = Query::Field(field.clone(), Match::Prefix(expected.to_owned()));
        assert_eq!(read(&format!("{name}:ALïce*")), prefix);
        assert_eq!(read(&format!("{name}:\"ALïce\"*")), prefix);
        assert_eq!(read(&format!("{name}:*")), Query::Field(field, Match::Any));
    }
    for kind in Kind::NAMES {
        assert_eq!(read(&format!("kind:{kind}")), is(Field::Kind, kind));
    }
    for flag in Flag::NAMES {
        assert_eq!(read(&format!("flag:{}", flag.to_uppercase())), is(Field::Flag, flag));
    }
    assert_eq!(read("path:/a..b:c/\\*"), is(Field::UrlPath, "/a..b:c/*"));
    assert_eq!(read("user:\">x\""), is(Field::User, ">x"));
    assert_eq!(read("user:-x"), is(Field::User, "-x"));
    assert_eq!(read("tool:AND"), is(Field::Tool, "and"));
}

#[test]
fn a_group_is_many_values_of_one_field() {
    let user = |id| is(Field::User, id);
    let expected = Query::Or(vec![user("a"), Query::And(vec![user("b:c"), not(user("d"))])]);
    assert_eq!(read("user:(a OR b:c -d)"), expected);
    assert_eq!(read("user:(a) x"), Query::And(vec![user("a"), found("x")]));
    let after = Bound::Excluded(Number::Real(1.0));
    let before = Bound::Excluded(Number::Real(-2.5e3));
    let expected = Query::Or(vec![
        path("data.x", after, Bound::Unbounded),
        path("data.x", Bound::Unbounded, before),
        Query::Path("data.x".to_owned(), Some(words("none at all", false))),
    ]);
    assert_eq!(read("data.x:(>1 OR <-2.5e3 OR \"none at all\")"), expected);
    assert!(matches!(read("received:(>=2026-11-24T00:00:00Z <2h)"), Query::And(_)));
}

#[test]
fn members_are_found_by_words_and_by_numbers() {
    let member = |words| Query::Path("content.arguments.to".to_owned(), words);
    for (value, expected) in [
        ("*", member(None)),
        ("DE02", member(Some(words("de02", false)))),
        ("DE*", member(Some(words("de", true)))),
        ("\"Acme Ltd\"*", member(Some(words("acme ltd", true)))),
        ("1200", member(Some(words("1200", false)))),
        ("a..b", member(Some(words("a b", false)))),
        ("\"1..2\"", member(Some(words("1 2", false)))),
        ("\\>5", member(Some(words("5", false)))),
    ] {
        assert_eq!(read(&format!("content.arguments.to:{value}")), expected, "{value}");
    }
    let (one, two) = (Bound::Included(Number::Real(1.0)), Bound::Included(Number::Real(2.5)));
    assert_eq!(read("data.x:1..2.5"), path("data.x", one, two));
    assert_eq!(read("data.x:1.."), path("data.x", one, Bound::Unbounded));
    assert_eq!(read("data.x:..2.5"), path("data.x", Bound::Unbounded, two));
    assert_eq!(read("data.x:.."), path("data.x", Bound::Unbounded, Bound::Unbounded));
    assert_eq!(read("data.x:>=1"), path("data.x", one, Bound::Unbounded));
    assert_eq!(read("data.x:<=25e-1"), path("data.x", Bound::Unbounded, two));
    let strange = read("data.a\\ b\\:c.Ünïcode:x");
    assert_eq!(strange, Query::Path("data.a b:c.Ünïcode".to_owned(), Some(words("x", false))));
}

#[test]
fn whole_numbers_are_compared() {
    let status = |from, to| range(NumberField::Status, from, to);
    let (low, high) = (Number::Whole(400), Number::Whole(499));
    assert_eq!(read("status:400"), status(Bound::Included(low), Bound::Included(low)));
    assert_eq!(read("status:400..499"), status(Bound::Included(low), Bound::Included(high)));
    assert_eq!(read("status:>499"), status(Bound::Excluded(high), Bound::Unbounded));
    assert_eq!(read("status:*"), status(Bound::Unbounded, Bound::Unbounded));
    let last = Bound::Included(Number::Whole(i64::MAX));
    assert_eq!(read("seq:<=9223372036854775807"), range(NumberField::Seq, Bound::Unbounded, last));
}

#[test]
fn a_day_is_the_whole_day_and_how_long_ago_is_a_moment() {
    let first = nanos("2026-11-02T00:00:00Z");
    let last = nanos("2026-11-02T23:59:59.999999999Z");
    let moment = nanos("2026-11-02T10:00:00Z");
    let open = Bound::Unbounded;
    for (value, from, to) in [
        ("2026-11-02", Bound::Included(first), Bound::Included(last)),
        (">2026-11-02", Bound::Excluded(last), open),
        (">=2026-11-02", Bound::Included(first), open),
        ("<2026-11-02", open, Bound::Excluded(first)),
        ("<=2026-11-02", open, Bound::Included(last)),
        ("2026-11-02..2026-11-02", Bound::Included(first), Bound::Included(last)),
        ("2026-11-02T12:00:00+02:00", Bound::Included(moment), Bound::Included(moment)),
        ("2026-11-02T10:00:00Z..2026-11-02", Bound::Included(moment), Bound::Included(last)),
        (">=90m", Bound::Included(nanos("2026-11-25T10:30:00Z")), open),
        (
            "4w..7d",
            Bound::Included(nanos("2026-10-28T12:00:00Z")),
            Bound::Included(nanos("2026-11-18T12:00:00Z")),
        ),
        ("<4294967295w", open, Bound::Excluded(Number::Whole(0))),
        (">2300-01-01T00:00:00Z", Bound::Excluded(Number::Whole(i64::MAX)), open),
    ] {
        let read = read(&format!("occurred:{value}"));
        assert_eq!(read, range(NumberField::Occurred, from, to), "{value}");
    }
    let received = |from, to| range(NumberField::Received, from, to);
    assert_eq!(read("since:2026-11-02"), received(Bound::Included(first), open));
    assert_eq!(read("until:2026-11-02"), received(open, Bound::Excluded(first)));
    assert_eq!(read("until:\"2026-11-02\""), received(open, Bound::Excluded(first)));
}

#[test]
fn an_error_says_where_and_what_was_expected() {
    let cases = [
        ("usr:alice", 1, "`usr:`", "a field: user"),
        ("a https://bank.example", 3, "`https:`", "a field: user, session"),
        (":x", 1, "`:`", "a field: "),
        ("us*:x", 3, "`*:x`", "a star only at the end of a word"),
        ("data:x", 1, "`data:`", "the path of a member"),
        ("data.a..b:x", 1, "`data.a..b:`", "the path of a member"),
        ("label:x", 1, "`label:`", "the key of a label"),
        ("label.ü:x", 1, "`label.ü:`", "the key of a label"),
        ("user:", 6, "the end", "a value right after the colon"),
        ("user: alice", 6, "a blank", "a value right after the colon"),
        ("(user:)", 7, "`)`", "a value right after the colon"),
        ("user:\"\"", 7, "`\"`", "a value of at least one character"),
        ("user:>x", 6, "`>x`", "a value: names are not compared"),
        ("kind:promt", 6, "`promt`", "a kind of record: prompt"),
        ("kind:tool", 6, "`tool`", "a kind of record: tool_result, tool_invocation, tool_catalog"),
        ("kind:zzzzzz", 6, "`zzzzzz`", "a kind of record: session_start, session_end"),
        ("flag:orphan", 6, "`orphan`", "a flag: orphan_api_call, orphan_tool_invocation"),
        ("seq:x", 5, "`x`", "a whole number"),
        ("seq:+1", 5, "`+1`", "a whole number"),
        ("seq:9223372036854775808", 5, "`9223372036854775808`", "a whole number"),
        ("status:4*", 8, "`4*`", "a whole number"),
        ("seq:5..3", 5, "`5..3`", "the lower end of a range first"),
        ("seq:5..x", 8, "`x`", "a whole number"),
        ("data.x:>abc", 9, "`abc`", "a number"),
        ("data.x:> 5", 9, "a blank", "a number"),
        ("data.x:1..x", 11, "`x`", "a number"),
        ("data.x:>1e999", 9, "`1e999`", "a number"),
        ("since:yesterday", 7, "`yesterday`", "a time: 2026-11-24T00:06:14Z, a day"),
        ("since:*", 7, "`*`", "a time: "),
        ("since:2026-02-30", 7, "`2026-02-30`", "a time: "),
        ("received:..\\2h", 10, "`..\\2h`", "a time: "),
        ("received:2h", 10, "`2h`", "a time, or a comparison with one"),
        ("-", 1, "`-`", "what is excluded, right after the minus sign"),
        ("a - b", 3, "`-`", "what is excluded"),
        ("a OR", 5, "the end", "a term"),
        ("OR a", 1, "`OR`", "a term"),
        ("a OR AND b", 6, "`AND`", "a term"),
        ("()", 2, "`)`", "a term"),
        ("(a", 1, "`(a`", "a closing parenthesis to this one"),
        ("a)", 2, "`)`", "no parenthesis here"),
        ("\"a b", 1, "`\"a`", "a quotation mark where the text ends"),
        ("a\\", 3, "the end", "a character after the backslash"),
        ("a*b", 2, "`*b`", "a star only at the end of a word"),
        ("\"ab\"**", 6, "`*`", "one star at most"),
        ("\"a\"b", 4, "`b`", "a blank or the end"),
        ("f(x)", 2, "`(x)`", "a blank or the end"),
        ("...", 1, "`...`", "a word: letters or digits"),
        ("\"\"", 1, "`\"\"`", "a word: letters or digits"),
        ("data.x:\"-\"", 8, "`\"-\"`", "a word: letters or digits"),
        ("a*", 1, "`a*`", "at least 2 characters of a word before the star"),
        ("x \u{1b}[31mred:y", 3, "`\u{fffd}[31mred:`", "a field: "),
    ];
    for (text, column, found, expected) in cases {
        let error = refused(text);
        assert_eq!(
            (error.column, error.found.as_str()),
            (column, found),
            "{text}: {error}\n{}",
            error.caret(text)
        );
        assert!(error.expected.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn an_error_reads_well_and_points_at_the_place() {
    let text = "user:alice usr:bob";
    let error = refused(text);
    assert_eq!(
        error.to_string(),
        "column 12: found `usr:`, expected a field: user; put the text in quotes if the colon is part of it"
    );
    assert_eq!(error.caret(text), "user:alice usr:bob\n           ^");
    let long = format!("{} usr:bob", "a".repeat(100));
    let error = refused(&long);
    assert_eq!(error.column, 102);
    assert_eq!(error.caret(&long), format!("{} usr:bob\n{}^", "a".repeat(35), " ".repeat(36)));
    let secret = format!("x:{}", "s".repeat(200));
    assert!(!refused(&secret).to_string().contains(&"s".repeat(30)));
    let value = format!("since:{}", "s".repeat(200));
    assert_eq!(refused(&value).found, format!("`{}…`", "s".repeat(24)));
}

#[test]
fn costly_queries_are_refused() {
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    read(&nested(DEPTH_MAX));
    assert_eq!(refused(&nested(DEPTH_MAX + 1)).column, DEPTH_MAX + 1);
    assert_eq!(refused(&format!("{}a", "-".repeat(DEPTH_MAX + 1))).column, DEPTH_MAX + 1);
    assert_eq!(refused(&"(".repeat(QUERY_BYTES_MAX)).column, DEPTH_MAX + 1);

    read(&"a ".repeat(TERMS_MAX));
    assert!(refused(&"a ".repeat(TERMS_MAX + 1)).expected.contains("words and values"));
    read(&format!("\"{}\"", "a ".repeat(TERMS_MAX)));
    refused(&format!("\"{}\"", "a ".repeat(TERMS_MAX + 1)));
    refused(&"user:a ".repeat(TERMS_MAX + 1));
    refused(&"* ".repeat(TERMS_MAX + 1));

    read(&"é".repeat(QUERY_BYTES_MAX / 2));
    let error = refused(&"é".repeat(QUERY_BYTES_MAX / 2 + 1));
    assert_eq!(error.column, QUERY_BYTES_MAX / 2 + 1);
}

/// Values that are awkward to write.
fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9@._/-]{1,12}",
        Just("AND".to_owned()),
        Just("-\"\\ *(a):b..>=".to_owned()),
        Just(" ".to_owned()),
        "\\PC{1,8}",
    ]
}

/// Words that are found as themselves.
fn any_words() -> impl Strategy<Value = Words> {
    let text = prop_oneof!["[a-z]{2,6}( [a-z0-9]{2,6}){0,3}", "\\PC{1,10}"];
    (text, any::<bool>()).prop_filter_map("a text has a word", |(text, prefix)| {
        let words: Vec<_> = text::words(&text).map(|word| word.folded.into_owned()).collect();
        let prefix = prefix && words.last()?.chars().count() >= PREFIX_CHARACTERS_MIN;
        (!words.is_empty()).then_some(Words { words, prefix })
    })
}

fn any_field() -> impl Strategy<Value = Query> {
    let fields = prop_oneof![
        Just(Field::User),
        Just(Field::Session),
        Just(Field::UrlPath),
        Just(Field::Host),
        Just(Field::Document),
        "[A-Za-z0-9_.-]{1,8}".prop_map(Field::Label),
    ];
    let value = (any_value(), 0..3).prop_map(|(value, form)| match form {
        0 => Match::Is(value),
        1 => Match::Prefix(value),
        _ => Match::Any,
    });
    (fields, value).prop_filter_map("a folded value is not empty", |(field, value)| {
        let fold = |value: String| {
            let value = if field.folds() { text::fold(&value).into_owned() } else { value };
            (!value.is_empty()).then_some(value)
        };
        let value = match value {
            Match::Is(value) => Match::Is(fold(value)?),
            Match::Prefix(value) => Match::Prefix(fold(value)?),
            Match::Any => Match::Any,
        };
        Some(Query::Field(field, value))
    })
}

/// A path with the signs of the language in it.
fn any_path() -> impl Strategy<Value = String> {
    ("data|content", "(\\.[a-zA-Z0-9:(\"*\\\\ )-]{1,5}){1,3}").prop_map(|(root, rest)| root + &rest)
}

fn any_range() -> impl Strategy<Value = Query> {
    let whole = (0..i64::MAX, 0..i64::MAX)
        .prop_map(|(one, other)| (Number::Whole(one.min(other)), Number::Whole(one.max(other))));
    let plain = prop_oneof![
        Just(NumberField::Seq),
        Just(NumberField::Status),
        Just(NumberField::Received),
        Just(NumberField::Occurred),
    ];
    let real = (any::<f64>(), any::<f64>())
        .prop_filter("JSON has finite numbers", |(one, other)| one.is_finite() && other.is_finite())
        .prop_map(|(one, other)| {
            (Number::Real(one.min(other) + 0.0), Number::Real(one.max(other) + 0.0))
        });
    let ends = prop_oneof![(plain, whole), (any_path().prop_map(NumberField::Path), real)];
    (ends, 0..7).prop_map(|((field, (low, high)), form)| {
        let (from, to) = match form {
            0 => (Bound::Unbounded, Bound::Unbounded),
            1 => (Bound::Included(low), Bound::Unbounded),
            2 => (Bound::Excluded(low), Bound::Unbounded),
            3 => (Bound::Unbounded, Bound::Included(high)),
            4 => (Bound::Unbounded, Bound::Excluded(high)),
            5 => (Bound::Included(low), Bound::Included(high)),
            _ => (Bound::Included(low), Bound::Included(low)),
        };
        range(field, from, to)
    })
}

fn any_query() -> impl Strategy<Value = Query> {
    let leaf = prop_oneof![
        Just(Query::All),
        any_words().prop_map(Query::Text),
        any_field(),
        (any_path(), prop::option::of(any_words()))
            .prop_map(|(path, words)| Query::Path(path, words)),
        any_range(),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Query::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Query::Or),
            inner.prop_map(not),
        ]
    })
}

/// Texts that are nearly queries.
fn any_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        any_value(),
        any_query().prop_map(|query| query.to_string()),
        "[ ()\"\\\\*:<>=.-]{1,3}",
        prop::sample::select(vec![
            "OR",
            "AND",
            "NOT",
            "user:",
            "data.a:",
            "since:",
            "seq:",
            "label.x:",
            "kind:",
            "2h",
            "5",
            " ",
            "\u{301}",
            "½",
            "ﷺ",
            "2026-11-01",
        ])
        .prop_map(str::to_owned),
    ];
    prop_oneof![".{0,40}", prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())]
}

proptest! {
    #[test]
    fn a_query_is_read_back_from_its_text(query in any_query()) {
        let text = query.to_string();
        prop_assume!(text.len() <= QUERY_BYTES_MAX);
        prop_assert_eq!(parse(&text, Timestamp::EPOCH), Ok(query), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused_at_a_place_in_it(text in any_text()) {
        match parse(&text, now()) {
            Ok(query) => {
                let written = query.to_string();
                prop_assume!(written.len() <= QUERY_BYTES_MAX);
                prop_assert_eq!(parse(&written, Timestamp::EPOCH), Ok(query), "{}", written);
            }
            Err(error) => {
                let length = text.chars().count();
                prop_assert!((1..=length + 1).contains(&error.column), "{}", error);
                prop_assert_eq!(error.caret(&text).lines().count(), 2);
            }
        }
    }
}

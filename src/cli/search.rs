//! `whence search`, `sessions` and `reindex`: what the index answers, as tables.

use std::thread;
use std::time::Duration;

use anyhow::anyhow;
use serde_json::Value;

use super::args::{Search, Sessions};
use super::client::{Client, segment};
use super::output::{Output, shown};
use super::system::environment;
use super::table::Screen;
use crate::search::query;

/// Time between two looks at an index that is being built.
const POLL: Duration = Duration::from_millis(200);
/// Characters of the longest bar of a histogram.
const BAR_CHARACTERS: u64 = 40;

/// Prints a page of the records that match.
pub(super) fn search(client: &Client, args: &Search, output: Output) -> anyhow::Result<()> {
    readable(&args.query)?;
    let path = client.in_ledger(&asked(
        "records",
        &[
            ("q", Some(args.query.clone())),
            ("limit", args.limit.map(|limit| limit.to_string())),
            ("order", args.order.clone()),
            ("after", args.after.map(|after| after.to_string())),
            ("facets", args.facets.clone()),
            ("histogram", args.histogram.then(|| "true".to_owned())),
            ("wait_for", args.wait_for.map(|seq| seq.to_string())),
        ],
    ));
    let page = client.get(&path)?;
    if output.json {
        return output.value(&page);
    }
    let screen = Screen::of_stdout();
    let hits = list(&page, "/data");
    if !hits.is_empty() {
        output.table(&hit_table(screen, hits))?;
    }
    if page.get("facets").is_some() {
        output.table(&spaced(facet_table(screen, &page)))?;
    }
    if page.get("histogram").is_some() {
        output.table(&spaced(histogram_table(screen, &page)))?;
    }
    end(&page, "records match", output);
    Ok(())
}

/// Prints a page of the sessions that have a record that matches.
pub(super) fn sessions(client: &Client, args: &Sessions, output: Output) -> anyhow::Result<()> {
    if let Some(text) = &args.query {
        readable(text)?;
    }
    let path = client.in_ledger(&asked(
        "sessions",
        &[
            ("q", args.query.clone()),
            ("user", args.user.clone()),
            ("agent", args.agent.clone()),
            ("flag", args.flag.clone()),
            ("since", args.since.clone()),
            ("until", args.until.clone()),
            ("limit", args.limit.map(|limit| limit.to_string())),
            ("after", args.after.map(|after| after.to_string())),
        ],
    ));
    let page = client.get(&path)?;
    if output.json {
        return output.value(&page);
    }
    let sessions = list(&page, "/data");
    if !sessions.is_empty() {
        output.table(&session_table(Screen::of_stdout(), sessions))?;
    }
    end(&page, "sessions have a record that matches", output);
    Ok(())
}

/// Has the index built again, and perhaps waits until the new one is in use.
pub(super) fn reindex(client: &Client, wait: bool, output: Output) -> anyhow::Result<()> {
    let mut status = client.post(&client.in_ledger("reindex"), &Value::Null)?;
    if wait {
        let bar = output.progress("indexing", number(&status, "/size"));
        while let Some(through) = status.get("rebuilding_through").and_then(Value::as_u64) {
            bar.set_length(number(&status, "/size"));
            bar.set_position(through);
            thread::sleep(POLL);
            status = client.get(&client.in_ledger("index"))?;
        }
        bar.finish_and_clear();
    }
    if output.json {
        return output.value(&status);
    }
    let through = grouped(number(&status, "/indexed_through"));
    let size = grouped(number(&status, "/size"));
    let state = if wait { "the new index is in use" } else { "a new index is being built" };
    output.line(&format!("{state}; {through} of {size} records can be found"))
}

/// Refuses a query that means nothing, with a caret below the place, without asking a server.
fn readable(text: &str) -> anyhow::Result<()> {
    let parsed = query::parse(text, environment().clock.now());
    parsed.map(drop).map_err(|error| {
        let caret = error.caret(text).replace('\n', "\n  ");
        anyhow!("the query cannot be understood: {error}\n  {caret}")
    })
}

/// A path with those parameters that are given.
pub(super) fn asked(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let given = parameters.iter().filter_map(|(name, value)| {
        let value = segment(value.as_deref()?);
        Some(format!("{name}={value}"))
    });
    let given: Vec<_> = given.collect();
    if given.is_empty() { path.to_owned() } else { format!("{path}?{}", given.join("&")) }
}

/// The records: each on a line of its own for programs, or with what belongs together one below the
/// other where people look at it.
fn hit_table(screen: Screen, hits: &[Value]) -> Vec<String> {
    let cells = hits.iter().map(|hit| {
        let of = |name: &str| text(hit, name);
        let seq = number(hit, "/seq").to_string();
        let flags = names(hit, "/flags");
        let found = snippet(screen, hit);
        let (kind, id, received) = (of("/kind"), of("/id"), of("/received_at"));
        let (user, agent, session) = (of("/user"), of("/agent"), of("/session"));
        if !screen.is_terminal() {
            return vec![seq, received, kind, id, user, agent, session, flags, found];
        }
        let who = [user, agent, session].into_iter().filter(|name| !name.is_empty());
        let who = who.collect::<Vec<_>>().join(" · ");
        let flags = if flags.is_empty() { flags } else { screen.marked(&flags) };
        vec![seq, stacked([kind, id, received]), stacked([flags, who, found])]
    });
    let header: &[&str] = if screen.is_terminal() {
        &["SEQ", "RECORD", "FLAGS, USER, AGENT, SESSION, TEXT"]
    } else {
        &["SEQ", "RECEIVED", "KIND", "ID", "USER", "AGENT", "SESSION", "FLAGS", "TEXT"]
    };
    screen.table(header, cells.collect(), &[0, 1])
}

/// What there is of these, one below the other.
fn stacked<const N: usize>(lines: [String; N]) -> String {
    let lines = lines.into_iter().filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

/// Where the words of the query stand: the place, and the text with the words marked.
fn snippet(screen: Screen, hit: &Value) -> String {
    let Some(snippet) = hit.get("snippet") else { return String::new() };
    let cut = |name: &str| snippet.get(name) == Some(&Value::Bool(true));
    let mut line = format!("{}: ", text(snippet, "/path"));
    if cut("cut_before") {
        line.push('…');
    }
    // Words of the query with nothing but blanks between them are marked as one.
    let (mut words, mut blanks) = (String::new(), String::new());
    for piece in list(snippet, "/pieces") {
        let of_piece = piece.get("text").and_then(Value::as_str).unwrap_or_default();
        if piece.get("hit") == Some(&Value::Bool(true)) {
            words.push_str(&std::mem::take(&mut blanks));
            words.push_str(of_piece);
        } else if !words.is_empty() && of_piece.chars().all(|character| character == ' ') {
            of_piece.clone_into(&mut blanks);
        } else {
            line.push_str(&marked(screen, &mut words, &mut blanks));
            line.push_str(&shown(of_piece));
        }
    }
    line.push_str(&marked(screen, &mut words, &mut blanks));
    if cut("cut_after") {
        line.push('…');
    }
    line
}

/// What was gathered of a snippet, marked, and the blanks behind it.
fn marked(screen: Screen, words: &mut String, blanks: &mut String) -> String {
    let (words, blanks) = (std::mem::take(words), std::mem::take(blanks));
    if words.is_empty() { blanks } else { format!("{}{blanks}", screen.marked(&words)) }
}

fn facet_table(screen: Screen, page: &Value) -> Vec<String> {
    let facets = page.get("facets").and_then(Value::as_object);
    let rows = facets.into_iter().flatten().flat_map(|(facet, counts)| {
        let values = list(counts, "/values");
        let more = number(counts, "/distinct").saturating_sub(count(values));
        let more = (more > 0)
            .then(|| vec![shown(facet), format!("({} more values)", grouped(more)), String::new()]);
        let row = |value: &Value| {
            vec![shown(facet), text(value, "/value"), grouped(number(value, "/count"))]
        };
        values.iter().map(row).chain(more).collect::<Vec<_>>()
    });
    screen.table(&["FIELD", "VALUE", "RECORDS"], rows.collect(), &[0, 2])
}

fn histogram_table(screen: Screen, page: &Value) -> Vec<String> {
    let bars = list(page, "/histogram/bars");
    let most = bars.iter().map(|bar| number(bar, "/count")).max().unwrap_or(0).max(1);
    let rows = bars.iter().map(|bar| {
        let records = number(bar, "/count");
        let length = (u128::from(records) * u128::from(BAR_CHARACTERS)).div_ceil(u128::from(most));
        let length = usize::try_from(length).unwrap_or(0);
        vec![text(bar, "/from"), grouped(records), "#".repeat(length)]
    });
    screen.table(&["FROM", "RECORDS", ""], rows.collect(), &[0, 1])
}

fn session_table(screen: Screen, sessions: &[Value]) -> Vec<String> {
    let rows = sessions.iter().map(|session| {
        let flags = session.get("flags").and_then(Value::as_object);
        let flags = flags
            .into_iter()
            .flatten()
            .map(|(flag, records)| format!("{}:{}", shown(flag), records.as_u64().unwrap_or(0)));
        let flags = flags.collect::<Vec<_>>().join(" ");
        let (id, records) = (text(session, "/id"), grouped(number(session, "/records")));
        let (users, agents) = (names(session, "/users"), names(session, "/agents"));
        let (started, last) = (text(session, "/started_at"), text(session, "/last_activity_at"));
        if screen.is_terminal() {
            vec![id, stacked([users, agents]), records, flags, stacked([started, last])]
        } else {
            vec![id, users, agents, records, flags, started, last]
        }
    });
    let header: &[&str] = if screen.is_terminal() {
        &["SESSION", "USERS, AGENTS", "RECORDS", "FLAGS", "FIRST, LAST ACTIVITY"]
    } else {
        &["SESSION", "USERS", "AGENTS", "RECORDS", "FLAGS", "STARTED", "LAST ACTIVITY"]
    };
    screen.table(header, rows.collect(), &[0, 2, 4])
}

/// Says how much there is, how much of the ledger was looked at, and how to see more.
fn end(page: &Value, what: &str, output: Output) {
    let total = grouped(number(page, "/total"));
    let through = grouped(number(page, "/indexed_through"));
    let here = list(page, "/data").len();
    let after = page.pointer("/list_metadata/after").and_then(Value::as_str);
    let next = after.map(|after| format!("; next page: --after {after}")).unwrap_or_default();
    output.note(&format!("{total} {what}, {here} shown; {through} records searched{next}"));
}

/// The lines, with an empty one before them.
fn spaced(mut lines: Vec<String>) -> Vec<String> {
    lines.insert(0, String::new());
    lines
}

pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A text of an answer, as it can be shown.
pub(super) fn text(value: &Value, pointer: &str) -> String {
    shown(value.pointer(pointer).and_then(Value::as_str).unwrap_or_default())
}

/// Several of them.
pub(super) fn names(value: &Value, pointer: &str) -> String {
    let names = list(value, pointer).iter().filter_map(Value::as_str).map(shown);
    names.collect::<Vec<_>>().join(" ")
}

pub(super) fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

fn count(values: &[Value]) -> u64 {
    u64::try_from(values.len()).unwrap_or(u64::MAX)
}

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_given_parameters_are_sent_and_each_is_one_value() {
        let parameters = [("q", Some("a&b=c d*".to_owned())), ("limit", None)];
        assert_eq!(asked("records", &parameters), "records?q=a%26b%3Dc%20d%2A");
        assert_eq!(asked("sessions", &[("q", None)]), "sessions");
    }

    #[test]
    fn a_query_that_means_nothing_is_shown_with_the_place() {
        readable("user:alice \"wire transfer\" since:2h").unwrap();
        let error = readable("user:alice usr:bob").unwrap_err().to_string();
        let (message, place) = error.split_once('\n').unwrap();
        assert!(message.contains("column 12: found `usr:`"), "{message}");
        assert_eq!(place, "  user:alice usr:bob\n             ^");
    }
}

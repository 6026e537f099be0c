//! `whence why` and `whence effects`: walks over causes, as trees.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

use super::client::{Client, segment};
use super::output::Output;
use super::paint::{Forest, Ink, Line, Ways};

/// Records of one page of a walk.
const PAGE_RECORDS: usize = 1_000;

/// A record of a walk, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    seq: u64,
    title: String,
    role: String,
    user: Option<String>,
    session: Option<String>,
    flags: Vec<String>,
    #[serde(default)]
    raised: Vec<Raised>,
    edges: Vec<Edge>,
}

/// A flag that was raised about it later.
#[derive(Debug, Deserialize)]
struct Raised {
    flag: String,
}

/// How it was reached.
#[derive(Debug, Deserialize)]
struct Edge {
    from: u64,
    rel: String,
}

/// A session that a walk touched.
#[derive(Debug, Deserialize)]
struct Session {
    id: String,
    user: Option<String>,
    records: u64,
    api_calls: Vec<ApiCall>,
}

#[derive(Debug, Deserialize)]
struct ApiCall {
    seq: u64,
    id: String,
    title: String,
}

/// Prints what led to a record: the answer in a sentence, the way back to prompts as a tree, and then
/// what could have influenced it and what it rested on.
pub(super) fn why(client: &Client, id: &str, output: Output) -> anyhow::Result<()> {
    let Some(walk) = Walk::fetch(client, id, "why", output)? else { return Ok(()) };
    let back = |edge: &Edge| (edge.rel != "delegation").then(|| edge.rel.replace('_', " "));
    walk.print_tree(back, |one, other| other.cmp(&one), output)?;
    walk.print_role("Untrusted inputs", "untrusted_input", output)?;
    walk.print_role("Delegation", "delegation", output)
}

/// Prints what came of a record: the answer in a sentence, the way forward as a tree, and the
/// sessions that it touched.
pub(super) fn effects(client: &Client, id: &str, output: Output) -> anyhow::Result<()> {
    let Some(walk) = Walk::fetch(client, id, "effects", output)? else { return Ok(()) };
    walk.print_tree(|edge| Some(forward(&edge.rel)), |one, other| one.cmp(&other), output)?;
    walk.print_sessions(output)
}

/// A walk, of all its pages.
struct Walk {
    summary: String,
    nodes: Vec<Node>,
    sessions: Vec<Session>,
    colours: bool,
}

impl Walk {
    /// Fetches a walk. If JSON is wanted, its pages are printed as they are, and nothing is left to do.
    fn fetch(
        client: &Client,
        id: &str,
        what: &str,
        output: Output,
    ) -> anyhow::Result<Option<Self>> {
        let path = format!("records/{}/{what}?limit={PAGE_RECORDS}", segment(id));
        let first = client.in_ledger(&path);
        let mut walk = Self {
            summary: String::new(),
            nodes: Vec::new(),
            sessions: Vec::new(),
            colours: output.colours(),
        };
        let mut path = first.clone();
        loop {
            let mut page = client.get(&path)?;
            let after = page.pointer("/nodes/list_metadata/after").and_then(Value::as_str);
            let after = after.map(|after| format!("{first}&after={}", segment(after)));
            if output.json {
                output.value(&page)?;
            } else {
                walk.add(&mut page)?;
            }
            match after {
                Some(after) => path = after,
                None => break,
            }
        }
        Ok((!output.json).then_some(walk))
    }

    fn add(&mut self, page: &mut Value) -> anyhow::Result<()> {
        let mut take = |pointer: &str| page.pointer_mut(pointer).map(Value::take);
        let nodes = take("/nodes/data").context("the answer has no records")?;
        let nodes: Vec<Node> = serde_json::from_value(nodes).context("cannot read the records")?;
        self.nodes.extend(nodes);
        if let Some(sessions) = take("/sessions").filter(|sessions| !sessions.is_null()) {
            self.sessions = serde_json::from_value(sessions).context("cannot read the sessions")?;
        }
        if let Some(Value::String(summary)) = take("/summary") {
            self.summary = summary;
        }
        Ok(())
    }

    fn line(&self) -> Line {
        Line::new(self.colours)
    }

    /// The sentence, and the tree of all records below the first. `called` says how a branch is
    /// called, if it is shown.
    fn print_tree(
        &self,
        called: impl Fn(&Edge) -> Option<String>,
        order: impl Fn(u64, u64) -> std::cmp::Ordering,
        output: Output,
    ) -> anyhow::Result<()> {
        output.painted(&self.line().with(Ink::Heading, &self.summary))?;
        output.line("")?;
        let mut ways: BTreeMap<u64, Ways> = BTreeMap::new();
        for node in &self.nodes {
            for edge in &node.edges {
                let way = called(edge).map(|rel| (rel, node.seq));
                ways.entry(edge.from).or_default().extend(way);
            }
        }
        for ways in ways.values_mut() {
            ways.sort_by(|one, other| {
                rank(&one.0).cmp(&rank(&other.0)).then_with(|| order(one.1, other.1))
            });
        }
        let home = self.nodes.first().and_then(|node| node.session.as_deref());
        let lines = self.nodes.iter().map(|node| (node.seq, self.describe(node, home)));
        let root = self.nodes.first().map(|node| node.seq);
        let homes = root.map(|root| homes(root, &ways)).unwrap_or_default();
        let forest = Forest { lines: lines.collect(), ways, homes, blank: &self.line() };
        output.trees(&forest.trees(root))
    }

    /// A record in a line; its session, if it is another one than that of the first record.
    fn describe(&self, node: &Node, home: Option<&str>) -> Line {
        let ink = match node.role.as_str() {
            "untrusted_input" => Ink::Warning,
            "prompt" | "delegation" => Ink::Mandate,
            _ => Ink::Plain,
        };
        let mut line = self.line().with(ink, &node.title);
        line = line.with(Ink::Faint, &format!("  seq {} [{}]", node.seq, node.id));
        if let Some(session) = node.session.as_deref().filter(|session| Some(*session) != home) {
            line = line
                .with(Ink::Relation, &format!("  in {}", of_user(session, node.user.as_deref())));
        }
        let raised = node.raised.iter().map(|raised| &raised.flag);
        let flags: Vec<_> = node.flags.iter().chain(raised).map(String::as_str).collect();
        if flags.is_empty() {
            return line;
        }
        line.with(Ink::Warning, &format!("  flags: {}", flags.join(", ")))
    }

    /// All records that have this role, besides the first.
    fn print_role(&self, heading: &str, role: &str, output: Output) -> anyhow::Result<()> {
        let mut nodes = self.nodes.iter().skip(1).filter(|node| node.role == role).peekable();
        if nodes.peek().is_none() {
            return Ok(());
        }
        output.line("")?;
        output.painted(&self.line().with(Ink::Heading, heading))?;
        for node in nodes {
            output.painted(&self.line().plain("  ").followed_by(&self.describe(node, None)))?;
        }
        Ok(())
    }

    fn print_sessions(&self, output: Output) -> anyhow::Result<()> {
        if self.sessions.is_empty() {
            return Ok(());
        }
        output.line("")?;
        output.painted(&self.line().with(Ink::Heading, "Sessions"))?;
        for session in &self.sessions {
            let of_user = of_user(&session.id, session.user.as_deref());
            let records =
                format!("  {} records, {} API calls", session.records, session.api_calls.len());
            let line = self.line().plain("  ").with(Ink::Relation, &of_user);
            output.painted(&line.with(Ink::Faint, &records))?;
            for call in &session.api_calls {
                let place = format!("  seq {} [{}]", call.seq, call.id);
                let line = self.line().plain("    ").plain(&call.title);
                output.painted(&line.with(Ink::Faint, &place))?;
            }
        }
        Ok(())
    }
}

fn of_user(session: &str, user: Option<&str>) -> String {
    match user {
        Some(user) => format!("session {session} of {user}"),
        None => format!("session {session}"),
    }
}

/// In whose branch each record is shown: those that set one another off in a line, as far as it goes,
/// and every other where it is the nearest to the first.
fn homes(root: u64, ways: &BTreeMap<u64, Ways>) -> BTreeMap<u64, u64> {
    let from = |seq: u64| ways.get(&seq).into_iter().flatten();
    let mut homes = BTreeMap::new();
    let mut at = root;
    while let Some((_, next)) = from(at).find(|(rel, _)| SET_OFF.contains(&rel.as_str())) {
        if *next == root || homes.contains_key(next) {
            break;
        }
        homes.insert(*next, at);
        at = *next;
    }
    let mut met = BTreeSet::from([root]);
    let mut waiting = VecDeque::from([root]);
    while let Some(seq) = waiting.pop_front() {
        for (_, next) in from(seq) {
            if met.insert(*next) {
                homes.entry(*next).or_insert(seq);
                waiting.push_back(*next);
            }
        }
    }
    homes
}

/// How records are called that set others off, as the later one has it.
const SET_OFF: [&str; 3] = ["triggered by", "completes", "handed off from"];

/// A relation as the earlier of two records has it to the later one.
fn forward(rel: &str) -> String {
    let names = [
        ("about", "subject of"),
        ("authorized_by", "authorized"),
        ("completes", "completed by"),
        ("corrects", "corrected by"),
        ("handed_off_from", "handed off to"),
        ("informed_by", "informed"),
        ("triggered_by", "triggered"),
    ];
    let name = names.into_iter().find(|(back, _)| *back == rel);
    name.map_or_else(|| rel.replace('_', " "), |(_, forward)| forward.to_owned())
}

/// Where a relation stands among the ways on from a record: what set it off comes first, and what it
/// set off.
fn rank(rel: &str) -> usize {
    const THEN: [&str; 3] = ["triggered", "completed by", "handed off to"];
    let place = |of: &[&str]| of.iter().position(|first| *first == rel);
    place(&SET_OFF).or_else(|| place(&THEN)).unwrap_or(SET_OFF.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_the_prompt_is_one_branch_and_the_rest_is_where_it_is_nearest() {
        let ways = [
            (9, vec![("triggered by", 8)]),
            (8, vec![("triggered by", 7), ("informed by", 2)]),
            (7, vec![("completes", 6)]),
            (6, vec![("triggered by", 1), ("informed by", 2)]),
            (2, vec![("triggered by", 1)]),
        ];
        let ways = ways.into_iter().map(|(from, to)| {
            (from, to.into_iter().map(|(rel, to)| (rel.to_owned(), to)).collect::<Ways>())
        });
        let homes = homes(9, &ways.collect());
        assert_eq!(homes, BTreeMap::from([(8, 9), (7, 8), (6, 7), (1, 6), (2, 8)]));
    }

    #[test]
    fn records_that_lead_to_one_another_have_homes_too() {
        let same = |to: u64| vec![("same document".to_owned(), to)];
        let ways = BTreeMap::from([(1, same(2)), (2, same(1))]);
        assert_eq!(homes(1, &ways), BTreeMap::from([(2, 1)]));
    }
}

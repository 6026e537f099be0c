//! What belongs together, until it is over: traces, and the log records of sessions.
//!
//! Time is an input here: moments are durations since some beginning.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::inbox::Times;
use super::post::Origin;
use crate::capture::otlp::mapping::ROLES;
use crate::capture::otlp::{Group, Item, Span, What, covers, is_loose, sessions};

/// Items of one group that may wait. A group that has more is told, over or not.
const ITEMS_MAX: usize = 10_000;
/// How many times the time-out a trace may go on before what there is of it is told.
const AGE_MAX: u32 = 10;

/// All groups.
#[derive(Debug)]
pub(super) struct Buffer<T> {
    times: Times,
    held: BTreeMap<Group, Held<T>>,
    /// How often something came or was let go.
    changes: u64,
}

/// What came of one group.
#[derive(Debug)]
struct Held<T> {
    /// By who posted it: nobody speaks in the name of another.
    parts: Vec<Part<T>>,
    /// When the first came of what was not told.
    first_at: Duration,
    /// When the last came.
    last_at: Duration,
    /// Whether its root has ended.
    ended: bool,
    /// Whether a span of it may have a role.
    has_role: bool,
    /// When it began and ended, in nanoseconds since 1970, as it says itself.
    start_ns: u64,
    end_ns: u64,
    /// Whether it waits for another one to join; unknown if something came since.
    loose: Option<bool>,
    /// The sessions that it belongs to; unknown if something came since.
    sessions: Option<BTreeSet<String>>,
    /// The change after which it is as it is.
    changed: u64,
    /// Which of the traces that may be around it are, each with the change after which that was found out.
    around: BTreeMap<Group, (u64, bool)>,
}

#[derive(Debug)]
struct Part<T> {
    origin: Arc<Origin>,
    items: Vec<Item>,
    /// From which posts they came, in the same order.
    chunks: VecDeque<Chunk<T>>,
}

/// Items of one post.
#[derive(Debug)]
struct Chunk<T> {
    items: usize,
    told_at: Option<Duration>,
    /// Keeps the post in the journal.
    post: T,
}

/// What is to be told together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Telling {
    group: Group,
    /// Loose ones that fell into it.
    with: Vec<Group>,
    start_ns: u64,
}

/// Items of one sender that are to be told together.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub(super) origin: Arc<Origin>,
    pub(super) items: Cow<'a, [Item]>,
}

impl<T: Clone> Buffer<T> {
    pub(super) const fn new(times: Times) -> Self {
        Self { times, held: BTreeMap::new(), changes: 0 }
    }

    /// Takes the items of a post. `post` is dropped when the last of them is let go.
    pub(super) fn add(&mut self, origin: &Arc<Origin>, items: Vec<Item>, post: &T, now: Duration) {
        let mut groups: BTreeMap<Group, Vec<Item>> = BTreeMap::new();
        for item in items {
            groups.entry(item.group()).or_default().push(item);
        }
        self.changes += 1;
        for (group, items) in groups {
            let held = self.held.entry(group).or_insert_with(|| Held::new(now));
            held.add(origin, items, post, now);
            held.changed = self.changes;
        }
    }

    /// What is due, in the order of its start.
    pub(super) fn due(&mut self, now: Duration) -> Vec<Telling> {
        let (mut due, mut loose) = (BTreeMap::new(), Vec::new());
        let mut timed_out = BTreeSet::new();
        for (group, held) in &mut self.held {
            let Some(over) = held.due(group, &self.times, now) else { continue };
            if over == Over::TimedOut {
                timed_out.insert(group.clone());
            }
            if held.is_loose(group) {
                loose.push((group.clone(), over));
            } else {
                due.insert(group.clone(), Vec::new());
            }
        }
        let wide = if loose.is_empty() { Vec::new() } else { self.wide() };
        for (group, over) in loose {
            let around = self.around(&group, &wide);
            match (&*around, over) {
                // It is told with the one that it fell into, which may have been told before.
                ([one], _) => match due.get_mut(one) {
                    Some(with) => with.push(group),
                    None if self.held.get(one).is_some_and(|held| held.untold() == 0) => {
                        due.insert(one.clone(), vec![group]);
                    }
                    None => {}
                },
                (_, Over::TimedOut) => drop(due.insert(group, Vec::new())),
                (_, Over::Ended) => {}
            }
        }
        let mut due: Vec<Telling> = due
            .into_iter()
            .map(|(group, with)| {
                let start_ns = self.held.get(&group).map_or(0, |held| held.start_ns);
                Telling { group, with, start_ns }
            })
            .collect();
        due.sort_by_key(|telling| telling.start_ns);
        self.in_turn(due, &timed_out)
    }

    /// Leaves out traces before which another one of the same session began that is not over yet: what is
    /// repeated later is then recognised. They wait no longer than a trace may be quiet.
    fn in_turn(&mut self, due: Vec<Telling>, timed_out: &BTreeSet<Group>) -> Vec<Telling> {
        if due.is_empty() {
            return due;
        }
        let told: BTreeSet<&Group> = due.iter().flat_map(Telling::groups).collect();
        // When the first of each session began that has to wait.
        let mut first: BTreeMap<String, u64> = BTreeMap::new();
        let mut waits = |sessions: &BTreeSet<String>, start_ns: u64| {
            for session in sessions {
                let first = first.entry(session.clone()).or_insert(start_ns);
                *first = start_ns.min(*first);
            }
        };
        for (group, held) in &mut self.held {
            if matches!(group, Group::Trace(_)) && held.untold() > 0 && !told.contains(group) {
                let start_ns = held.start_ns;
                waits(held.sessions(), start_ns);
            }
        }
        let mut turn = Vec::new();
        for telling in due {
            let held = self.held.get_mut(&telling.group);
            let sessions = held.map(|held| held.sessions().clone()).unwrap_or_default();
            let is_behind = |session| first.get(session).is_some_and(|at| *at < telling.start_ns);
            let can_wait = matches!(telling.group, Group::Trace(_))
                && !telling.groups().any(|group| timed_out.contains(group));
            if can_wait && sessions.iter().any(is_behind) {
                for session in sessions {
                    first.entry(session).or_insert(telling.start_ns);
                }
            } else {
                turn.push(telling);
            }
        }
        turn
    }

    /// The traces into which others may have fallen.
    fn wide(&self) -> Vec<Group> {
        let traces = self.held.iter().filter(|(group, held)| {
            matches!(group, Group::Trace(_)) && held.has_role && held.loose != Some(true)
        });
        traces.map(|(group, _)| group.clone()).collect()
    }

    /// Those of the wide ones into which a loose one fell. It waits for long, among many: the assembler is
    /// asked about a pair again only when one of the two has changed.
    fn around(&mut self, loose: &Group, wide: &[Group]) -> Vec<Group> {
        let known = self.held.get_mut(loose).map(|held| std::mem::take(&mut held.around));
        let (Some(known), Some(held)) = (known, self.held.get(loose)) else { return Vec::new() };
        let [Part { origin, items, .. }] = &*held.parts else { return Vec::new() };
        let candidates = wide.iter().filter(|group| *group != loose).filter_map(|group| {
            let around = self.held.get(group)?;
            let is_within = (around.start_ns..=around.end_ns).contains(&held.start_ns);
            is_within.then_some((group, around))
        });
        let found = candidates.map(|(group, around)| {
            let before = known.get(group).filter(|(changed, _)| *changed == around.changed);
            let covers = before.map_or_else(
                || {
                    let mut parts = around.parts.iter();
                    parts.any(|part| part.origin == *origin && falls_into(&part.items, items))
                },
                |(_, covers)| *covers,
            );
            (group.clone(), (around.changed, covers))
        });
        let found: BTreeMap<_, _> = found.collect();
        let around = found.iter().filter(|(_, (_, covers))| *covers);
        let around = around.map(|(group, _)| group.clone()).collect();
        if let Some(held) = self.held.get_mut(loose) {
            held.around = found;
        }
        around
    }

    /// What is to be assembled for a telling. Log records that belong to nothing come one by one.
    pub(super) fn items(&self, telling: &Telling) -> Vec<Told<'_>> {
        let Some(held) = self.held.get(&telling.group) else { return Vec::new() };
        let mut all = Vec::new();
        for Part { origin, items, .. } in &held.parts {
            // What belongs to nothing comes one by one, and what is very long in parts.
            let most = if telling.group == Group::Alone { 1 } else { ITEMS_MAX };
            if items.len() > most {
                all.extend(
                    items.chunks(most).map(|items| Told {
                        origin: Arc::clone(origin),
                        items: Cow::Borrowed(items),
                    }),
                );
                continue;
            }
            let joined = telling.with.iter().filter_map(|group| self.held.get(group));
            let joined = joined.flat_map(|held| &held.parts).filter(|part| part.origin == *origin);
            let joined: Vec<&[Item]> = joined.map(|part| &*part.items).collect();
            let items = if joined.is_empty() {
                Cow::Borrowed(&**items)
            } else {
                Cow::Owned([&[&**items], &*joined].concat().concat())
            };
            all.push(Told { origin: Arc::clone(origin), items });
        }
        all
    }

    /// Notes that something was told. What came since belongs to the next time.
    pub(super) fn told(&mut self, telling: &Telling, now: Duration) {
        for group in telling.groups() {
            let Some(held) = self.held.get_mut(group) else { continue };
            for chunk in held.parts.iter_mut().flat_map(|part| &mut part.chunks) {
                chunk.told_at = chunk.told_at.or(Some(now));
            }
        }
    }

    /// What keeps the posts of a telling in the journal.
    pub(super) fn posts(&self, telling: &Telling) -> Vec<T> {
        let parts =
            telling.groups().filter_map(|group| self.held.get(group)).flat_map(|held| &held.parts);
        parts.flat_map(|part| &part.chunks).map(|chunk| chunk.post.clone()).collect()
    }

    /// Lets go of what was told longer ago than `retain` and has nothing more to wait for.
    pub(super) fn release(&mut self, now: Duration, retain: Duration) {
        self.changes += 1;
        self.held.retain(|group, held| {
            let retain = match group {
                Group::Alone => Duration::ZERO,
                Group::Trace(_) | Group::Session(_) => retain,
            };
            // A trace stays whole as long as something comes: its root may be the last.
            let quiet = now.saturating_sub(held.last_at) >= retain;
            let whole = matches!(group, Group::Trace(_)) && !held.ended && !quiet;
            for part in &mut held.parts {
                if part.release(now, retain, whole) {
                    held.changed = self.changes;
                    held.around.clear();
                }
            }
            held.parts.retain(|part| !part.items.is_empty());
            !held.parts.is_empty()
        });
    }

    /// Whether it holds nothing.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

impl Telling {
    fn groups(&self) -> impl Iterator<Item = &Group> {
        std::iter::once(&self.group).chain(&self.with)
    }
}

/// Asks the assembler. If it fails on some items, that is found out when they are told.
fn calmly<R: Default>(ask: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(ask)).unwrap_or_default()
}

/// Whether an item is a span that may have a role.
fn has_role(item: &Item) -> bool {
    let What::Span(span) = &item.what else { return false };
    ROLES.iter().any(|role| span.attributes.contains_key(role.name))
}

/// Whether loose items fell into a trace. The assembler is asked only where it may say so: it reads both
/// as a whole.
fn falls_into(trace: &[Item], loose: &[Item]) -> bool {
    let is_within =
        |call: &Span, span: &Span| span.start_ns <= call.start_ns && call.end_ns <= span.end_ns;
    let may_fall = loose.iter().any(|call| {
        let What::Span(span) = &call.what else { return false };
        trace.iter().any(|around| {
            matches!(&around.what, What::Span(around) if is_within(span, around))
                && around.resource == call.resource
                && has_role(around)
        })
    });
    may_fall && {
        #[cfg(test)]
        tests::ASKED.with(|asked| asked.set(asked.get() + 1));
        calmly(|| covers(trace, loose))
    }
}

/// Why something is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// It has ended, and has been quiet.
    Ended,
    /// It has not, but nothing came for long, or too much.
    TimedOut,
}

impl<T> Held<T> {
    const fn new(now: Duration) -> Self {
        Self {
            parts: Vec::new(),
            first_at: now,
            last_at: now,
            ended: false,
            has_role: false,
            start_ns: u64::MAX,
            end_ns: 0,
            loose: None,
            sessions: None,
            changed: 0,
            around: BTreeMap::new(),
        }
    }

    fn add(&mut self, origin: &Arc<Origin>, items: Vec<Item>, post: &T, now: Duration)
    where
        T: Clone,
    {
        if self.untold() == 0 {
            self.first_at = now;
        }
        self.last_at = now;
        (self.loose, self.sessions) = (None, None);
        self.around.clear();
        for item in &items {
            let end_ns = match &item.what {
                What::Span(span) => span.end_ns,
                What::Log(log) => log.time_ns,
            };
            self.ended |= item.ends_trace();
            self.has_role |= has_role(item);
            self.start_ns = self.start_ns.min(item.start_ns());
            self.end_ns = self.end_ns.max(end_ns);
        }
        let chunk = Chunk { items: items.len(), told_at: None, post: post.clone() };
        match self.parts.iter_mut().find(|part| part.origin == *origin) {
            Some(part) => {
                part.items.extend(items);
                part.chunks.push_back(chunk);
            }
            None => self.parts.push(Part {
                origin: Arc::clone(origin),
                items,
                chunks: VecDeque::from([chunk]),
            }),
        }
    }

    /// How many items were not told.
    fn untold(&self) -> usize {
        let chunks = self.parts.iter().flat_map(|part| &part.chunks);
        chunks.filter(|chunk| chunk.told_at.is_none()).map(|chunk| chunk.items).sum()
    }

    fn due(&self, group: &Group, times: &Times, now: Duration) -> Option<Over> {
        let untold = self.untold();
        if untold == 0 {
            return None;
        }
        let quiet = now.saturating_sub(self.last_at);
        let age = now.saturating_sub(self.first_at);
        let ended = match group {
            Group::Trace(_) => self.ended && quiet >= times.settle,
            Group::Session(_) => quiet >= times.settle || age >= times.timeout,
            Group::Alone => age >= times.settle,
        };
        let timed_out = quiet >= times.timeout || age >= times.timeout * AGE_MAX;
        if timed_out || untold > ITEMS_MAX {
            return Some(Over::TimedOut);
        }
        ended.then_some(Over::Ended)
    }

    fn is_loose(&mut self, group: &Group) -> bool {
        let [Part { items, .. }] = &*self.parts else { return false };
        matches!(group, Group::Trace(_))
            && *self.loose.get_or_insert_with(|| calmly(|| is_loose(items)))
    }

    fn sessions(&mut self) -> &BTreeSet<String> {
        let parts = &self.parts;
        self.sessions.get_or_insert_with(|| {
            let of = |part: &Part<T>| calmly(|| sessions(&part.items, &part.origin.sender));
            parts.iter().flat_map(of).collect()
        })
    }
}

impl<T> Part<T> {
    /// Lets go of the oldest posts of which everything was told, `retain` ago or beyond what is held.
    /// Whether there were any.
    fn release(&mut self, now: Duration, retain: Duration, whole: bool) -> bool {
        let mut released = false;
        while let Some(chunk) = self.chunks.front() {
            let Some(told_at) = chunk.told_at else { break };
            let old = now.saturating_sub(told_at) >= retain && !whole;
            if !old && self.items.len() <= ITEMS_MAX {
                break;
            }
            self.items.drain(..chunk.items.min(self.items.len()));
            self.chunks.pop_front();
            released = true;
        }
        released
    }
}

#[cfg(test)]
mod tests;

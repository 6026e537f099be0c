//! Which records the messages of a repeated history are.
//!
//! A history and a session are compared from their ends, and keep their order: ids of calls are used
//! again, words are said again, and histories are cut at their beginning. Outputs come first, because
//! calls make them easy to tell apart; prompts are then looked for between the outputs around them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::item::TraceId;
use super::known::{self, Conversation, Mark, SameWords};
use super::messages::{Message, Part, Voice};
use crate::record::RecordId;

/// For each message, the record that it repeats.
#[derive(Debug, Default)]
pub(super) struct Repeated {
    pub(super) records: Vec<Option<RecordId>>,
    /// Whether one was found by its place alone, because nobody knows any more what it said.
    pub(super) inferred: bool,
}

/// A history on its way to [`Repeated`].
struct Walk<'a> {
    conversation: &'a Conversation,
    history: &'a [Message],
    /// Of the messages of the model, the places of the outputs that they repeat.
    outputs: Vec<Option<usize>>,
    /// Of the other messages, the places of the prompts.
    prompts: Vec<Option<usize>>,
    taken: BTreeSet<usize>,
    inferred: bool,
}

impl Conversation {
    /// What the messages repeat that went into the model call whose output has the id `own`. What comes
    /// after everything else is new, unless it was told in this trace.
    pub(super) fn repeated(&self, history: &[Message], own: &str, trace: &TraceId) -> Repeated {
        let mut walk = Walk {
            conversation: self,
            history,
            outputs: vec![None; history.len()],
            prompts: vec![None; history.len()],
            taken: BTreeSet::new(),
            inferred: false,
        };
        let end = self.place_of(own).unwrap_or(self.outputs.len());
        walk.outputs(end);
        walk.outputs_that_are_gone(end);
        walk.prompts(trace);
        let Walk { outputs, prompts, inferred, .. } = walk;
        let id = |(output, prompt): (Option<usize>, Option<usize>)| {
            let output = output.and_then(|place| self.outputs.get(place));
            let said = output.or_else(|| self.prompts.get(prompt?));
            said.map(|said| said.id.clone())
        };
        Repeated { records: outputs.into_iter().zip(prompts).map(id).collect(), inferred }
    }

    /// The latest output before a place that a message repeats: by its calls and their ids, by its words,
    /// by ids alone, by calls alone.
    fn repeats(&self, message: &Message, before: usize) -> Option<usize> {
        let calls: Vec<_> = message
            .calls()
            .map(|call| (call, call.arguments.as_ref().and_then(known::arguments)))
            .collect();
        let exact = calls.iter().filter_map(|(call, given)| {
            Some(Mark::Call(call.id.clone()?, call.name.clone(), *given))
        });
        let words = message.text().map(|text| Mark::Words(known::words(&text)));
        let ids = calls.iter().filter_map(|(call, _)| call.id.clone().map(Mark::CallId));
        let given = calls.iter().map(|(call, given)| Mark::Given(call.name.clone(), *given));
        self.latest(exact, before)
            .or_else(|| self.latest(words.into_iter(), before))
            .or_else(|| self.latest(ids, before))
            .or_else(|| self.latest(given, before))
    }

    fn latest(&self, marks: impl Iterator<Item = Mark>, before: usize) -> Option<usize> {
        let places = marks.filter_map(|mark| self.marks.get(&mark)?.range(..before).next_back());
        places.copied().max()
    }
}

impl Walk<'_> {
    fn outputs(&mut self, end: usize) {
        let mut before = end;
        for (index, message) in self.history.iter().enumerate().rev() {
            if message.role != Voice::Assistant {
                continue;
            }
            let Some(place) = self.conversation.repeats(message, before) else { continue };
            // Some write one output down as several messages, one after the other.
            let goes_on = index.checked_sub(1).and_then(|index| self.history.get(index));
            let goes_on = goes_on.is_some_and(|message| message.role == Voice::Assistant);
            before = place + usize::from(goes_on);
            put(&mut self.outputs, index, place);
        }
    }

    /// Outputs of which nobody knows any more what they said are those that stand between the same
    /// others.
    fn outputs_that_are_gone(&mut self, end: usize) {
        let said = self.conversation.outputs.iter().take(end).enumerate();
        let mut gone: BTreeSet<usize> =
            said.filter(|(_, said)| said.gone).map(|(place, _)| place).collect();
        for place in self.outputs.iter().flatten() {
            gone.remove(place);
        }
        if gone.is_empty() {
            return;
        }
        let first = nearest_before(&self.outputs);
        let mut upper = end;
        for (index, message) in self.history.iter().enumerate().rev() {
            if let Some(place) = self.outputs.get(index).copied().flatten() {
                upper = place;
                continue;
            }
            let lower = first.get(index).copied().flatten().map_or(0, |place| place + 1);
            if message.role != Voice::Assistant || !message.speaks() || lower >= upper {
                continue;
            }
            if let Some(place) = gone.range(lower..upper).next_back().copied() {
                gone.remove(&place);
                upper = place;
                self.inferred = true;
                put(&mut self.outputs, index, place);
            }
        }
    }

    fn prompts(&mut self, trace: &TraceId) {
        let is_history = |message: &Message| {
            message.role == Voice::Assistant
                || message.parts.iter().any(|part| matches!(part, Part::Result(_)))
        };
        let last = self.history.iter().rposition(is_history);
        let is_trailing = |index: usize, message: &Message| {
            message.role == Voice::User && last.is_none_or(|last| index > last)
        };
        let within = self.within();
        let asked: Vec<(usize, SameWords, Range<usize>)> = self
            .history
            .iter()
            .enumerate()
            .zip(within)
            .filter(|((_, message), _)| message.role != Voice::Assistant && message.speaks())
            .map(|((index, message), within)| {
                let words = message.text().map(|text| known::words(&text));
                (index, (words, message.role != Voice::User), within)
            })
            .collect();
        let trailing = |index: usize| {
            self.history.get(index).is_some_and(|message| is_trailing(index, message))
        };
        let trailing: Vec<bool> = asked.iter().map(|(index, ..)| trailing(*index)).collect();
        // In their order, as far as that goes.
        let mut before: BTreeMap<SameWords, usize> = BTreeMap::new();
        for ((index, same, within), trailing) in asked.iter().zip(&trailing).rev() {
            let end = before.get(same).map_or(within.end, |before| within.end.min(*before));
            let of = trailing.then(|| trace.clone());
            if let Some(place) = self.latest_prompt(*same, of, within.start..end) {
                before.insert(*same, place);
                self.take(*index, place);
            }
        }
        // What was told late stands behind what it came before.
        let mut before: BTreeMap<SameWords, usize> = BTreeMap::new();
        for ((index, same, _), trailing) in asked.iter().zip(&trailing).rev() {
            if *trailing || self.prompts.get(*index).copied().flatten().is_some() {
                continue;
            }
            let before = before.entry(*same).or_insert(usize::MAX);
            while let Some(place) = self.latest_prompt(*same, None, 0..*before) {
                *before = place;
                if !self.taken.contains(&place) {
                    self.take(*index, place);
                    break;
                }
            }
        }
        self.prompts_that_are_gone(&asked, &trailing);
    }

    fn prompts_that_are_gone(
        &mut self,
        asked: &[(usize, SameWords, Range<usize>)],
        trailing: &[bool],
    ) {
        let said = self.conversation.prompts.iter().enumerate();
        let mut gone: BTreeSet<(bool, usize)> = said
            .filter(|(place, said)| said.gone && !self.taken.contains(place))
            .map(|(place, said)| (said.system, place))
            .collect();
        for ((index, (words, system), within), trailing) in asked.iter().zip(trailing).rev() {
            let found = self.prompts.get(*index).copied().flatten().is_some();
            if gone.is_empty() || *trailing || found || words.is_none() || within.is_empty() {
                continue;
            }
            let here = (*system, within.start)..(*system, within.end);
            if let Some(place) = gone.range(here).next_back().copied() {
                gone.remove(&place);
                self.inferred = true;
                self.take(*index, place.1);
            }
        }
    }

    /// For each message, the places of the prompts that were told between the outputs around it.
    fn within(&self) -> Vec<Range<usize>> {
        let conversation = self.conversation;
        let place_of = |output: Option<usize>, otherwise: usize| {
            let order = output.and_then(|place| conversation.outputs.get(place));
            order.map_or(otherwise, |output| {
                conversation.prompts.partition_point(|prompt| prompt.order < output.order)
            })
        };
        let starts = nearest_before(&self.outputs);
        let starts = starts.into_iter().map(|output| place_of(output, 0));
        let reversed: Vec<_> = self.outputs.iter().rev().copied().collect();
        let ends = nearest_before(&reversed).into_iter().rev();
        let ends = ends.map(|output| place_of(output, conversation.prompts.len()));
        starts.zip(ends).map(|(start, end)| start..end.max(start)).collect()
    }

    fn latest_prompt(
        &self,
        same: SameWords,
        trace: Option<TraceId>,
        within: Range<usize>,
    ) -> Option<usize> {
        let places = self.conversation.same_prompts.get(&(same, trace))?;
        if within.is_empty() { None } else { places.range(within).next_back().copied() }
    }

    fn take(&mut self, index: usize, place: usize) {
        self.taken.insert(place);
        put(&mut self.prompts, index, place);
    }
}

fn put(found: &mut [Option<usize>], index: usize, place: usize) {
    if let Some(found) = found.get_mut(index) {
        *found = Some(place);
    }
}

/// For each place, the value of the nearest one before it that has one.
fn nearest_before(values: &[Option<usize>]) -> Vec<Option<usize>> {
    let mut nearest = None;
    values
        .iter()
        .map(|value| {
            let before = nearest;
            nearest = value.or(nearest);
            before
        })
        .collect()
}

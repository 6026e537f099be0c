//! What happens in a session, before any of it is put into words.

use crate::words::Chance;
use crate::world::World;

/// What a record of a session tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Start,
    Grant,
    Prompt,
    Retrieval,
    Output,
    Invocation,
    Call,
    Outcome,
    /// An API call that only a proxy saw: it is flagged.
    Orphan,
}

/// One record of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) what: What,
    /// The number in the session of the record that triggered it.
    pub(crate) trigger: Option<usize>,
    /// Another cause: the retrieval that informed an output, the invocation that an outcome completes.
    pub(crate) other: Option<usize>,
    /// Triggers between it and where it all began.
    pub(crate) depth: usize,
}

/// A session.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) user: usize,
    pub(crate) agent: usize,
    pub(crate) model: usize,
    pub(crate) steps: Vec<Step>,
}

/// Mixes a number into one that has nothing of its order (`SplitMix64`).
pub(crate) fn mixed(seed: u64, number: u64) -> Chance {
    let state =
        (seed ^ number.rotate_left(32)).wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Chance((state ^ (state >> 31)) | 1)
}

impl Plan {
    /// The session with this number. It has ten records on average: most have two to six, some have
    /// hundreds.
    pub(crate) fn new(world: &World, seed: u64, session: u64) -> Self {
        let chance = &mut mixed(seed, session);
        let mut plan = Self {
            user: world.users.draw(chance),
            agent: world.agents.draw(chance),
            model: world.models.draw(chance),
            steps: Vec::new(),
        };
        let size = chance.below(1_000);
        let (turns, rounds) = match size {
            0..650 => (1, 2),
            650..935 => (1 + chance.below(3), 3),
            935..990 => (2 + chance.below(5), 5),
            _ => (2 + chance.below(6), 12),
        };
        let begun =
            (size >= 650 && chance.below(2) == 0).then(|| plan.add(What::Start, None, None));
        if begun.is_some() && chance.below(3) == 0 {
            plan.add(What::Grant, begun, None);
        }
        for _ in 0..turns {
            let deep = size >= 990 && chance.below(3) == 0;
            let rounds = if deep { 10 + chance.below(3) } else { chance.below(rounds) };
            plan.turn(begun, rounds, chance);
        }
        if chance.below(300) == 0 {
            plan.add(What::Orphan, None, None);
        }
        plan
    }

    /// A prompt, what the agent does, and what it says at the end.
    fn turn(&mut self, begun: Option<usize>, rounds: u64, chance: &mut Chance) {
        let mut last = self.add(What::Prompt, begun, None);
        for _ in 0..rounds {
            let found = (chance.below(4) == 0).then(|| self.add(What::Retrieval, Some(last), None));
            let output = self.add(What::Output, Some(last), found);
            let invocation = self.add(What::Invocation, Some(output), None);
            let call = self.add(What::Call, Some(invocation), None);
            last = self.add(What::Outcome, Some(call), Some(invocation));
        }
        self.add(What::Output, Some(last), None);
    }

    fn add(&mut self, what: What, trigger: Option<usize>, other: Option<usize>) -> usize {
        let depth = trigger.map_or(0, |trigger| self.steps[trigger].depth + 1);
        self.steps.push(Step { what, trigger, other, depth });
        self.steps.len() - 1
    }
}

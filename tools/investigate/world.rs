//! Who and what the records are about, and how often each of it appears.

use std::collections::BTreeSet;

use crate::words::{Chance, WORDS};

/// Words that there are. The last ones appear in some hundred of two million records.
const WORDS_COUNT: usize = 30_000;
/// Documents that can be retrieved.
const DOCUMENTS: usize = 50_000;
/// Places of a table that is drawn from.
const TABLE_PLACES: usize = 1 << 20;
/// Words that are not English.
const FOREIGN: &[&str] = &[
    "Überweisung",
    "Rechnung",
    "Zahlungsempfänger",
    "façade",
    "naïve",
    "señor",
    "año",
    "coûté",
    "façon",
    "größer",
    "платёж",
    "договор",
    "支付",
    "发票",
    "請求書",
    "συμβόλαιο",
];
const FIRST_NAMES: &[&str] = &[
    "ada", "alan", "alice", "amir", "ana", "bob", "carla", "chen", "dora", "elif", "emma", "felix",
    "grace", "hana", "ines", "ivan", "jun", "kofi", "lena", "liam", "maria", "mei", "noah", "olga",
    "omar", "pia", "raj", "rosa", "sven", "tara", "yuki", "zoe",
];
const LAST_NAMES: &[&str] = &[
    "adams", "berg", "castro", "diaz", "eriksen", "fischer", "garcia", "haddad", "ito", "jansen",
    "kim", "lopez", "meyer", "novak", "okafor", "patel", "quinn", "rossi", "sato", "tanaka",
    "ueda", "vogel", "weber", "xu", "young", "ziegler",
];
const COMPANIES: &[&str] =
    &["example.com", "contoso.example", "fabrikam.example", "litware.example", "tailspin.example"];
const TASKS: &[&str] = &[
    "invoice", "travel", "support", "research", "deploy", "hiring", "audit", "sales", "data",
    "mail",
];
const VERBS: &[&str] = &[
    "send", "read", "list", "create", "update", "delete", "search", "fetch", "book", "cancel",
    "approve", "export",
];
const THINGS: &[&str] = &[
    "money", "invoice", "email", "ticket", "file", "calendar", "customer", "order", "report",
    "flight",
];
const SERVICES: &[&str] =
    &["bank", "mail", "crm", "tickets", "files", "calendar", "search", "payments", "hr", "travel"];
pub(crate) const MODELS: &[&str] = &[
    "large-4",
    "large-4-mini",
    "small-3",
    "opus-9",
    "reasoner-2",
    "flash-1",
    "code-5",
    "vision-2",
];

/// Draws places, the first ones more often: the one at place n in proportion to n^-exponent (Zipf).
#[derive(Debug)]
pub(crate) struct Zipf(Vec<u32>);

impl Zipf {
    pub(crate) fn new(count: usize, exponent: f64) -> Self {
        let weight = |place: usize| (place as f64 + 1.0).powf(-exponent);
        let total: f64 = (0..count).map(weight).sum();
        let mut table = Vec::with_capacity(TABLE_PLACES);
        let mut sum = 0.0;
        for place in 0..count {
            sum += weight(place);
            let end = (sum / total * TABLE_PLACES as f64).round() as usize;
            table.resize(end.min(TABLE_PLACES), u32::try_from(place).unwrap());
        }
        Self(table)
    }

    pub(crate) fn draw(&self, chance: &mut Chance) -> usize {
        let places = u64::try_from(self.0.len()).unwrap();
        self.0[usize::try_from(chance.below(places)).unwrap()] as usize
    }
}

/// All of it. It is the same in every run.
#[derive(Debug)]
pub(crate) struct World {
    words: Vec<String>,
    draw_word: Zipf,
    pub(crate) users: Zipf,
    pub(crate) agents: Zipf,
    pub(crate) tools: Zipf,
    pub(crate) hosts: Zipf,
    pub(crate) models: Zipf,
    pub(crate) documents: Zipf,
}

impl World {
    pub(crate) fn new(users: usize) -> Self {
        Self {
            words: vocabulary(),
            draw_word: Zipf::new(WORDS_COUNT, 1.0),
            users: Zipf::new(users, 0.8),
            agents: Zipf::new(60, 1.0),
            tools: Zipf::new(VERBS.len() * THINGS.len(), 1.0),
            hosts: Zipf::new(200, 1.0),
            models: Zipf::new(MODELS.len(), 1.0),
            documents: Zipf::new(DOCUMENTS, 1.0),
        }
    }

    /// The word at a place: 0 is the commonest.
    pub(crate) fn word(&self, place: usize) -> &str {
        &self.words[place]
    }

    pub(crate) fn words_count(&self) -> usize {
        self.words.len()
    }

    /// Writes sentences of this many words. They need no escape in JSON.
    pub(crate) fn text(&self, to: &mut Vec<u8>, chance: &mut Chance, words: u64) {
        let mut left = 0;
        for _ in 0..words {
            let word = self.words[self.draw_word.draw(chance)].as_bytes();
            if left == 0 {
                left = 5 + chance.below(15);
                to.push(word[0].to_ascii_uppercase());
                to.extend_from_slice(&word[1..]);
            } else {
                to.extend_from_slice(word);
            }
            left -= 1;
            to.extend_from_slice(if left == 0 { b". " } else { b" " });
        }
        to.pop();
    }
}

/// The user at a place.
pub(crate) fn user(place: usize) -> String {
    let first = FIRST_NAMES[place % FIRST_NAMES.len()];
    let last = LAST_NAMES[place / 7 % LAST_NAMES.len()];
    format!("{first}.{last}{place}@{}", COMPANIES[place % COMPANIES.len()])
}

pub(crate) fn agent(place: usize) -> String {
    format!("{}-agent-{}", TASKS[place % TASKS.len()], place / TASKS.len() + 1)
}

pub(crate) fn tool(place: usize) -> String {
    format!("{}_{}", VERBS[place % VERBS.len()], THINGS[place / VERBS.len()])
}

pub(crate) fn host(place: usize) -> String {
    let (service, number) = (SERVICES[place % SERVICES.len()], place / SERVICES.len());
    format!("{service}.region-{number}.example")
}

pub(crate) fn thing(place: usize) -> &'static str {
    THINGS[place % THINGS.len()]
}

/// All words, the commonest first: English ones, then such as could be.
fn vocabulary() -> Vec<String> {
    let mut words: Vec<String> = WORDS.split_whitespace().map(str::to_owned).collect();
    words.extend(FOREIGN.iter().map(|word| (*word).to_owned()));
    let mut seen: BTreeSet<String> = words.iter().cloned().collect();
    let starts = [
        "b", "br", "c", "cl", "d", "f", "g", "gr", "h", "l", "m", "n", "p", "r", "s", "st", "t",
        "tr", "v", "w",
    ];
    let middles = ["a", "e", "i", "o", "u", "ai", "ea", "ou"];
    let ends = ["n", "r", "l", "s", "t", "ck", "nd", "m", "", ""];
    let mut chance = Chance(0x5eed_0f00_d5ee_d0f1);
    let mut pick = |from: &[&'static str]| {
        let place = chance.below(u64::try_from(from.len()).unwrap());
        from[usize::try_from(place).unwrap()]
    };
    while words.len() < WORDS_COUNT {
        let mut word = String::new();
        for _ in 0..2 + words.len() % 2 {
            word.push_str(pick(&starts));
            word.push_str(pick(&middles));
            word.push_str(pick(&ends));
        }
        if seen.insert(word.clone()) {
            words.push(word);
        }
    }
    words
}

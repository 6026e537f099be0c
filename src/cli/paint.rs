//! Lines with colours, and trees of them. Understandable without the colours.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use anstyle::{AnsiColor, Style};
use termtree::Tree;

use crate::record::shown::shown;

/// Levels of one tree. What is deeper goes on in a tree of its own, so that lines stay readable.
const LEVELS_MAX: usize = 16;

/// What a piece of a line is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ink {
    Plain,
    /// What the eye may skip.
    Faint,
    /// How two records are joined.
    Relation,
    /// What somebody was asked, or allowed.
    Mandate,
    /// What nobody vouches for, and what should not have happened.
    Warning,
    Heading,
}

impl Ink {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(anstyle::Color::Ansi(colour)));
        match self {
            Self::Plain => Style::new(),
            Self::Faint => Style::new().dimmed(),
            Self::Relation => colour(AnsiColor::Cyan),
            Self::Mandate => colour(AnsiColor::Green),
            Self::Warning => colour(AnsiColor::Yellow),
            Self::Heading => Style::new().bold(),
        }
    }
}

/// A line, made fit for a terminal piece by piece: whatever it quotes, the only control sequences in
/// it are those of its own colours.
#[derive(Clone, Debug)]
pub(super) struct Line {
    text: String,
    colours: bool,
}

impl Line {
    pub(super) const fn new(colours: bool) -> Self {
        Self { text: String::new(), colours }
    }

    /// The line with one more piece.
    pub(super) fn with(mut self, ink: Ink, text: &str) -> Self {
        let style = if self.colours { ink.style() } else { Style::new() };
        let piece = format!("{style}{}{style:#}", shown(text));
        self.text.push_str(&piece);
        self
    }

    /// The line, and then another one.
    pub(super) fn followed_by(mut self, line: &Self) -> Self {
        self.text.push_str(&line.text);
        self
    }

    pub(super) fn plain(self, text: &str) -> Self {
        self.with(Ink::Plain, text)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The ways on from one record: how, and to which.
pub(super) type Ways = Vec<(String, u64)>;

/// Records and the ways between them, to be laid out as trees.
pub(super) struct Forest<'a> {
    /// The line of each record.
    pub(super) lines: BTreeMap<u64, Line>,
    /// The ways on from each record, in the order in which they are shown.
    pub(super) ways: BTreeMap<u64, Ways>,
    /// In whose branch a record is shown that more than one way leads to; where it is met first, if
    /// nothing is said.
    pub(super) homes: BTreeMap<u64, u64>,
    /// An empty line.
    pub(super) blank: &'a Line,
}

impl Forest<'_> {
    /// Trees that show what is below these records: each record once, and referred to where it is
    /// met besides.
    pub(super) fn trees(&self, roots: impl IntoIterator<Item = u64>) -> Vec<Tree<Line>> {
        let mut growing = Growing {
            forest: self,
            placed: BTreeSet::new(),
            shown: BTreeSet::new(),
            later: VecDeque::new(),
        };
        let mut trees = Vec::new();
        for root in roots {
            if !growing.placed.insert(root) {
                continue;
            }
            trees.push(growing.tree(root, self.line(root), 1));
            while let Some(root) = growing.later.pop_front() {
                let line = self.blank.clone().with(Ink::Faint, "(continued) ");
                trees.push(growing.tree(root, line.followed_by(&self.line(root)), 1));
            }
        }
        trees
    }

    fn line(&self, seq: u64) -> Line {
        let unknown = || self.blank.clone().plain(&format!("seq {seq}"));
        self.lines.get(&seq).cloned().unwrap_or_else(unknown)
    }

    fn is_home(&self, of: u64, seq: u64) -> bool {
        self.homes.get(&of).is_none_or(|home| *home == seq)
    }
}

struct Growing<'a> {
    forest: &'a Forest<'a>,
    /// What has its place, above or below.
    placed: BTreeSet<u64>,
    /// What is above.
    shown: BTreeSet<u64>,
    /// What comes in a tree of its own.
    later: VecDeque<u64>,
}

impl Growing<'_> {
    fn tree(&mut self, seq: u64, line: Line, level: usize) -> Tree<Line> {
        self.shown.insert(seq);
        let mut tree = Tree::new(line);
        let mut again: Vec<(&str, Vec<String>)> = Vec::new();
        for (rel, next) in self.forest.ways.get(&seq).into_iter().flatten() {
            if self.forest.is_home(*next, seq) && self.placed.insert(*next) {
                let is_leaf = self.forest.ways.get(next).is_none_or(Vec::is_empty);
                if level < LEVELS_MAX || is_leaf {
                    let rel = if rel.is_empty() { String::new() } else { format!("{rel} ") };
                    let line = self.forest.blank.clone().with(Ink::Relation, &rel);
                    let line = line.followed_by(&self.forest.line(*next));
                    tree.push(self.tree(*next, line, level + 1));
                    continue;
                }
                self.later.push_back(*next);
            }
            let arrow = if self.shown.contains(next) { "↑" } else { "↓" };
            let place = format!("{arrow} seq {next}");
            match again.iter_mut().find(|(of, _)| of == rel) {
                Some((_, places)) => places.push(place),
                None => again.push((rel, vec![place])),
            }
        }
        for (rel, places) in again {
            let line = self.forest.blank.clone().with(Ink::Relation, &format!("{rel} "));
            tree.push(line.with(Ink::Faint, &places.join(", ")));
        }
        tree
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forest_of<'a>(blank: &'a Line, ways: &[(u64, &[(&str, u64)])]) -> Forest<'a> {
        let ways = ways.iter().map(|(from, to)| {
            (*from, to.iter().map(|(rel, to)| ((*rel).to_owned(), *to)).collect::<Ways>())
        });
        let (lines, homes) = (BTreeMap::new(), BTreeMap::new());
        Forest { lines, ways: ways.collect(), homes, blank }
    }

    fn text(trees: &[Tree<Line>]) -> String {
        trees.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_record_that_is_met_again_is_referred_to() {
        let blank = Line::new(false);
        let ways: [(u64, &[(&str, u64)]); 3] =
            [(9, &[("triggered by", 8), ("informed by", 7)]), (8, &[("informed by", 7)]), (7, &[])];
        let trees = forest_of(&blank, &ways).trees([9]);
        assert_eq!(
            text(&trees),
            "seq 9\n├── triggered by seq 8\n│   └── informed by seq 7\n└── informed by ↑ seq 7\n"
        );
    }

    #[test]
    fn a_record_stands_at_its_home_and_is_referred_to_before_and_after() {
        let blank = Line::new(false);
        let ways: [(u64, &[(&str, u64)]); 4] = [
            (9, &[("by", 8), ("by", 7), ("of", 6)]),
            (8, &[("by", 7)]),
            (7, &[("of", 6)]),
            (6, &[("of", 7)]),
        ];
        let mut forest = forest_of(&blank, &ways);
        forest.homes = BTreeMap::from([(7, 9), (6, 9)]);
        assert_eq!(
            text(&forest.trees([9])),
            "seq 9\n├── by seq 8\n│   └── by ↓ seq 7\n├── by seq 7\n│   └── of ↓ seq 6\n\
             └── of seq 6\n    └── of ↑ seq 7\n"
        );
    }

    #[test]
    fn a_deep_chain_goes_on_in_further_trees_and_loses_nobody() {
        let blank = Line::new(false);
        let ways: BTreeMap<_, _> =
            (1..=5_000).map(|n| (n, vec![("by".to_owned(), n - 1)])).collect();
        let (lines, homes) = (BTreeMap::new(), BTreeMap::new());
        let forest = Forest { lines, ways, homes, blank: &blank };
        let text = text(&forest.trees([5_000]));
        for n in 0..=5_000 {
            assert!(text.lines().any(|line| line.ends_with(&format!("seq {n}"))), "{n}");
        }
        assert!(text.lines().all(|line| line.chars().count() < 100));
        assert!(text.contains("by ↓ seq 4984\n(continued) seq 4984\n"), "{}", &text[..2_000]);
    }

    #[test]
    fn only_its_own_colours_are_in_a_line() {
        let poison = "a\u{1b}[31mb";
        let coloured = Line::new(true).with(Ink::Warning, poison).to_string();
        assert!(coloured.contains(r"a\u{1b}[31mb"), "{coloured:?}");
        assert_eq!(coloured.matches('\u{1b}').count(), 2);
        let plain = Line::new(false).with(Ink::Warning, poison).to_string();
        assert!(!plain.contains('\u{1b}'));
    }
}

//! Tables for people: laid out for the terminal that shows them, or one line a row for a pipe.

use std::io::{self, IsTerminal};

use anstyle::Style;
use comfy_table::{ColumnConstraint, ContentArrangement, Table};

use super::output::shown;

/// Stands behind each character that is to be seen at once, until the lines are made: it takes no
/// place, is never cut off its character, and [`shown`] leaves none in what comes from outside.
const MARK: char = '\u{e0100}';
/// Columns of a terminal that does not say how many it has.
const WIDTH_DEFAULT: u16 = 100;

/// What the lines are for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    /// Columns of the terminal. `None` for a pipe or a file.
    width: Option<u16>,
    /// Whether it may be told to print in bold.
    styled: bool,
}

impl Screen {
    /// What stdout is.
    pub(super) fn of_stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let width = terminal.then(|| Table::new().width().unwrap_or(WIDTH_DEFAULT));
        // https://no-color.org: set and not empty.
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self { width, styled: terminal && !plain }
    }

    /// Whether people look at it as it is, so that a row may have several lines.
    pub(super) const fn is_terminal(self) -> bool {
        self.width.is_some()
    }

    /// A foreign text that is to be seen at once: bold, or in brackets where there is no bold.
    pub(super) fn marked(self, text: &str) -> String {
        let text = shown(text);
        if self.styled {
            // A line is broken at a blank, and only at one without a mark.
            let mark = |character: char| (character != ' ').then_some(MARK);
            let marked = text
                .chars()
                .flat_map(|character| std::iter::once(character).chain(mark(character)));
            return marked.collect();
        }
        format!("[{text}]")
    }

    /// The lines of a table. What stands in the cells must be safe to show. Columns that are `whole` are
    /// not broken, since people copy what is in them, unless one takes more than half of the screen.
    pub(super) fn table(
        self,
        header: &[&str],
        rows: Vec<Vec<String>>,
        whole: &[usize],
    ) -> Vec<String> {
        let fits = |column: &&usize| {
            let lines =
                rows.iter().filter_map(|row| row.get(**column)).flat_map(|cell| cell.lines());
            let longest = lines.map(|line| line.chars().filter(|of| *of != MARK).count()).max();
            self.width.is_some_and(|width| longest.unwrap_or(0) <= usize::from(width / 2))
        };
        let whole: Vec<_> = whole.iter().filter(fits).copied().collect();
        let mut table = Table::new();
        // The cells have no style that it knows of, so it needs to ask no terminal for anything.
        table.load_style(comfy_table::presets::NOTHING).force_no_tty();
        if let Some(width) = self.width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        let header = header
            .iter()
            .map(|name| if self.styled { self.marked(name) } else { (*name).to_owned() });
        table.set_header(header).add_rows(rows);
        for (number, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if whole.contains(&number) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        table.lines().map(|line| bold(line.trim_end())).collect()
    }
}

/// Puts what makes text bold in the place of the marks.
fn bold(line: &str) -> String {
    let bold = Style::new().bold();
    let (on, off) = (format!("{bold}"), format!("{bold:#}"));
    let mut styled = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    let mut inside = false;
    while let Some(character) = characters.next() {
        let marked = characters.next_if_eq(&MARK).is_some();
        if marked != inside {
            styled.push_str(if marked { &on } else { &off });
            inside = marked;
        }
        styled.push(character);
    }
    if inside {
        styled.push_str(&off);
    }
    styled
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPE: Screen = Screen { width: None, styled: false };

    fn rows(screen: Screen) -> Vec<Vec<String>> {
        let text = format!("please {} the invoice, and do it soon", screen.marked("pay"));
        vec![vec!["1".to_owned(), text], vec!["22".to_owned(), "你好".to_owned()]]
    }

    #[test]
    fn a_pipe_gets_one_plain_line_a_row_however_long() {
        let lines = PIPE.table(&["SEQ", "TEXT"], rows(PIPE), &[1]);
        let text = "1    please [pay] the invoice, and do it soon";
        assert_eq!(lines, ["SEQ  TEXT", text, "22   你好"]);
    }

    #[test]
    fn a_terminal_gets_lines_that_fit_it_and_bold_that_ends() {
        let screen = Screen { width: Some(20), styled: true };
        let lines = screen.table(&["SEQ", "TEXT"], rows(screen), &[0, 1]);
        assert_eq!(lines[1], "1    please \u{1b}[1mpay\u{1b}[0m");
        assert!(lines.len() > 4 && !lines.concat().contains(MARK), "{lines:?}");
        for line in lines {
            assert_eq!(line.matches("\u{1b}[1m").count(), line.matches("\u{1b}[0m").count());
        }
    }

    #[test]
    fn a_line_is_broken_between_bold_words_as_between_others() {
        let screen = Screen { width: Some(14), styled: true };
        let lines = screen.table(&[""], vec![vec![screen.marked("wire transfer")]], &[]);
        assert_eq!(lines[1..], ["\u{1b}[1mwire\u{1b}[0m", "\u{1b}[1mtransfer\u{1b}[0m"]);
    }

    #[test]
    fn a_word_that_is_broken_is_bold_on_both_lines_and_nothing_else_is() {
        let screen = Screen { width: Some(12), styled: true };
        let row = vec![screen.marked(&"x".repeat(15)), "next".to_owned()];
        let lines = screen.table(&["", ""], vec![row], &[0]);
        let bold = |line: &&String| line.starts_with("\u{1b}[1mx") && line.contains("x\u{1b}[0m");
        assert!(lines.iter().filter(bold).count() > 1, "{lines:?}");
    }

    #[test]
    fn a_column_that_is_to_be_whole_is_not_broken_while_there_is_room_for_it() {
        let id = "0193f1d2-aaaa-7000-8000-000000000004";
        let row = vec![id.to_owned(), "and so on ".repeat(20)];
        let lines = |width, whole: &[usize]| {
            let screen = Screen { width: Some(width), styled: false };
            screen.table(&["ID", "TEXT"], vec![row.clone()], whole)
        };
        let has_whole = |lines: Vec<String>| lines.iter().any(|line| line.contains(id));
        assert!(has_whole(lines(80, &[0])) && !has_whole(lines(60, &[0])));
        assert!(lines(80, &[0]).iter().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn a_text_cannot_make_itself_bold() {
        let screen = Screen { width: Some(80), styled: true };
        assert_eq!(bold(&shown("a\u{e0100}\u{1b}[1m")), r"a\u{e0100}\u{1b}[1m");
        assert_eq!(bold(&screen.marked("a")), "\u{1b}[1ma\u{1b}[0m");
    }
}

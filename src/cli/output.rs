//! Printing: data to stdout, everything else to stderr.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use termtree::Tree;

use super::config::Layers;
use super::paint::Line;
use crate::record::shown::shown_json;

pub(super) use crate::record::shown::shown;

/// Where and how to print.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub(super) json: bool,
    notes: bool,
}

impl Output {
    pub(super) const fn new(json: bool) -> Self {
        Self { json, notes: true }
    }

    /// For steps of a larger whole that tells about them itself.
    pub(super) const fn silent() -> Self {
        Self { json: false, notes: false }
    }

    /// A line of data. Whatever it quotes, it stays one line and leaves the terminal alone.
    #[expect(clippy::unused_self, reason = "printing goes through one value")]
    pub(super) fn line(self, line: &str) -> anyhow::Result<()> {
        writeln!(io::stdout().lock(), "{}", shown(line)).context("cannot write to stdout")
    }

    /// Whether lines may have colours: where a terminal shows them, unless that is not wanted.
    #[expect(clippy::unused_self, reason = "printing goes through one value")]
    pub(super) fn colours(self) -> bool {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        io::stdout().is_terminal() && !unwanted && !dumb
    }

    /// A line that was made fit to be shown already.
    #[expect(clippy::unused_self, reason = "printing goes through one value")]
    pub(super) fn painted(self, line: &Line) -> anyhow::Result<()> {
        writeln!(io::stdout().lock(), "{line}").context("cannot write to stdout")
    }

    /// Trees of such lines.
    #[expect(clippy::unused_self, reason = "printing goes through one value")]
    pub(super) fn trees(self, trees: &[Tree<Line>]) -> anyhow::Result<()> {
        let mut stdout = BufWriter::new(io::stdout().lock());
        for tree in trees {
            write!(stdout, "{tree}").context("cannot write to stdout")?;
        }
        stdout.flush().context("cannot write to stdout")
    }

    /// The lines of a table, whose cells are safe to show.
    #[expect(clippy::unused_self, reason = "printing goes through one value")]
    pub(super) fn table(self, lines: &[String]) -> anyhow::Result<()> {
        writeln!(io::stdout().lock(), "{}", lines.join("\n")).context("cannot write to stdout")
    }

    /// A value as JSON: on one line for programs, or laid out for people.
    pub(super) fn value<T: Serialize>(self, value: &T) -> anyhow::Result<()> {
        let text = if self.json {
            String::from_utf8(crate::canon::sorted_to_bytes(value)?)?
        } else {
            serde_json::to_string_pretty(value)?
        };
        writeln!(io::stdout().lock(), "{}", shown_json(&text)).context("cannot write to stdout")
    }

    /// Something to know that is not data.
    pub(super) fn note(self, text: &str) {
        if !self.notes {
            return;
        }
        // If stderr is closed, nobody is left to tell.
        let lines: Vec<_> = text.split('\n').map(shown).collect();
        drop(writeln!(io::stderr().lock(), "{}", lines.join("\n")));
    }

    /// What went wrong, and what led to it.
    pub(super) fn error(self, error: &anyhow::Error) {
        self.note(&format!("error: {error:#}"));
    }

    /// Every setting and where it comes from. The token stays hidden.
    pub(super) fn settings(self, layers: &Layers) -> anyhow::Result<()> {
        let mut settings = layers.settings();
        for setting in settings.iter_mut().filter(|setting| setting.name == "token") {
            setting.value = setting.value.as_ref().map(|_| "(hidden)".to_owned());
        }
        if self.json {
            return self.value(&settings);
        }
        for setting in settings {
            let value = setting.value.unwrap_or_default();
            self.line(&format!("{:<20} {:<28} {}", setting.name, value, setting.from))?;
        }
        Ok(())
    }

    /// A progress bar, where somebody is looking.
    #[expect(clippy::unused_self, reason = "printing goes through one value")]
    pub(super) fn progress(self, what: &'static str, total: u64) -> ProgressBar {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(total), target).with_message(what);
        if let Ok(style) =
            ProgressStyle::with_template("{msg} [{bar:32}] {human_pos}/{human_len} {per_sec} {eta}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

/// Whether the reader of our output has gone away, which is no failure of ours.
pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

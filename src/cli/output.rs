//! Printing: data to stdout, everything else to stderr.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::config::Layers;

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

/// A foreign text as it can be shown: what a terminal would obey, hide or reorder is written out.
///
/// The log keeps what attackers wrote, in order that people look at it. It must not be able to move
/// the cursor, forge a line of output, or turn the text that a reader sees around.
pub(super) fn shown(text: &str) -> String {
    escape(text, |character| format!("\\u{{{:x}}}", u32::from(character)))
}

/// JSON with the same characters escaped. They stand in strings only, so the value stays the same;
/// line feeds are those between the members.
fn shown_json(json: &str) -> String {
    escape(json, |character| {
        if character == '\n' {
            return "\n".to_owned();
        }
        let mut units = [0; 2];
        let units = character.encode_utf16(&mut units).iter();
        let escaped: Vec<_> = units.map(|unit| format!("\\u{unit:04x}")).collect();
        escaped.concat()
    })
}

fn escape(text: &str, written: impl Fn(char) -> String) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unsafe(character) {
            escaped.push_str(&written(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Control and format characters (Unicode Cc, Cf, Zl, Zp), and the variation selectors and tags in
/// which text can be hidden.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
            | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1345f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Whether the reader of our output has gone away, which is no failure of ours.
pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_obey_hide_or_reorder() {
        let poison = "a\u{1b}[2J\u{7}\r\nb\u{9b}1m\u{202e}c\u{200b}\u{e0041}d";
        assert_eq!(shown(poison), r"a\u{1b}[2J\u{7}\u{d}\u{a}b\u{9b}1m\u{202e}c\u{200b}\u{e0041}d");
        let plain = "Grüße “你好” └ 😀";
        assert_eq!(shown(plain), plain);
    }

    #[test]
    fn escaped_json_is_the_same_value() {
        let value = serde_json::json!({ "a": "\u{202e}x\u{9b}\u{e0041}" });
        let text = shown_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(text.is_ascii() && text.contains('\n'), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}

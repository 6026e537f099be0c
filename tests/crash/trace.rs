//! Reading what strace wrote.

use std::path::Path;
use std::process::{Command, Stdio};

/// A system call, as far as strace saw it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) thread: String,
    pub(crate) name: String,
    /// The arguments, and what they are: `3</path/of/the/file>, "bytes"`.
    pub(crate) args: String,
    /// What it returned; empty if it never did.
    pub(crate) result: String,
    /// The lines of the trace between which it ran.
    pub(crate) started: usize,
    pub(crate) ended: usize,
}

impl Call {
    /// Whether it is one of these calls.
    pub(crate) fn is(&self, names: &[&str]) -> bool {
        names.contains(&self.name.as_str())
    }

    /// Whether it did what it was asked to.
    pub(crate) fn succeeded(&self) -> bool {
        !self.result.is_empty() && !self.result.starts_with(['-', '?'])
    }

    /// Whether its first argument is this open file.
    pub(crate) fn on(&self, path: &Path) -> bool {
        let file = self.args.split(", ").next().unwrap_or_default();
        file.ends_with(&format!("<{}>", path.display()))
    }
}

/// Whether processes can be traced here. Says why not.
pub(crate) fn possible(test: &str) -> bool {
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "true"]).stdout(Stdio::null()).stderr(Stdio::piped());
    match command.output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            println!("{test}: skipped: processes cannot be traced here: {why}");
            false
        }
        Err(error) => {
            println!("{test}: skipped: strace cannot be run: {error}");
            false
        }
    }
}

/// Reads a trace that was written with `-f -y` and perhaps `-tt`.
pub(crate) fn parse(text: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    for (line, text) in text.lines().enumerate() {
        let Some((thread, rest)) = text.split_once(' ') else { continue };
        let rest = rest.trim_start();
        // 12:34:56.789012
        let timed = rest.starts_with(|first: char| first.is_ascii_digit());
        let rest = if timed { rest.split_once(' ').map_or("", |(_, rest)| rest) } else { rest };
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let (name, rest) = resumed.split_once(" resumed>").unwrap();
            let open = calls.iter_mut().rev().find(|call| {
                call.thread == thread && call.name == name && call.ended == usize::MAX
            });
            if let Some(call) = open {
                let (args, result) = split(rest);
                call.args.push_str(args);
                result.clone_into(&mut call.result);
                call.ended = line;
            }
            continue;
        }
        let Some((name, rest)) = rest.split_once('(') else { continue };
        let (args, result, ended) = if let Some(args) = rest.strip_suffix(" <unfinished ...>") {
            (args, "", usize::MAX)
        } else {
            let (args, result) = split(rest);
            (args, result, line)
        };
        calls.push(Call {
            thread: thread.to_owned(),
            name: name.to_owned(),
            args: args.to_owned(),
            result: result.to_owned(),
            started: line,
            ended,
        });
    }
    calls
}

/// `args)   = result`
fn split(rest: &str) -> (&str, &str) {
    let (args, result) = rest.rsplit_once(" = ").unwrap_or((rest, ""));
    let args = args.trim_end();
    (args.strip_suffix(')').unwrap_or(args), result.trim_start())
}

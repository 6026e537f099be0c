//! Every command in the README is run, in its order, and what the README says of settings is so. Other
//! pages are run in the same way ([`run`]).

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The lines of all blocks that a reader is to type.
fn commands(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match (inside, line) {
            (false, "```sh") => inside = true,
            (true, "```") => inside = false,
            (true, line) => lines.push(line.to_owned()),
            (false, _) => {}
        }
    }
    assert!(!lines.is_empty(), "the page has no commands");
    lines
}

/// What a line becomes where the crate is built already and another server may have the port.
fn adapted(line: &str, python: Option<&str>) -> String {
    if line.starts_with("cargo build") || line.starts_with("export PATH=") {
        return String::new();
    }
    if line == "cargo run --release -- demo" {
        return "whence demo --exit".to_owned();
    }
    if line.ends_with("serve &") {
        return format!("{line}\nuntil curl -sf \"$WHENCE_URL/healthz\"; do sleep 0.1; done");
    }
    match python {
        Some(_) if line.contains("-m venv") => String::new(),
        Some(python) => line.replace("verifier/bin/python", python),
        None if line.contains("verifier/") => String::new(),
        None => line.to_owned(),
    }
}

/// Runs the commands of a page in their order, in a folder of its own, and gives what they print.
pub(crate) fn run(page: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root().join("tools"), folder.path().join("tools")).unwrap();
    // The system gives out another port each time, so that this one is free for a while.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let python = std::env::var("WHENCE_PYTHON").ok();
    let text = fs::read_to_string(root().join(page)).unwrap().replace("7117", &port.to_string());
    // What a failing script leaves running would hold its output open for ever.
    let mut script =
        "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n".to_owned();
    for line in commands(&text) {
        script.push_str(&adapted(&line, python.as_deref()));
        script.push('\n');
    }

    let binary = Path::new(env!("CARGO_BIN_EXE_whence")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.arg("-c").arg(&script).current_dir(folder.path()).env("PATH", path);
    for name in ["WHENCE_DATA", "WHENCE_TOKEN", "WHENCE_LEDGER", "WHENCE_HEADS"] {
        command.env_remove(name);
    }
    command.env("WHENCE_LISTEN", format!("127.0.0.1:{port}"));
    command.env("WHENCE_URL", format!("http://127.0.0.1:{port}"));
    let output = command.output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{script}\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
    stdout
}

#[test]
fn every_command_is_run() {
    if std::env::var_os("WHENCE_PYTHON").is_none() {
        println!("skipped: the second verifier, because WHENCE_PYTHON names no interpreter");
    }
    assert!(commands(&readme()).len() > 20, "the README has no commands");
    let stdout = run("README.md");
    let verified = stdout.lines().filter(|line| line.starts_with("verified")).count();
    assert!(verified >= 4, "only {verified} times\n{stdout}");
    assert!(stdout.contains("api call POST https://bank.example/v2/transfers"), "{stdout}");
}

#[test]
fn the_table_of_settings_is_complete() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_whence")).args(["config", "--json"]).output().unwrap();
    let settings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let text = readme();
    for setting in settings {
        let name = setting["name"].as_str().unwrap();
        let variable = format!("WHENCE_{}", name.to_uppercase());
        let row = text.lines().find(|line| line.starts_with(&format!("| `{name}`")));
        let row = row.unwrap_or_else(|| panic!("{name} has no row"));
        assert!(row.contains(&variable), "{row}");
        if setting["from"] == "default" {
            let default = setting["value"].as_str().unwrap();
            assert!(row.contains(&format!("`{default}`")), "{name} is {default} by default: {row}");
        }
    }
}

/// A path that the README names is there.
#[test]
fn every_file_it_links_to_is_there() {
    let text = readme();
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files: Vec<_> =
        links.filter(|link| !link.starts_with("http") && !link.starts_with('#')).collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        assert!(root().join(file).exists(), "{file}");
    }
}

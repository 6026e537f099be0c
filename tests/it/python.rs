//! The Python client and the importer of transcripts: their own tests, against this build of the
//! server.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tools")
}

/// A module of Python, run in a folder of `tools`. None, with a note, where there is no interpreter
/// that has the package and what its tests need.
fn run(folder: &str, module: &str, arguments: &[&str]) -> Option<Output> {
    let Ok(python) = std::env::var("WHENCE_PYTHON") else {
        println!("skipped: WHENCE_PYTHON names no interpreter with the Python client in it");
        return None;
    };
    let needed = Command::new(&python)
        .args(["-c", "import hypothesis, mypy, pytest, whence"])
        .output()
        .unwrap();
    if !needed.status.success() {
        println!("skipped: the interpreter of WHENCE_PYTHON has no `tools/python[test]`");
        return None;
    }
    let mut command = Command::new(&python);
    command.args(["-m", module]).args(arguments).current_dir(tools().join(folder));
    command.env("WHENCE_BIN", env!("CARGO_BIN_EXE_whence")).env("PYTHONDONTWRITEBYTECODE", "1");
    // Each test starts a server of its own, whatever this shell is set up for.
    for name in ["WHENCE_DATA", "WHENCE_TOKEN", "WHENCE_LEDGER", "WHENCE_HEADS", "WHENCE_URL"] {
        command.env_remove(name);
    }
    Some(command.output().unwrap())
}

fn succeeds(folder: &str, module: &str, arguments: &[&str]) -> Option<String> {
    let output = run(folder, module, arguments)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{module} {arguments:?}\n{stdout}\n{}", text(&output.stderr));
    Some(stdout)
}

#[test]
fn the_python_client_passes_its_own_tests() {
    let Some(stdout) = succeeds("python", "pytest", &[]) else { return };
    assert!(stdout.contains(" passed"), "nothing was run\n{stdout}");
}

#[test]
fn the_python_client_is_typed_and_tidy() {
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().to_str().unwrap();
    for folder in ["python", "transcripts"] {
        succeeds(folder, "mypy", &["--cache-dir", cache]);
        succeeds(folder, "ruff", &["check", "--no-cache"]);
        succeeds(folder, "ruff", &["format", "--check", "--no-cache"]);
    }
}

/// Imports recorded runs of real agents where they are at hand, and says "skipped" otherwise.
#[test]
fn the_importer_of_transcripts_loses_nothing_and_finds_the_injections() {
    succeeds("transcripts", "pytest", &[]);
}

//! The command as a user types it: exit codes, what is printed where, and the whole way round.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::log::chain;

fn whence(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whence"));
    command.current_dir(folder).args(args);
    for name in ["WHENCE_DATA", "WHENCE_URL", "WHENCE_TOKEN", "WHENCE_LEDGER", "WHENCE_LISTEN"] {
        command.env_remove(name);
    }
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A running server on a port of its own. It is killed when a test ends early.
struct Serving {
    child: Child,
    url: String,
}

impl Serving {
    fn start(folder: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_whence"))
            .current_dir(folder)
            .args(["serve", "--data", "data", "--listen", "127.0.0.1:0"])
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut lines = stderr.lines().map(Result::unwrap);
        let url = lines.find_map(|line| line.strip_prefix("listening on ").map(str::to_owned));
        // Somebody has to read on, or the server's log fills the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: url.unwrap() }
    }

    /// Tells the server to stop, and waits until it has.
    fn stop(mut self) {
        let process = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn the_demonstration_ends_well() {
    let folder = tempfile::tempdir().unwrap();
    let output = whence(folder.path(), &["demo", "--exit"]);
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for part in ["send_money", "informed by retrieval", "verified: 59 entries", "TAMPERED  seq 55"]
    {
        assert!(stdout.contains(part), "{part} is not in:\n{stdout}");
    }
}

/// From nothing to records, a why-trace, an archive, a forgery and an import.
#[test]
fn the_whole_way_round() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let init = whence(path, &["init", "--data", "data"]);
    assert!(init.status.success() && init.stdout.is_empty());
    let token = fs::read_to_string(path.join("data/admin.token")).unwrap();
    assert!(text(&init.stderr).contains(token.trim_end()));
    assert!(!text(&fs::read(path.join("data/tokens.json")).unwrap()).contains(token.trim_end()));
    let again = whence(path, &["init", "--data", "data"]);
    assert_eq!(again.status.code(), Some(2));

    let serving = Serving::start(path, &[]);
    let url = serving.url.clone();
    let mut records = fs::File::create(path.join("records.ndjson")).unwrap();
    for record in (0..80).flat_map(chain) {
        writeln!(records, "{record}").unwrap();
    }
    let client = ["--data", "data", "--url", &url];
    let run = |args: &[&str]| whence(path, &[args, &client].concat());
    let append = run(&["append", "records.ndjson"]);
    assert!(append.status.success(), "{}", text(&append.stderr));
    assert_eq!(text(&append.stdout).lines().count(), 320);
    let append = run(&["append", "records.ndjson"]);
    assert!(text(&append.stdout).lines().all(|line| line.ends_with("(known)")));

    let why = text(&run(&["why", "api-7"]).stdout);
    assert!(why.starts_with("api call POST https://bank.example/transfers"), "{why}");
    assert!(why.lines().last().unwrap().contains("triggered by prompt"), "{why}");
    assert_eq!(text(&run(&["session", "s-3"]).stdout).lines().count(), 64);
    let key = text(&run(&["key", "show"]).stdout);
    let key = key.trim_end();
    let online = run(&["verify", &format!("{url}/tlog/main"), "--key", key]);
    assert_eq!(online.status.code(), Some(0), "{}{}", text(&online.stdout), text(&online.stderr));

    let second = whence(path, &["serve", "--data", "data", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(2));
    assert!(text(&second.stderr).contains("open in another process"));
    assert_eq!(run(&["export", "online"]).status.code(), Some(0));
    serving.stop();

    for target in ["data", "online"] {
        let verified = whence(path, &["verify", target, "--key", key, "--json"]);
        let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
        assert_eq!(verified.status.code(), Some(0), "{target}: {report}");
        assert_eq!((&report["size"], &report["entries"]), (&321.into(), &321.into()));
        assert_eq!(report["contents"], 320);
    }
    assert_eq!(whence(path, &["export", "offline", "--data", "data"]).status.code(), Some(0));
    let part = ["export", "part", "--data", "data", "--from", "300", "--without-content"];
    assert_eq!(whence(path, &part).status.code(), Some(0));
    let part = text(&whence(path, &["verify", "part", "--key", key]).stdout);
    assert!(part.contains("entries 256 to 321") && part.contains("verified"), "{part}");

    let import = ["import", "offline", "--key", key, "--data", "copy", "--signing-key"];
    let import = whence(path, &[&import[..], &["data/ledgers/main/key"]].concat());
    assert!(import.status.success(), "{}", text(&import.stderr));
    let root = |target: &str| {
        let output = whence(path, &["verify", target, "--key", key, "--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["findings"]["total"], 0, "{report}");
        report["root"].clone()
    };
    assert_eq!(root("copy"), root("data"));

    a_forged_archive_is_neither_verified_nor_imported(path, key);

    let nothing = whence(path, &["verify", "nowhere"]);
    assert_eq!(nothing.status.code(), Some(2));
    assert_eq!(whence(path, &["no-such-command"]).status.code(), Some(2));
}

fn a_forged_archive_is_neither_verified_nor_imported(path: &Path, key: &str) {
    let forged = path.join("offline/tile/entries/000");
    let mut bytes = fs::read(&forged).unwrap();
    let place = bytes.windows(3).position(|window| window == b"201").unwrap();
    bytes[place] = b'4';
    fs::write(&forged, bytes).unwrap();
    let found = whence(path, &["verify", "offline", "--key", key]);
    assert_eq!(found.status.code(), Some(1));
    assert!(text(&found.stdout).contains("TAMPERED"));
    let import = whence(path, &["import", "offline", "--key", key, "--data", "never"]);
    assert_eq!(import.status.code(), Some(2));
    assert!(!path.join("never/ledgers").exists(), "nothing is written of what does not verify");
}

#[test]
fn plain_http_for_others_has_to_be_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let output = whence(folder.path(), &["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--insecure-plain-http"));
    assert!(!folder.path().join("whence-data").exists());
}

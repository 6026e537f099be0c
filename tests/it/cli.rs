//! The command as a user types it: exit codes, what is printed where, and the whole way round.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::catalogs::{listed, sealed};
use crate::log::{chain, prompt};

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whence"));
    command.current_dir(folder).args(args);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WHENCE_") {
            command.env_remove(name);
        }
    }
    command
}

pub(crate) fn whence(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A running server on a port of its own. It is killed when a test ends early.
pub(crate) struct Serving {
    child: Child,
    pub(crate) url: String,
    log: Arc<Mutex<String>>,
}

impl Serving {
    pub(crate) fn start(folder: &Path, args: &[&str]) -> Self {
        Self::spawn(
            command(folder, &["serve", "--data", "data", "--listen", "127.0.0.1:0"]).args(args),
        )
    }

    /// One that may open so many files.
    pub(crate) fn start_with_files(folder: &Path, files: u32) -> Self {
        let script = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.current_dir(folder).args(["-c", &script, env!("CARGO_BIN_EXE_whence")]);
        Self::spawn(command.args(["serve", "--data", "data", "--listen", "127.0.0.1:0"]))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut lines = stderr.lines().map(Result::unwrap);
        let url = lines.find_map(|line| line.strip_prefix("listening on ").map(str::to_owned));
        // Somebody has to read on, or the server's log fills the pipe.
        let log = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&log);
        std::thread::spawn(move || lines.for_each(|line| *kept.lock().unwrap() += &(line + "\n")));
        Self { child, url: url.unwrap(), log }
    }

    /// What it has logged since it listens.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// The size of the ledger, and which of these records it does not have.
    pub(crate) fn look_up(&self, token: &str, ids: &[String]) -> (u64, Vec<String>) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
        let get = |path: &str| {
            let request = agent.get(format!("{}/v1/ledgers/main{path}", self.url));
            let answer = request.header("authorization", format!("Bearer {token}")).call();
            let mut answer = answer.unwrap();
            (answer.status().as_u16(), answer.body_mut().read_to_vec().unwrap())
        };
        let missing = ids.iter().filter(|id| get(&format!("/records/{id}")).0 != 200);
        let missing = missing.cloned().collect();
        let ledger: Value = serde_json::from_slice(&get("").1).unwrap();
        (ledger["size"].as_u64().unwrap(), missing)
    }

    /// Tells the server to stop, and waits until it has.
    pub(crate) fn stop(mut self) {
        signal(&self.child, Signal::SIGTERM);
        assert!(self.child.wait().unwrap().success());
    }
}

fn signal(child: &Child, signal: Signal) {
    let process = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(process, signal).unwrap();
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
    for part in [
        "send_money",
        "informed by retrieval inbox",
        "under delegation jti-mallory (bank:read, bank:transfer, until",
        "Untrusted inputs\n",
        "Retrieval of inbox (seq 55) reached",
        "verified: ",
        "TAMPERED  seq 62",
        "flags: approval_not_bound, delegation_expired",
    ] {
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

    causes_and_effects_are_trees(&run);
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
        assert_eq!(report["size"], report["entries"]);
        // Those that were posted, and what says who read them: all of that once the server has stopped.
        let size = report["size"].as_u64().unwrap();
        assert!(size >= 321 && (target == "online" || size > 321), "{target}: {size}");
        assert!(report["contents"].as_u64().unwrap() >= 320);
    }
    assert_eq!(whence(path, &["export", "offline", "--data", "data"]).status.code(), Some(0));
    let part = ["export", "part", "--data", "data", "--from", "300", "--without-content"];
    assert_eq!(whence(path, &part).status.code(), Some(0));
    let part = text(&whence(path, &["verify", "part", "--key", key]).stdout);
    assert!(part.contains("entries 256 to 32") && part.contains("verified"), "{part}");

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

fn causes_and_effects_are_trees(run: &dyn Fn(&[&str]) -> Output) {
    let why = text(&run(&["why", "api-7"]).stdout);
    assert!(why.starts_with("API call POST bank.example/transfers happened because tool"), "{why}");
    let tree = "\
        api_call POST bank.example/transfers 201  seq 32 [api-7]  flags: backdated, delegation_unknown\n\
        └── triggered by tool_invocation send_money  seq 31 [invocation-7]  flags: backdated, delegation_unknown\n    \
            └── triggered by model_output m-1  seq 30 [output-7]  flags: backdated\n        \
                └── triggered by prompt user: Pay the invoice.  seq 29 [prompt-7]  flags: backdated\n";
    assert!(why.ends_with(tree), "{why}");
    let effects = text(&run(&["effects", "prompt-7"]).stdout);
    assert!(effects.contains("── triggered api_call POST bank.example/transfers 201"), "{effects}");
    assert!(
        effects.contains("session s-2 of alice@example.com  4 records, 1 API calls"),
        "{effects}"
    );
    let page: Value = serde_json::from_slice(&run(&["why", "api-7", "--json"]).stdout).unwrap();
    assert_eq!((&page["object"], &page["seq"]), (&"why".into(), &32.into()));
    let unknown = run(&["effects", "nobody"]);
    assert_eq!((unknown.status.code(), unknown.stdout.len()), (Some(2), 0));
    let session = text(&run(&["session", "s-3"]).stdout);
    assert_eq!(session.lines().count(), 8 + 64, "{session}");
    let branch = "└── model output m-1  “I will pay it.”";
    assert_eq!(session.matches(branch).count(), 16, "{session}");
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
    // The exit code is the verdict, whether or not anybody reads what is printed.
    assert_eq!(unread(path, &["verify", "offline", "--key", key]), Some(1));
    assert_eq!(unread(path, &["verify", "part", "--key", key]), Some(0));
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

/// Runs the command with a stdout that nobody reads.
fn unread(path: &Path, args: &[&str]) -> Option<i32> {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command(path, args).stdout(writer).stderr(Stdio::null()).status().unwrap().code()
}

#[test]
fn what_only_shows_may_go_unread() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(unread(folder.path(), &["config"]), Some(0));
    assert_eq!(unread(folder.path(), &["demo", "--exit"]), Some(2));
}

#[test]
fn the_demonstration_stays_until_it_is_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = command(folder.path(), &["demo"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let data = lines.find_map(|line| Some(line.split_once("(data in ")?.1.to_owned())).unwrap();
    let data = Path::new(data.trim_end_matches(')'));
    assert!(lines.any(|line| line.contains("Ctrl-C ends it")));
    assert!(data.join("admin.token").exists());
    assert_eq!(child.try_wait().unwrap(), None);
    signal(&child, Signal::SIGINT);
    assert!(child.wait().unwrap().success());
    assert!(!data.parent().unwrap().exists());
}

#[test]
fn tls_with_a_private_certificate_is_believed_when_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    fs::write(path.join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(path.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let serving = Serving::start(path, &["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    assert!(serving.url.starts_with("https://"));
    fs::write(path.join("records.ndjson"), format!("{}\n", prompt("p", "s", "x"))).unwrap();

    let args = ["append", "records.ndjson", "--data", "data", "--url", &serving.url];
    let stranger = whence(path, &args);
    assert_eq!(stranger.status.code(), Some(2));
    assert!(text(&stranger.stderr).contains("cannot reach"), "{}", text(&stranger.stderr));
    let known = whence(path, &[&args[..], &["--ca", "cert.pem"]].concat());
    assert!(known.status.success(), "{}", text(&known.stderr));
    let log = format!("{}/tlog/main", serving.url);
    let verified = command(path, &["verify", &log, "--data", "data"])
        .env("WHENCE_CA", "cert.pem")
        .output()
        .unwrap();
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stderr));
    serving.stop();
}

/// Takes one request on the loopback, answers it with 204, and gives back its head.
fn head_of(listener: &TcpListener, mut run: Command) -> String {
    let mut child = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut stream = loop {
        if let Ok((stream, _)) = listener.accept() {
            break stream;
        }
        assert_eq!(child.try_wait().unwrap(), None, "it ended without a request");
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    stream.set_nonblocking(false).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap();
    drop(stream);
    child.wait().unwrap();
    text(&head).to_lowercase()
}

#[test]
fn a_token_goes_only_where_it_is_meant_to_and_not_in_the_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    assert!(whence(path, &["init", "--data", "data"]).status.success());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let here = format!("http://127.0.0.1:{port}");
    // Leads here as well, but by its name it could lead anywhere.
    let elsewhere = format!("http://127.1:{port}");
    let get = |url: &str| command(path, &["get", "x", "--data", "data", "--url", url]);

    let mut proxied = get(&here);
    proxied.env("http_proxy", "http://127.1:1").env("HTTP_PROXY", "http://127.1:1");
    assert!(head_of(&listener, proxied).contains("authorization: bearer whence_"));
    let mut other = get(&elsewhere);
    other.env_remove("http_proxy").env_remove("HTTP_PROXY").env("NO_PROXY", "*");
    assert!(!head_of(&listener, other).contains("authorization"));

    let refused = get(&elsewhere).env("WHENCE_TOKEN", "whence_mine").output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("plain HTTP"), "{}", text(&refused.stderr));
    let mut asked = get(&elsewhere);
    asked.arg("--insecure-plain-http").env("WHENCE_TOKEN", "whence_mine");
    asked.env_remove("http_proxy").env_remove("HTTP_PROXY").env("NO_PROXY", "*");
    assert!(head_of(&listener, asked).contains("authorization: bearer whence_mine"));
}

#[test]
fn a_long_session_is_shown_whole_and_cannot_drive_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let serving = Serving::start(path, &[]);
    let session = "s/1 ?#%é";
    let poison = "\u{1b}]0;owned\u{7}\u{202e}text\nforged line";
    let mut records = fs::File::create(path.join("records.ndjson")).unwrap();
    for number in 0..1_100 {
        writeln!(records, "{}", prompt(&format!("p-{number}"), session, poison)).unwrap();
    }
    let client = ["--data", "data", "--url", &serving.url];
    let append = whence(path, &[&["append", "records.ndjson"], &client[..]].concat());
    assert!(append.status.success(), "{}", text(&append.stderr));
    let commands: [&[&str]; 4] = [
        &["session", session],
        &["session", session, "--json"],
        &["why", "p-7"],
        &["effects", "p-7"],
    ];
    for args in commands {
        let shown = whence(path, &[args, &client[..]].concat());
        assert!(shown.status.success(), "{}", text(&shown.stderr));
        let shown = text(&shown.stdout);
        let lines = match args {
            ["session", _] => 8 + 1_100,
            ["effects", _] => 6,
            _ => 3,
        };
        assert_eq!(shown.lines().count(), lines, "{args:?}");
        assert!(shown.contains("owned") && !shown.contains(['\u{1b}', '\u{7}', '\u{202e}']));
    }
    serving.stop();
}

#[test]
fn rows_are_exported_into_a_file_and_go_on_where_they_ended() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let serving = Serving::start(path, &[]);
    let client = ["--data", "data", "--url", &serving.url];
    let run = |args: &[&str]| whence(path, &[args, &client].concat());
    let post = |numbers: std::ops::Range<u64>| {
        let records: Vec<_> = numbers.flat_map(chain).map(|record| record.to_string()).collect();
        fs::write(path.join("records.ndjson"), records.join("\n")).unwrap();
        assert!(run(&["append", "records.ndjson"]).status.success());
    };
    post(0..10);
    let first = run(&["export", "--format", "csv", "rows.csv"]);
    let said = text(&first.stderr);
    assert!(
        first.status.success() && said.contains("exported 41 rows; go on with --after 40"),
        "{said}"
    );
    let again = run(&["export", "--format", "csv", "rows.csv"]);
    assert_eq!(again.status.code(), Some(2), "nothing is written over");
    post(10..20);
    let more = run(&["export", "--format", "csv", "--after", "40", "rows.csv"]);
    assert!(more.status.success(), "{}", text(&more.stderr));
    let rows = fs::read_to_string(path.join("rows.csv")).unwrap();
    let seqs: Vec<_> = rows.lines().filter_map(|line| line.split(',').next()).collect();
    assert_eq!(seqs.iter().filter(|seq| **seq == "seq").count(), 1, "one head");
    let expected = (0..seqs.len() - 1).map(|seq| seq.to_string());
    assert!(seqs.iter().skip(1).map(|seq| (*seq).to_owned()).eq(expected), "{seqs:?}");
    assert!(seqs.len() > 82);

    let ndjson = run(&["export", "--format", "ndjson", "--without-content", "-"]);
    let lines = text(&ndjson.stdout);
    assert!(lines.lines().count() > 82 && !lines.contains("Pay the invoice"));
    assert!(lines.lines().last().unwrap().contains("export_end"));
    let ocsf = text(&run(&["export", "--format", "ocsf", "--after", "30", "-"]).stdout);
    assert!(ocsf.starts_with('{') && ocsf.contains("\"class_uid\":6003"));
    let mixed = run(&["export", "--format", "csv", "--from", "3", "x"]);
    assert_eq!(mixed.status.code(), Some(2));
    serving.stop();
}

#[test]
fn a_record_without_an_id_is_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let serving = Serving::start(path, &[]);
    let mut nameless = prompt("p", "s", "x");
    nameless.as_object_mut().unwrap().remove("id");
    fs::write(path.join("records.ndjson"), format!("{}\n{nameless}\n", prompt("q", "s", "x")))
        .unwrap();
    let client = ["append", "records.ndjson", "--data", "data", "--url", &serving.url];
    let append = whence(path, &client);
    assert_eq!(append.status.code(), Some(2));
    assert!(text(&append.stderr).contains("line 2 has no id"), "{}", text(&append.stderr));
    serving.stop();
}

#[test]
fn a_setting_that_is_not_text_is_an_error_and_a_readable_secret_is_a_warning() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let bad = command(path, &["config"])
        .env("WHENCE_HEADS", OsStr::from_bytes(b"a\xff"))
        .output()
        .unwrap();
    assert_eq!(bad.status.code(), Some(2));
    assert!(text(&bad.stderr).contains("WHENCE_HEADS is not UTF-8"));

    let file = path.join("whence.toml");
    fs::write(&file, "token = \"whence_secret\"\n").unwrap();
    for (mode, warned) in [(0o644, true), (0o600, false)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let output = whence(path, &["config", "--config", "whence.toml"]);
        assert!(output.status.success());
        assert_eq!(text(&output.stderr).contains("chmod 600"), warned);
        assert!(!text(&output.stdout).contains("whence_secret"));
    }
}

/// Three sessions, one of which has what a terminal would obey in its text.
fn searchable(path: &Path, url: &str) {
    let mut records: Vec<_> = (1..3).flat_map(chain).collect();
    let poison = "\u{1b}]0;owned\u{7}\u{202e}\u{e0100}Überweisung an\nMüller und 你好";
    records.push(prompt("poison", "s-poison", poison));
    let lines: Vec<_> = records.iter().map(|record| format!("{record}\n")).collect();
    fs::write(path.join("records.ndjson"), lines.concat()).unwrap();
    let append = ["append", "records.ndjson", "--data", "data", "--url", url];
    assert!(whence(path, &append).status.success());
}

#[test]
fn a_search_is_a_table_of_one_line_a_record_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let serving = Serving::start(path, &[]);
    searchable(path, &serving.url);
    let client = ["--data", "data", "--url", &serving.url];
    let run = |args: &[&str]| whence(path, &[args, &client].concat());

    let found = run(&["search", "muller uberweisung", "--wait-for", "9"]);
    let (stdout, stderr) = (text(&found.stdout), text(&found.stderr));
    assert_eq!(found.status.code(), Some(0), "{stderr}");
    let lines: Vec<_> = stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{stdout}");
    assert!(lines[0].starts_with("SEQ  RECEIVED"), "{stdout}");
    let row = lines[1];
    assert!(row.starts_with("9    20") && row.contains("  poison  "), "{row}");
    assert!(row.ends_with(r"[Überweisung] an\u{a}[Müller] und 你好"), "{row}");
    assert!(!stdout.contains(['\u{1b}', '\u{7}', '\u{202e}', '\u{e0100}']), "{stdout}");
    assert_eq!(stderr, "1 records match, 1 shown; 10 records searched\n");

    // Pages, in either order, and what stands beside them.
    let page = run(&["search", "kind:prompt", "--limit", "2", "--order", "asc"]);
    assert_eq!(text(&page.stdout).lines().count(), 3);
    assert!(text(&page.stderr).ends_with("; next page: --after 5\n"), "{}", text(&page.stderr));
    let rest = ["search", "kind:prompt", "--limit", "2", "--order", "asc", "--after", "5"];
    let rest = run(&rest);
    assert!(text(&rest.stdout).contains("poison"));
    assert!(text(&rest.stderr).starts_with("3 records match, 1 shown; "));
    let counted = run(&["search", "-kind:genesis", "--facets", "user,kind", "--histogram"]);
    let stdout = text(&counted.stdout);
    let all = ["FIELD", "kind   prompt", "user   alice@example.com  9", "FROM", "9        ####"];
    for part in all {
        assert!(stdout.contains(part), "{part} is not in:\n{stdout}");
    }
    let phrase = text(&run(&["search", "\"pay the\" session:s-1"]).stdout);
    assert!(phrase.contains("content.text: [Pay the] invoice."), "{phrase}");

    let nothing = run(&["search", "zzz"]);
    assert!(nothing.status.success() && nothing.stdout.is_empty());
    let json = run(&["search", "zzz OR muller", "--json"]);
    let page: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&page["total"], &page["data"][0]["id"]), (&1.into(), &"poison".into()));
    assert!(json.stderr.is_empty());
    assert_eq!(unread(path, &[&["search", "*"], &client[..]].concat()), Some(0));
    serving.stop();
}

#[test]
fn sessions_are_listed_and_the_index_is_built_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let serving = Serving::start(path, &[]);
    searchable(path, &serving.url);
    let client = ["--data", "data", "--url", &serving.url];
    let run = |args: &[&str]| whence(path, &[args, &client].concat());
    assert!(run(&["search", "x", "--wait-for", "9"]).status.success());

    let listed = run(&["sessions"]);
    let stdout = text(&listed.stdout);
    let first = |line: &str| line.split(' ').next().unwrap().to_owned();
    let sessions: Vec<_> = stdout.lines().map(first).collect();
    assert_eq!(sessions, ["SESSION", "s-poison", "s-2", "s-1"], "{stdout}");
    let row = stdout.lines().nth(2).unwrap();
    assert!(row.contains("alice@example.com  invoice-agent  4  "), "{row}");
    let said = text(&listed.stderr);
    assert!(said.starts_with("3 sessions have a record that matches, 3 shown"), "{said}");
    let asked = ["sessions", "pay", "--user", "alice@example.com", "--limit", "1"];
    let asked = run(&asked);
    assert!(text(&asked.stdout).contains("s-2") && text(&asked.stderr).contains("--after "));
    let none = run(&["sessions", "--agent", "nobody", "--since", "1h"]);
    assert!(none.status.success() && none.stdout.is_empty(), "{}", text(&none.stderr));
    let json = run(&["sessions", "--flag", "tardy", "--json"]);
    assert_eq!(json.status.code(), Some(2), "there is no such flag");

    let status = run(&["reindex", "--wait"]);
    let said = text(&status.stdout);
    assert_eq!(said, "the new index is in use; 10 of 10 records can be found\n");
    assert!(status.stderr.is_empty(), "no bar where nobody looks: {}", text(&status.stderr));
    assert!(text(&run(&["search", "muller"]).stdout).contains("poison"));
    let status: Value = serde_json::from_slice(&run(&["reindex", "--json"]).stdout).unwrap();
    assert_eq!(status["object"], "index");
    serving.stop();
}

#[test]
fn catalogs_are_listed_and_compared_as_tables() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let serving = Serving::start(path, &[]);
    let client = ["--data", "data", "--url", &serving.url];
    let run = |args: &[&str]| whence(path, &[args, &client].concat());
    let tools = |version: &str, other: &str| {
        let described = json!({ "description_digest": version });
        json!([sealed("pay", version, &described), sealed(other, "1", &json!({}))])
    };
    let snapshots = [
        listed("c-1", "bank & co", &tools("1", "gone")),
        listed("c-2", "bank & co", &tools("2", "new")),
    ];
    let lines = snapshots.map(|record| format!("{record}\n"));
    fs::write(path.join("records.ndjson"), lines.concat()).unwrap();
    assert!(run(&["append", "records.ndjson"]).status.success());

    let list = run(&["catalog", "list", "bank & co"]);
    let stdout = text(&list.stdout);
    let cells = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let rows: Vec<_> = stdout.lines().map(cells).collect();
    assert_eq!(rows[0], ["SEQ", "RECEIVED", "ID", "TOOLS", "REVIEW", "BY", "DIGEST"]);
    assert_eq!((&*rows[1][0], &*rows[1][2], &*rows[1][3]), ("2", "c-2", "2"), "{stdout}");
    assert_eq!((&*rows[2][0], &*rows[2][2], rows.len()), ("1", "c-1", 3), "{stdout}");
    let page = run(&["catalog", "list", "bank & co", "--limit", "1"]);
    assert_eq!(text(&page.stderr), "next page: --after 2\n");
    let none = run(&["catalog", "list", "nobody"]);
    assert!(none.status.success() && none.stdout.is_empty());

    let diff = text(&run(&["catalog", "diff", "c-1", "c-2"]).stdout);
    let rows: Vec<_> = diff.lines().map(cells).collect();
    let expected = [
        &["CHANGE", "TOOL", "WHAT"][..],
        &["added", "new"],
        &["removed", "gone"],
        &["changed", "pay", "description", "definition"],
    ];
    assert_eq!(rows, expected);
    let json = run(&["catalog", "diff", "c-1", "c-2", "--json"]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["object"], &json["removed"]), (&"catalog_diff".into(), &json!(["gone"])));
    let unknown = run(&["catalog", "diff", "c-1", "c-3"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("404 record_unknown"), "{}", text(&unknown.stderr));
    assert_eq!(unread(path, &[&["catalog", "list", "bank & co"], &client[..]].concat()), Some(0));
    serving.stop();
}

#[test]
fn a_query_that_means_nothing_is_refused_with_a_caret_and_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["search", "sessions"] {
        let args = [command, "user:alice usr:bob", "--url", "http://127.0.0.1:1"];
        let refused = whence(folder.path(), &args);
        assert_eq!(refused.status.code(), Some(2));
        assert!(refused.stdout.is_empty());
        let stderr = text(&refused.stderr);
        let lines: Vec<_> = stderr.lines().collect();
        assert!(lines[0].contains("column 12: found `usr:`"), "{stderr}");
        assert_eq!(lines[1..], ["  user:alice usr:bob", "             ^"]);
    }
}

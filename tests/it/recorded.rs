//! What the pages about recording tell a reader to type is run, and what is recorded is in the log.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cli::{Serving, whence};
use crate::front::holds;
use crate::receiver::Receiver;
use crate::wire::{Head, Scripted, request, send};

/// Runs the commands of a page, against this log and this API, and gives what they print.
fn run(page: &str, log: &str, upstream: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("schema").join(page)).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let blocks: Vec<_> = blocks.collect();
    assert!(!blocks.is_empty(), "{page} has no commands");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let script = format!("set -eu\n{}\nkill $(jobs -p) 2>/dev/null || true\n", blocks.join("\n"));
    let script =
        script.replace("whence gateway", &format!("whence gateway --listen 127.0.0.1:{free}"));
    let script = script.replace("127.0.0.1:7119/", &format!("127.0.0.1:{free}/"));
    let folder = tempfile::tempdir().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_whence")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("WHENCE_URL", log)
        .env("WHENCE_TOKEN", "token")
        .env("WHENCE_SPOOL", folder.path().join("spool"))
        .env("UPSTREAM", upstream)
        .env("OPENAI_API_KEY", "sk-x")
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{script}\n--- stderr\n{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_commands_of_both_pages_work() {
    let receiver = Receiver::start();
    run("MCP.md", &receiver.url, "");
    let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n{\"id\":\"r-9\"}\n";
    let printed = run("GATEWAY.md", &receiver.url, &Scripted::always(answer));
    assert!(printed.contains("r-9"), "{printed}");
    let told = receiver.wait_for(1);
    assert_eq!(told[0].text("gen_ai.response.id"), "r-9");
    assert_eq!(told[0].text("user.id"), "alice@example.com");
}

/// Waits until a search finds something, and gives the first hit.
pub(crate) fn found(folder: &Path, url: &str, query: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let output = whence(folder, &["search", query, "--json", "--url", url, "--data", "data"]);
        let page: Value = serde_json::from_slice(&output.stdout).unwrap();
        if page["total"].as_u64() > Some(0) {
            return page["data"][0].clone();
        }
        assert!(Instant::now() < deadline, "nothing is found by {query}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// The command that records, with what it needs to know.
fn recording(folder: &Path, url: &str, args: &[&str]) -> Command {
    let token = std::fs::read_to_string(folder.join("data/admin.token")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_whence"));
    command.current_dir(folder).env("WHENCE_URL", url).env("WHENCE_TOKEN", token.trim());
    command.env("WHENCE_USER", "alice@example.com").env("WHENCE_AGENT", "support-agent");
    command.env("WHENCE_SESSION", "s-5").env("WHENCE_SPOOL", "spool").args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn what_passes_through_both_proxies_is_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert!(whence(folder, &["init", "--data", "data"]).status.success());
    std::fs::write(folder.join("data/whence.toml"), "telemetry_settle = \"1\"\n").unwrap();
    let serving = Serving::start(folder, &[]);
    let url = serving.url.as_str();

    let mut mcp =
        recording(folder, url, &["mcp", "--server", "orders", "--", "cat"]).spawn().unwrap();
    let params = json!({ "name": "look_up", "arguments": { "order": "A-1002" } });
    let call = json!({ "id": 1, "method": "tools/call", "params": params });
    let answer =
        json!({ "id": 1, "result": { "content": [{ "type": "text", "text": "in Paris" }] } });
    let mut stdin = mcp.stdin.take().unwrap();
    stdin.write_all(format!("{call}\n{answer}\n").as_bytes()).unwrap();
    drop(stdin);
    assert!(mcp.wait_with_output().unwrap().status.success());

    let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 105\r\n\r\n\
        {\"id\":\"r-1\",\"model\":\"m-2\",\"choices\":[{\"message\":{\"content\":\"It is in Paris.\"},\"finish_reason\":\"stop\"}]}   ";
    let upstream = Scripted::always(answer);
    let args = ["gateway", "--listen", "127.0.0.1:0", "--upstream", &upstream];
    let mut gateway = recording(folder, url, &args).spawn().unwrap();
    let mut lines = BufReader::new(gateway.stderr.take().unwrap()).lines().map(Result::unwrap);
    let front =
        lines.find_map(|line| line.strip_prefix("listening on ").map(str::to_owned)).unwrap();
    let asked = json!({ "model": "m-1", "messages": [{ "role": "user", "content": "Where is my order?" }] });
    let key = [("authorization", "Bearer sk-key-of-the-client")];
    let message = request("POST /v1/chat/completions", &key, asked.to_string().as_bytes());
    assert_eq!(Head::read(send(&front, &message)).unwrap().body().len(), 105);
    let process = nix::unistd::Pid::from_raw(i32::try_from(gateway.id()).unwrap());
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(gateway.wait().unwrap().success());

    let invocation = found(folder, url, "kind:tool_invocation tool:look_up");
    assert_eq!(invocation["user"], "alice@example.com");
    assert_eq!(invocation["session"], "s-5");
    found(folder, url, "kind:tool_result \"in Paris\"");
    found(folder, url, "kind:prompt \"Where is my order\"");
    found(folder, url, "kind:model_output \"It is in Paris\"");
    serving.stop();
    assert!(!holds(folder, b"sk-key-of-the-client"), "the key was kept");
}

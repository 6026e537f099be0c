//! What the pages about recording tell a reader to type is run.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::receiver::Receiver;
use crate::wire::Scripted;

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

//! The server as a process: started, killed, stopped, and what it said.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longer than anything here may take. Whoever waits longer waits for ever.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The program under test: the one that was built with this test, or another build of it.
fn binary() -> OsString {
    std::env::var_os("WHENCE_CRASH_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_whence").into())
}

/// A data directory, and how its server is started.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) data: PathBuf,
    /// The folder of the head files, if it is outside the data directory.
    pub(crate) heads: Option<PathBuf>,
    /// A command that runs the server's command line: `strace …` or `sh -c …`.
    pub(crate) wrapper: Vec<String>,
}

/// The server did not come up, or did and was ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
}

/// A server that answers.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    stderr: Arc<Mutex<String>>,
    ended: Receiver<String>,
}

impl Setup {
    pub(crate) fn new(data: &Path) -> Self {
        Self { data: data.to_owned(), heads: None, wrapper: Vec::new() }
    }

    pub(crate) fn wrapped(&self, wrapper: Vec<String>) -> Self {
        Self { wrapper, ..self.clone() }
    }

    /// The command with these arguments, under the wrapper.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let binary = binary();
        let mut command = match self.wrapper.split_first() {
            Some((program, rest)) => {
                let mut command = Command::new(program);
                command.args(rest).arg(binary);
                command
            }
            None => Command::new(binary),
        };
        for name in ["WHENCE_URL", "WHENCE_TOKEN", "WHENCE_LEDGER", "WHENCE_LISTEN", "WHENCE_HEADS"]
        {
            command.env_remove(name);
        }
        command.env("NO_COLOR", "1").args(args).arg("--data").arg(&self.data);
        if let Some(heads) = &self.heads {
            command.arg("--heads").arg(heads);
        }
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Starts the server, and waits until it listens or has ended.
    pub(crate) fn start(&self) -> Result<Server, Ended> {
        self.start_and(|_| {})
    }

    /// Starts the server, does something to its process, and waits until it listens or has ended.
    pub(crate) fn start_and(&self, act: impl FnOnce(&Server)) -> Result<Server, Ended> {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0", "--log", "error"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, ended) = mpsc::channel();
        let stderr = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&stderr);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(url) = line.strip_prefix("listening on ") {
                    drop(sender.send(url.to_owned()));
                }
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        let mut server = Server { child, url: String::new(), stderr, ended };
        act(&server);
        match server.ended.recv_timeout(PATIENCE) {
            Ok(url) => {
                server.url = url;
                Ok(server)
            }
            Err(RecvTimeoutError::Disconnected) => Err(server.wait()),
            Err(RecvTimeoutError::Timeout) => panic!("neither up nor ended: {server:?}"),
        }
    }

    /// `whence verify` of the directory, which has to succeed.
    pub(crate) fn verify(&self, key: &str, since: &[PathBuf]) {
        let mut command = Command::new(binary());
        command.arg("verify").arg(&self.data).args(["--key", key]);
        if let Some(heads) = &self.heads {
            command.arg("--heads").arg(heads);
        }
        for checkpoint in since {
            command.arg("--since").arg(checkpoint);
        }
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "verify: {}\n{stdout}{stderr}", output.status);
    }

    /// The token that may do everything.
    pub(crate) fn token(&self) -> String {
        fs::read_to_string(self.data.join("admin.token")).unwrap().trim_end().to_owned()
    }

    /// Where the head file is.
    pub(crate) fn head(&self) -> PathBuf {
        match &self.heads {
            Some(folder) => folder.join("main.head"),
            None => self.data.join("ledgers/main/head"),
        }
    }
}

impl Server {
    /// Sends a signal to the server itself, not to what it was started under.
    fn signal(&self, signal: Signal) {
        let started = self.child.id();
        // strace runs it as its child; a shell has become it.
        let children = format!("/proc/{started}/task/{started}/children");
        let children = fs::read_to_string(children).unwrap_or_default();
        let child = children.split(' ').next().and_then(|child| child.parse().ok());
        let process = child.unwrap_or(i32::try_from(started).unwrap());
        // It may have ended by itself.
        kill(Pid::from_raw(process), signal).unwrap_or_default();
    }

    /// Ends it as a power cut would, but for what the kernel already has.
    pub(crate) fn kill(self) -> Ended {
        self.signal(Signal::SIGKILL);
        self.wait()
    }

    /// Kills it after a while, from the side.
    pub(crate) fn kill_after(&self, delay: Duration) {
        thread::sleep(delay);
        self.signal(Signal::SIGKILL);
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(self) -> Ended {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits until it has ended.
    fn wait(mut self) -> Ended {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < PATIENCE, "it does not end: {self:?}");
            thread::sleep(Duration::from_millis(2));
        };
        // The channel closes when everything that it said was read.
        while self.ended.recv_timeout(PATIENCE).is_ok() {}
        let stderr = self.stderr.lock().unwrap().clone();
        Ended { status, stderr }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::SIGKILL);
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &to);
        } else {
            fs::copy(file.path(), to).unwrap();
        }
    }
}

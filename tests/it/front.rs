//! A proxy over HTTP that runs beside a test, and what it must never keep.

use std::fs;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use whence::proxy::{Error, Outlet, Teller};

use crate::mcp::outlet;
use crate::receiver::Receiver;

/// Comes when the proxy is to stop.
pub(crate) type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(crate) struct Front {
    pub(crate) url: String,
    stop: oneshot::Sender<()>,
    served: std::thread::JoinHandle<()>,
    outlet: Outlet,
    spool: TempDir,
}

impl Front {
    /// Runs a proxy that tells the receiver.
    pub(crate) fn start<S, F>(receiver: &Receiver, serve: S) -> Self
    where
        S: FnOnce(TcpListener, Teller, Stop) -> F + Send + 'static,
        F: Future<Output = Result<(), Error>>,
    {
        let spool = tempfile::tempdir().unwrap();
        let outlet = outlet(&receiver.url, spool.path(), 1 << 26);
        let teller = outlet.teller();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let served = std::thread::spawn(move || {
            let runtime = Runtime::new().unwrap();
            runtime.block_on(async {
                listener.set_nonblocking(true).unwrap();
                let listener = TcpListener::from_std(listener).unwrap();
                let stopped: Stop = Box::pin(async { drop(stopped.await) });
                serve(listener, teller, stopped).await.unwrap();
            });
            runtime.shutdown_background();
        });
        Self { url, stop, served, outlet, spool }
    }

    /// Stops it, and waits until all is told.
    pub(crate) fn end(self) -> TempDir {
        self.stop.send(()).unwrap();
        self.served.join().unwrap();
        self.outlet.close(Duration::from_secs(10));
        self.spool
    }
}

/// Whether a secret was told, or is in a file below a folder.
pub(crate) fn keeps(receiver: &Receiver, folder: &Path, secret: &str) -> bool {
    let told = receiver.posted("");
    told.iter().any(|posted| has(&posted.body, secret.as_bytes()))
        || holds(folder, secret.as_bytes())
}

/// Whether a file below a folder holds these bytes.
pub(crate) fn holds(folder: &Path, secret: &[u8]) -> bool {
    files(folder).iter().any(|bytes| has(bytes, secret))
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// What all files below a folder hold.
fn files(folder: &Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(fs::read(path).unwrap());
        }
    }
    found
}

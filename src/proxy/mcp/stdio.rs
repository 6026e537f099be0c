//! The proxy between a client and a server that it talks to over standard input and output.
//!
//! Two threads pass bytes on, one in each direction, as they come. With enforcement the one towards the
//! server holds each line until the log has decided about it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use hyper::body::Bytes;
use tokio::runtime::Handle;

use super::Gateway;
use super::copy::Framing;
use super::dialogue::Place;
use super::enforce::{self, Verdict};
use super::message::{Direction, MESSAGE_BYTES_MAX};
use super::watcher::{Tap, Watcher};
use crate::proxy::error::Error;
use crate::proxy::outlet::Teller;

/// Bytes that pass at once.
const PIECE_BYTES: usize = 64 * 1024;

/// The four ends of the two directions.
pub struct Ends {
    /// What the client writes.
    pub from_client: Box<dyn Read + Send>,
    /// What the client reads.
    pub to_client: Box<dyn Write + Send>,
    /// What the server writes.
    pub from_server: Box<dyn Read + Send>,
    /// What the server reads. It is closed when the client closes its end.
    pub to_server: Box<dyn Write + Send>,
}

/// A proxy that runs.
#[derive(Debug)]
pub struct Relay {
    watcher: Watcher,
    to_client: JoinHandle<()>,
}

impl Relay {
    /// Starts to pass on. `runtime` is where the log is asked, if it is.
    pub fn start(
        gateway: Gateway,
        teller: &Teller,
        ends: Ends,
        runtime: Handle,
    ) -> Result<Self, Error> {
        let watcher = gateway.watch(teller)?;
        let started = |_: &str| Error::of("a thread cannot be started");
        let place = |direction| Place { direction, exchange: None, transport: None };
        let client = Arc::new(Mutex::new(Client {
            out: ends.to_client,
            answers: Vec::new(),
            mid_line: false,
        }));

        let (tap, out) = (watcher.tap(), Arc::clone(&client));
        let mut from = ends.from_server;
        let run = move || {
            let stream = tap.open(Framing::Lines, place(Direction::ToClient));
            pass(&mut from, &mut |bytes| {
                tap.bytes(stream, Bytes::copy_from_slice(bytes));
                lock(&out).pass(bytes)
            });
            tap.end(stream);
        };
        let thread = std::thread::Builder::new().name("whence-to-client".to_owned());
        let to_client = thread.spawn(run).map_err(started(""))?;

        let tap = watcher.tap();
        let (mut from, mut to) = (ends.from_client, ends.to_server);
        let run = move || {
            let place = place(Direction::ToServer);
            let stream = tap.open(Framing::Lines, place.clone());
            if gateway.enforce {
                let guard = Guard { gateway, tap: tap.clone(), place, stream, client, runtime };
                guard.run(from, &mut to);
            } else {
                pass(&mut from, &mut |bytes| {
                    tap.bytes(stream, Bytes::copy_from_slice(bytes));
                    to.write_all(bytes).and_then(|()| to.flush())
                });
            }
            tap.end(stream);
        };
        let thread = std::thread::Builder::new().name("whence-to-server".to_owned());
        // It may wait for the client for ever, so nobody waits for it.
        drop(thread.spawn(run).map_err(started(""))?);
        Ok(Self { watcher, to_client })
    }

    /// Whether everything that the server wrote has passed.
    pub fn is_over(&self) -> bool {
        self.to_client.is_finished()
    }

    /// Reads what is left of the copy, and tells what was never answered.
    pub fn close(self) {
        self.watcher.close();
    }
}

/// Passes bytes on until there are none, or nobody takes them.
fn pass(from: &mut dyn Read, to: &mut dyn FnMut(&[u8]) -> io::Result<()>) {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return,
            Ok(count) => {
                let passed = piece.get(..count).map_or(Ok(()), &mut *to);
                if passed.is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// What the client reads: what the server writes, and between its lines answers of our own.
struct Client {
    out: Box<dyn Write + Send>,
    /// Answers that wait for the end of a line.
    answers: Vec<u8>,
    mid_line: bool,
}

impl Client {
    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        let line = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let (end, rest) =
            if self.answers.is_empty() { (bytes, [].as_slice()) } else { bytes.split_at(line) };
        self.out.write_all(end)?;
        if !end.is_empty() {
            self.mid_line = !end.ends_with(b"\n");
        }
        if !rest.is_empty() {
            self.answers()?;
            self.out.write_all(rest)?;
            self.mid_line = !rest.ends_with(b"\n");
        }
        self.answers()?;
        self.out.flush()
    }

    fn answer(&mut self, text: &str) -> io::Result<()> {
        if !text.is_empty() {
            self.answers.extend_from_slice(text.as_bytes());
            self.answers.push(b'\n');
        }
        self.answers()?;
        self.out.flush()
    }

    fn answers(&mut self) -> io::Result<()> {
        if !self.mid_line && !self.answers.is_empty() {
            self.out.write_all(&std::mem::take(&mut self.answers))?;
        }
        Ok(())
    }
}

fn lock(client: &Mutex<Client>) -> std::sync::MutexGuard<'_, Client> {
    client.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets lines through to the server one by one.
struct Guard {
    gateway: Gateway,
    tap: Tap,
    place: Place,
    stream: u64,
    client: Arc<Mutex<Client>>,
    runtime: Handle,
}

impl Guard {
    fn run(&self, from: Box<dyn Read + Send>, to: &mut dyn Write) {
        let mut from = BufReader::with_capacity(PIECE_BYTES, from);
        loop {
            match line(&mut from) {
                Ok(Some(Line::Whole(line))) => {
                    if self.let_through(&line, to).is_err() {
                        return;
                    }
                }
                Ok(Some(Line::TooLong)) => {
                    if lock(&self.client).answer(&enforce::too_large()).is_err() {
                        return;
                    }
                }
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn let_through(&self, line: &[u8], to: &mut dyn Write) -> io::Result<()> {
        let decision = enforce::decide(&self.gateway, &self.tap, &self.place, line);
        match self.runtime.block_on(decision) {
            Verdict::Pass => {
                self.tap.bytes(self.stream, Bytes::copy_from_slice(line));
                to.write_all(line)?;
                to.flush()
            }
            Verdict::Refuse(answer) => lock(&self.client).answer(&answer),
        }
    }
}

/// A line with its end.
enum Line {
    Whole(Vec<u8>),
    /// It was too long to hold, and is gone.
    TooLong,
}

fn line(from: &mut impl BufRead) -> io::Result<Option<Line>> {
    let (mut line, mut too_long) = (Vec::new(), false);
    loop {
        let bytes = match from.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = bytes.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
        let piece = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        too_long |= line.len() + piece.len() > MESSAGE_BYTES_MAX;
        if too_long {
            line = Vec::new();
        } else {
            line.extend_from_slice(piece);
        }
        let (used, over) = (piece.len(), bytes.is_empty());
        from.consume(used);
        if end.is_some() || over {
            return Ok(match (too_long, over && line.is_empty()) {
                (true, _) => Some(Line::TooLong),
                (false, true) => None,
                (false, false) => Some(Line::Whole(line)),
            });
        }
    }
}

//! Connections: how many there may be, how long one may lie idle, and how it ends.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready as ready_or_return};
use std::time::Duration;

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a connection may go without a byte in either direction. Longer than a request may take.
const IDLE_MAX: Duration = Duration::from_secs(75);
/// How long a connection that was closed is read on, and how many bytes. Closing it with bytes unread
/// would reset it, and the client would lose the answer that says why it was closed.
const LINGER_MAX: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// The most connections: a file for each, and as many again for the ledgers.
const CONNECTIONS_MAX: usize = 8_192;
/// Files that are kept for the ledgers, the log and the listener, whatever clients do.
const FILES_RESERVED: usize = 128;

/// Raises the number of files that the process may open as far as it is allowed to, and says how many
/// connections that leaves room for.
///
/// A commit opens files. If connections could take the last one, a client that needs no token could
/// halt a ledger.
pub(super) fn connections_max() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let files = current.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX);
    (files.saturating_sub(FILES_RESERVED) / 2).clamp(16, CONNECTIONS_MAX)
}

/// Lets connections in, up to a limit. Those beyond it are closed at once.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    room: Arc<Semaphore>,
}

impl Gate {
    pub(super) fn new(connections: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(connections)) }
    }

    fn admit(&self, stream: TcpStream) -> io::Result<Connection> {
        let room = Arc::clone(&self.room).try_acquire_owned();
        let room = room.map_err(|_| io::Error::other("there are too many connections"))?;
        stream.set_nodelay(true)?;
        let now = Instant::now();
        Ok(Connection {
            stream,
            moved: now,
            timer: Box::pin(sleep_until(now + IDLE_MAX)),
            lingering: None,
            _room: room,
        })
    }
}

impl<S> Accept<TcpStream, S> for Gate {
    type Stream = Connection;
    type Service = S;
    type Future = Ready<io::Result<(Connection, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        ready(self.admit(stream).map(|connection| (connection, service)))
    }
}

/// A connection that was let in.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// When the last byte moved.
    moved: Instant,
    timer: Pin<Box<Sleep>>,
    /// Once it is closed on our side: how many more bytes are read from it.
    lingering: Option<usize>,
    _room: OwnedSemaphorePermit,
}

impl Connection {
    /// Notes that bytes moved, or fails when none did for too long.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        moved: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            self.moved = Instant::now();
            return moved;
        }
        // Moving bytes does not touch the timer: it looks when it fires.
        while self.timer.as_mut().poll(cx).is_ready() {
            let end = self.moved + IDLE_MAX;
            if end <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.timer.as_mut().reset(end);
        }
        Poll::Pending
    }

    /// Reads what the client still sends, to no purpose but that it gets the answer.
    fn linger(&mut self, cx: &mut Context<'_>, mut left: usize) -> Poll<()> {
        let mut scratch = [0; 16 * 1024];
        while left > 0 && self.timer.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = Pin::new(&mut self.stream).poll_read(cx, &mut buffer);
            self.lingering = Some(left);
            match ready_or_return!(read) {
                Ok(()) if !buffer.filled().is_empty() => {
                    left = left.saturating_sub(buffer.filled().len());
                }
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.watch(cx, read)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let left = if let Some(left) = self.lingering {
            left
        } else {
            ready_or_return!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.timer.as_mut().reset(Instant::now() + LINGER_MAX);
            self.lingering = Some(LINGER_BYTES_MAX);
            LINGER_BYTES_MAX
        };
        ready_or_return!(self.linger(cx, left));
        Poll::Ready(Ok(()))
    }
}

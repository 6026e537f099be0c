//! MCP: between a client and a server that offers tools, over stdio ([`stdio`]) or HTTP ([`http`]).

mod call;
mod catalog;
mod copy;
mod dialogue;
mod enforce;
pub mod http;
mod message;
mod rounds;
mod sampling;
mod skim;
pub mod stdio;
mod watcher;

use std::sync::Arc;

use super::client::Log;
use super::error::Error;
use super::machine::{Ids, Machine, timestamp};
use super::outlet::Teller;
use super::who::Who;
use dialogue::Dialogue;
use watcher::Watcher;

/// What a proxy in front of an MCP server knows beforehand.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Who is accountable for what passes.
    pub who: Who,
    /// The program's name in the log.
    pub producer: String,
    /// The server's name.
    pub server: String,
    /// Whether that is what the one who runs the proxy calls it. If not, what it calls itself counts.
    pub named: bool,
    /// Whether the log is asked before a call is passed on.
    pub enforce: bool,
    /// The log that is asked.
    pub log: Log,
    /// The machine.
    pub machine: Arc<dyn Machine>,
    /// Where ids come from.
    pub ids: Arc<Ids>,
}

impl Gateway {
    /// Starts to read what passes.
    fn watch(&self, teller: &Teller) -> Result<Watcher, Error> {
        let server = (self.server.clone(), self.named);
        let ids = Arc::clone(&self.ids);
        let dialogue = Dialogue::new(teller.clone(), ids, self.who.attributes(), server);
        Watcher::start(dialogue, teller.clone(), Arc::clone(&self.machine))
    }

    fn now(&self) -> String {
        timestamp(self.machine.now_ns())
    }
}

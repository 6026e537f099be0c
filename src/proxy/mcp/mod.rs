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

use std::sync::{Arc, Mutex, PoisonError};

use super::client::Log;
use super::error::Error;
use super::machine::{Ids, Machine, timestamp};
use super::outlet::Teller;
use super::who::Who;
use crate::record::limits::NAME_BYTES_MAX;
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
    pub server: ServerName,
    /// Whether the log is asked before a call is passed on.
    pub enforce: bool,
    /// The log that is asked.
    pub log: Log,
    /// The machine.
    pub machine: Arc<dyn Machine>,
    /// Where ids come from.
    pub ids: Arc<Ids>,
}

/// What a server is called. Clones are told together what it calls itself.
#[derive(Clone, Debug)]
pub struct ServerName {
    name: Arc<Mutex<String>>,
    given: bool,
}

impl ServerName {
    /// The name that the one who runs the proxy gave it, which counts whatever it calls itself.
    pub fn given(name: &str) -> Self {
        Self { name: Arc::new(Mutex::new(name.to_owned())), given: true }
    }

    /// A name until it has said what it calls itself.
    pub fn until_known(name: &str) -> Self {
        Self { given: false, ..Self::given(name) }
    }

    fn get(&self) -> String {
        self.name.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn introduce(&self, name: &str) {
        if !self.given && (1..=NAME_BYTES_MAX).contains(&name.len()) {
            let mut own = self.name.lock().unwrap_or_else(PoisonError::into_inner);
            name.clone_into(&mut own);
        }
    }
}

impl Gateway {
    /// Starts to read what passes.
    fn watch(&self, teller: &Teller) -> Result<Watcher, Error> {
        let ids = Arc::clone(&self.ids);
        let dialogue =
            Dialogue::new(teller.clone(), ids, self.who.attributes(), self.server.clone());
        Watcher::start(dialogue, teller.clone(), Arc::clone(&self.machine))
    }

    fn now(&self) -> String {
        timestamp(self.machine.now_ns())
    }
}

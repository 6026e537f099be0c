//! `whence gateway`: records what passes between an agent and a model's API.

use std::sync::Arc;

use clap::{Args as ClapArgs, ValueEnum};

use super::config::{Config, Layers};
use super::output::Output;
use super::recording::{self, Identity, Recording, Spooling};
use super::serve;
use crate::proxy::gateway::{self, Speaks};

/// Who observes.
const OBSERVED_BY: &str = "llm_gateway";
/// The name of the program in the log.
const PRODUCER: &str = "whence-gateway";
/// Where it listens, if nothing else is said.
const PORT: u16 = 7119;

#[derive(Debug, ClapArgs)]
pub(super) struct Gateway {
    /// The API's URL, before /v1 [--listen default: 127.0.0.1:7119]
    #[arg(long, value_name = "URL")]
    upstream: String,
    /// Which requests to record: those of one API, or of whichever the path names
    #[arg(long, value_name = "API", default_value = "auto")]
    api: Api,
    /// Users, sessions, agents and grants of requests that have no whence- headers
    #[command(flatten)]
    identity: Identity,
    #[command(flatten)]
    spooling: Spooling,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Api {
    Auto,
    Openai,
    Anthropic,
}

/// Stands in front of an API until it is told to stop.
pub(super) fn gateway(
    config: &Config,
    layers: &Layers,
    args: &Gateway,
    output: Output,
) -> anyhow::Result<()> {
    serve::log(config)?;
    let who = args.identity.who();
    if who.user.is_some() && who.agent.is_some() {
        recording::check(&who, OBSERVED_BY)?;
    }
    let listener = recording::listen(layers, PORT)?;
    let names = (OBSERVED_BY, PRODUCER);
    let recording = Recording::start(config, who, &args.spooling, names, output)?;
    let gateway = gateway::Gateway {
        who: recording.who.clone(),
        speaks: match args.api {
            Api::Auto => Speaks::Any,
            Api::Openai => Speaks::OpenAi,
            Api::Anthropic => Speaks::Anthropic,
        },
        machine: Arc::clone(&recording.machine),
        ids: Arc::clone(&recording.ids),
    };
    let teller = recording.outlet.teller();
    let served = recording::until_stopped(listener, output, |listener, stop| async move {
        gateway::serve(gateway, &teller, (listener, &args.upstream), stop).await
    });
    recording.close();
    served
}

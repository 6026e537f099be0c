//! Sessions put into words: records as they are posted.

use std::io::Write;

use whence::record::Timestamp;

use crate::plan::{Plan, Step, What, mixed};
use crate::words::Chance;
use crate::world::{self, MODELS, World};

/// When the first sessions were, in seconds since 1970: 2026-10-25.
const BEGUN: u64 = 1_792_886_400;
/// Over how long sessions are spread.
const SPREAD_SECONDS: u64 = 30 * 86_400;
/// Tells the texts of documents from those of sessions.
const DOCUMENT_SEED: u64 = 0xd0c5;

/// A session that is being told.
#[derive(Debug)]
pub(crate) struct Session {
    number: u64,
    pub(crate) plan: Plan,
    next: usize,
    begun: u64,
    user: String,
    agent: String,
    chance: Chance,
}

/// The id of a session.
pub(crate) fn session_id(run: &str, session: u64) -> String {
    format!("s-{run}-{session:07}")
}

/// The id of a record, by its number in its session.
pub(crate) fn record_id(run: &str, session: u64, number: usize) -> String {
    format!("r-{run}-{session:07}-{number:03}")
}

impl Session {
    pub(crate) fn new(world: &World, seed: u64, number: u64) -> Self {
        let plan = Plan::new(world, seed, number);
        let mut chance = mixed(!seed, number);
        let begun = BEGUN + chance.below(SPREAD_SECONDS);
        let (user, agent) = (world::user(plan.user), world::agent(plan.agent));
        Self { number, plan, next: 0, begun, user, agent, chance }
    }

    /// Writes the next record and a newline, if there is one.
    pub(crate) fn append(&mut self, to: &mut Vec<u8>, world: &World, run: &str) -> bool {
        let Some(step) = self.plan.steps.get(self.next).copied() else { return false };
        to.extend_from_slice(b"{");
        self.causes(to, step, run);
        self.told(to, step, world, run);
        self.context(to, step, run);
        to.extend_from_slice(b"}\n");
        self.next += 1;
        true
    }

    fn causes(&self, to: &mut Vec<u8>, step: Step, run: &str) {
        let (one, other) = match step.what {
            What::Outcome => ("triggered_by", "completes"),
            _ => ("triggered_by", "informed_by"),
        };
        let causes = [(step.trigger, one), (step.other, other)];
        let mut between = "\"causes\":[";
        for (cause, rel) in causes.into_iter().filter_map(|(cause, rel)| Some((cause?, rel))) {
            let id = record_id(run, self.number, cause);
            write!(to, r#"{between}{{"id":"{id}","rel":"{rel}"}}"#).unwrap();
            between = ",";
        }
        if between == "," {
            to.extend_from_slice(b"],");
        }
    }

    /// Who, where and when.
    fn context(&mut self, to: &mut Vec<u8>, step: Step, run: &str) {
        let (observer, producer) = match step.what {
            What::Orphan => ("egress_proxy", "proxy"),
            _ => ("agent_process", "runtime"),
        };
        let id = record_id(run, self.number, self.next);
        let session = session_id(run, self.number);
        let seconds = self.begun + 3 * u64::try_from(self.next).unwrap();
        let nanos = seconds * 1_000_000_000 + self.chance.below(1_000) * 1_000_000;
        let time = Timestamp::from_unix_nanos(nanos.into()).unwrap();
        let env = if self.number.is_multiple_of(11) { "test" } else { "prod" };
        write!(
            to,
            r#""agent":{{"id":"{}","version":"1.{}.0"}},"delegation":"grant-{run}-{:07}","id":"{id}","labels":{{"env":"{env}","team":"team-{}"}},"occurred_at":"{time}","session":{{"id":"{session}"}},"source":{{"observed_by":"{observer}","producer":"{producer}-{}"}},"user":{{"id":"{}","type":"human"}}"#,
            self.agent,
            self.number % 7,
            self.number,
            self.plan.agent % 12,
            self.number % 40,
            self.user,
        )
        .unwrap();
    }

    /// The kind, the data and the content.
    fn told(&mut self, to: &mut Vec<u8>, step: Step, world: &World, run: &str) {
        let chance = &mut self.chance;
        match step.what {
            What::Start => to.extend_from_slice(
                br#""kind":"session_start","data":{"auth":{"issuer":"https://idp.example","method":"sso"},"expires_at":"2027-01-01T00:00:00Z"},"#,
            ),
            What::Grant => write!(
                to,
                r#""kind":"delegation_grant","data":{{"audience":["https://api.example"],"credential":{{"id":"jti-{:07}","type":"jwt"}},"delegate":"{}","delegation":"grant-{run}-{:07}","expires_at":"2027-01-01T00:00:00Z","issued_at":"2026-10-25T00:00:00Z","issuer":"https://idp.example","lifetime_basis":"grant","scopes":["act"],"subject":"{}"}},"#,
                self.number, self.agent, self.number, self.user
            )
            .unwrap(),
            What::Prompt => {
                to.extend_from_slice(br#""kind":"prompt","data":{"channel":"chat","role":"user"},"content":{"text":""#);
                let words = 20 + skewed(chance, 180);
                world.text(to, chance, words);
                if chance.below(8) == 0 {
                    write!(to, " Invoice INV-{:07}.", chance.below(10_000_000)).unwrap();
                }
                to.extend_from_slice(b"\"},");
            }
            What::Retrieval => retrieval(to, chance, world),
            What::Output => {
                write!(
                    to,
                    r#""kind":"model_output","data":{{"finish_reasons":["stop"],"model":{{"provider":"example","requested":"{}"}},"usage":{{"input_tokens":{},"output_tokens":{}}}}},"content":{{"text":""#,
                    MODELS[self.plan.model],
                    200 + chance.below(8_000),
                    20 + chance.below(400)
                )
                .unwrap();
                let words = 10 + skewed(chance, 150);
                world.text(to, chance, words);
                to.extend_from_slice(b"\"},");
            }
            What::Invocation => invocation(to, chance, world),
            What::Call | What::Orphan => call(to, chance, world),
            What::Outcome => {
                let status = if chance.below(25) == 0 { "error" } else { "success" };
                write!(
                    to,
                    r#""kind":"tool_result","data":{{"duration_ms":{},"status":"{status}"}},"content":{{"result":{{"items":{},"message":""#,
                    chance.below(2_000),
                    chance.below(40)
                )
                .unwrap();
                let words = 8 + skewed(chance, 80);
                world.text(to, chance, words);
                to.extend_from_slice(b"\"}},");
            }
        }
    }
}

/// A number up to a bound, small ones more often.
fn skewed(chance: &mut Chance, bound: u64) -> u64 {
    let bound = chance.below(bound) + 1;
    chance.below(bound)
}

fn invocation(to: &mut Vec<u8>, chance: &mut Chance, world: &World) {
    let tool = world::tool(world.tools.draw(chance));
    write!(
        to,
        r#""kind":"tool_invocation","data":{{"call_id":"call_{:010x}","effect":"external","tool":"{tool}"}},"content":{{"arguments":{{"amount":{}.{:02},"currency":"EUR","to":"DE{:020}","memo":""#,
        chance.below(1 << 40),
        1 + skewed(chance, 100_000),
        1 + chance.below(99),
        chance.below(1 << 47),
    )
    .unwrap();
    let words = 4 + skewed(chance, 30);
    world.text(to, chance, words);
    write!(to, r#"","options":{{"notify":true,"retries":{}}}}}}},"#, chance.below(5)).unwrap();
}

fn call(to: &mut Vec<u8>, chance: &mut Chance, world: &World) {
    let host = world::host(world.hosts.draw(chance));
    let (method, status) = match chance.below(20) {
        0..12 => ("GET", 200),
        12..17 => ("POST", 201),
        17 => ("DELETE", 204),
        18 => ("POST", 409),
        _ => ("GET", 503),
    };
    let thing = world::thing(usize::try_from(chance.below(10)).unwrap());
    write!(
        to,
        r#""kind":"api_call","data":{{"method":"{method}","status_code":{status},"upstream_request_id":"req-{:012x}","url":"https://{host}/v2/{thing}s/{}"}},"content":{{"request_body":{{"amount":{},"note":""#,
        chance.below(1 << 47),
        chance.below(100_000),
        skewed(chance, 100_000),
    )
    .unwrap();
    let words = 3 + skewed(chance, 20);
    world.text(to, chance, words);
    write!(
        to,
        r#""}},"response_body":{{"id":"{thing}-{:08}","status":"done"}}}},"#,
        chance.below(100_000_000)
    )
    .unwrap();
}

/// Documents, each with the text that it has in every session.
fn retrieval(to: &mut Vec<u8>, chance: &mut Chance, world: &World) {
    let mut documents: Vec<_> =
        (0..=chance.below(3)).map(|_| world.documents.draw(chance)).collect();
    documents.dedup();
    to.extend_from_slice(br#""kind":"retrieval","data":{"documents":["#);
    for (index, document) in documents.iter().enumerate() {
        let between = if index > 0 { "," } else { "" };
        write!(to, r#"{between}{{"id":"doc-{document:06}"}}"#).unwrap();
    }
    to.extend_from_slice(br#"],"source":"kb","top_k":3,"trust":"external"},"content":{"query":""#);
    let words = 3 + chance.below(8);
    world.text(to, chance, words);
    for (index, document) in documents.iter().enumerate() {
        write!(to, r#"","document_{index}":""#).unwrap();
        let text = &mut mixed(DOCUMENT_SEED, u64::try_from(*document).unwrap());
        let words = 40 + skewed(text, 160);
        world.text(to, text, words);
    }
    to.extend_from_slice(b"\"},");
}

//! The addresses of one engine's nodes, and which of them owns the journal: any node says so
//! (`GetNetwork`, the one call that is known here).
//!
//! An owner that a standby names is believed only as far as it is one of these addresses: a token
//! goes nowhere else.

use super::ConnectError;
use super::misfit;
use super::node::Node;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tallystick_proto::v1::vouchers_client::VouchersClient;
use tallystick_proto::v1::{GetNetworkRequest, Network};
use tokio::time::{Instant, timeout_at};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// How a standby names the owner in what it refuses.
pub(super) const OWNER: &str = "tallystick-owner";
/// How long an owner is looked for while others stand by: a takeover takes some seconds.
pub(super) const OWNER_WAIT: Duration = Duration::from_secs(20);
/// How long it is looked for where nobody answers at all, and one of them did within the last
/// [`SEEN_LATELY`]: a standby that becomes the owner opens its doors anew.
const DOORS_WAIT: Duration = Duration::from_secs(8);
const SEEN_LATELY: Duration = Duration::from_secs(60);
/// How long one address may take to say what it is, at first; twice that in the next round, and so
/// on up to the second figure. One that accepts and never answers holds up the others no longer.
const ASK_WAIT: Duration = Duration::from_secs(2);
const ASK_WAIT_MAX: Duration = Duration::from_secs(8);
/// Pauses before the next round, or the next try of a call; the last one again and again.
const PAUSES_MS: [u64; 5] = [50, 100, 200, 500, 1_000];

/// The pause before this try: none before the first.
pub(super) fn pause(tries: usize) -> Duration {
    let Some(last) = tries.checked_sub(1) else { return Duration::ZERO };
    Duration::from_millis(PAUSES_MS[last.min(PAUSES_MS.len() - 1)])
}

/// One address, or several of one engine.
pub(super) struct Nodes {
    all: Box<[Node]>,
    /// Where the next search begins: at the owner that was found last, or behind one that failed.
    next: AtomicUsize,
    /// The network that the first of them named.
    network: OnceLock<Bytes>,
    /// When one of them owned or stood by last.
    seen: Mutex<Option<Instant>>,
}

/// A node, by its place among them, and a connection to it.
pub(super) type Open = (usize, Channel);

/// What a round over all addresses brought, when none of them is the owner.
struct Said {
    /// What each said, or why it said nothing.
    words: Vec<String>,
    hope: Hope,
    /// An owner that is not one of these addresses, as long as no standby names one that is.
    outside: Option<String>,
    names_inside: bool,
}

/// Why no owner is found.
pub(super) struct NotFound {
    pub why: ConnectError,
    /// There was no time to ask once more.
    pub is_late: bool,
}

/// What an address said.
enum Answer {
    Owns(Channel),
    StandsBy {
        owner: String,
    },
    /// Nothing of use.
    Nothing {
        words: String,
        hope: Hope,
    },
}

/// Whether an address may be of use another time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hope {
    /// Not until somebody changes something.
    None,
    /// It may come back: nobody answers there.
    Later,
    /// It stands by, or is starting or stopping: there may be an owner in a moment.
    Soon,
}

impl Nodes {
    pub fn new(all: Vec<Node>) -> Self {
        let all = match all.len() {
            1 => all,
            _ => all.into_iter().map(Node::watched).collect(),
        };
        Self {
            all: all.into(),
            next: AtomicUsize::new(0),
            network: OnceLock::new(),
            seen: Mutex::default(),
        }
    }

    /// The one that is alone, if it is.
    pub fn alone(&self) -> Option<&Node> {
        match &*self.all {
            [alone] => Some(alone),
            _ => None,
        }
    }

    /// This one did not do: the next search begins at the owner that it named, else behind it.
    /// Somebody else may have found another one meanwhile: then it begins there.
    pub fn leave(&self, place: usize, owner: Option<&str>) {
        let behind = (place + 1) % self.all.len();
        let next = owner.and_then(|owner| self.place_of(owner)).unwrap_or(behind);
        let (is, was) = (Ordering::Relaxed, Ordering::Relaxed);
        let _moved = self.next.compare_exchange(place, next, is, was);
    }

    fn place_of(&self, owner: &str) -> Option<usize> {
        self.all.iter().position(|node| node.address().is_named(owner))
    }

    /// Finds the owner, until then: while one stands by there is a next round, after a pause. So
    /// too where it names an owner outside of the list: for some seconds that may be a dead one,
    /// and the next is one of these.
    ///
    /// # Errors
    /// `NoOwner`, with what each of them said.
    pub async fn owner(&self, until: Instant) -> Result<Open, NotFound> {
        let (mut within, mut tries) = (ASK_WAIT, 0);
        let mut before: Option<Said> = None;
        let doors = Instant::now() + DOORS_WAIT;
        loop {
            let said = match self.round(within, until).await {
                Ok(found) => return Ok(found),
                Err(said) => said,
            };
            // A round that was cut short says less than the one before.
            let said = before.take().filter(|_| Instant::now() >= until).unwrap_or(said);
            tries += 1;
            let next = Instant::now() + pause(tries);
            let is_late = next >= until;
            let is_hopeless = match said.hope {
                Hope::None => true,
                Hope::Later => next >= doors || !self.was_seen_lately(),
                Hope::Soon => false,
            };
            if is_hopeless || is_late {
                return Err(NotFound { is_late, why: said.into() });
            }
            before = Some(said);
            tokio::time::sleep_until(next).await;
            within = (within * 2).min(ASK_WAIT_MAX);
        }
    }

    /// Asks each once, the one that is named as the owner next.
    async fn round(&self, within: Duration, until: Instant) -> Result<Open, Said> {
        let (count, first) = (self.all.len(), self.next.load(Ordering::Relaxed));
        let mut waiting: VecDeque<usize> = (0..count).map(|n| (first + n) % count).collect();
        let mut said =
            Said { words: Vec::new(), hope: Hope::None, outside: None, names_inside: false };
        while let Some(place) = waiting.pop_front() {
            let node = &self.all[place];
            let url = node.url();
            let words = match self.ask(node, (Instant::now() + within).min(until)).await {
                Answer::Owns(channel) => {
                    self.next.store(place, Ordering::Relaxed);
                    return Ok((place, channel));
                }
                Answer::StandsBy { owner } if owner.is_empty() => {
                    said.hope = Hope::Soon;
                    format!("{url} stands by and knows of no owner at the moment")
                }
                Answer::StandsBy { owner } => {
                    said.hope = Hope::Soon;
                    match self.place_of(&owner) {
                        None => said.outside = Some(owner.clone()),
                        Some(named) => {
                            said.names_inside = true;
                            if waiting.contains(&named) {
                                waiting.retain(|place| *place != named);
                                waiting.push_front(named);
                            }
                        }
                    }
                    format!("{url} stands by and names {owner} as the owner")
                }
                Answer::Nothing { words, hope } => {
                    said.hope = said.hope.max(hope);
                    words
                }
            };
            said.words.push(words);
        }
        Err(said)
    }

    fn was_seen_lately(&self) -> bool {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.is_some_and(|at| at.elapsed() < SEEN_LATELY)
    }

    fn seen(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    async fn ask(&self, node: &Node, until: Instant) -> Answer {
        let url = node.url();
        let from = Instant::now();
        let Ok(answer) = timeout_at(until, asked(node)).await else {
            let waited = from.elapsed().as_millis();
            let words = format!("{url} does not answer ({waited} ms)");
            return Answer::Nothing { words, hope: Hope::Later };
        };
        match answer {
            Ok((_, network)) if !self.is_of_this_network(&network) => Answer::Nothing {
                words: format!("{url} is an engine of another network"),
                hope: Hope::None,
            },
            Ok((channel, network)) => {
                self.seen();
                match network.standby {
                    true => Answer::StandsBy { owner: network.owner },
                    false => Answer::Owns(channel),
                }
            }
            Err(answer) => answer,
        }
    }

    /// Whether it clears the network that was named first. One that stands by may not know yet.
    fn is_of_this_network(&self, found: &Network) -> bool {
        let id = &found.network_id;
        id.is_empty() || self.network.get_or_init(|| id.clone()) == id
    }
}

/// Connects, and asks.
async fn asked(node: &Node) -> Result<(Channel, Network), Answer> {
    let nothing = |words, hope| Answer::Nothing { words, hope };
    let channel = node.open().await.map_err(|error| match error {
        ConnectError::Unreachable { .. } => nothing(error.to_string(), Hope::Later),
        ConnectError::Input(_)
        | ConnectError::File { .. }
        | ConnectError::Misfit(_)
        | ConnectError::NoOwner { .. } => nothing(error.to_string(), Hope::None),
    })?;
    let answer = VouchersClient::new(channel.clone()).get_network(GetNetworkRequest {}).await;
    let failed = |status: Status| match (node.misfit(), owner_named(&status)) {
        (Some(why), _) => nothing(why, Hope::None),
        // It does not know its network yet.
        (None, Some(owner)) => Answer::StandsBy { owner },
        (None, None) => {
            let hope = match (status.code(), std::error::Error::source(&status)) {
                (Code::Unavailable, None) => Hope::Soon,
                (_, Some(_)) => Hope::Later,
                (_, None) => Hope::None,
            };
            nothing(format!("{} does not say what it is ({})", node.url(), said(&status)), hope)
        }
    };
    Ok((channel, answer.map_err(failed)?.into_inner()))
}

/// The owner that a standby names in its refusal of a call.
pub(super) fn owner_named(status: &Status) -> Option<String> {
    let owner = status.metadata().get(OWNER).filter(|_| status.code() == Code::Unavailable)?;
    owner.to_str().ok().map(str::to_owned)
}

/// What a status says, in words.
fn said(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(cause) => misfit::innermost(cause),
        None if status.message().is_empty() => status.code().description().to_owned(),
        None => status.message().to_owned(),
    }
}

impl From<Said> for ConnectError {
    fn from(said: Said) -> Self {
        let Said { words, hope, outside, names_inside } = said;
        let mut text = words.join("; ");
        if let Some(owner) = outside.filter(|_| !names_inside) {
            text = format!(
                "{text}; {owner} is not among your addresses, so nothing was sent there: add it"
            );
        }
        Self::NoOwner { said: text, is_passing: hope != Hope::None }
    }
}

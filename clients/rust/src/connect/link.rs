//! Where calls go: to the engine at one address, or to the one of several that owns the journal.
//!
//! Of one address it is that connection, and nothing else. Of several: a call that surely did not
//! arrive (there was no connection, or who got it stands by) goes to the owner, whatever it is. One
//! of which nobody knows goes there only if it may arrive twice ([`repeat`]); else its caller is
//! told, and decides. A stream is never begun again here: what was sent on it, its caller knows.

use super::line::NotConnected;
use super::nodes::{Nodes, OWNER_WAIT, Open, owner_named, pause};
use super::repeat;
use super::sending::Sending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response, request};
use tonic::codegen::{BoxFuture, Service, StdError};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// How gRPC calls a call's deadline.
const TIMEOUT: &str = "grpc-timeout";
/// How often one call is made, at most: an engine that changes its owner more often than that is
/// out of order.
const TRIES: usize = 8;

/// The connection to an engine, for the generated clients. Cheap to clone.
#[derive(Clone)]
pub struct Link(Is);

#[derive(Clone)]
enum Is {
    One(Channel),
    Several(Arc<Several>),
}

impl Link {
    /// To one address.
    pub(super) fn to(channel: Channel) -> Self {
        Self(Is::One(channel))
    }

    /// To whoever owns the journal: at the moment this one.
    pub(super) fn among(nodes: Arc<Nodes>, open: Open) -> Self {
        let (known, search) = (Mutex::new(Some(open)), tokio::sync::Mutex::default());
        Self(Is::Several(Arc::new(Several { nodes, known, search })))
    }

    /// What was sent here came to nothing, though the connection did not break: of several
    /// addresses the next search begins behind this one, if nobody has found another one since.
    pub fn leave(&self) {
        if let Is::Several(several) = &self.0 {
            let known = several.known().take();
            if let Some((place, _)) = known {
                several.nodes.leave(place, None);
            }
        }
    }
}

impl Service<Request<Body>> for Link {
    type Response = Response<Body>;
    type Error = StdError;
    type Future = BoxFuture<Response<Body>, StdError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        match &mut self.0 {
            Is::One(channel) => channel.poll_ready(cx).map_err(Into::into),
            Is::Several(_) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match &mut self.0 {
            Is::One(channel) => {
                let answer = channel.call(request);
                Box::pin(async move { Ok(answer.await?) })
            }
            Is::Several(several) => {
                let several = several.clone();
                Box::pin(async move { several.call(request).await })
            }
        }
    }
}

struct Several {
    nodes: Arc<Nodes>,
    /// The owner, as far as is known. Held for moments.
    known: Mutex<Option<Open>>,
    /// Who looks for it holds this, and the others wait, each until its own deadline.
    search: tokio::sync::Mutex<()>,
}

/// What became of a call.
type Answer = Result<Response<Body>, StdError>;

/// What an answer says of whether the call has arrived.
enum Heard {
    /// The owner's word.
    Word,
    /// It did not arrive: there was no connection.
    NotSent,
    /// It did not arrive: who got it stands by, and names this owner.
    StandsBy(String),
    /// Somebody has it who is starting or stopping, or something else is in the way for now.
    Unavailable,
    /// Nobody knows: the connection broke.
    Lost,
}

impl Several {
    /// The owner: the one that is known, or found within what is left to this call's searches, and
    /// before its deadline.
    async fn owner(
        &self,
        left: &mut Duration,
        deadline: Option<Instant>,
    ) -> Result<Open, StdError> {
        let from = Instant::now();
        let until = deadline.map_or(from + *left, |deadline| deadline.min(from + *left));
        let found = self.search(until, deadline == Some(until)).await;
        *left = left.saturating_sub(from.elapsed());
        found
    }

    async fn search(&self, until: Instant, is_deadline: bool) -> Result<Open, StdError> {
        let code = |is_late| match is_late && is_deadline {
            true => Code::DeadlineExceeded,
            false => Code::Unavailable,
        };
        let late = |_| Status::new(code(true), "the engine's owner was not found in time");
        if let Some(open) = &*self.known() {
            return Ok(open.clone());
        }
        let _searching = timeout_at(until, self.search.lock()).await.map_err(late)?;
        if let Some(open) = &*self.known() {
            return Ok(open.clone());
        }
        let found = self.nodes.owner(until).await.map_err(|not_found| {
            let mut status = Status::new(code(not_found.is_late), not_found.why.to_string());
            status.set_source(Arc::new(not_found.why));
            status
        })?;
        Ok(self.known().insert(found).clone())
    }

    fn known(&self) -> MutexGuard<'_, Option<Open>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This one did not do.
    fn leave(&self, place: usize, owner: Option<&str>) {
        let mut known = self.known();
        // Another call may have found the next one already.
        if known.as_ref().is_some_and(|(known, _)| *known == place) {
            *known = None;
            self.nodes.leave(place, owner);
        }
    }

    async fn call(&self, request: Request<Body>) -> Answer {
        let (head, body) = request.into_parts();
        let deadline = deadline(&head.headers).map(|within| Instant::now() + within);
        let mut body = Sending::read(body).await;
        let may_repeat = body.whole().is_some_and(|all| repeat::may_be(head.uri.path(), all));
        // Who said last that it cannot now: twice the same is its answer.
        let mut unable = None;
        // Of one call all searches together.
        let mut left = OWNER_WAIT;
        for tries in 1..=TRIES {
            let (place, channel) = self.owner(&mut left, deadline).await?;
            let Some(sent) = body.next() else { break };
            let answer = send(channel, &head, sent, deadline).await;
            let heard = heard(&answer);
            let is_its_word = match &heard {
                Heard::Word => true,
                Heard::Unavailable => unable.replace(place) == Some(place),
                Heard::NotSent | Heard::StandsBy(_) | Heard::Lost => false,
            };
            match &heard {
                Heard::Word => {}
                Heard::StandsBy(owner) => self.leave(place, Some(owner)),
                Heard::NotSent | Heard::Unavailable | Heard::Lost => self.leave(place, None),
            }
            let surely_not = matches!(heard, Heard::NotSent | Heard::StandsBy(_));
            let may_go_on = body.whole().is_some() && (surely_not || may_repeat);
            let next = Instant::now() + pause(tries);
            let is_late = deadline.is_some_and(|at| next >= at);
            if is_its_word || !may_go_on || is_late || tries == TRIES {
                return answer;
            }
            tokio::time::sleep_until(next).await;
        }
        Err(Status::unavailable("the engine changes its owner again and again").into())
    }
}

async fn send(
    mut channel: Channel,
    head: &request::Parts,
    body: Body,
    deadline: Option<Instant>,
) -> Answer {
    let mut request = Request::from_parts(head.clone(), body);
    if let Some(deadline) = deadline {
        let left = deadline.saturating_duration_since(Instant::now());
        request.headers_mut().insert(TIMEOUT, timeout(left));
    }
    std::future::poll_fn(|cx| channel.poll_ready(cx)).await?;
    Ok(channel.call(request).await?)
}

fn heard(answer: &Answer) -> Heard {
    let headers = match answer {
        Ok(answer) => answer.headers(),
        Err(error) if NotConnected::is_below(&**error) => return Heard::NotSent,
        Err(_) => return Heard::Lost,
    };
    // A refusal has its status in the headers; where there is an answer, it comes behind it.
    match Status::from_header_map(headers) {
        Some(status) if status.code() == Code::Unavailable => {
            owner_named(&status).map_or(Heard::Unavailable, Heard::StandsBy)
        }
        Some(_) | None => Heard::Word,
    }
}

/// How long a call may take, as its caller says: up to 8 digits, and a unit.
fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(TIMEOUT)?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number.saturating_mul(3_600)),
        "M" => Duration::from_secs(number.saturating_mul(60)),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// The same the other way round.
fn timeout(left: Duration) -> HeaderValue {
    const MOST: u128 = 99_999_999;
    let text = match left.as_micros() {
        micros @ 0..=MOST => format!("{micros}u"),
        micros => format!("{}m", (micros / 1_000).min(MOST)),
    };
    HeaderValue::from_str(&text).expect("digits and a letter are a header")
}

#[cfg(test)]
mod tests {
    use super::super::nodes::OWNER;
    use super::*;

    #[test]
    fn a_deadline_travels_as_what_is_left_of_it() {
        let read = |text: &str| {
            deadline(&HeaderMap::from_iter([(
                "grpc-timeout".parse().unwrap(),
                text.parse().unwrap(),
            )]))
        };
        assert_eq!(read("2S"), Some(Duration::from_secs(2)));
        assert_eq!(read("1H"), Some(Duration::from_secs(3_600)));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        for bad in ["", "S", "2", "2x", "-1S"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        for left in [0, 1, 99_999_999, 100_000_000, 7_200_000_000] {
            let left = Duration::from_micros(left);
            let text = timeout(left);
            assert!(text.len() <= 9 && read(text.to_str().unwrap()) == Some(left), "{text:?}");
        }
    }

    #[test]
    fn what_an_answer_tells_of_its_call() {
        let refused = |status: Status| Ok(status.into_http());
        let stands_by = |owner: &str| {
            let mut status = Status::unavailable("stands by");
            status.metadata_mut().insert(OWNER, owner.parse().unwrap());
            status
        };
        let named = heard(&refused(stands_by("b:7450")));
        assert!(matches!(named, Heard::StandsBy(owner) if owner == "b:7450"));
        assert!(matches!(heard(&refused(Status::unavailable("stopping"))), Heard::Unavailable));
        assert!(matches!(heard(&refused(Status::not_found("no"))), Heard::Word));
        assert!(matches!(heard(&Ok(Response::new(Body::empty()))), Heard::Word));
        assert!(matches!(heard(&Err("reset".into())), Heard::Lost));
    }
}

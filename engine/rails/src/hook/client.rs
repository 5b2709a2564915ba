//! Carries one webhook to its receiver, and back what the receiver says.
//!
//! Owns the HTTP client: one connection a request, to an address that was looked up once and
//! checked; no redirects, no proxy, no retries of its own, a bound on time; of an answer only its
//! head is read.

use super::reach::Reach;
use super::roots::Roots;
use super::secret::{Secret, signatures};
use super::target::Target;
use std::io;
use std::time::Duration;
use tallystick_ledger::limits::{HOOK_CONNECT, HOOK_RETRY_AFTER_MAX};
use ureq::Agent;
use ureq::config::{AutoHeaderValue, Config};
use ureq::http::{StatusCode, Uri};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

/// What is sent.
#[derive(Debug, Clone)]
pub struct Message {
    /// Names it: the same however often it is sent.
    pub id: String,
    /// Its JSON.
    pub body: Vec<u8>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Delivered(u16),
    /// It answered with another status: when to come again, where it says so.
    Refused {
        /// Which.
        status: u16,
        /// How long to wait.
        retry_after: Option<Duration>,
    },
    /// There was no answer: why.
    Failed(String),
}

impl Outcome {
    /// Whether the receiver wants nothing any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Refused { status: 410, .. })
    }

    /// What to tell people who look after the receiver.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Delivered(status) => format!("answered {status}"),
            Self::Refused { status, .. } if (300..400).contains(status) => {
                format!("answered {status}: redirects are not followed; name where it leads")
            }
            Self::Refused { status, .. } => format!("answered {status}"),
            Self::Failed(why) => why.clone(),
        }
    }
}

/// Sends webhooks. Any number of threads may share it.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    reach: Reach,
}

impl Client {
    /// A client that goes so far, waits so long, and trusts these authorities. Connects to nothing
    /// yet.
    #[must_use]
    pub fn new(reach: Reach, timeout: Duration, roots: &Roots) -> Self {
        let settings = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(!reach.allow_private)
            .tls_config(roots.tls())
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .max_idle_connections(0)
            .user_agent(AutoHeaderValue::Provided(user_agent().into()))
            .timeout_global(Some(timeout))
            .timeout_resolve(Some(timeout.min(HOOK_CONNECT)))
            .timeout_connect(Some(timeout.min(HOOK_CONNECT)))
            .build();
        let resolver = Checked { reach, resolver: DefaultResolver::default() };
        let agent = Agent::with_parts(settings, DefaultConnector::default(), resolver);
        Self { agent, reach }
    }

    /// How far it goes.
    #[must_use]
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// Sends one message once, signed at this time by these secrets.
    #[must_use]
    pub fn send(
        &self,
        target: &Target,
        message: &Message,
        secrets: &[Secret],
        seconds: i64,
    ) -> Outcome {
        let Message { id, body } = message;
        let sent = self
            .agent
            .post(&target.uri)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", signatures(secrets, id, seconds, body))
            .send(&body[..]);
        // What else the receiver says is not read: the connection closes here.
        match sent {
            Ok(answer) => {
                let after = answer.headers().get("retry-after").and_then(|of| of.to_str().ok());
                judge(answer.status(), after)
            }
            Err(error) => Outcome::Failed(why(&error)),
        }
    }
}

fn judge(status: StatusCode, retry_after: Option<&str>) -> Outcome {
    let after = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    match status.is_success() {
        true => Outcome::Delivered(status.as_u16()),
        false => Outcome::Refused {
            status: status.as_u16(),
            retry_after: after.map(|after| after.min(HOOK_RETRY_AFTER_MAX)),
        },
    }
}

/// In a few words, without anything of what is inside: outsiders read it. The library and the
/// system add kinds of errors as they go.
#[allow(clippy::wildcard_enum_match_arm)]
fn why(error: &ureq::Error) -> String {
    let io = |error: &io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "its address is not public, so nothing is sent there ([webhooks] allow_private)"
        }
        io::ErrorKind::ConnectionRefused => "nobody listens at its address",
        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => {
            "the connection was closed before an answer came"
        }
        io::ErrorKind::TimedOut => "no answer in time",
        io::ErrorKind::InvalidData => "its certificate does not hold, or it speaks no TLS",
        _ => "no connection",
    };
    match error {
        ureq::Error::Timeout(_) => "no answer in time",
        ureq::Error::HostNotFound => "its name is not known",
        ureq::Error::Io(error) => io(error),
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => {
            "its certificate does not hold, or it speaks no TLS"
        }
        ureq::Error::Protocol(_) => "its answer is no HTTP",
        _ => "no connection",
    }
    .to_owned()
}

fn user_agent() -> String {
    format!("tallystick-webhooks/{}", env!("CARGO_PKG_VERSION"))
}

/// Looks a name up once, and gives its addresses only if a request may go to all of them: the
/// connection is made to one of just these.
#[derive(Debug)]
struct Checked {
    reach: Reach,
    resolver: DefaultResolver,
}

impl Resolver for Checked {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        // The system's own words for a name that there is not differ from one system to another.
        let found = self.resolver.resolve(uri, config, timeout);
        if let Err(ureq::Error::Io(_)) = &found {
            return Err(ureq::Error::HostNotFound);
        }
        let found = found?;
        let is_plain = uri.scheme_str() != Some("https");
        match self.reach.may_go_to_all(&found, is_plain) {
            true => Ok(found),
            false => Err(ureq::Error::Io(io::ErrorKind::PermissionDenied.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;
    use zeroize::Zeroizing;

    const OPEN: Reach = Reach { allow_private: true };

    fn client(reach: Reach) -> Client {
        Client::new(reach, Duration::from_secs(20), &Roots::default())
    }

    fn secret() -> Secret {
        Secret::new(Zeroizing::new(vec![7; 32])).unwrap()
    }

    fn message() -> Message {
        Message { id: "msg_1".into(), body: b"{}".to_vec() }
    }

    /// Answers one request, and gives what it heard.
    fn answers(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook?a=b", listener.local_addr().unwrap());
        let heard = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let (mut reader, mut head) = (BufReader::new(&stream), String::new());
            while !head.ends_with("\r\n\r\n") {
                assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
            }
            let mut body = [0; 2];
            reader.read_exact(&mut body).unwrap();
            (&stream).write_all(answer.as_bytes()).unwrap();
            head.to_lowercase()
        });
        (url, heard)
    }

    fn outcome(answer: &'static str) -> (Outcome, String) {
        let (url, heard) = answers(answer);
        let target = Target::read(&url, OPEN).unwrap();
        (client(OPEN).send(&target, &message(), &[secret()], 1_000), heard.join().unwrap())
    }

    #[test]
    fn a_message_leaves_with_its_headers_and_the_status_says_what_came_of_it() {
        let (done, heard) = outcome("HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(done, Outcome::Delivered(204));
        let signed = signatures(&[secret()], "msg_1", 1_000, b"{}");
        for line in [
            "post /hook?a=b http/1.1".to_owned(),
            "webhook-id: msg_1".into(),
            "webhook-timestamp: 1000".into(),
            format!("webhook-signature: {}", signed.to_lowercase()),
            "content-type: application/json".into(),
        ] {
            assert!(heard.lines().any(|found| found == line), "{line} is not in {heard}");
        }
    }

    #[test]
    fn anything_but_a_2xx_is_a_failure_and_a_redirect_is_not_followed() {
        let refused = |status, retry_after| Outcome::Refused { status, retry_after };
        let moved =
            "HTTP/1.1 307 See\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(outcome(moved).0, refused(307, None));
        let later = "HTTP/1.1 503 Later\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(outcome(later).0, refused(503, Some(Duration::from_secs(7))));
        let much = "HTTP/1.1 429 Much\r\nretry-after: 99999999\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(outcome(much).0, refused(429, Some(HOOK_RETRY_AFTER_MAX)));
        let gone = outcome("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n").0;
        assert!(gone.is_gone());
        // A body without an end is not waited for.
        let endless = "HTTP/1.1 200 Fine\r\ncontent-length: 999999999\r\n\r\nxxx";
        assert_eq!(outcome(endless).0, Outcome::Delivered(200));
        assert_eq!(outcome("what?\r\n\r\n").0, Outcome::Failed("its answer is no HTTP".into()));
    }

    /// What a name leads to counts, not how it looks.
    #[test]
    fn a_name_that_leads_inside_is_refused_when_it_is_looked_up() {
        let closed = client(Reach::default());
        let uri: Uri = "https://localhost:9/".parse().unwrap();
        let found = closed.send(&Target { uri }, &message(), &[secret()], 1);
        let Outcome::Failed(why) = found else { panic!("{found:?}") };
        assert!(why.contains("not public"), "{why}");
        // Even where this machine may be reached, what is not TLS goes nowhere else.
        let open = client(OPEN);
        let uri: Uri = "http://192.0.2.1:9/".parse().unwrap();
        let found = open.send(&Target { uri }, &message(), &[secret()], 1);
        let Outcome::Failed(why) = found else { panic!("{found:?}") };
        assert!(why.contains("not public"), "{why}");
    }

    #[test]
    fn who_does_not_answer_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let client = Client::new(OPEN, Duration::from_millis(200), &Roots::default());
        let target = Target::read(&url, OPEN).unwrap();
        let found = client.send(&target, &message(), &[secret()], 1);
        assert_eq!(found, Outcome::Failed("no answer in time".into()));
    }
}

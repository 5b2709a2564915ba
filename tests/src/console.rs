//! The console as a browser sees it: a cookie, the headers that its pages send, JSON, and events.

use crate::keys::{api_key, with};
use crate::wire::credential::Kind;
use crate::wire::{AddIdentityRequest, Credential, Role};
use crate::{Client, Engine, Launch, request_id, until};
use bytes::Bytes;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

/// The setting by which an engine has a console.
pub const CONSOLE: &str = "[console]\nlisten = \"127.0.0.1:0\"\n";
/// The token of ann, whom the configuration of `launch` names.
pub const OPERATOR: &str = "the token of ann, whom the configuration names";
/// Bounds every request. A bound, not an expectation.
const PATIENCE: Duration = Duration::from_secs(120);

/// An engine with a console and an operator of the configuration.
#[must_use]
pub fn launch(data: &Path) -> Launch {
    let digest = blake3::hash(OPERATOR.as_bytes()).to_hex();
    Launch::new(data).config(&format!("{CONSOLE}[operators]\nann = \"{digest}\"\n"))
}

/// The key of somebody whom `add` has made known.
#[must_use]
pub fn key_of(name: &str) -> String {
    api_key(*blake3::hash(name.as_bytes()).as_bytes())
}

/// What makes a key known.
#[must_use]
pub fn credential(key: &str) -> Option<Credential> {
    let digest = Bytes::copy_from_slice(blake3::hash(key.as_bytes()).as_bytes());
    Some(Credential { kind: Some(Kind::KeyDigest(digest)) })
}

/// Makes somebody known, by `key_of` their name.
///
/// # Panics
/// When that is refused.
pub async fn add(client: &mut Client, name: &str, role: Role) -> String {
    let request = AddIdentityRequest {
        request_id: request_id("identity"),
        name: name.to_owned(),
        role: role.into(),
        credential: credential(&key_of(name)),
        ..AddIdentityRequest::default()
    };
    client.operator.add_identity(with(OPERATOR, request)).await.expect("it is added");
    key_of(name)
}

/// The lines of the audit log that are about logins, once there are so many: whose, which call, and
/// its result. Of an engine whose data is in the folder `data` of this one.
///
/// # Panics
/// When there is no audit log, or a secret is in it.
#[must_use]
pub fn logins(dir: &Path, count: usize) -> Vec<(String, String, String)> {
    until("the logins are written down", || {
        let folder = dir.join("data/audit-log");
        let files = std::fs::read_dir(folder).expect("it is there");
        let files = files.map(|file| file.expect("a file").path());
        let text: String = files.map(|path| std::fs::read_to_string(path).expect("text")).collect();
        assert!(!text.contains(OPERATOR) && !text.contains("nonsense"), "a secret in {text}");
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let member = |of: &Value, name: &str| of[name].as_str().expect("text").to_owned();
        let mut found: Vec<(String, String, String)> = lines
            .map(|of| (member(&of, "name"), member(&of, "call"), member(&of, "result")))
            .filter(|(_, call, _)| call.starts_with("Console"))
            .collect();
        found.sort();
        (found.len() >= count).then_some(found)
    })
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its headers, by their names in small letters.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub text: String,
}

impl Reply {
    /// A header. Panics when there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(of, _)| of == name);
        &found.unwrap_or_else(|| panic!("no {name} in {:?}", self.headers)).1
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{self:?} is no JSON"))
    }

    /// The code of a refusal.
    #[must_use]
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or("OK").to_owned()
    }
}

/// A request with just these headers.
///
/// # Panics
/// When nobody answers.
#[must_use]
pub fn ask(
    address: &str,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    let settings = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .proxy(None)
        .http_status_as_error(false);
    let agent: ureq::Agent = settings.build().into();
    let mut request = ureq::http::Request::builder().method(method);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.uri(format!("http://{address}{path}")).body(body.to_owned());
    let mut answer = agent.run(request.expect("a request")).expect("somebody answers");
    let text = |value: &ureq::http::HeaderValue| value.to_str().expect("plain text").to_owned();
    let headers =
        answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let text = answer.body_mut().read_to_string().expect("an answer is text");
    Reply { status: answer.status().as_u16(), headers, text }
}

/// What a page sends with each request that does something.
pub const OURS: [(&str, &str); 2] =
    [("content-type", "application/json"), ("x-tallystick-console", "1")];

/// A browser with one page open.
#[derive(Debug, Clone)]
pub struct Browser {
    /// Where the console is, as `ip:port`.
    pub address: String,
    /// Its cookie, once it has one: name and value.
    pub cookie: Option<String>,
    /// What its pages send beside it.
    pub login: Option<String>,
}

impl Browser {
    /// One that is not logged in.
    ///
    /// # Panics
    /// When the engine has no console.
    #[must_use]
    pub fn of(engine: &Engine) -> Self {
        let address = engine.console().expect("it has a console").to_owned();
        Self { address, cookie: None, login: None }
    }

    /// One that is, by a key or a token.
    ///
    /// # Panics
    /// When that is refused.
    #[must_use]
    pub fn logged_in(engine: &Engine, token: &str) -> Self {
        let mut browser = Self::of(engine);
        let reply = browser.login("token", token);
        assert_eq!(reply.status, 200, "{}", reply.text);
        browser
    }

    /// Tries to log in, by `token` or `code`.
    pub fn login(&mut self, by: &str, text: &str) -> Reply {
        let reply = self.post("/api/login", &serde_json::json!({ by: text }).to_string());
        let set = reply.headers.iter().find(|(name, _)| name == "set-cookie");
        if let Some((_, set)) = set {
            self.cookie = set.split(';').next().map(str::to_owned);
            self.login = reply.json()["login"].as_str().map(str::to_owned);
        }
        reply
    }

    /// Posts JSON as a page does.
    #[must_use]
    pub fn post(&self, path: &str, body: &str) -> Reply {
        let origin = format!("http://{}", self.address);
        let cookie = self.cookie.clone().unwrap_or_default();
        let mut own = vec![("origin", origin.as_str()), ("cookie", &cookie)];
        own.extend(self.login.as_deref().map(|login| ("x-tallystick-login", login)));
        ask(&self.address, ("POST", path), &[&OURS[..], &own].concat(), body)
    }

    /// Makes a call.
    #[must_use]
    pub fn call(&self, method: &str, body: &str) -> Reply {
        self.post(&format!("/api/call/{method}"), body)
    }

    /// Gets what is at a path.
    #[must_use]
    pub fn get(&self, path: &str) -> Reply {
        let cookie = self.cookie.clone().unwrap_or_default();
        let mut own = vec![("cookie", cookie.as_str())];
        own.extend(self.login.as_deref().map(|login| ("x-tallystick-login", login)));
        ask(&self.address, ("GET", path), &own, "")
    }

    /// Opens the stream of events.
    ///
    /// # Panics
    /// When there is no connection.
    #[must_use]
    pub fn live(&self) -> Events {
        let socket = TcpStream::connect(&self.address).expect("the console listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let (cookie, host) = (self.cookie.clone().unwrap_or_default(), &self.address);
        let query = self.login.as_ref().map_or(String::new(), |login| format!("?login={login}"));
        let head = format!(
            "GET /api/live{query} HTTP/1.1\r\nhost: {host}\r\ncookie: {cookie}\r\n\
             accept: text/event-stream\r\n\r\n"
        );
        (&socket).write_all(head.as_bytes()).expect("the console reads");
        let mut lines = BufReader::new(socket);
        let mut status = String::new();
        lines.read_line(&mut status).expect("the console answers");
        let status = status.split(' ').nth(1).and_then(|text| text.parse().ok());
        Events { status: status.expect("a status"), lines }
    }
}

/// Events that come.
pub struct Events {
    /// The status of the answer.
    pub status: u16,
    lines: BufReader<TcpStream>,
}

impl Events {
    /// The next one: its name, and what it says. `None` once there are no more.
    ///
    /// # Panics
    /// When none comes in a long time.
    pub fn event(&mut self) -> Option<(String, Value)> {
        let mut name = None;
        loop {
            let mut line = String::new();
            match self.lines.read_line(&mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("nothing comes")
                }
                Err(_) => return None,
            }
            let line = line.trim_end();
            if let Some(of) = line.strip_prefix("event: ") {
                name = Some(of.to_owned());
            }
            if let (Some(name), Some(data)) = (&name, line.strip_prefix("data: ")) {
                return Some((name.clone(), serde_json::from_str(data).expect("JSON")));
            }
            // The last chunk of the answer has no bytes.
            if line == "0" {
                return None;
            }
        }
    }

    /// The next one of this name.
    ///
    /// # Panics
    /// When the stream ends before.
    pub fn next_named(&mut self, wanted: &str) -> Value {
        loop {
            let (name, data) = self.event().expect("events go on");
            if name == wanted {
                return data;
            }
        }
    }
}

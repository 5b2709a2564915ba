//! The connection to the engine: where it is, what a failed call means, and request ids.
//!
//! Never decides what is printed on standard output.

use super::output::{AssetText, AssetTexts, Output, Record, Texts};
use super::{CliError, Target};
use crate::config::PORT_DEFAULT;
use crate::limits;
use crate::types::NetworkId;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;
use tallystick_proto::v1::operator_client::OperatorClient;
use tallystick_proto::v1::vouchers_client::VouchersClient;
use tallystick_proto::v1::{GetNetworkRequest, ListPartiesRequest, Network};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};

/// The operator's token, when it is not in a file.
const TOKEN_VARIABLE: &str = "TALLYSTICK_TOKEN";

/// Puts the operator's token on every call, if there is one.
#[derive(Clone)]
pub struct Token(Option<MetadataValue<Ascii>>);

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl Token {
    /// From the file named, or the environment.
    fn load(file: Option<&Path>) -> Result<Self, CliError> {
        let text = match file {
            Some(path) => Some(read_private(path)?),
            None => std::env::var(TOKEN_VARIABLE).ok(),
        };
        let Some(text) = text.as_deref().map(str::trim).filter(|text| !text.is_empty()) else {
            return match file {
                None => Ok(Self(None)),
                Some(path) => Err(CliError::Input(format!(
                    "{} is empty; `tallystick operator token` makes a token",
                    path.display()
                ))),
            };
        };
        let bad = || CliError::Input("the operator's token is no line of plain text".into());
        let mut header: MetadataValue<Ascii> =
            format!("Bearer {text}").parse().map_err(|_| bad())?;
        header.set_sensitive(true);
        Ok(Self(Some(header)))
    }

    /// A token travels as it is, so it never leaves this machine.
    fn check_way(&self, host: &str) -> Result<(), CliError> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_here = host == "localhost"
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        if self.0.is_none() || is_here {
            return Ok(());
        }
        Err(CliError::Input(format!(
            "your token would be sent to {host} where anybody on the way can read it; reach the engine \
             through a tunnel (ssh -L 7450:127.0.0.1:7450 {host}) and --server 127.0.0.1:7450"
        )))
    }
}

/// A file's text. That others may read it is said, not refused: the token is what the command is
/// for.
fn read_private(path: &Path) -> Result<String, CliError> {
    let text = std::fs::read_to_string(path).map_err(CliError::file(path))?;
    let mode = std::fs::metadata(path).map_err(CliError::file(path))?.permissions().mode();
    if mode & 0o077 != 0 {
        eprintln!("warning: others may read {}: chmod 600 it", path.display());
    }
    Ok(text)
}

/// Names that are held at once, for lists of any length.
const NAMES_HELD: usize = 50_000;

/// Longest wait for a connection: an engine on this machine answers at once, so this is what tells
/// a wrong address from a slow one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a command works with: the engine and standard output.
pub struct Session {
    channel: Channel,
    token: Token,
    url: String,
    /// The assets are known once they were asked for.
    assets_known: bool,
    texts: Texts,
    /// Where results go.
    pub out: Output,
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// `CliError::Unreachable` when no engine answers; `Input` when the address is none.
    pub async fn connect(target: &Target) -> Result<Self, CliError> {
        let url = server_url(&target.server);
        let token = Token::load(target.token_file.as_deref())?;
        let endpoint = Endpoint::from_shared(url.clone())
            .ok()
            .filter(|endpoint| endpoint.uri().port().is_some())
            .ok_or_else(|| {
                CliError::Input(format!(
                    "--server expects HOST:PORT like 127.0.0.1:7450, got {:?}",
                    target.server
                ))
            })?;
        token.check_way(endpoint.uri().host().unwrap_or_default())?;
        let connected = endpoint.connect_timeout(CONNECT_TIMEOUT).connect().await;
        let channel = connected.map_err(|error| unreachable(&url, &error))?;
        let (assets_known, texts) = (false, Texts::default());
        let out = Output::new(target.json);
        Ok(Self { channel, token, url, assets_known, texts, out })
    }

    /// The operators' service.
    #[must_use]
    pub fn operator(&self) -> OperatorClient<InterceptedService<Channel, Token>> {
        OperatorClient::with_interceptor(self.channel.clone(), self.token.clone())
            .max_decoding_message_size(limits::REPLY_BYTES_MAX)
            .max_encoding_message_size(limits::MESSAGE_BYTES_MAX)
    }

    /// The facilitators' service.
    #[must_use]
    pub fn vouchers(&self) -> VouchersClient<Channel> {
        VouchersClient::new(self.channel.clone()).max_decoding_message_size(limits::REPLY_BYTES_MAX)
    }

    /// What the engine says of its network.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn network(&self) -> Result<Network, CliError> {
        let answer = self.vouchers().get_network(GetNetworkRequest {}).await;
        Ok(answer.map_err(|status| self.failed(status))?.into_inner())
    }

    /// The network's id.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn network_id(&self) -> Result<NetworkId, CliError> {
        let bytes = self.network().await?.network_id;
        NetworkId::from_slice(&bytes)
            .ok_or_else(|| CliError::Failed("the engine names no network of 32 bytes".into()))
    }

    /// The assets' codes and scales, asked for once.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn assets(&mut self) -> Result<&AssetTexts, CliError> {
        if !self.assets_known {
            let assets = self.network().await?.assets.into_iter();
            let text = |asset: tallystick_proto::v1::Asset| {
                (asset.number, AssetText { code: asset.code, scale: asset.scale })
            };
            self.texts.assets = assets.map(text).collect();
            self.assets_known = true;
        }
        Ok(&self.texts.assets)
    }

    /// Asks for what people need to read these records: assets, names of parties.
    async fn prepare(&mut self, records: &[Record]) -> Result<(), CliError> {
        if self.out.is_json() {
            return Ok(());
        }
        if records.iter().any(Record::has_money) {
            self.assets().await?;
        }
        let mut parties = BTreeSet::new();
        records.iter().for_each(|record| record.add_parties(&mut parties));
        if self.texts.names.len() + parties.len() > NAMES_HELD {
            self.texts.names.clear();
        }
        parties.retain(|party| !self.texts.names.contains_key(party));
        let parties: Vec<Bytes> = parties.into_iter().collect();
        for some in parties.chunks(limits::NAMES_MAX) {
            let asked = ListPartiesRequest { party_ids: some.to_vec(), ..Default::default() };
            // Names help; without an operator's token, or of an older engine, there are none.
            let Ok(answer) = self.operator().list_parties(asked).await else { break };
            self.texts.names.extend(some.iter().map(|party| (party.clone(), String::new())));
            let named = answer.into_inner().parties.into_iter();
            self.texts.names.extend(named.map(|party| (party.party_id, party.name)));
        }
        Ok(())
    }

    /// Prints one record.
    ///
    /// # Errors
    /// When the assets cannot be asked for or standard output cannot be written.
    pub async fn print(&mut self, record: &Record) -> Result<(), CliError> {
        self.prepare(std::slice::from_ref(record)).await?;
        self.out.record(record, &self.texts)
    }

    /// Prints some rows of a list.
    ///
    /// # Errors
    /// When the assets cannot be asked for or standard output cannot be written.
    pub async fn print_rows(
        &mut self,
        rows: &[Record],
        columns: &[&'static str],
    ) -> Result<(), CliError> {
        self.prepare(rows).await?;
        rows.iter().try_for_each(|row| self.out.row(row, columns, &self.texts))
    }

    /// Prints a list as it arrives.
    ///
    /// # Errors
    /// When the call fails or standard output cannot be written.
    pub async fn print_stream<T>(
        &mut self,
        rows: Streaming<T>,
        columns: &[&'static str],
        view: impl Fn(T) -> Record,
    ) -> Result<(), CliError> {
        self.print_some(rows, columns, |row| Some(view(row))).await
    }

    /// Prints those of a list that are to be seen, as they arrive.
    ///
    /// # Errors
    /// As for `print_stream`.
    pub async fn print_some<T>(
        &mut self,
        mut rows: Streaming<T>,
        columns: &[&'static str],
        view: impl Fn(T) -> Option<Record>,
    ) -> Result<(), CliError> {
        // Names are asked for many rows at once.
        let mut held = Vec::new();
        while let Some(row) = rows.message().await.map_err(|status| self.failed(status))? {
            held.extend(view(row));
            if held.len() == limits::PAGE_MAX || self.out.is_json() {
                self.print_rows(&held, columns).await?;
                held.clear();
            }
        }
        self.print_rows(&held, columns).await
    }

    /// What a failed read means.
    #[must_use]
    pub fn failed(&self, status: Status) -> CliError {
        CliError::Call { status: Box::new(status), url: self.url.clone(), request_id: None }
    }

    /// What a failed change means: with the id under which it can be asked for again.
    #[must_use]
    pub fn failed_change(&self, status: Status, request_id: &str) -> CliError {
        let request_id = Some(request_id.to_owned());
        CliError::Call { status: Box::new(status), url: self.url.clone(), request_id }
    }
}

/// HOST:PORT as a URL; a URL stays as it is, and a host alone has the port of an engine that was
/// told nothing else.
fn server_url(server: &str) -> String {
    if server.starts_with("http://") {
        return server.to_owned();
    }
    let has_port = server.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    if has_port || server.is_empty() {
        format!("http://{server}")
    } else {
        format!("http://{server}:{PORT_DEFAULT}")
    }
}

fn unreachable(url: &str, error: &tonic::transport::Error) -> CliError {
    // The outermost texts say "transport error"; the innermost says what happened.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    CliError::Unreachable { url: url.to_owned(), cause: cause.to_string() }
}

/// Whether the connection failed, rather than the engine having answered: only then is there a
/// cause below the status.
#[must_use]
pub fn is_lost(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// Whether something answered that is no engine: what it says has not the form of a call's answer.
#[must_use]
pub fn is_foreign(status: &Status) -> bool {
    // The library's own words for an answer without a status; an engine's always has one.
    status.message().starts_with("grpc-status header missing")
}

/// Whether a change that failed like this may have happened all the same.
#[must_use]
pub fn is_unclear(status: &Status) -> bool {
    is_lost(status)
        || match status.code() {
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
            | Code::DataLoss => true,
            Code::Ok
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unauthenticated => false,
        }
}

/// What the operator can do about an error, in the words of this program.
#[must_use]
pub fn hint(status: &Status) -> Option<&'static str> {
    if is_foreign(status) {
        return Some("name the engine's address with --server, or TALLYSTICK_SERVER");
    }
    let token = std::env::var(TOKEN_VARIABLE).unwrap_or_default();
    if status.code() == Code::Unauthenticated && is_a_path(&token) {
        return Some(
            "TALLYSTICK_TOKEN holds the token itself, not the name of a file; name a file with --token-file",
        );
    }
    const CALLS: [(&str, &str); 5] = [
        (
            "UpsertParty",
            "`tallystick party add --id ID --name NAME --account RAIL:FIELD=VALUE` registers a party or an account",
        ),
        ("AddSigner", "`tallystick signer add --party ID --key KEY` registers a signer"),
        ("CreateAsset", "`tallystick asset add` creates an asset, `asset list` shows them"),
        ("close it first", "`tallystick window close` closes the open window"),
        ("AckTroubles", "`tallystick trouble ack NUMBER --note TEXT` takes a trouble away"),
    ];
    let calls = || CALLS.iter().find(|(call, _)| status.message().contains(call));
    if status.code() == Code::Unimplemented {
        Some("the engine is older than this program")
    } else if status.code() == Code::ResourceExhausted {
        Some("the engine is at a limit; if it is a full queue, try again")
    } else {
        calls().map(|(_, hint)| *hint)
    }
}

/// Whether what should be a token is the name of a file.
fn is_a_path(token: &str) -> bool {
    token.contains('/') || token.contains('.') || (!token.is_empty() && Path::new(token).exists())
}

/// The id given, or a fresh random one in the form of a UUID.
///
/// # Errors
/// When the system gives no randomness, or the id given is too long.
pub fn request_id(given: Option<&String>) -> Result<String, CliError> {
    match given {
        Some(id) if id.is_empty() || id.len() > limits::REQUEST_ID_BYTES_MAX => {
            let most = limits::REQUEST_ID_BYTES_MAX;
            Err(CliError::Input(format!("--request-id expects 1 to {most} bytes")))
        }
        Some(id) => Ok(id.clone()),
        None => Ok(uuid(random()?)),
    }
}

/// Random bytes from the system.
///
/// # Errors
/// When it gives none.
pub fn random<const N: usize>() -> Result<[u8; N], CliError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| CliError::Failed(format!("the system gives no randomness: {error}")))?;
    Ok(bytes)
}

/// A version 4 UUID of these bytes.
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = super::output::hex(&bytes);
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_request_ids_are_uuids_and_differ() {
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_ne!(request_id(None).unwrap(), request_id(None).unwrap());
        assert_eq!(request_id(Some(&"mine".into())).unwrap(), "mine");
        assert!(request_id(Some(&"x".repeat(129))).is_err());
    }

    #[test]
    fn servers_are_named_with_or_without_a_scheme() {
        assert_eq!(server_url("h:1"), "http://h:1");
        assert_eq!(server_url("localhost"), "http://localhost:7450");
        assert_eq!(server_url("[::1]"), "http://[::1]:7450");
        assert_eq!(server_url("[::1]:9"), "http://[::1]:9");
        assert_eq!(server_url("http://h:1"), "http://h:1");
    }

    #[test]
    fn a_token_never_leaves_this_machine() {
        let token = Token(Some("Bearer x".parse().unwrap()));
        for here in ["127.0.0.1", "127.9.9.9", "localhost", "[::1]", "::1"] {
            assert!(token.check_way(here).is_ok(), "{here}");
        }
        for away in ["10.0.0.1", "clearing.example", "[2001:db8::1]", "127.0.0.1.example", ""] {
            let refused = token.check_way(away);
            assert!(
                matches!(refused, Err(CliError::Input(text)) if text.contains("tunnel")),
                "{away}"
            );
            assert!(Token(None).check_way(away).is_ok(), "without a token anybody may be asked");
        }
    }

    #[test]
    fn what_should_be_a_token_and_is_a_path_is_told_apart() {
        for (token, path) in
            [("ann.token", true), ("/run/ann", true), ("", false), ("5d41402abc4b2a76", false)]
        {
            assert_eq!(is_a_path(token), path, "{token}");
        }
    }

    #[test]
    fn refusals_are_clear_and_lost_answers_are_not() {
        let status = |code| Status::new(code, "");
        assert!(is_unclear(&status(Code::Unavailable)));
        assert!(!is_unclear(&status(Code::FailedPrecondition)));
        let lost = Status::from_error("connection reset".into());
        assert!(is_lost(&lost) && is_unclear(&lost) && !is_lost(&status(Code::Unavailable)));
    }
}

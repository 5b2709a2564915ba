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
use std::path::Path;
use tallystick_client::{ConnectError, Link, Token, Way};
use tallystick_proto::v1::operator_client::OperatorClient;
use tallystick_proto::v1::vouchers_client::VouchersClient;
use tallystick_proto::v1::{GetNetworkRequest, ListPartiesRequest, Network};
use tonic::service::interceptor::InterceptedService;
use tonic::{Code, Status, Streaming};

/// Names that are held at once, for lists of any length.
const NAMES_HELD: usize = 50_000;

/// The operator's token, when it is not in a file.
const TOKEN_VARIABLE: &str = "TALLYSTICK_TOKEN";

const _: () = assert!(PORT_DEFAULT == tallystick_client::PORT_DEFAULT);

/// What a command works with: the engine and standard output.
pub struct Session {
    link: Link,
    way: Way,
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
    /// `CliError::Unreachable` when no engine answers, `Misfit` when what answers does not fit, of
    /// several addresses `NoOwner` when none takes calls; `Input` when the address is none.
    pub async fn connect(target: &Target) -> Result<Self, CliError> {
        let way = Way::prepare(&target.server, &target.credentials)?;
        let link = way.connect().await?;
        let (assets_known, texts) = (false, Texts::default());
        let out = Output::new(target.json);
        Ok(Self { link, way, assets_known, texts, out })
    }

    /// The operators' service.
    #[must_use]
    pub fn operator(&self) -> OperatorClient<InterceptedService<Link, Token>> {
        OperatorClient::with_interceptor(self.link.clone(), self.way.token())
            .max_decoding_message_size(limits::REPLY_BYTES_MAX)
            .max_encoding_message_size(limits::MESSAGE_BYTES_MAX)
    }

    /// The facilitators' service.
    #[must_use]
    pub fn vouchers(&self) -> VouchersClient<InterceptedService<Link, Token>> {
        VouchersClient::with_interceptor(self.link.clone(), self.way.token())
            .max_decoding_message_size(limits::REPLY_BYTES_MAX)
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
        self.failed_call(status, None)
    }

    /// What a failed change means: with the id under which it can be asked for again.
    #[must_use]
    pub fn failed_change(&self, status: Status, request_id: &str) -> CliError {
        self.failed_call(status, Some(request_id.to_owned()))
    }

    fn failed_call(&self, status: Status, request_id: Option<String>) -> CliError {
        // A certificate that the engine refuses shows at the first call only.
        match self.way.misfit().filter(|_| is_lost(&status)) {
            Some(why) => CliError::Misfit(why),
            None => {
                let url = self.way.url().to_owned();
                CliError::Call { status: Box::new(status), url, request_id }
            }
        }
    }
}

impl From<ConnectError> for CliError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Input(why) => Self::Input(why),
            ConnectError::File { path, source } => Self::File { path, source },
            ConnectError::Unreachable { url, cause } => Self::Unreachable { url, cause },
            ConnectError::Misfit(why) => Self::Misfit(why),
            ConnectError::NoOwner { .. } => Self::NoOwner(error.to_string()),
        }
    }
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
    if status.code() == Code::Unimplemented {
        Some("the engine is older than this program")
    } else if status.code() == Code::ResourceExhausted {
        Some("the engine is at a limit; if it is a full queue, try again")
    } else {
        let is_open = status.message().contains("close it first");
        is_open.then_some("`tallystick window close` closes the open window")
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

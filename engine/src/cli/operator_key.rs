//! `operator key`, and signing with such a key: what an operator approves and says with a key of
//! their own. The key never leaves its file: only signatures are sent.

use super::client::Session;
use super::output::{Cell, Output, Record};
use super::proposal;
use super::voucher::{make_key, read_key};
use super::{CliError, RequestArgs};
use crate::types::{
    NetworkId, SignerKey, Statement, operator_key_statement, operator_removal_statement,
};
use bytes::Bytes;
use clap::{Args, Subcommand};
use ed25519_dalek::{Signer as _, SigningKey};
use std::path::{Path, PathBuf};
use tallystick_proto::v1::{
    ListOperatorKeysRequest, OperatorKey, RemoveOperatorKeyRequest, SetOperatorKeyRequest,
};

/// `tallystick operator key ...`
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key of your own: the secret goes to a file, the public key is printed
    #[command(
        after_help = "Example:\n  tallystick operator key new --out ann.key\n\nKeep the file, \
        and a copy of it, where nobody else reads it: not on the engine's machine. Tell whoever \
        audits the public key yourself."
    )]
    New(NewArgs),
    /// Have the engine know your key; from then on you sign what you approve and say
    #[command(after_help = "Examples:\n  tallystick operator key set ann --sign-with ann.key\n  \
        tallystick operator key set ann --sign-with ann.key --new ann-2027.key\n\nThe first form \
        is for your first key, and after a lost one was removed.")]
    Set(SetArgs),
    /// Take away the key of an operator who has lost it, or whose key others have
    #[command(after_help = "Example:\n  tallystick operator key remove ann\n\nAny operator may; \
        who has an own key signs it.")]
    Remove(RemoveArgs),
    /// List the keys that operators have, and had
    #[command(after_help = "Example:\n  tallystick operator key list --json")]
    List,
}

/// `tallystick operator key new`
#[derive(Debug, Args)]
pub struct NewArgs {
    /// File to write the secret to; must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// `tallystick operator key set`
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Your name, as the engine's configuration has it
    name: String,
    #[command(flatten)]
    sign_with: SignWith,
    /// File with the key that is to follow the one that signs
    #[arg(long, value_name = "FILE")]
    new: Option<PathBuf>,
    #[command(flatten)]
    request: RequestArgs,
}

/// `tallystick operator key remove`
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Whose key
    name: String,
    #[command(flatten)]
    sign_with: SignWith,
    #[command(flatten)]
    request: RequestArgs,
}

/// With which key you sign.
#[derive(Debug, Clone, Default, Args)]
pub struct SignWith {
    /// File with your own key, as `operator key new` writes it; needed once you have set it
    #[arg(
        long = "sign-with",
        env = "TALLYSTICK_SIGN_WITH",
        hide_env_values = true,
        value_name = "FILE"
    )]
    file: Option<PathBuf>,
}

impl SignWith {
    /// The key, if one is given. Read before anything is asked of the engine.
    ///
    /// # Errors
    /// When the file cannot be read or holds no key.
    pub fn key(&self) -> Result<Option<OwnKey>, CliError> {
        self.file.as_deref().map(OwnKey::read).transpose()
    }
}

/// An operator's own key.
pub struct OwnKey(SigningKey);

impl OwnKey {
    fn read(path: &Path) -> Result<Self, CliError> {
        read_key(path).map(Self)
    }

    fn public(&self) -> SignerKey {
        SignerKey(self.0.verifying_key().to_bytes())
    }

    fn sign(&self, statement: &Statement) -> Bytes {
        self.0.sign(statement.bytes()).to_bytes().to_vec().into()
    }
}

/// The signature that a request carries; empty without a key.
pub fn signature(key: Option<&OwnKey>, over: impl FnOnce() -> Statement) -> Bytes {
    key.map(|key| key.sign(&over())).unwrap_or_default()
}

/// Makes a key. Needs no engine.
///
/// # Errors
/// When there is no randomness, or the file exists or cannot be written.
pub fn new_key(args: &NewArgs, json: bool) -> Result<(), CliError> {
    let key = OwnKey(make_key(&args.out)?).public();
    let record = Record(vec![
        ("key", Cell::Hex(key.0.to_vec().into())),
        ("key_file", Cell::Text(args.out.display().to_string())),
    ]);
    let mut out = Output::new(json);
    out.record(&record, &Default::default())?;
    out.finish()
}

/// Runs `tallystick operator key ...`.
///
/// # Errors
/// When a file cannot be read, or the call fails.
pub async fn run(session: &mut Session, command: KeyCommand) -> Result<(), CliError> {
    match command {
        KeyCommand::New(args) => new_key(&args, session.out.is_json()),
        KeyCommand::Set(args) => set(session, args).await,
        KeyCommand::Remove(args) => remove(session, args).await,
        KeyCommand::List => {
            let answer = session.operator().list_operator_keys(ListOperatorKeysRequest {}).await;
            let rows = answer.map_err(|status| session.failed(status))?.into_inner();
            let columns = ["operator", "key", "since_lsn", "until_lsn"];
            session.print_stream(rows, &columns, key_record).await
        }
    }
}

async fn set(session: &mut Session, args: SetArgs) -> Result<(), CliError> {
    let request_id = args.request.id()?;
    let held = args.sign_with.key()?.ok_or_else(|| {
        CliError::Input("--sign-with is missing: the file of the key that is to be yours".into())
    })?;
    let new = args.new.as_deref().map(OwnKey::read).transpose()?;
    let network = session.network_id().await?;
    let request = set_request(network, request_id.clone(), &args.name, &held, new.as_ref());
    let answer = session.operator().set_operator_key(request).await;
    let key = answer.map_err(|status| session.failed_change(status, &request_id))?.into_inner();
    session.print(&key_record(key)).await
}

/// The first key: the one that is held. Or the new one, which follows it.
fn set_request(
    network: NetworkId,
    request_id: String,
    name: &str,
    held: &OwnKey,
    new: Option<&OwnKey>,
) -> SetOperatorKeyRequest {
    let (next, before) = match new {
        None => (held, None),
        Some(new) => (new, Some(held)),
    };
    let key = next.public();
    let over = operator_key_statement(network, name, key, before.map(OwnKey::public));
    let (possession, signature) = (next.sign(&over), signature(before, || over));
    SetOperatorKeyRequest { request_id, key: key.0.to_vec().into(), possession, signature }
}

async fn remove(session: &mut Session, args: RemoveArgs) -> Result<(), CliError> {
    let request_id = args.request.id()?;
    let own = args.sign_with.key()?;
    let operator = args.name;
    let key = current_key(session, &operator).await?;
    let network = session.network_id().await?;
    let over = || operator_removal_statement(network, &operator, key);
    let signature = signature(own.as_ref(), over);
    let key = key.0.to_vec().into();
    let request =
        RemoveOperatorKeyRequest { request_id: request_id.clone(), operator, key, signature };
    let answer = session.operator().remove_operator_key(request).await;
    let key = answer.map_err(|status| session.failed_change(status, &request_id))?.into_inner();
    session.print(&key_record(key)).await
}

/// The key of an operator's that is in force; if none is, the last one, for whoever repeats a call.
async fn current_key(session: &Session, operator: &str) -> Result<SignerKey, CliError> {
    let answer = session.operator().list_operator_keys(ListOperatorKeysRequest {}).await;
    let mut keys = answer.map_err(|status| session.failed(status))?.into_inner();
    let mut found = None;
    while let Some(key) = keys.message().await.map_err(|status| session.failed(status))? {
        if key.operator == operator {
            found = SignerKey::from_slice(&key.key);
        }
    }
    found.ok_or_else(|| {
        CliError::Failed(format!(
            "operator {operator:?} has no key; `tallystick operator key list` shows those there are"
        ))
    })
}

fn key_record(key: OperatorKey) -> Record {
    let mut record = Record(vec![
        ("operator", Cell::Text(key.operator)),
        ("key", Cell::Hex(key.key)),
        ("since_lsn", Cell::Count(key.since_lsn)),
        ("until_lsn", Cell::Count(key.until_lsn)),
    ]);
    record.0.extend(proposal::cell(key.proposal));
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: NetworkId = NetworkId([1; 32]);

    fn own(secret: u8) -> OwnKey {
        OwnKey(SigningKey::from_bytes(&[secret; 32]))
    }

    fn is_signed(key: &OwnKey, over: &Statement, signature: &[u8]) -> bool {
        let signature = ed25519_dalek::Signature::from_slice(signature).unwrap();
        key.0.verifying_key().verify_strict(over.bytes(), &signature).is_ok()
    }

    #[test]
    fn the_first_key_shows_that_it_is_held_and_one_that_follows_is_named_by_both() {
        let (one, two) = (own(1), own(2));
        let first = set_request(NETWORK, "r".into(), "ann", &one, None);
        let over = operator_key_statement(NETWORK, "ann", one.public(), None);
        assert!(is_signed(&one, &over, &first.possession) && first.signature.is_empty());
        assert_eq!(first.key.as_ref(), one.public().0);
        let next = set_request(NETWORK, "r".into(), "ann", &one, Some(&two));
        let over = operator_key_statement(NETWORK, "ann", two.public(), Some(one.public()));
        assert!(is_signed(&two, &over, &next.possession));
        assert!(is_signed(&one, &over, &next.signature));
        assert_eq!(next.key.as_ref(), two.public().0);
    }
}

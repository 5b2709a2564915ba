//! `access`: who may come to the engine, and as what. API keys are made here: the engine gets their
//! digests, and never sees one before it is used.

use super::client::{self, Session};
use super::ids::Named;
use super::output::{Cell, Output, Record, hex};
use super::proposal;
use super::voucher::{make_secret, write_secret};
use super::{CliError, RequestArgs};
use crate::config::{Bootstrap, parse_duration};
use crate::limits::{IDENTITY_NAME_BYTES_MAX, OPERATORS_MAX};
use crate::types::{ApiKey, PartyId, SignerKey, token_digest};
use bytes::Bytes;
use clap::{Args, Subcommand, ValueEnum};
use ed25519_dalek::SigningKey;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};
use tallystick_proto::v1::credential::Kind;
use tallystick_proto::v1::{
    AddIdentityRequest, Credential, Identity, ListIdentitiesRequest, RevokeIdentityRequest, Role,
    RotateIdentityRequest,
};
use tonic::Status;

/// `tallystick access ...`
#[derive(Debug, Subcommand)]
pub enum AccessCommand {
    /// Give somebody an identity; its API key is printed once, and known to nobody else
    #[command(after_help = ADD_HELP)]
    Add(Box<AddArgs>),
    /// List the identities that there are, and were
    #[command(
        after_help = "Example:\n  tallystick access list --json\n\nWithout keys: nobody can \
        show them again. Who is no operator, approver or auditor sees itself."
    )]
    List,
    /// Have an identity count no more, within a second and for ever
    #[command(after_help = "Example:\n  tallystick access revoke fac-a\n\nIts open streams end, \
        too. The name is not given to anybody else.")]
    Revoke(RevokeArgs),
    /// Give an identity another key; the one before it counts no more
    #[command(after_help = "Example:\n  tallystick access rotate fac-a --out fac-a.key\n\nAn \
        operator may do it for everybody, anybody for themselves.")]
    Rotate(RotateArgs),
    /// Make a key with which its owner signs a token for each call, in place of an API key
    #[command(
        after_help = "Example:\n  tallystick access keygen --name fac-a --out fac-a.json\n\n\
        Send the public key to an operator (`access add --public-key`), and use the file with \
        --token-file. The key never leaves it."
    )]
    Keygen(KeygenArgs),
    /// Make an operator on the engine's machine, one of the first: it counts from the next start on
    #[command(after_help = "Example:\n  tallystick access bootstrap --name ann --data-dir ./data \
        --out ann.key\n\nNeeds no engine, and no right but to write to its directory. With \
        four_eyes, once for each of the first two. Also for when every operator's key is lost: under a \
        name that nobody had.")]
    Bootstrap(BootstrapArgs),
}

const ADD_HELP: &str = "\
Examples:
  tallystick access add --name fac-a --role facilitator --party 5a3e77c0 --expires 90d
  tallystick access add --name agents-gmbh --role party --party 5a3e77c0 --out agents.key
  tallystick access add --name fac-b --role facilitator --public-key 8f31..02
  tallystick access add --name auditor --role auditor --certificate audit.example

Roles: facilitator (brings vouchers), party (its owner: signers, budgets, exposure, proofs),
operator (everything), approver (approves and reads), auditor (reads and exports).
docs/ACCESS.md has the table.";

/// What an identity may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RoleName {
    Facilitator,
    Party,
    Operator,
    Approver,
    Auditor,
}

/// `tallystick access add`
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Its name, for ever: letters, digits and . _ - @
    #[arg(long)]
    name: String,
    /// What it may do
    #[arg(long)]
    role: RoleName,
    #[command(flatten)]
    by: ByArgs,
    /// It counts no more after this time, like 90d or 12h [default: it has no end]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    expires: Option<Duration>,
    /// Of a facilitator: whose vouchers it may bring; of a party: whose owner it is; may be
    /// repeated [default: of a facilitator, everybody's]
    #[arg(long = "party", value_name = "ID")]
    parties: Vec<Named<PartyId>>,
    /// Of a facilitator: whom they may pay; may be repeated [default: everybody]
    #[arg(long = "payee", value_name = "ID")]
    payees: Vec<Named<PartyId>>,
    /// Of a facilitator: vouchers a second [default: as many as the engine takes]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    rate: u32,
    #[command(flatten)]
    request: RequestArgs,
}

/// By what an identity is known.
#[derive(Debug, Args)]
pub struct ByArgs {
    /// File for the API key, readable by its owner only; never overwritten [default: it is printed]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["public_key", "certificate"])]
    out: Option<PathBuf>,
    /// Its own Ed25519 key in place of an API key, as `access keygen` prints it
    #[arg(long, value_name = "KEY", conflicts_with = "certificate")]
    public_key: Option<SignerKey>,
    /// The name in its certificate, where the engine asks for one
    #[arg(long, value_name = "NAME")]
    certificate: Option<String>,
}

/// `tallystick access revoke`
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Which
    name: String,
    #[command(flatten)]
    request: RequestArgs,
}

/// `tallystick access rotate`
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// Which
    name: String,
    #[command(flatten)]
    by: ByArgs,
    #[command(flatten)]
    request: RequestArgs,
}

/// `tallystick access keygen`
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// The identity's name
    #[arg(long)]
    name: String,
    /// File for the key, readable by its owner only; never overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// `tallystick access bootstrap`
#[derive(Debug, Args)]
pub struct BootstrapArgs {
    /// The operator's name
    #[arg(long)]
    name: String,
    /// The engine's data directory
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// File for the API key, readable by its owner only; never overwritten [default: it is printed]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl ByArgs {
    /// The credential, and the key that was made for it.
    fn make(&self) -> Result<(Credential, Option<NewKey>), CliError> {
        let kind = match (&self.public_key, &self.certificate) {
            (Some(key), _) => Kind::PublicKey(Bytes::copy_from_slice(&key.0)),
            (None, Some(name)) => Kind::Certificate(name.clone()),
            (None, None) => {
                let key = NewKey::make(self.out.as_deref())?;
                let digest = Bytes::copy_from_slice(&token_digest(&key.text).0);
                return Ok((Credential { kind: Some(Kind::KeyDigest(digest)) }, Some(key)));
            }
        };
        Ok((Credential { kind: Some(kind) }, None))
    }
}

/// An API key, and where it is.
struct NewKey {
    text: String,
    file: Option<PathBuf>,
}

impl NewKey {
    fn make(out: Option<&Path>) -> Result<Self, CliError> {
        let text = ApiKey::text(&client::random::<32>()?);
        if let Some(out) = out {
            write_secret(out, &text)?;
        }
        Ok(Self { text, file: out.map(Path::to_owned) })
    }

    /// Its file was made by this command, and goes with it.
    fn forget(&self) {
        if let Some(file) = &self.file
            && let Err(error) = fs::remove_file(file)
        {
            super::note(&format!(
                "note: {} holds a key that the engine does not know, and cannot be removed: {error}",
                file.display()
            ));
        }
    }

    /// It is shown here, and nowhere else.
    fn cell(self) -> (&'static str, Cell) {
        match self.file {
            Some(file) => ("key_file", Cell::Text(file.display().to_string())),
            None => ("key", Cell::Text(self.text)),
        }
    }
}

/// Runs what needs no engine; `None` if it needs one.
///
/// # Errors
/// When a file exists or cannot be written.
pub fn offline(command: &AccessCommand, json: bool) -> Option<Result<(), CliError>> {
    match command {
        AccessCommand::Bootstrap(args) => Some(bootstrap(args, json)),
        AccessCommand::Add(_)
        | AccessCommand::List
        | AccessCommand::Revoke(_)
        | AccessCommand::Rotate(_)
        | AccessCommand::Keygen(_) => None,
    }
}

/// Runs `tallystick access ...`.
///
/// # Errors
/// When a file cannot be written, or the call fails.
pub async fn run(session: &mut Session, command: AccessCommand) -> Result<(), CliError> {
    match command {
        AccessCommand::Add(args) => add(session, *args).await,
        AccessCommand::List => {
            let answer = session.operator().list_identities(ListIdentitiesRequest {}).await;
            let rows = answer.map_err(|status| session.failed(status))?.into_inner();
            let columns = [
                "name",
                "role",
                "kind",
                "parties",
                "payees",
                "expires_at",
                "rate",
                "made_by",
                "revoked_lsn",
            ];
            session.print_stream(rows, &columns, identity_record).await
        }
        AccessCommand::Revoke(RevokeArgs { name, request }) => {
            let request_id = request.id()?;
            let asked = RevokeIdentityRequest { request_id: request_id.clone(), name };
            let answer = session.operator().revoke_identity(asked).await;
            let answer = answer.map_err(|status| session.failed_change(status, &request_id))?;
            session.print(&identity_record(answer.into_inner())).await
        }
        AccessCommand::Rotate(args) => rotate(session, args).await,
        AccessCommand::Keygen(args) => keygen(session, &args).await,
        AccessCommand::Bootstrap(args) => bootstrap(&args, session.out.is_json()),
    }
}

async fn add(session: &mut Session, args: AddArgs) -> Result<(), CliError> {
    let AddArgs { name, role, by, expires, parties, payees, rate, request } = args;
    let request_id = request.id()?;
    let (party_ids, payees) = (ids(session, &parties).await?, ids(session, &payees).await?);
    let expires_at = expires.map_or(Ok(0), expiry)?;
    let (credential, key) = by.make()?;
    let role: i32 = match role {
        RoleName::Facilitator => Role::Facilitator,
        RoleName::Party => Role::Party,
        RoleName::Operator => Role::Operator,
        RoleName::Approver => Role::Approver,
        RoleName::Auditor => Role::Auditor,
    }
    .into();
    let (credential, id) = (Some(credential), request_id.clone());
    let asked = AddIdentityRequest {
        request_id: id,
        name,
        role,
        credential,
        party_ids,
        payees,
        expires_at,
        rate,
    };
    let answer = session.operator().add_identity(asked).await;
    let answer = answered(answer, key.as_ref())
        .map_err(|status| session.failed_change(status, &request_id))?;
    print_with(session, answer.into_inner(), key).await
}

async fn rotate(session: &mut Session, args: RotateArgs) -> Result<(), CliError> {
    let RotateArgs { name, by, request } = args;
    let (request_id, (credential, key)) = (request.id()?, by.make()?);
    let (credential, id) = (Some(credential), request_id.clone());
    let asked = RotateIdentityRequest { request_id: id, name, credential };
    let answer = session.operator().rotate_identity(asked).await;
    let answer = answered(answer, key.as_ref())
        .map_err(|status| session.failed_change(status, &request_id))?;
    print_with(session, answer.into_inner(), key).await
}

/// What a call came to that gives the engine a key. One that it refused is a key to nothing: its
/// file goes. Where nobody knows whether the call took effect, it stays.
fn answered<T>(answer: Result<T, Status>, key: Option<&NewKey>) -> Result<T, Status> {
    answer.inspect_err(|status| match key {
        Some(key) if !client::is_unclear(status) => key.forget(),
        Some(_) | None => {}
    })
}

async fn print_with(
    session: &mut Session,
    identity: Identity,
    key: Option<NewKey>,
) -> Result<(), CliError> {
    let proposal = identity.proposal.clone();
    let mut record = identity_record(identity);
    record.0.extend(key.map(NewKey::cell));
    record.0.extend(proposal::cell(proposal));
    session.print(&record).await
}

async fn ids(session: &Session, named: &[Named<PartyId>]) -> Result<Vec<Bytes>, CliError> {
    let mut ids = Vec::new();
    for one in named {
        ids.push(one.bytes(session).await?);
    }
    Ok(ids)
}

/// When that is, so long from now, in Unix seconds.
fn expiry(expires: Duration) -> Result<i64, CliError> {
    let end = SystemTime::now().checked_add(expires);
    let since = end.and_then(|end| end.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| i64::try_from(since.as_secs()).ok()).ok_or_else(|| {
        CliError::Input("--expires is further away than any time that there will be".into())
    })
}

fn identity_record(of: Identity) -> Record {
    let role = super::state_name(of.role().as_str_name(), "ROLE_");
    let list = |ids: Vec<Bytes>| {
        Cell::Records(
            ids.into_iter().map(|id| Record(vec![("party_id", Cell::Party(id))])).collect(),
        )
    };
    let mut cells = vec![
        ("name", Cell::Text(of.name)),
        ("role", Cell::Text(role)),
        ("kind", Cell::Text(of.kind)),
    ];
    if !of.public_key.is_empty() {
        cells.push(("public_key", Cell::Hex(of.public_key)));
    }
    if !of.certificate.is_empty() {
        cells.push(("certificate", Cell::Text(of.certificate)));
    }
    if !of.made_by.is_empty() {
        cells.push(("made_by", Cell::Text(of.made_by)));
    }
    cells.extend([
        ("parties", list(of.party_ids)),
        ("payees", list(of.payees)),
        ("expires_at", Cell::Seconds(of.expires_at)),
        ("rate", Cell::Count(of.rate.into())),
        ("added_lsn", Cell::Count(of.added_lsn)),
        ("changed_lsn", Cell::Count(of.changed_lsn)),
        ("revoked_lsn", Cell::Count(of.revoked_lsn)),
    ]);
    Record(cells)
}

/// A key in a file, with all that is needed to sign tokens with it.
async fn keygen(session: &mut Session, args: &KeygenArgs) -> Result<(), CliError> {
    check_name(&args.name)?;
    let network = session.network_id().await?;
    let seed = make_secret()?;
    let public = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
    let file = serde_json::json!({
        "identity": args.name,
        "network_id": network.to_string(),
        "secret": hex(&seed),
    });
    write_secret(&args.out, &file.to_string())?;
    let record = Record(vec![
        ("name", Cell::Text(args.name.clone())),
        ("public_key", Cell::Hex(public.to_vec().into())),
        ("key_file", Cell::Text(args.out.display().to_string())),
    ]);
    session.print(&record).await
}

fn check_name(name: &str) -> Result<(), CliError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@');
    let fits = (1..=IDENTITY_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain);
    match fits && name != "schedule" {
        true => Ok(()),
        false => Err(CliError::Input(format!(
            "--name expects 1 to {IDENTITY_NAME_BYTES_MAX} letters, digits and . _ - @, and not \"schedule\", got \
             {name:?}"
        ))),
    }
}

/// Writes the file that the next start journals.
fn bootstrap(args: &BootstrapArgs, json: bool) -> Result<(), CliError> {
    check_name(&args.name)?;
    let dir = &args.data_dir;
    let mut builder = fs::DirBuilder::new();
    match builder.mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(CliError::file(dir)(error));
        }
        Ok(()) | Err(_) => {}
    }
    let path = Bootstrap::path(dir);
    let unfit = |why| CliError::Failed(format!("{}: {why}; take it away", path.display()));
    let mut waiting = Bootstrap::all(dir).map_err(unfit)?;
    if waiting.iter().any(|of| of.name == args.name) {
        return Err(CliError::Failed(format!(
            "{:?} waits for the engine's next start already, in {}; take it away to make another key",
            args.name,
            path.display()
        )));
    }
    if waiting.len() >= OPERATORS_MAX {
        return Err(CliError::Failed(format!(
            "{} holds {OPERATORS_MAX} operators, and no more; start the engine",
            path.display()
        )));
    }
    let key = NewKey::make(args.out.as_deref())?;
    let (name, key_digest) = (args.name.clone(), token_digest(&key.text).to_string());
    waiting.push(Bootstrap { name, key_digest });
    let text = serde_json::to_string(&waiting).expect("plain text");
    let mut unfinished = path.clone().into_os_string();
    unfinished.push(".tmp");
    let write = || -> io::Result<()> {
        fs::write(&unfinished, text + "\n")?;
        fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o600))?;
        // As the directory belongs to the engine's user, so does what it is to take away.
        fs::File::open(&unfinished)?.sync_all()?;
        fs::rename(&unfinished, &path)?;
        fs::File::open(dir)?.sync_all()
    };
    write().inspect_err(|_| key.forget()).map_err(CliError::file(&path))?;
    let record = Record(vec![
        ("name", Cell::Text(args.name.clone())),
        ("role", Cell::Text("operator".to_owned())),
        ("file", Cell::Text(path.display().to_string())),
        key.cell(),
    ]);
    let mut out = Output::new(json);
    out.record(&record, &Default::default())?;
    out.finish()?;
    super::note(
        "note: it counts from the engine's next start on; a name that somebody has or had lets nobody in, \
         and the log of that start says so",
    );
    Ok(())
}

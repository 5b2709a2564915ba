//! `voucher` and `channel`: making vouchers by hand and looking up what the ledger holds.
//!
//! The keys made here are for trying things out: their secret lies in a plain file. Real signers
//! keep theirs elsewhere.

use super::client::{self, Session};
use super::ids::Named;
use super::output::{Cell, Record, hex};
use super::payment::{self, Form};
use super::{CliError, money};
use crate::config::parse_duration;
use crate::types::{Outcome, PartyId, SignerKey};
use clap::{Args, Subcommand};
use ed25519_dalek::SigningKey;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tallystick_client::{AgentKey, Channel as ChannelOf, Network, Voucher};
use tallystick_proto::v1::{Ack, Channel, Frame, GetChannelRequest};

/// `tallystick voucher ...`
#[derive(Debug, Subcommand)]
pub enum VoucherCommand {
    /// Make a test key: the secret goes to a file, the public key is printed
    #[command(
        after_help = "Example:\n  tallystick voucher keygen --out agent.key\n\nFor tests: the \
        secret is in plain text, readable by its owner only."
    )]
    Keygen(KeygenArgs),
    /// Sign a voucher with a test key, and submit it if asked to
    #[command(after_help = SIGN_HELP)]
    Sign(SignArgs),
}

const SIGN_HELP: &str = "\
Example:
  tallystick voucher sign --key-file agent.key --payee 7b..00 --asset 978 --ttl 1h \\
    --cumulative 1500 --submit

Prints the packed voucher in hexadecimal, or with --submit what became of it. A channel is (signer,
payee, asset, lane, expiry), and its total starts at 0: the same command with --ttl, a second later,
is another channel, and pays again. To raise a total or to repeat the command, give the same
--expires-at (which is printed) instead of --ttl.

With --x402 body it prints what a seller's server sends to the engine over HTTP:
  tallystick voucher sign ... --x402 body > payment.json
  curl http://127.0.0.1:7451/settle -d @payment.json";

/// `tallystick channel ...`
#[derive(Debug, Subcommand)]
pub enum ChannelCommand {
    /// Show the durable total of a channel, and whether the engine holds it
    #[command(after_help = "Example:\n  tallystick channel show --signer 8f..31 --payee 7b..00 \
        --asset 978 --lane 0 --expires-at 1795000000")]
    Show(ChannelArgs),
}

/// `tallystick voucher keygen`
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// File to write the secret to; must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// `tallystick voucher sign`
#[derive(Debug, Args)]
pub struct SignArgs {
    /// File with the secret, as `voucher keygen` writes it
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    #[command(flatten)]
    to: ToArgs,
    #[command(flatten)]
    expiry: ExpiryArgs,
    /// The channel's new total, in asset units
    #[arg(long, value_name = "UNITS", allow_negative_numbers = true)]
    cumulative: String,
    /// Submit it to the engine
    #[arg(long)]
    submit: bool,
    /// Print a payment of x402 with this voucher
    #[arg(long, value_name = "FORM", conflicts_with = "submit")]
    x402: Option<Form>,
    /// What the payment is for, in asset units: the rise of the channel's total. All of it if
    /// nothing is said, which is right for a new channel
    #[arg(long, value_name = "UNITS", requires = "x402", allow_negative_numbers = true)]
    amount: Option<String>,
}

/// Which channel: one that is known by its expiry, or a new one.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct ExpiryArgs {
    /// When the channel expires: Unix seconds or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    expires_at: Option<i64>,
    /// Begin a new channel that expires this long from now: a whole number with a unit s, m, h or d
    /// (365d, since years and weeks are no units); its total starts at 0
    #[arg(long, value_name = "AGE", value_parser = parse_duration)]
    ttl: Option<Duration>,
}

/// `tallystick channel show`
#[derive(Debug, Args)]
pub struct ChannelArgs {
    /// The key that signs, or its first 8 or more digits
    #[arg(long, value_name = "KEY")]
    signer: Named<SignerKey>,
    #[command(flatten)]
    to: ToArgs,
    /// When the channel expires: Unix seconds or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    expires_at: i64,
}

impl ChannelArgs {
    /// The channel, as it is asked for.
    ///
    /// # Errors
    /// When the digits given stand for no id, or for several.
    pub async fn request(&self, session: &Session) -> Result<GetChannelRequest, CliError> {
        let Self { signer, to, expires_at } = self;
        Ok(GetChannelRequest {
            signer: signer.bytes(session).await?,
            payee: to.payee.bytes(session).await?,
            asset: to.asset,
            lane: to.lane,
            expires_at: *expires_at,
        })
    }
}

/// Who is paid, in what, in which lane.
#[derive(Debug, Clone, Args)]
pub struct ToArgs {
    /// The party that is paid: its id, or its first 8 or more digits
    #[arg(long, value_name = "ID")]
    payee: Named<PartyId>,
    /// The asset's number
    #[arg(long, value_name = "ASSET", value_parser = super::asset::asset_number)]
    asset: u32,
    /// Which of the signer's parallel channels to this payee
    #[arg(long, value_name = "N", default_value_t = 0)]
    lane: u64,
}

/// The same, once it is known who is meant.
#[derive(Debug, Clone, Copy)]
struct To {
    payee: PartyId,
    asset: u32,
    lane: u64,
}

/// Reads Unix seconds or RFC 3339.
pub(super) fn parse_time(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let time: Result<jiff::Timestamp, _> = text.parse();
    time.map(jiff::Timestamp::as_second).map_err(|_| {
        format!("expected Unix seconds or a time like 2026-12-31T23:59:59Z, got {text:?}")
    })
}

/// Runs `tallystick voucher keygen`.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn keygen(args: &KeygenArgs, json: bool) -> Result<(), CliError> {
    let public = make_key(&args.out)?.verifying_key();
    let record = Record(vec![
        ("signer", Cell::Hex(public.to_bytes().to_vec().into())),
        ("key_file", Cell::Text(args.out.display().to_string())),
    ]);
    let mut out = super::output::Output::new(json);
    out.record(&record, &Default::default())?;
    out.finish()
}

/// Makes a key and writes its secret to a file that only its owner can read.
pub(super) fn make_key(path: &Path) -> Result<SigningKey, CliError> {
    let seed = make_secret()?;
    write_secret(path, &hex(&seed))?;
    Ok(SigningKey::from_bytes(&seed))
}

/// A secret for a key.
pub(super) fn make_secret() -> Result<[u8; 32], CliError> {
    client::random()
}

/// Writes a secret to a new file that only its owner can read.
pub(super) fn write_secret(path: &Path, secret: &str) -> Result<(), CliError> {
    let mut options = OpenOptions::new();
    let created = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = created.map_err(|error| {
        if error.kind() != io::ErrorKind::AlreadyExists {
            return CliError::file(path)(error);
        }
        let path = path.display();
        CliError::Failed(format!(
            "{path} exists, and a secret is never overwritten; choose another name"
        ))
    })?;
    writeln!(file, "{secret}").map_err(CliError::file(path))
}

/// Reads a key file: 64 hexadecimal digits.
pub(super) fn read_key(path: &Path) -> Result<SigningKey, CliError> {
    let text = fs::read_to_string(path).map_err(CliError::file(path))?;
    let mode = fs::metadata(path).map_err(CliError::file(path))?.permissions().mode();
    if mode & 0o077 != 0 {
        let path = path.display();
        super::note(&format!("warning: others may read {path}; chmod 600 {path}"));
    }
    let seed = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok();
    let seed: Option<[u8; 32]> = seed.and_then(|seed| seed.try_into().ok());
    seed.map(|seed| SigningKey::from_bytes(&seed)).ok_or_else(|| {
        CliError::Input(format!(
            "{} is no key file: expected 64 hexadecimal digits, as `voucher keygen` and `operator key new` write them",
            path.display()
        ))
    })
}

/// Makes a signed voucher.
fn sign(key: &SigningKey, network: &Network, to: To, expires_at: i64, cumulative: u64) -> Voucher {
    let key = AgentKey::new(&key.to_bytes());
    let To { payee: PartyId(payee), asset, lane } = to;
    let channel = ChannelOf { payee, asset, expires_at, lane };
    key.sign(network, channel.fields(key.signer(), cumulative))
}

/// Runs `tallystick voucher sign`.
///
/// # Errors
/// When the key cannot be read, the call fails, or the voucher is rejected.
pub async fn run_voucher(session: &mut Session, command: VoucherCommand) -> Result<(), CliError> {
    let args = match command {
        VoucherCommand::Keygen(args) => return keygen(&args, session.out.is_json()),
        VoucherCommand::Sign(args) => args,
    };
    let key = read_key(&args.key_file)?;
    let ExpiryArgs { expires_at, ttl } = args.expiry;
    let expires_at = match (expires_at, ttl) {
        (Some(time), _) => time,
        (None, ttl) => after_now(ttl.unwrap_or_default())?,
    };
    let network = Network::new(session.network_id().await?.0);
    let ToArgs { payee, asset, lane } = args.to;
    let cumulative = money::units(session, &args.cumulative, asset).await?;
    let cumulative = cumulative.parse().map_err(|_| {
        CliError::Input(format!("--cumulative {cumulative} is more than a voucher can carry"))
    })?;
    let to = To { payee: payee.find(session).await?, asset, lane };
    if ttl.is_some() {
        // Whoever repeats the command would pay again.
        super::note(&format!(
            "note: this is a new channel, whose total starts at 0; to raise its total or to repeat this, give \
             --expires-at {expires_at} instead of --ttl"
        ));
    }
    let voucher = sign(&key, &network, to, expires_at, cumulative);
    if let Some(form) = args.x402 {
        return print_payment(session, form, &voucher, args.amount.as_deref()).await;
    }
    let packed = voucher.packed();
    let mut record = voucher_record(&voucher, &network);
    if !args.submit {
        if session.out.is_json() {
            return session.print(&record).await;
        }
        let signer = hex(&voucher.fields.signer);
        super::note(&format!("signer {signer}, expires_at {expires_at}"));
        return session.out.line(&hex(&packed));
    }
    let frame = Frame { frame_id: 1, packed: packed.to_vec().into(), ..Frame::default() };
    let answer = session.vouchers().submit(frame).await;
    let ack = answer.map_err(|status| session.failed(status))?.into_inner();
    let outcome = outcome_of(&ack)?;
    let word = outcome_name(outcome);
    record.0.insert(0, ("outcome", Cell::Text(word.clone())));
    record.0.insert(1, ("lsn", Cell::Count(ack.lsn)));
    if !session.out.is_json() {
        // People have seen enough of it; programs may want to keep it.
        record.0.retain(|(name, _)| *name != "packed");
    }
    session.print(&record).await?;
    if outcome.is_reject() {
        let why = explanation(outcome);
        return Err(CliError::Failed(format!("the voucher was rejected: {word}: {why}")));
    }
    Ok(())
}

/// Prints the payment of x402 that a voucher makes.
async fn print_payment(
    session: &mut Session,
    form: Form,
    voucher: &Voucher,
    amount: Option<&str>,
) -> Result<(), CliError> {
    let asset = voucher.fields.asset;
    let amount = match amount {
        None => voucher.fields.cumulative,
        Some(text) => {
            let units = money::units(session, text, asset).await?;
            let wrong = |_| CliError::Input(format!("--amount {units} is more than can be paid"));
            units.parse().map_err(wrong)?
        }
    };
    let network = session.network_id().await?;
    let unknown = || CliError::Input(format!("the engine has no asset {asset}"));
    let asset = session.assets().await?.get(&asset).cloned().ok_or_else(unknown)?;
    session.out.line(&payment::text(form, voucher, amount, network, &asset)?)
}

/// Unix seconds, `ttl` from now.
fn after_now(ttl: Duration) -> Result<i64, CliError> {
    let ttl = i64::try_from(ttl.as_secs()).ok();
    ttl.and_then(|ttl| jiff::Timestamp::now().as_second().checked_add(ttl))
        .ok_or_else(|| CliError::Input("--ttl is too long".into()))
}

/// The outcome of the only voucher of the frame.
fn outcome_of(ack: &Ack) -> Result<Outcome, CliError> {
    let outcome = match ack.outcomes.as_ref() {
        &[byte] => Outcome::from_byte(byte),
        _other_length => None,
    };
    outcome.ok_or_else(|| {
        CliError::Failed(format!(
            "the engine's ack has the outcomes {:?}, which this program does not know",
            hex(&ack.outcomes)
        ))
    })
}

/// The outcome's name in the contract, in lower case.
fn outcome_name(outcome: Outcome) -> String {
    let wire = tallystick_proto::v1::Outcome::try_from(i32::from(outcome.byte()));
    let wire = wire.expect("outcomes have the numbers of the contract");
    super::state_name(wire.as_str_name(), "OUTCOME_")
}

/// What an outcome means and what to do.
fn explanation(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Credited => "the difference is now owed",
        Outcome::Stale => "the channel's total is already at or above it",
        Outcome::Malformed => "its bytes are no voucher",
        Outcome::BadSignature => "the signature is not of this key, network and content",
        Outcome::UnknownSigner => "register the key with `tallystick signer add`",
        Outcome::RevokedSigner => {
            "the key was revoked; make a new one. What it signed before stays owed: `tallystick channel show` \
             says whether this voucher was credited earlier"
        }
        Outcome::UnknownPayee => "register the payee with `tallystick party add`",
        Outcome::UnknownAsset => "create the asset with `tallystick asset add`",
        Outcome::SelfPayment => "the signer's party is the payee",
        Outcome::Expired => {
            "the expiry is not in the future; `tallystick channel show` says whether this voucher was credited \
             earlier, as long as the channel is known"
        }
        Outcome::LifetimeTooLong => "the expiry is further away than the network allows",
        Outcome::OverSignerCap => "the key would spend more than its own cap",
        Outcome::OverLimit => {
            "the party would owe more than its limit and prefund; see \
                               `tallystick limit show`"
        }
        Outcome::SuspendedParty => {
            "the payer or the payee is suspended; `tallystick channel show` says whether this voucher was \
             credited earlier"
        }
        Outcome::OverTotalBudget => {
            "the key would spend more than a budget of it that never begins anew; see `tallystick signer budget list`"
        }
        Outcome::OverMonthBudget => {
            "the key would spend more than its budget of this month; send the voucher again next month (UTC), or see \
             `tallystick signer budget list`"
        }
        Outcome::OverDayBudget => {
            "the key would spend more than its budget of this day; send the voucher again after midnight UTC, or see \
             `tallystick signer budget list`"
        }
        Outcome::OverHourBudget => {
            "the key would spend more than its budget of this hour; send the voucher again in the next one, or see \
             `tallystick signer budget list`"
        }
        Outcome::OutOfScope => {
            "the payer or the payee is not in the scope of your identity; see `tallystick access list`"
        }
        Outcome::WrongAmount => {
            "it does not raise the channel's total by the amount that was asked for"
        }
        Outcome::TooManyChannels => {
            "the key or its party has as many live channels as it may; use those, or wait until \
             some expire"
        }
    }
}

fn voucher_record(voucher: &Voucher, network: &Network) -> Record {
    let of = &voucher.fields;
    Record(vec![
        ("channel_id", Cell::Hex(network.channel(of).to_vec().into())),
        ("signer", Cell::Hex(of.signer.to_vec().into())),
        ("payee", Cell::Party(of.payee.to_vec().into())),
        ("asset", Cell::Count(of.asset.into())),
        ("lane", Cell::Label(of.lane)),
        ("expires_at", Cell::Count(u64::try_from(of.expires_at).unwrap_or(0))),
        ("cumulative", Cell::Money(of.cumulative.to_string(), of.asset)),
        ("packed", Cell::Hex(voucher.packed().to_vec().into())),
    ])
}

/// Runs `tallystick channel ...`.
///
/// # Errors
/// When the call fails.
pub async fn run_channel(session: &mut Session, command: ChannelCommand) -> Result<(), CliError> {
    let ChannelCommand::Show(args) = command;
    let request = args.request(session).await?;
    let answer = session.vouchers().get_channel(request).await;
    let channel = answer.map_err(|status| session.failed(status))?.into_inner();
    session.print(&channel_record(channel, args.to.asset)).await
}

fn channel_record(channel: Channel, asset: u32) -> Record {
    Record(vec![
        ("channel_id", Cell::Hex(channel.channel_id)),
        ("cumulative", Cell::Money(channel.cumulative.to_string(), asset)),
        ("lsn", Cell::Count(channel.lsn)),
        ("known", Cell::Flag(channel.known)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Amount, ChannelHasher, NetworkId, Packed, message};

    #[test]
    fn signed_vouchers_are_valid_under_strict_rules() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let to = To { payee: PartyId([2; 32]), asset: 978, lane: 3 };
        let network = Network::new([1; 32]);
        let voucher = sign(&key, &network, to, 1_800_000_000, 5);
        let packed = voucher.packed();
        // By the engine's own code.
        let channel = ChannelHasher::new(NetworkId([1; 32])).channel(Packed(&packed));
        let signed = message(channel, Amount(5), 1_800_000_000);
        let signature = ed25519_dalek::Signature::from_bytes(&voucher.signature);
        key.verifying_key().verify_strict(&signed, &signature).unwrap();
        let json = voucher_record(&voucher, &network).json();
        assert_eq!(json["packed"], hex(&packed));
        assert_eq!((&json["cumulative"], &json["lane"]), (&"5".into(), &"3".into()));
        assert_eq!(json["expires_at"], 1_800_000_000);
    }

    #[test]
    fn a_key_file_is_private_read_back_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("agent.key");
        let made = make_key(&out).unwrap();
        assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(make_key(&out).is_err());
        assert_eq!(read_key(&out).unwrap().to_bytes(), made.to_bytes());
        fs::write(&out, "abc").unwrap();
        assert!(read_key(&out).unwrap_err().to_string().contains("no key file"));
    }

    #[test]
    fn times_are_seconds_or_rfc_3339() {
        assert_eq!(parse_time("1795000000"), Ok(1_795_000_000));
        assert_eq!(parse_time("1970-01-01T00:01:00Z"), Ok(60));
        assert!(parse_time("tomorrow").is_err());
    }

    #[test]
    fn every_outcome_has_its_word() {
        let words: Vec<String> = Outcome::ALL.into_iter().map(outcome_name).collect();
        assert_eq!((words[0].as_str(), words[3].as_str()), ("credited", "bad_signature"));
        assert!(outcome_of(&Ack { outcomes: vec![99].into(), ..Ack::default() }).is_err());
        let ack = Ack { outcomes: vec![2].into(), ..Ack::default() };
        assert_eq!(outcome_of(&ack).unwrap(), Outcome::Stale);
    }
}

//! `evidence`, `proof`, `receipt` and `key`: what the engine hands out so that others can check it.

use super::client::Session;
use super::ids::Named;
use super::output::{Cell, Output, Record, hex};
use super::voucher::ChannelArgs;
use super::{CliError, RequestArgs};
use crate::proof::{Checked, Document, Trust, check_document, is_export};
use crate::types::{NetworkId, PartyId, SignerKey};
use clap::{Args, Subcommand};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};
use tallystick_proto::v1::{
    DocumentChunk, ExportEvidenceRequest, GetProofRequest, PairOf, PositionOf,
    RotateEngineKeyRequest, get_proof_request::Of,
};
use tonic::Streaming;

/// `tallystick evidence ...`
#[derive(Debug, Subcommand)]
pub enum EvidenceCommand {
    /// Export all events, and of the windows named everything that proves them, to a file
    #[command(
        after_help = "Example:\n  tallystick evidence export 1 2 3 --out windows.tallyexp\n\n\
        `tallystick audit FILE` checks it without the engine."
    )]
    Export {
        /// The windows' numbers; none: events only
        #[arg(value_name = "WINDOW", value_parser = super::window::window_number)]
        windows: Vec<u64>,
        /// File to write; `-` is standard output
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// `tallystick proof ...`
#[derive(Debug, Subcommand)]
pub enum ProofCommand {
    /// Prove what one payer owes one payee in a window
    #[command(after_help = "Example:\n  tallystick proof pair 3 --asset 978 --payer a1..a1 \
        --payee b2..b2 --out pair.json")]
    Pair {
        #[command(flatten)]
        of: ProofOf,
        /// Who owes: the party's id, or its first 8 or more digits
        #[arg(long, value_name = "ID")]
        payer: Named<PartyId>,
        /// Who is owed, likewise
        #[arg(long, value_name = "ID")]
        payee: Named<PartyId>,
    },
    /// Prove one party's position in a window
    #[command(
        after_help = "Example:\n  tallystick proof position 3 --asset 978 --party b2..b2 --pairs"
    )]
    Position {
        #[command(flatten)]
        of: ProofOf,
        /// Whose position: the party's id, or its first 8 or more digits
        #[arg(long, value_name = "ID")]
        party: Named<PartyId>,
        /// With everything that makes it up, and its evidence
        #[arg(long)]
        pairs: bool,
    },
    /// Check a proof or a receipt offline: every signature, sum, path and root in it
    #[command(
        after_help = "Example:\n  tallystick proof check pair.json --engine-key 5c..9e\n\nNeeds \
        no engine. Without --engine-key it is said which key signed; compare it with the one you know."
    )]
    Check {
        /// The document; `-` is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The network that it must be of, 64 hexadecimal digits
        #[arg(long, value_name = "ID")]
        network_id: Option<NetworkId>,
        /// The key with which the engine must have signed, 64 hexadecimal digits
        #[arg(long, value_name = "KEY")]
        engine_key: Option<SignerKey>,
    },
}

/// Which window and asset, and where the proof goes.
#[derive(Debug, Clone, Args)]
pub struct ProofOf {
    /// The window's number
    #[arg(value_name = "WINDOW", value_parser = super::window::window_number)]
    window: u64,
    /// The asset's number
    #[arg(long, value_name = "ASSET", value_parser = super::asset::asset_number)]
    asset: u32,
    /// File to write; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
}

/// `tallystick receipt`
#[derive(Debug, Args)]
pub struct ReceiptArgs {
    #[command(flatten)]
    channel: ChannelArgs,
    /// File to write; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
}

/// `tallystick key ...`
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Have the engine sign with a new key from now on; what it signed before stays valid
    #[command(after_help = "Example:\n  tallystick key rotate")]
    Rotate {
        #[command(flatten)]
        request: RequestArgs,
    },
}

/// Runs `tallystick evidence ...`.
///
/// # Errors
/// When the call fails or the file cannot be written.
pub async fn run_evidence(session: &mut Session, command: EvidenceCommand) -> Result<(), CliError> {
    let EvidenceCommand::Export { windows, out } = command;
    let answer = session.operator().export_evidence(ExportEvidenceRequest { windows }).await;
    let chunks = answer.map_err(|status| session.failed(status))?.into_inner();
    save(session, chunks, &out).await
}

/// Runs `tallystick proof ...` but `check`, which needs no engine.
///
/// # Errors
/// When the call fails or the file cannot be written.
pub async fn run_proof(session: &mut Session, command: ProofCommand) -> Result<(), CliError> {
    let (to, of) = match command {
        ProofCommand::Pair { of, payer, payee } => {
            let (payer, payee) = (payer.bytes(session).await?, payee.bytes(session).await?);
            (of, Of::Pair(PairOf { payer, payee }))
        }
        ProofCommand::Position { of, party, pairs } => {
            let party_id = party.bytes(session).await?;
            (of, Of::Position(PositionOf { party_id, pairs }))
        }
        ProofCommand::Check { file, network_id, engine_key } => {
            let trust = Trust { network: network_id, engine_key };
            return check(&file, &trust, session.out.is_json());
        }
    };
    let request = GetProofRequest { window: to.window, asset: to.asset, of: Some(of) };
    let answer = session.operator().get_proof(request).await;
    let chunks = answer.map_err(|status| session.failed(status))?.into_inner();
    save(session, chunks, &to.out).await
}

/// Runs `tallystick receipt`.
///
/// # Errors
/// When the call fails or the file cannot be written.
pub async fn run_receipt(session: &mut Session, args: ReceiptArgs) -> Result<(), CliError> {
    let answer = session.vouchers().get_receipt(args.channel.request(session).await?).await;
    let receipt = answer.map_err(|status| session.failed(status))?.into_inner();
    let mut file = Target::create(&args.out)?;
    file.write(&receipt.document)?;
    finish(session, file, &args.out)
}

/// Runs `tallystick key ...`.
///
/// # Errors
/// When the call fails.
pub async fn run_key(session: &mut Session, command: KeyCommand) -> Result<(), CliError> {
    let KeyCommand::Rotate { request } = command;
    let request_id = request.id()?;
    let message = RotateEngineKeyRequest { request_id: request_id.clone() };
    let answer = session.operator().rotate_engine_key(message).await;
    let key = answer.map_err(|status| session.failed_change(status, &request_id))?.into_inner();
    let record = Record(vec![("engine_key", Cell::Hex(key.key)), ("lsn", Cell::Count(key.lsn))]);
    session.print(&record).await
}

/// Runs `tallystick proof check`.
///
/// # Errors
/// When the document cannot be read, or something in it does not hold.
pub fn check(path: &Path, trust: &Trust, json: bool) -> Result<(), CliError> {
    let text = read_document(path)?;
    let checked = check_document(&text, trust)
        .map_err(|why| CliError::Failed(format!("{} proves nothing: {why}", path.display())))?;
    let mut out = Output::new(json);
    out.record(&checked_record(&checked), &Default::default())?;
    if trust.engine_key.is_none() {
        super::note("note: pass --engine-key to check that this is your engine's key");
    }
    out.finish()
}

/// The text of a proof or a receipt; what is plainly something else is told as what it is.
pub(super) fn read_document(path: &Path) -> Result<String, CliError> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    read.map_err(CliError::file(path))?;
    let name = path.display();
    if is_export(&bytes) {
        return Err(CliError::Failed(format!(
            "{name} is an evidence export, no proof or receipt: `tallystick audit {name}` checks it"
        )));
    }
    let why = match String::from_utf8(bytes) {
        Ok(text) if text.trim().is_empty() => "is empty: fetch the proof or receipt again",
        Ok(text) => return Ok(text),
        Err(_) => {
            "is no text, so it is no proof or receipt: name a file that `tallystick proof pair`, `proof \
             position` or `receipt` has written"
        }
    };
    Err(CliError::Failed(format!("{name} {why}")))
}

fn checked_record(checked: &Checked) -> Record {
    let hex = |bytes: &[u8]| Cell::Hex(bytes.to_vec().into());
    let signatures = u64::try_from(checked.signatures).expect("a length fits 64 bits");
    let mut cells = vec![("ok", Cell::Flag(true))];
    match &checked.document {
        Document::Proof(proof) => {
            cells.push(("network_id", hex(&proof.network_id.0)));
            cells.push(("engine_key", hex(&proof.engine_key.0)));
            cells.push(("window", Cell::Count(proof.window.number)));
            cells.push(("cut_at_us", Cell::Micros(proof.window.cut_at_us)));
            cells.push(("asset", Cell::Count(proof.asset.into())));
            if let Some(position) = &proof.position {
                cells.push(("party_id", hex(&position.party_id.0)));
                cells.push(("net", Cell::Text(position.net.clone())));
            }
            let pair = |pair: &crate::proof::PairProof| {
                Record(vec![
                    ("payer", Cell::Party(pair.payer.0.to_vec().into())),
                    ("payee", Cell::Party(pair.payee.0.to_vec().into())),
                    ("amount", Cell::Text(pair.amount.clone())),
                ])
            };
            cells.push(("pairs", Cell::Records(proof.pairs.iter().map(pair).collect())));
        }
        Document::Receipt(receipt) => {
            let voucher = crate::types::Packed(&receipt.voucher.0);
            cells.push(("network_id", hex(&receipt.network_id.0)));
            cells.push(("engine_key", hex(&receipt.engine_key.0)));
            cells.push(("signer", hex(&voucher.signer().0)));
            cells.push(("payee", hex(&voucher.payee().0)));
            cells.push(("asset", Cell::Count(voucher.asset().0.into())));
            cells.push(("cumulative", Cell::Text(voucher.cumulative().to_string())));
            cells.push(("lsn", Cell::Count(receipt.lsn)));
            cells.push(("at_us", Cell::Micros(receipt.at_us)));
        }
    }
    cells.push(("signatures", Cell::Count(signatures)));
    Record(cells)
}

/// Writes a streamed document; says where it is, unless it went to standard output.
async fn save(
    session: &mut Session,
    mut chunks: Streaming<DocumentChunk>,
    out: &Path,
) -> Result<(), CliError> {
    let mut file = Target::create(out)?;
    while let Some(chunk) = chunks.message().await.map_err(|status| session.failed(status))? {
        file.write(&chunk.content)?;
    }
    finish(session, file, out)
}

fn finish(session: &mut Session, file: Target, out: &Path) -> Result<(), CliError> {
    let (bytes, digest) = file.finish()?;
    if out == Path::new("-") {
        return Ok(());
    }
    let record = Record(vec![
        ("file", Cell::Text(out.display().to_string())),
        ("bytes", Cell::Count(bytes)),
        ("blake3", Cell::Text(hex(digest.as_bytes()))),
    ]);
    session.out.record(&record, &Default::default())
}

/// Where a document goes: standard output, or a file that gets its name when it is whole.
struct Target {
    path: PathBuf,
    /// None for standard output.
    unfinished: Option<PathBuf>,
    out: BufWriter<Box<dyn Write>>,
    hasher: blake3::Hasher,
    bytes: u64,
    whole: bool,
}

impl Target {
    fn create(path: &Path) -> Result<Self, CliError> {
        let (unfinished, out): (_, Box<dyn Write>) = if path == Path::new("-") {
            (None, Box::new(io::stdout()))
        } else {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{}.tmp", std::process::id()));
            let unfinished = PathBuf::from(name);
            let file = File::create(&unfinished).map_err(CliError::file(path))?;
            (Some(unfinished), Box::new(file))
        };
        let (out, hasher) = (BufWriter::new(out), blake3::Hasher::new());
        Ok(Self { path: path.to_owned(), unfinished, out, hasher, bytes: 0, whole: false })
    }

    fn write(&mut self, content: &[u8]) -> Result<(), CliError> {
        self.hasher.update(content);
        self.bytes += u64::try_from(content.len()).expect("a length fits 64 bits");
        self.out.write_all(content).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> CliError {
        match &self.unfinished {
            None => CliError::Output(error),
            Some(path) => CliError::file(path)(error),
        }
    }

    fn finish(mut self) -> Result<(u64, blake3::Hash), CliError> {
        self.out.flush().map_err(|error| self.failed(error))?;
        if let Some(unfinished) = &self.unfinished {
            let sync = File::open(unfinished).and_then(|file| file.sync_all());
            let named = sync.and_then(|()| fs::rename(unfinished, &self.path));
            named.map_err(CliError::file(&self.path))?;
        }
        self.whole = true;
        Ok((self.bytes, self.hasher.finalize()))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(unfinished) = self.unfinished.as_ref().filter(|_| !self.whole) {
            // Half a document is of no use; if it cannot be removed, its name says what it is.
            let _ = fs::remove_file(unfinished);
        }
    }
}

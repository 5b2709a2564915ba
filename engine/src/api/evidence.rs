//! Evidence for others: exports, proofs, receipts, and the rotation of the key that signs them.

use super::door::Place;
use super::messages::{asked, asks, channel, id, position};
use super::read::Streamed;
use super::receipts::{self, Credited};
use super::status::invalid;
use crate::ledger::{Caller, Evidence, Refusal};
use crate::limits::{BATCH_WINDOWS_MAX, EXPORT_CHUNK_BYTES};
use crate::pipeline;
use crate::proof::{Document, Wanted};
use crate::settle::{Engine, EvidenceRequest, NotProved, signed_end};
use crate::types::{AssetNumber, PartyId, WindowNumber};
use bytes::Bytes;
use std::io::{self, BufWriter, Write};
use tallystick_proto::v1;
use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

asks! {
    RotateEngineKeyRequest "RotateEngineKey",
}

/// Chunks that may wait for the client.
const CHUNKS: usize = 1;

type Chunk = Result<v1::DocumentChunk, Status>;

/// Sends what is written to it, chunk by chunk, as the client takes it.
struct ToClient(Sender<Chunk>);

impl Write for ToClient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let content = Bytes::copy_from_slice(bytes);
        let sent = self.0.blocking_send(Ok(v1::DocumentChunk { content }));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client went away"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An export, written by a thread of its own.
pub(super) async fn export(
    engine: &Engine,
    place: Place,
    message: v1::ExportEvidenceRequest,
) -> Result<Streamed<v1::DocumentChunk>, Status> {
    let mut windows: Vec<WindowNumber> = message.windows.into_iter().map(WindowNumber).collect();
    if windows.len() > BATCH_WINDOWS_MAX {
        let count = windows.len();
        return Err(invalid(format!(
            "one export holds up to {BATCH_WINDOWS_MAX} windows, {count} were named"
        )));
    }
    windows.sort_unstable();
    windows.dedup();
    let network = engine.network();
    let found = engine.ask(|control| {
        let sealed = |number: &WindowNumber| control.window(*number)?.sealed_head();
        let windows = windows.iter().map(sealed).collect::<Result<Vec<_>, Refusal>>()?;
        Ok((windows, control.history(), control.engine_key()))
    });
    let (windows, last, key) = found.await?;
    let end = signed_end(engine.key(), key, network, last, pipeline::now());
    let end = end.ok_or_else(key_changes)?;
    let request = EvidenceRequest { network, windows, events: true, end };
    let archive = engine.archive().clone();
    let (chunks_in, chunks) = mpsc::channel(CHUNKS);
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let out = BufWriter::with_capacity(EXPORT_CHUNK_BYTES, ToClient(chunks_in.clone()));
        let ended = crate::settle::export(&archive, &request, out);
        if let Err(error) = ended
            && !chunks_in.is_closed()
        {
            // Nobody to tell if the client is gone.
            let _ = chunks_in.blocking_send(Err(error.into()));
        }
    });
    Ok(Box::pin(ReceiverStream::new(chunks)))
}

/// Of whom something is to be proved.
pub(super) fn proved_of(message: &v1::GetProofRequest) -> Result<Vec<PartyId>, Status> {
    Ok(match &message.of {
        Some(v1::get_proof_request::Of::Pair(pair)) => {
            vec![id(&pair.payer, "payer")?, id(&pair.payee, "payee")?]
        }
        Some(v1::get_proof_request::Of::Position(of)) => vec![id(&of.party_id, "party_id")?],
        None => Vec::new(),
    })
}

/// A proof, in chunks.
pub(super) async fn proof(
    engine: &Engine,
    place: Place,
    message: v1::GetProofRequest,
) -> Result<Streamed<v1::DocumentChunk>, Status> {
    let (number, asset) = (WindowNumber(message.window), AssetNumber(message.asset));
    let wanted = match message.of {
        Some(v1::get_proof_request::Of::Pair(pair)) => {
            let (payer, payee) = (id(&pair.payer, "payer")?, id(&pair.payee, "payee")?);
            Wanted::Pair { payer, payee }
        }
        Some(v1::get_proof_request::Of::Position(of)) => {
            let party: PartyId = id(&of.party_id, "party_id")?;
            Wanted::Position { party, pairs: of.pairs }
        }
        None => return Err(invalid("say whose pair or position is to be proved")),
    };
    let found = engine.ask(|control| {
        control.asset(asset)?;
        control.window(number)?.sealed_head()
    });
    let sealed = found.await?;
    let (archive, network) = (engine.archive().clone(), engine.network());
    let (chunks_in, chunks) = mpsc::channel(CHUNKS);
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let proved = crate::settle::prove(&archive, network, &sealed, asset, wanted);
        let status = match proved {
            Ok(proof) => {
                let text = Document::Proof(Box::new(proof)).text();
                let mut out = ToClient(chunks_in);
                // An error means that the client went away.
                let _ =
                    text.as_bytes().chunks(EXPORT_CHUNK_BYTES).try_for_each(|c| out.write_all(c));
                return;
            }
            Err(NotProved::Nothing(text)) => Status::not_found(text),
            Err(NotProved::NotRead(error)) => error.into(),
        };
        let _ = chunks_in.blocking_send(Err(status));
    });
    Ok(Box::pin(ReceiverStream::new(chunks)))
}

/// A receipt for the newest voucher of a channel.
pub(super) async fn receipt(
    engine: &Engine,
    message: &v1::GetChannelRequest,
) -> Result<v1::Receipt, Status> {
    let (signer, channel) = channel(engine, message)?;
    let Some(newest) = engine.newest(signer, channel).await? else {
        return Err(Status::not_found(format!(
            "channel {channel} was never credited, or it expired and was forgotten"
        )));
    };
    let Evidence { voucher, branch, lsn, .. } = newest;
    let signed = receipts::sign(engine, &[Credited { voucher, branch, lsn }]).await?;
    let receipt = signed.and_then(|mut signed| signed.pop()).ok_or_else(key_changes)?;
    let document = Document::Receipt(Box::new(receipt)).text();
    Ok(v1::Receipt { document: document.into(), position: position(lsn) })
}

fn key_changes() -> Status {
    Status::unavailable("the engine's key is changing; try again")
}

/// Puts a new key in force. The answer is that of the first time, also to a retry.
pub(super) async fn rotate(
    engine: &Engine,
    caller: Caller,
    message: v1::RotateEngineKeyRequest,
) -> Result<v1::EngineKey, Status> {
    let (request, _) = asked(message)?;
    let (key, lsn) = engine.rotate_key(caller, request).await?;
    Ok(v1::EngineKey { key: Bytes::copy_from_slice(&key.0), lsn: lsn.0 })
}

//! What a stream says, read in the slowest and plainest way there is.

use bytes::Bytes;
use tallystick_jetstream::{Kind, Message};
use tallystick_journal::split;
use tallystick_ledger::types::{Digest, Lsn};

/// The records that count, in order: position and digest.
pub type Counted = Vec<(Lsn, Digest)>;

/// Reads all of it.
///
/// # Errors
/// What is wrong with it.
pub fn read(log: &[Bytes]) -> Result<Counted, String> {
    let mut counted = Counted::new();
    for end in 0..log.len() {
        let message = Message::read(&log[end])?;
        if message.kind != Kind::Group || !counts(log, end)? {
            continue;
        }
        for record in split(message.body).ok_or("a group is not whole")? {
            let next = counted.last().map_or(Lsn(1), |(lsn, _): &(Lsn, Digest)| lsn.next());
            if record.lsn != next {
                return Err(format!("record {} stands where {next} belongs", record.lsn));
            }
            counted.push((record.lsn, record.tail().link));
        }
    }
    Ok(counted)
}

/// Whether a message counts, found out from the first one on.
fn counts(log: &[Bytes], of: usize) -> Result<bool, String> {
    let (mut epoch, mut chain, mut counts) = (0, Digest([0; 32]), false);
    for bytes in &log[..=of] {
        let message = Message::read(bytes)?;
        counts = match message.kind {
            Kind::Claim => message.epoch > epoch,
            Kind::Open | Kind::Group | Kind::Nothing => {
                message.epoch == epoch && message.link == chain
            }
        };
        if !counts {
            continue;
        }
        epoch = message.epoch;
        chain = match message.kind {
            Kind::Claim => {
                let both = [chain.0, message.digest.0].concat();
                Digest(blake3::derive_key("tallystick 2026-11 stream claim v1", &both))
            }
            Kind::Open | Kind::Group | Kind::Nothing => message.digest,
        };
    }
    Ok(counts)
}

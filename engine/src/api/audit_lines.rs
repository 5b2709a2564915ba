//! Lines of the audit log for whoever may read it, newest first.

use super::status::invalid;
use crate::limits::{AUDIT_LINES_LOOK, PAGE_MAX};
use crate::trail::{AuditLog, Backwards, Line, Stand, Stands, Unreadable, Who};
use bytes::Bytes;
use tallystick_proto::v1;
use tonic::Status;

/// Bytes of where reading stands.
const STAND_BYTES: usize = 16;

/// A page of them.
pub(super) async fn list(
    log: &AuditLog,
    asked: v1::ListAuditLogRequest,
) -> Result<v1::ListAuditLogResponse, Status> {
    let (log, from) = (log.clone(), stands(&asked.next)?);
    let read = tokio::task::spawn_blocking(move || read(&log, &asked, from));
    let read = read.await.expect("reading does not panic");
    read.map_err(|why| Status::data_loss(format!("the audit log cannot be read: {why}")))
}

fn read(
    log: &AuditLog,
    asked: &v1::ListAuditLogRequest,
    from: Option<Stands>,
) -> Result<v1::ListAuditLogResponse, Unreadable> {
    let limit = match asked.limit as usize {
        0 => PAGE_MAX,
        some => some.min(PAGE_MAX),
    };
    let is = |asked: &str, of: &str| asked.is_empty() || asked == of;
    let (mut lines, mut reading) = (Vec::new(), Backwards::of(log.dir(), from)?);
    for _ in 0..AUDIT_LINES_LOOK {
        if lines.len() == limit {
            break;
        }
        let Some(line) = reading.older()? else { break };
        let fits = is(&asked.name, &line.who.name)
            && is(&asked.call, &line.call)
            && is(&asked.result, &line.result);
        if fits {
            lines.push(message(line));
        }
    }
    let next = reading.stands().map(next_bytes).unwrap_or_default();
    Ok(v1::ListAuditLogResponse { lines, next })
}

fn message(line: Line) -> v1::AuditLine {
    let Line { at, who, certificate, from, via, call, request_id, about, result, took_us } = line;
    let Who { name, role } = who;
    let certificate = certificate.unwrap_or_default();
    v1::AuditLine {
        at,
        name,
        role,
        certificate,
        from,
        call,
        request_id,
        about,
        result,
        took_us,
        via,
    }
}

/// Where reading stands, opaque to whoever gets it.
fn next_bytes(stands: Stands) -> Bytes {
    let all = stands.iter().flat_map(|of| [of.number.to_le_bytes(), of.end.to_le_bytes()]);
    all.flatten().collect::<Vec<u8>>().into()
}

fn stands(bytes: &[u8]) -> Result<Option<Stands>, Status> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let number = |part: &[u8]| part.try_into().map(u64::from_le_bytes).ok();
    let one = |part: &[u8]| {
        let (first, last) = part.split_at_checked(STAND_BYTES / 2)?;
        Some(Stand { number: number(first)?, end: number(last)? })
    };
    let all: Option<Vec<Stand>> = bytes.chunks(STAND_BYTES).map(one).collect();
    let all = all.and_then(|all| Stands::try_from(all).ok());
    all.map(Some).ok_or_else(|| invalid("next is not what an answer of ListAuditLog held"))
}

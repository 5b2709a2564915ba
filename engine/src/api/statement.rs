//! A party's statement, a bounded number of windows at a time.

use super::access::Own;
use super::batches::batch_state;
use super::messages::{bytes, id, window_state};
use crate::settle::{Engine, StatementLine, WantedStatement};
use crate::types::{AssetNumber, BatchId, Net, WindowNumber};
use bytes::Bytes;
use tallystick_proto::v1;
use tonic::Status;

/// As far as one call looks.
pub(super) async fn get(
    engine: &Engine,
    own: &Own,
    asked: v1::GetStatementRequest,
) -> Result<v1::GetStatementResponse, Status> {
    let v1::GetStatementRequest { party_id, asset, first_window, last_window } = asked;
    let wanted = WantedStatement {
        party: id(&party_id, "party_id")?,
        asset: asset.map(AssetNumber),
        first: WindowNumber(first_window.max(1)),
        last: (last_window > 0).then_some(WindowNumber(last_window)),
    };
    own.party(wanted.party)?;
    let found = engine.statement(wanted).await?;
    Ok(v1::GetStatementResponse {
        lines: found.lines.iter().map(line).collect(),
        next_window: found.next.map_or(0, |next| next.0),
        carried_on: found.carried_on.into_iter().map(carried_on).collect(),
    })
}

fn carried_on((batch, asset, net): (BatchId, AssetNumber, Net)) -> v1::CarriedOn {
    let (batch_id, asset, amount) = (bytes(&batch.0), asset.0, net.to_string());
    v1::CarriedOn { batch_id, asset, amount }
}

fn line(line: &StatementLine) -> v1::StatementLine {
    let StatementLine { window, asset, sent, received, carried, net, batch } = line;
    let (batch_id, state) = match batch {
        Some((id, state)) => (bytes(&id.0), batch_state(*state)),
        None => (Bytes::new(), v1::BatchState::Unspecified),
    };
    v1::StatementLine {
        window: window.number.0,
        cut_at_us: window.cut_at.0,
        window_state: window_state(window.state).into(),
        root: bytes(&window.root.0),
        asset: asset.0,
        sent: sent.to_string(),
        received: received.to_string(),
        carried: carried.to_string(),
        net: net.to_string(),
        batch_id,
        batch_state: state.into(),
    }
}

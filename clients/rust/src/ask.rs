//! Asking an engine for channels, many at a time.

use crate::error::CallError;
use crate::facilitator::VouchersCalls;
use crate::voucher::Fields;
use tallystick_proto::v1::{Channel, GetChannelRequest};
use tokio::task::JoinSet;

/// Calls at once on a connection.
const AT_ONCE: usize = 64;

/// The call that asks for a voucher's channel.
pub(crate) fn asked(of: &Fields) -> GetChannelRequest {
    GetChannelRequest {
        signer: of.signer.to_vec().into(),
        payee: of.payee.to_vec().into(),
        asset: of.asset,
        lane: of.lane,
        expires_at: of.expires_at,
    }
}

/// What the engine holds of these channels, in this order.
pub(crate) async fn channels(
    calls: &VouchersCalls,
    requests: Vec<GetChannelRequest>,
) -> Result<Vec<Channel>, CallError> {
    let mut found = vec![Channel::default(); requests.len()];
    let mut waiting = requests.into_iter().enumerate();
    let mut asking = JoinSet::new();
    loop {
        while asking.len() < AT_ONCE
            && let Some((place, request)) = waiting.next()
        {
            let mut calls = calls.clone();
            asking.spawn(async move { (place, calls.get_channel(request).await) });
        }
        let Some(answer) = asking.join_next().await else { return Ok(found) };
        let (place, answer) = answer.map_err(|failed| CallError::Foreign(failed.to_string()))?;
        found[place] = answer?.into_inner();
    }
}

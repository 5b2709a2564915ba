//! Headroom: how much signers may still spend, for facilitators, who ask before they serve.

use super::access::Own;
use super::messages::{bytes, id};
use super::status::invalid;
use crate::ledger::Headroom;
use crate::limits::HEADROOM_SIGNERS_MAX;
use crate::settle::Engine;
use crate::types::{AssetNumber, PartyId, SignerKey};
use tallystick_proto::v1;
use tonic::Status;

/// Of each signer that is named.
pub(super) async fn of(
    engine: &Engine,
    own: &Own,
    asked: v1::GetHeadroomRequest,
) -> Result<v1::GetHeadroomResponse, Status> {
    let v1::GetHeadroomRequest { asset, signers, payee } = asked;
    if signers.is_empty() || signers.len() > HEADROOM_SIGNERS_MAX {
        return Err(invalid(format!(
            "signers has {}; name 1 to {HEADROOM_SIGNERS_MAX} of them",
            signers.len()
        )));
    }
    let signers = signers.iter().map(|signer| id::<SignerKey>(signer, "signers"));
    let signers = signers.collect::<Result<Vec<_>, Status>>()?;
    let payee: Option<PartyId> = match payee.is_empty() {
        true => None,
        false => Some(id(&payee, "payee")?),
    };
    signers.iter().try_for_each(|signer| own.headroom(engine, *signer, payee))?;
    let found = engine.headroom(&signers, (AssetNumber(asset), payee)).await?;
    let one = |(signer, found): (&SignerKey, Headroom)| v1::Headroom {
        signer: bytes(&signer.0),
        left: found.left.0,
        beyond: i32::from(found.beyond.byte()),
    };
    let headrooms = signers.iter().zip(found).map(one).collect();
    Ok(v1::GetHeadroomResponse { headrooms })
}

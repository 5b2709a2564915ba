//! `signer headroom`: how much keys may still spend, as a facilitator asks it. It needs no token.

use super::CliError;
use super::client::Session;
use super::ids::Named;
use super::output::{Cell, Record};
use crate::limits::HEADROOM_SIGNERS_MAX;
use crate::types::{PartyId, SignerKey};
use bytes::Bytes;
use clap::Args;
use tallystick_proto::v1::{GetHeadroomRequest, Headroom};

/// Shown with `tallystick signer headroom --help`.
pub const HELP: &str = "\
Example:
  tallystick signer headroom 8f31aa02 77c05d1e --asset 978

By how much the totals of a key's channels may still rise: what its party's limit and deposits, its
own cap and its budgets leave now; and what a voucher is told that would raise one by more. With
--payee what the key may pay to that party. It is true at the moment of the answer and holds nothing
back: only a voucher's outcome says that it was credited.";

/// `tallystick signer headroom`
#[derive(Debug, Args)]
pub struct HeadroomArgs {
    /// The keys, or the first 8 or more digits of each
    #[arg(required = true, value_name = "KEY")]
    signers: Vec<Named<SignerKey>>,
    /// In which asset
    #[arg(long, value_name = "ASSET", value_parser = super::asset::asset_number)]
    asset: u32,
    /// To this party: its id, or its first 8 or more digits [default: to any]
    #[arg(long, value_name = "ID")]
    payee: Option<Named<PartyId>>,
}

/// Runs `tallystick signer headroom`.
///
/// # Errors
/// When a call fails.
pub async fn run(session: &mut Session, args: HeadroomArgs) -> Result<(), CliError> {
    let mut signers = Vec::new();
    for signer in &args.signers {
        signers.push(signer.bytes(session).await?);
    }
    let payee = match &args.payee {
        Some(payee) => payee.bytes(session).await?,
        None => Bytes::new(),
    };
    for some in signers.chunks(HEADROOM_SIGNERS_MAX) {
        let (asset, payee) = (args.asset, payee.clone());
        let asked = GetHeadroomRequest { asset, signers: some.to_vec(), payee };
        let answer = session.vouchers().get_headroom(asked).await;
        let answer = answer.map_err(|status| session.failed(status))?.into_inner();
        let rows = answer.headrooms.into_iter().map(|found| record(found, args.asset));
        session.print_rows(&rows.collect::<Vec<_>>(), &[]).await?;
    }
    Ok(())
}

fn record(found: Headroom, asset: u32) -> Record {
    let beyond = super::state_name(found.beyond().as_str_name(), "OUTCOME_");
    Record(vec![
        ("signer", Cell::Id(found.signer)),
        ("left", Cell::Money(found.left.to_string(), asset)),
        ("beyond", Cell::Text(beyond)),
    ])
}

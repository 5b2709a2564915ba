//! `batch pay-ins`: whom to ask for money, with the words to ask in.
//!
//! Names and accounts are those of now: the file beside the outbox says what the batch was computed
//! with, and a payer needs no account there.

use super::CliError;
use super::batch::{OneBatch, with_asset};
use super::client::Session;
use super::output::{AssetTexts, Cell, Record, printable};
use crate::limits::PAGE_MAX;
use crate::types::{PartyId, Total};
use bytes::Bytes;
use std::collections::BTreeMap;
use tallystick_proto::v1::{Leg, LegState, ListPartiesRequest, Party};

/// Shown with `tallystick batch pay-ins --help`.
pub const HELP: &str = "\
Example:
  tallystick batch pay-ins 9c1f03ab --json

Of each pay-in that has not ended: who pays, how much, and a sentence that you can send. By the
reference in it the bank's statement is matched with the payment.";

const COLUMNS: [&str; 5] = ["party_id", "name", "amount", "state", "ask"];

/// Runs `tallystick batch pay-ins`.
///
/// # Errors
/// When a call fails.
pub async fn run(session: &mut Session, one: OneBatch) -> Result<(), CliError> {
    let (asset, request) = with_asset(session, one).await?;
    let assets = session.assets().await?.clone();
    let answer = session.operator().list_legs(request).await;
    let mut legs = answer.map_err(|status| session.failed(status))?.into_inner();
    let (mut held, mut none) = (Vec::new(), true);
    while let Some(leg) = legs.message().await.map_err(|status| session.failed(status))? {
        // Pay-ins come first.
        if leg.to.as_ref() != PartyId::CLEARING.0 {
            break;
        }
        if has_not_ended(leg.state()) {
            held.push(leg);
        }
        if held.len() == PAGE_MAX {
            none = false;
            show(session, std::mem::take(&mut held), asset, &assets).await?;
        }
    }
    none &= held.is_empty();
    show(session, held, asset, &assets).await?;
    if none && !session.out.is_json() {
        session.out.line("Nobody is to pay in.")?;
    }
    Ok(())
}

fn has_not_ended(state: LegState) -> bool {
    match state {
        LegState::Ready | LegState::Sent | LegState::Accepted | LegState::Unknown => true,
        LegState::Unspecified | LegState::Confirmed | LegState::Rejected | LegState::Returned => {
            false
        }
    }
}

async fn show(
    session: &mut Session,
    legs: Vec<Leg>,
    asset: u32,
    assets: &AssetTexts,
) -> Result<(), CliError> {
    if legs.is_empty() {
        return Ok(());
    }
    let mut party_ids: Vec<Bytes> = legs.iter().map(|leg| leg.from.clone()).collect();
    party_ids.sort_unstable();
    party_ids.dedup();
    let asked = ListPartiesRequest { party_ids, ..Default::default() };
    let answer = session.operator().list_parties(asked).await;
    let parties = answer.map_err(|status| session.failed(status))?.into_inner().parties;
    let parties: BTreeMap<Bytes, Party> =
        parties.into_iter().map(|party| (party.party_id.clone(), party)).collect();
    let row = |leg: Leg| {
        let party = parties.get(&leg.from).cloned().unwrap_or_default();
        record(leg, party, asset, assets)
    };
    let rows: Vec<Record> = legs.into_iter().map(row).collect();
    session.print_rows(&rows, &COLUMNS).await
}

fn record(leg: Leg, party: Party, asset: u32, assets: &AssetTexts) -> Record {
    let state = super::state_name(leg.state().as_str_name(), "LEG_STATE_");
    let accounts = party.accounts.into_iter().map(|(rail, account)| (rail, account.fields));
    let ask = sentence(&leg.amount, &leg.key, asset, assets);
    Record(vec![
        ("party_id", Cell::Id(leg.from)),
        ("name", Cell::Text(party.name)),
        ("accounts", Cell::Accounts(accounts.collect())),
        ("amount", Cell::Money(leg.amount, asset)),
        ("key", Cell::Text(leg.key)),
        ("state", Cell::Text(state)),
        ("ask", Cell::Text(ask)),
    ])
}

/// What the payer is asked.
fn sentence(amount: &str, key: &str, asset: u32, assets: &AssetTexts) -> String {
    let sum = match (assets.get(&asset), amount.parse().map(Total)) {
        (Some(asset), Ok(sum)) => {
            format!("{} {}", printable(&asset.code), sum.decimal(asset.scale))
        }
        (Some(_) | None, Ok(_) | Err(_)) => format!("{amount} units of asset {asset}"),
    };
    format!("Please pay {sum} with the reference {key}.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::AssetText;

    #[test]
    fn a_payer_is_asked_in_one_sentence_with_the_reference() {
        let euro = AssetText { code: "EUR".into(), scale: 6 };
        let assets = [(978, euro)].into();
        let ask = |asset| sentence("1840000", "V2J7A66U", asset, &assets);
        assert_eq!(ask(978), "Please pay EUR 1.840000 with the reference V2J7A66U.");
        assert_eq!(ask(1), "Please pay 1840000 units of asset 1 with the reference V2J7A66U.");
    }
}

//! `limit` and `deposit`: how much a party may owe. Owns how amounts are typed.

use super::client::Session;
use super::ids::Named;
use super::output::{AssetText, Cell, Record};
use super::proposal;
use super::{CliError, RequestArgs};
use crate::types::{PartyId, Total};
use clap::{Args, Subcommand};
use tallystick_proto::v1::{
    Exposure, GetExposureRequest, RecordDepositRequest, SetCreditLimitRequest,
};

const AMOUNT_HELP: &str = "Amount in asset units (10^-scale), digits only";

/// `tallystick limit ...`
#[derive(Debug, Subcommand)]
pub enum LimitCommand {
    /// Replace a party's credit limit in one asset
    #[command(after_help = "Example (100.00 EUR where EUR has scale 6):\n  tallystick limit set \
        --party 5a..00 --asset 978 100000000")]
    Set(LimitSet),
    /// Show a party's limit, deposits and what it owes unsettled
    #[command(after_help = "Example:\n  tallystick limit show --party 5a..00 --asset 978")]
    Show(OfParty),
}

/// `tallystick deposit ...`
#[derive(Debug, Subcommand)]
pub enum DepositCommand {
    /// Record money that arrived from a party; it adds to what the party may owe
    #[command(after_help = "Example:\n  tallystick deposit record --party 5a..00 --asset 978 \
        2500000 --reference 'statement 41, entry 7'")]
    Record(DepositRecord),
}

/// Whose, and in which asset.
#[derive(Debug, Args)]
pub struct OfParty {
    /// The party's id, or its first 8 or more digits
    #[arg(long, value_name = "ID")]
    party: Named<PartyId>,
    /// The asset's number
    #[arg(long, value_name = "ASSET", value_parser = super::asset::asset_number)]
    asset: u32,
}

/// `tallystick limit set`
#[derive(Debug, Args)]
pub struct LimitSet {
    #[command(flatten)]
    of: OfParty,
    #[arg(help = AMOUNT_HELP, allow_negative_numbers = true)]
    amount: String,
    #[command(flatten)]
    request: RequestArgs,
}

/// `tallystick deposit record`
#[derive(Debug, Args)]
pub struct DepositRecord {
    #[command(flatten)]
    of: OfParty,
    #[arg(help = AMOUNT_HELP, allow_negative_numbers = true)]
    amount: String,
    /// The bank's or chain's own reference
    #[arg(long, value_name = "TEXT")]
    reference: String,
    #[command(flatten)]
    request: RequestArgs,
}

/// Runs `tallystick limit ...`.
///
/// # Errors
/// When the call fails.
pub async fn run_limit(session: &mut Session, command: LimitCommand) -> Result<(), CliError> {
    let exposure = match command {
        LimitCommand::Set(LimitSet { of: OfParty { party, asset }, amount, request }) => {
            let limit = units(session, &amount, asset).await?;
            let (request_id, party_id) = (request.id()?, party.bytes(session).await?);
            let request =
                SetCreditLimitRequest { request_id: request_id.clone(), party_id, asset, limit };
            let answer = session.operator().set_credit_limit(request).await;
            answer.map_err(|status| session.failed_change(status, &request_id))?
        }
        LimitCommand::Show(OfParty { party, asset }) => {
            let request = GetExposureRequest { party_id: party.bytes(session).await?, asset };
            let answer = session.operator().get_exposure(request).await;
            answer.map_err(|status| session.failed(status))?
        }
    };
    session.print(&exposure_record(exposure.into_inner())).await
}

/// Runs `tallystick deposit ...`.
///
/// # Errors
/// When the call fails.
pub async fn run_deposit(session: &mut Session, command: DepositCommand) -> Result<(), CliError> {
    let DepositCommand::Record(args) = command;
    let OfParty { party, asset } = args.of;
    let amount = units(session, &args.amount, asset).await?;
    let (request_id, party_id) = (args.request.id()?, party.bytes(session).await?);
    let request = RecordDepositRequest {
        request_id: request_id.clone(),
        party_id,
        asset,
        amount,
        reference: args.reference,
    };
    let answer = session.operator().record_deposit(request).await;
    let exposure = answer.map_err(|status| session.failed_change(status, &request_id))?;
    session.print(&exposure_record(exposure.into_inner())).await
}

/// The amount as the contract wants it. One with a decimal point is refused: whether units or
/// wholes were meant is not for a program to guess.
pub(super) async fn units(
    session: &mut Session,
    text: &str,
    asset: u32,
) -> Result<String, CliError> {
    match Total::parse_bounded(text) {
        Ok(total) => Ok(total.to_string()),
        Err(error) if text.contains(['.', ',']) => {
            let asset = session.assets().await?.get(&asset);
            Err(CliError::Input(match asset {
                Some(asset) => decimal_refused(&text.replace(',', "."), asset),
                None => error.to_string(),
            }))
        }
        Err(error) => Err(CliError::Input(error.to_string())),
    }
}

/// Says how `text` is written in units, when it is a decimal that the scale can hold.
fn decimal_refused(text: &str, AssetText { code, scale }: &AssetText) -> String {
    let in_units = text.split_once('.').and_then(|(whole, fraction)| {
        let scale = usize::try_from(*scale).ok()?;
        let digits = format!("{whole}{fraction:0<scale$}");
        let fits = fraction.len() <= scale && !whole.is_empty();
        if fits { Total::parse_bounded(&digits).ok() } else { None }
    });
    let advice = match in_units {
        Some(units) => format!("; {text} {code} is {units}"),
        None => String::new(),
    };
    format!("amounts are in asset units, without a decimal point: {code} has scale {scale}{advice}")
}

/// An exposure as it is printed.
fn exposure_record(exposure: Exposure) -> Record {
    let asset = exposure.asset;
    let mut record = Record(vec![
        ("party_id", Cell::Party(exposure.party_id)),
        ("asset", Cell::Count(asset.into())),
        ("credit_limit", Cell::Money(exposure.credit_limit, asset)),
        ("prefund", Cell::Money(exposure.prefund, asset)),
        ("unsettled", Cell::Money(exposure.unsettled, asset)),
    ]);
    record.0.extend(proposal::cell(exposure.proposal));
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_refused_with_its_units() {
        let euro = AssetText { code: "EUR".into(), scale: 6 };
        assert!(decimal_refused("12.5", &euro).ends_with("EUR has scale 6; 12.5 EUR is 12500000"));
        assert!(decimal_refused("0.000001", &euro).ends_with("is 1"));
        for odd in ["1.0000001", "1.5.5", ".5", "-1.5", "1.5e3"] {
            assert!(decimal_refused(odd, &euro).ends_with("scale 6"), "{odd}");
        }
    }

    /// Half of the world writes a comma there.
    #[test]
    fn what_is_no_amount_in_units_is_refused_in_plain_words() {
        for (text, wanted) in [
            ("-5", "expected a whole number of asset units, digits only, got \"-5\""),
            ("1e3", "expected a whole number of asset units, digits only, got \"1e3\""),
            ("", "expected a whole number of asset units, digits only, got \"\""),
        ] {
            assert_eq!(Total::parse_bounded(text).unwrap_err().to_string(), wanted);
        }
        let euro = AssetText { code: "EUR".into(), scale: 6 };
        assert_eq!(
            decimal_refused(&"100,00".replace(',', "."), &euro),
            "amounts are in asset units, without a decimal point: EUR has scale 6; 100.00 EUR is 100000000"
        );
    }

    #[test]
    fn an_exposure_in_json_has_strings_for_sums() {
        let exposure = Exposure {
            party_id: vec![2; 32].into(),
            asset: 978,
            credit_limit: "5".into(),
            prefund: "0".into(),
            unsettled: "36893488147419103232".into(),
            ..Exposure::default()
        };
        let expected = serde_json::json!({
            "party_id": "02".repeat(32), "asset": 978, "credit_limit": "5", "prefund": "0",
            "unsettled": "36893488147419103232",
        });
        assert_eq!(exposure_record(exposure).json(), expected);
    }
}

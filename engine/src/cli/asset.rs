//! `asset`: what is owed.

use super::client::Session;
use super::output::{Cell, Record};
use super::{CliError, RequestArgs};
use crate::types::SCALE_MAX;
use clap::{Args, Subcommand, ValueEnum};
use tallystick_proto::v1::{
    Asset, AssetListed, CreateAssetRequest, ListAssetsRequest, SettlementModel,
};

const ADD_HELP: &str = "\
Examples:
  tallystick asset add --number 978 --code EUR --scale 6 --model bilateral
  tallystick asset add --number 1 --scale 6 --model multilateral \\
    --code eip155:8453/erc20:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913

An asset never changes. Amounts are integers in units of 10^-scale: with scale 6, 1.50 EUR is
1500000. bilateral: one leg per pair of parties; multilateral: one leg per party.";

/// `tallystick asset ...`
#[derive(Debug, Subcommand)]
pub enum AssetCommand {
    /// Create an asset
    #[command(after_help = ADD_HELP)]
    Add(AssetAdd),
    /// List all assets
    #[command(after_help = "Example:\n  tallystick asset list --json")]
    List,
}

/// `tallystick asset add`
#[derive(Debug, Args)]
pub struct AssetAdd {
    /// The number that vouchers name, chosen by you
    #[arg(long, value_name = "N")]
    number: u32,
    /// ISO 4217 ("EUR") or CAIP-19 ("eip155:8453/erc20:0x...")
    #[arg(long)]
    code: String,
    /// Decimal places: 6 means that 1 EUR is 1,000,000 units
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=i64::from(SCALE_MAX)))]
    scale: u32,
    /// How it is settled
    #[arg(long)]
    model: Model,
    #[command(flatten)]
    request: RequestArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Model {
    /// One leg per net pair
    Bilateral,
    /// One leg per party against the clearing account
    Multilateral,
}

impl Model {
    fn wire(self) -> SettlementModel {
        match self {
            Self::Bilateral => SettlementModel::Bilateral,
            Self::Multilateral => SettlementModel::Multilateral,
        }
    }
}

/// Reads the number of an asset.
pub(super) fn asset_number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| {
        format!(
            "expected an asset's number, like 978 for EUR, got {text:?}; `tallystick asset list` shows them"
        )
    })
}

/// Runs `tallystick asset ...`.
///
/// # Errors
/// When the call fails.
pub async fn run(session: &mut Session, command: AssetCommand) -> Result<(), CliError> {
    match command {
        AssetCommand::Add(args) => {
            let request_id = args.request.id()?;
            let asset = Asset { number: args.number, code: args.code, scale: args.scale };
            let request = CreateAssetRequest {
                request_id: request_id.clone(),
                asset: Some(asset),
                model: args.model.wire().into(),
            };
            let answer = session.operator().create_asset(request).await;
            let asset = answer.map_err(|status| session.failed_change(status, &request_id))?;
            session.print(&asset_record(asset.into_inner())).await
        }
        AssetCommand::List => {
            let answer = session.operator().list_assets(ListAssetsRequest {}).await;
            let listed = answer.map_err(|status| session.failed(status))?.into_inner();
            let rows: Vec<Record> = listed.assets.into_iter().map(listed_record).collect();
            session.print_rows(&rows, &[]).await
        }
    }
}

fn listed_record(listed: AssetListed) -> Record {
    let model = super::state_name(listed.model().as_str_name(), "SETTLEMENT_MODEL_");
    let Record(mut cells) = asset_record(listed.asset.unwrap_or_default());
    cells.push(("model", Cell::Text(model)));
    Record(cells)
}

fn asset_record(asset: Asset) -> Record {
    Record(vec![
        ("number", Cell::Count(asset.number.into())),
        ("code", Cell::Text(asset.code)),
        ("scale", Cell::Count(asset.scale.into())),
    ])
}

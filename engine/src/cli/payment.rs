//! A payment of x402 made by hand: what a seller's server sends to the engine about a voucher, and
//! the header with which a buyer brings it.

use super::CliError;
use super::output::AssetText;
use crate::types::NetworkId;
use clap::ValueEnum;
use serde_json::{Value, json};
use tallystick_client::Voucher;

/// How long a seller waits for its money, as the packages of x402 say it where nobody says more.
const TIMEOUT_SECONDS: u32 = 300;

/// What is printed of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// The body of POST /verify and POST /settle
    Body,
    /// What the header PAYMENT-SIGNATURE holds, for a shop
    Header,
}

/// The payment of `amount` units with this voucher.
///
/// # Errors
/// When the amount is none that the voucher can pay.
pub fn text(
    form: Form,
    voucher: &Voucher,
    amount: u64,
    network: NetworkId,
    asset: &AssetText,
) -> Result<String, CliError> {
    let of = &voucher.fields;
    if amount == 0 || amount > of.cumulative {
        return Err(CliError::Input(format!(
            "--amount {amount} cannot be what a voucher of {} raises its channel by: give 1 to {}",
            of.cumulative, of.cumulative
        )));
    }
    let id = network.to_string();
    let requirements = json!({
        "scheme": "batch-settlement",
        "network": format!("tallystick:{}", &id[..32]),
        "amount": amount.to_string(),
        "asset": asset.code,
        "payTo": data_encoding::HEXLOWER.encode(&of.payee),
        "maxTimeoutSeconds": TIMEOUT_SECONDS,
        "extra": {"networkId": id, "assetNumber": of.asset, "scale": asset.scale},
    });
    let payment = json!({"x402Version": 2, "payload": voucher.json(), "accepted": requirements});
    Ok(match form {
        Form::Header => data_encoding::BASE64.encode(payment.to_string().as_bytes()),
        Form::Body => whole(payment, requirements).to_string(),
    })
}

fn whole(payment: Value, requirements: Value) -> Value {
    json!({"x402Version": 2, "paymentPayload": payment, "paymentRequirements": requirements})
}

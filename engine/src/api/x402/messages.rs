//! The JSON of x402, version 2, as far as the engine reads and writes it: `docs/X402.md`.

use crate::proof::{Hex, Receipt};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What a seller's server sends to `/verify` and `/settle`.
#[derive(Deserialize)]
pub(super) struct Asked<'a> {
    #[serde(rename = "x402Version")]
    pub version: u64,
    #[serde(borrow, rename = "paymentPayload")]
    pub payment: Payment<'a>,
    #[serde(borrow, rename = "paymentRequirements")]
    pub requirements: Requirements<'a>,
}

/// What the buyer's client has signed, and for what.
#[derive(Deserialize)]
pub(super) struct Payment<'a> {
    #[serde(rename = "x402Version")]
    pub version: u64,
    #[serde(borrow)]
    pub accepted: Requirements<'a>,
    #[serde(borrow)]
    pub payload: Payload<'a>,
    #[serde(borrow, default)]
    pub extensions: Option<Extensions<'a>>,
}

/// What is known of the extensions.
#[derive(Deserialize)]
pub(super) struct Extensions<'a> {
    #[serde(borrow, default, rename = "payment-identifier")]
    pub identifier: Option<Identifier<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Identifier<'a> {
    #[serde(borrow)]
    pub info: Info<'a>,
}

#[derive(Deserialize)]
pub(super) struct Info<'a> {
    #[serde(borrow, default)]
    pub id: Option<Cow<'a, str>>,
}

/// What is to be paid, to whom and how.
#[derive(Deserialize)]
pub(super) struct Requirements<'a> {
    #[serde(borrow)]
    pub scheme: Cow<'a, str>,
    #[serde(borrow)]
    pub network: Cow<'a, str>,
    #[serde(borrow)]
    pub amount: Cow<'a, str>,
    #[serde(borrow)]
    pub asset: Cow<'a, str>,
    #[serde(borrow, rename = "payTo")]
    pub pay_to: Cow<'a, str>,
    #[serde(default)]
    pub extra: Option<AssetOf>,
}

/// Which asset it is, of several with one code.
#[derive(Deserialize)]
pub(super) struct AssetOf {
    #[serde(rename = "assetNumber")]
    pub number: Option<u32>,
}

/// A voucher.
#[derive(Deserialize)]
pub(super) struct Payload<'a> {
    #[serde(borrow)]
    pub signer: Cow<'a, str>,
    #[serde(borrow)]
    pub payee: Cow<'a, str>,
    pub asset: u32,
    #[serde(borrow)]
    pub lane: Cow<'a, str>,
    #[serde(rename = "expiresAt")]
    pub expires_at: i64,
    #[serde(borrow)]
    pub cumulative: Cow<'a, str>,
    #[serde(borrow)]
    pub signature: Cow<'a, str>,
}

/// The little that is read of what is not of this form: whether it is of another version, scheme or
/// network.
#[derive(Default, Deserialize)]
pub(super) struct Glimpse<'a> {
    #[serde(rename = "x402Version")]
    pub version: Option<u64>,
    #[serde(borrow, default, rename = "paymentRequirements")]
    pub requirements: Kind<'a>,
}

#[derive(Default, Deserialize)]
pub(super) struct Kind<'a> {
    #[serde(borrow)]
    pub scheme: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub network: Option<Cow<'a, str>>,
}

/// What `/verify` says.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verified {
    pub is_valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invalid_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invalid_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payer: Option<Hex<32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<Extra>,
}

/// What `/settle` says. `transaction` is always a text.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Settled {
    pub success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payer: Option<Hex<32>>,
    pub transaction: String,
    pub network: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<Extra>,
}

/// What both say besides: how the channel stands.
#[derive(Serialize)]
pub(super) struct Extra {
    pub channel: Hex<32>,
    /// Its total now.
    pub charged: String,
    /// The total that would have been right, where the amount did not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Box<Receipt>>,
}

/// What `/supported` says.
#[derive(Serialize)]
pub(super) struct Supported {
    pub kinds: [SupportedKind; 1],
    pub extensions: &'static [&'static str],
    pub signers: Signers,
}

#[derive(Serialize)]
pub(super) struct SupportedKind {
    #[serde(rename = "x402Version")]
    pub version: u64,
    pub scheme: &'static str,
    pub network: String,
    pub extra: Assets,
}

#[derive(Serialize)]
pub(super) struct Assets {
    #[serde(rename = "networkId")]
    pub network_id: Hex<32>,
    pub assets: Vec<Asset>,
}

#[derive(Serialize)]
pub(super) struct Asset {
    pub code: String,
    pub number: u32,
    pub scale: u32,
}

#[derive(Serialize)]
pub(super) struct Signers {
    #[serde(rename = "tallystick:*")]
    pub engine: [Hex<32>; 1],
}

/// What is asked of several channels.
#[derive(Deserialize)]
pub(super) struct AskedChannels<'a> {
    #[serde(borrow)]
    pub channels: Vec<Cow<'a, str>>,
}

/// How one channel stands.
#[derive(Serialize)]
pub(super) struct Channel {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<Hex<32>>,
    pub known: bool,
    pub charged: String,
}

#[derive(Serialize)]
pub(super) struct Channels {
    pub channels: Vec<Channel>,
}

/// What became of a payment.
#[derive(Serialize)]
pub(super) struct Status {
    pub state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub charged: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
}

/// Why a request was not answered otherwise.
#[derive(Serialize)]
pub(super) struct Wrong<'a> {
    pub error: &'a str,
}

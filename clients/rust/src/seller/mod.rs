//! The seller's side, for axum: a route has a price, and who asks for it pays within the same
//! request, over x402. Needs the feature `seller`.
//!
//! ```text
//! no payment ─▶ 402, our terms
//! a payment  ─▶ /verify ─▶ the handler ─▶ /settle ─▶ its answer, a receipt
//! ```
//!
//! What is settled is just the price, and nothing is settled that the handler did not answer: an
//! error of it (400 and above) costs nothing. The answer leaves when the engine has said, durably,
//! that it was paid. **A repeated payment is served once**: the same one again gets the answer that
//! was given, and is good for no other request; while the first is under way, the second waits. An
//! answer that is not kept (a stream, more than 1 MiB) is made again, so often and no more.

mod answers;
mod desk;
mod paid;
mod price;

pub use paid::Paid;
pub use price::Price;

use crate::connect::{ConnectError, Credentials, Http};
use answers::Answers;
use desk::{Asset, Desk};
use std::sync::Arc;

/// The scheme of x402 under which vouchers are paid.
const SCHEME: &str = "batch-settlement";
/// Hexadecimal digits of the network's id in its name in x402.
const NETWORK_DIGITS: usize = 32;

/// Why there is no seller, or no price.
#[derive(Debug, thiserror::Error)]
pub enum SellerError {
    /// There is no way to the engine.
    #[error("{0}: does it serve HTTP there (`listen_http`)?")]
    Connect(#[from] ConnectError),
    /// Who answers there is no engine, or does not take who calls.
    #[error("{0}")]
    Engine(String),
    /// Nobody can be paid so.
    #[error("{0:?} is no party's id: 64 hexadecimal digits, in small letters")]
    PayTo(String),
    /// Nothing can be sold for that.
    #[error("{0}")]
    Price(String),
}

/// A seller: who is paid, and by which engine. Cheap to clone; all clones share what was answered.
#[derive(Clone)]
pub struct Seller(Arc<Inner>);

pub(crate) struct Inner {
    desk: Desk,
    pay_to: String,
    /// The network, as x402 calls it.
    network: String,
    network_id: String,
    assets: Vec<Asset>,
    answers: Arc<Answers>,
}

impl Seller {
    /// The party `pay_to` (64 hexadecimal digits) as a seller at the engine whose base URL for HTTP
    /// is `facilitator`. Asks it for the network, and whether it takes the credentials; waits up to
    /// 20 seconds while it starts.
    ///
    /// # Errors
    /// When it does not answer, is no engine, or does not take who calls; and when `pay_to` is no
    /// party's id.
    pub async fn open(
        facilitator: &str,
        pay_to: &str,
        credentials: &Credentials,
    ) -> Result<Self, SellerError> {
        let is_small_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if pay_to.len() != 64 || !pay_to.bytes().all(is_small_hex) {
            return Err(SellerError::PayTo(pay_to.to_owned()));
        }
        let desk = Desk::new(Http::prepare(facilitator, credentials)?);
        let of = desk.network().await?;
        desk.check_credential().await?;
        Ok(Self(Arc::new(Inner {
            desk,
            pay_to: pay_to.to_owned(),
            network: of.name,
            network_id: of.id,
            assets: of.assets,
            answers: Arc::default(),
        })))
    }

    /// What a route costs: `"0.0001 EUR"`. Where several assets have that code, write the asset's
    /// number in its place. `"$0.01"` and an amount alone are US dollars, as everywhere in x402.
    /// Lay it on the route: `get(weather).route_layer(price)`.
    ///
    /// # Errors
    /// `SellerError::Price` when it is no amount, is nothing, has more digits than the asset (for
    /// nothing is rounded), or the network has no such asset.
    pub fn price(&self, price: &str) -> Result<Price, SellerError> {
        Price::new(self.0.clone(), price).map_err(SellerError::Price)
    }

    /// How often an answer that is not kept is made again for one payment, when it is repeated: 7
    /// times if nothing else is said. Streams are not kept, nor what is longer than 1 MiB.
    #[must_use]
    pub fn repeats(self, most: u32) -> Self {
        self.0.answers.repeat(most);
        self
    }

    /// The network, as x402 calls it.
    #[must_use]
    pub fn network(&self) -> &str {
        &self.0.network
    }
}

//! The rail `card`: charges a token of a debtor, and pays a creditor, through the HTTPS API of a
//! payment service provider (of the shape of Stripe's).
//!
//! Owns the fields of an account (tokens only), what can be expressed in which currency, the exact
//! bytes of every call, what an answer or a webhook means, and the client that carries bytes there
//! and back. Never sees a card number, never decides a leg's state, never calls again on its own,
//! and never gives a leg another key: whatever may have been executed is `Answer::Unknown`, and its
//! same bytes are all that may be sent again. `docs/RAIL-CARD.md` tells operators all of it.

mod account;
mod answer;
mod call;
mod client;
mod config;
mod currency;
mod event;
mod lookup;
mod object;
mod request;
mod rules;
mod text;
mod webhook;

pub use answer::Answer;
pub use call::{CallBytes, CallError};
pub use client::Client;
pub use config::{API_VERSION, CardConfig, ConfigError, Secret};
pub use event::{Event, Meaning, Money, Own, Report, Says};
pub use lookup::Found;
pub use request::{Inexpressible, check_batch, refund, request};
pub use webhook::{WebhookError, verify};

pub use account::{Clearing, erased};
pub(super) use rules::Card;

use currency::Amounts;

const RAIL: &str = "card";

/// The clearing account while none is configured: fields ordered by name.
pub(super) const CLEARING_PLACEHOLDER: [(&str, &str); 1] =
    [("account", "TALLYSTICK PLACEHOLDER, CONFIGURE (CLEARING)")];

#[cfg(test)]
mod tests;

//! Why a payment is refused, in x402's words and in plain ones. `docs/X402.md` shows this table,
//! and a test compares them.

use crate::pipeline::Busy;
use crate::types::Outcome;

/// Why a payment is refused: x402's word for it, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reason {
    /// The word: of the standard where it has one.
    pub word: &'static str,
    /// What is wrong, and what to do.
    pub text: &'static str,
}

macro_rules! reasons {
    ($($name:ident $word:literal $text:literal;)*) => {
        $(pub(super) const $name: Reason = Reason { word: $word, text: $text };)*

        /// Every one of them.
        pub(super) const ALL: &[Reason] = &[$($name),*];
    };
}

reasons! {
    VERSION "invalid_x402_version" "this is not version 2 of x402; use a newer client";
    SCHEME "unsupported_scheme" "only the scheme batch-settlement is taken here; see GET /supported";
    NETWORK "invalid_network" "this engine serves another network; see GET /supported";
    PAYLOAD "invalid_payload" "the payment is not of the form that docs/X402.md describes";
    REQUIREMENTS "invalid_payment_requirements" "the requirements name an asset, an amount or a payee that cannot be, or others than were accepted";
    AMOUNT "wrong_amount" "the voucher does not raise its channel's total by the amount asked for; sign the total in extra.expected";
    STALE "stale_voucher" "the channel's total is at or above this voucher's already; it may be this voucher that was charged, so ask GET /status before you pay anew, then sign the total in extra.expected";
    EXPIRED "expired_voucher" "the voucher has expired; sign one on a new channel";
    LIFETIME "lifetime_too_long" "the voucher expires later than this network allows; choose an earlier expiry";
    SIGNATURE "bad_signature" "the signature is not valid by the strict rule of docs/VERIFY.md";
    SIGNER "unknown_signer" "nobody has registered the key that signed; its owner must (tallystick signer add)";
    REVOKED "revoked_signer" "the key that signed was revoked; its owner must register another";
    PAYEE "unknown_payee" "the payee is not a party of this engine; see payTo in the seller's settings";
    SELF "self_payment" "the payer and the payee are the same party";
    FUNDS "insufficient_funds" "the payer's limit or deposit, or a cap or budget of the key, does not allow so much";
    SUSPENDED "suspended_party" "the payer or the payee is suspended; ask the operator";
    CHANNELS "too_many_channels" "the key or its party has as many live channels as it may; use those";
    SCOPE "out_of_scope" "the payer or the payee is not in the scope of who sent it; ask the operator";
    REUSED "identifier_reused" "another payment was brought under this payment identifier; take a new one for each request";
    LOST "unknown_outcome" "the engine stopped while this was made, and the channel has gone on since; ask GET /channel how it stands";
    BUSY "try_again" "the engine is stopping, or has no room for it now; nothing was charged, so send the same again";
}

impl Reason {
    /// Why a voucher with this outcome is refused; `None`: it is not.
    pub fn of(outcome: Outcome) -> Option<Self> {
        Some(match outcome {
            Outcome::Credited => return None,
            Outcome::Stale => STALE,
            Outcome::Malformed => PAYLOAD,
            Outcome::BadSignature => SIGNATURE,
            Outcome::UnknownSigner => SIGNER,
            Outcome::RevokedSigner => REVOKED,
            Outcome::UnknownPayee => PAYEE,
            Outcome::UnknownAsset => REQUIREMENTS,
            Outcome::SelfPayment => SELF,
            Outcome::Expired => EXPIRED,
            Outcome::LifetimeTooLong => LIFETIME,
            Outcome::OverSignerCap
            | Outcome::OverLimit
            | Outcome::OverTotalBudget
            | Outcome::OverMonthBudget
            | Outcome::OverDayBudget
            | Outcome::OverHourBudget => FUNDS,
            Outcome::SuspendedParty => SUSPENDED,
            Outcome::TooManyChannels => CHANNELS,
            Outcome::OutOfScope => SCOPE,
            Outcome::WrongAmount => AMOUNT,
        })
    }

    /// More of what is wrong, where there is more to say.
    pub fn more(self, outcome: Outcome) -> &'static str {
        match outcome {
            Outcome::OverSignerCap => ": it is the key's cap",
            Outcome::OverLimit => ": it is the party's limit or deposit",
            Outcome::OverTotalBudget => ": it is the key's budget, which never begins anew",
            Outcome::OverMonthBudget => ": it is the key's budget of this month (UTC)",
            Outcome::OverDayBudget => ": it is the key's budget of this day (UTC)",
            Outcome::OverHourBudget => ": it is the key's budget of this hour",
            Outcome::Credited
            | Outcome::Stale
            | Outcome::Malformed
            | Outcome::BadSignature
            | Outcome::UnknownSigner
            | Outcome::RevokedSigner
            | Outcome::UnknownPayee
            | Outcome::UnknownAsset
            | Outcome::SelfPayment
            | Outcome::Expired
            | Outcome::LifetimeTooLong
            | Outcome::SuspendedParty
            | Outcome::TooManyChannels
            | Outcome::OutOfScope
            | Outcome::WrongAmount => "",
        }
    }
}

/// A payment that is not made: why, and what more there is to say.
#[derive(Debug)]
pub(super) struct Refused {
    pub reason: Reason,
    pub message: String,
}

impl Refused {
    pub fn new(reason: Reason) -> Self {
        Self { reason, message: reason.text.to_owned() }
    }

    /// With what exactly is wrong.
    pub fn because(reason: Reason, why: &str) -> Self {
        Self { reason, message: format!("{}: {why}", reason.text) }
    }
}

impl From<Busy> for Refused {
    fn from(busy: Busy) -> Self {
        Self::because(BUSY, &busy.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../../../docs/X402.md");

    #[test]
    fn the_document_shows_the_table() {
        let row = |reason: &Reason| format!("| `{}` | {} |", reason.word, reason.text);
        let rows: Vec<String> = ALL.iter().map(row).collect();
        let shown = DOCUMENT.lines().skip_while(|line| *line != "## Reasons");
        let shown = shown.skip(1).take_while(|line| !line.starts_with("## "));
        let shown: Vec<&str> = shown.filter(|line| line.starts_with("| `")).collect();
        assert_eq!(shown, rows);
    }
}

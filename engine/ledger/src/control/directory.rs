//! Who and what may be registered: assets, parties, signers, limits, deposits.

use super::{Control, room};
use crate::event::{
    AssetCreated, Cap, CreditLimitSet, DepositRecorded, PartyUpserted, SignerAdded,
};
use crate::limits::{self, CAPS_MAX, TEXT_BYTES_MAX};
use crate::refusal::{PartyMisfit, Refusal};
use crate::sealed::check_sealed;
use crate::types::{AssetNumber, MONEY_MAX, PartyId, Total};

/// Whether a text fits a record.
pub(super) fn text(text: &str, field: &'static str) -> Result<(), Refusal> {
    bounded(text, field, TEXT_BYTES_MAX)
}

/// Whether a text has no more bytes than it may.
pub(super) fn bounded(text: &str, field: &'static str, limit: usize) -> Result<(), Refusal> {
    let length = text.len();
    if length <= limit { Ok(()) } else { Err(Refusal::TextTooLong { field, length, limit }) }
}

/// Whether a reason is given, and fits a record.
pub(super) fn reason(given: &str) -> Result<(), Refusal> {
    if given.trim().is_empty() { Err(Refusal::NoReason) } else { text(given, "reason") }
}

impl Control {
    pub(super) fn check_asset(&self, e: &AssetCreated) -> Result<(), Refusal> {
        e.asset.check().map_err(Refusal::AssetUnfit)?;
        match self.assets.get(&e.asset.number) {
            Some(held) if *held != e.asset => {
                Err(Refusal::AssetDiffers { asset: held.number, held: held.to_string() })
            }
            Some(_) => Ok(()),
            None => room("the table of assets", self.assets.len(), limits::ASSETS_MAX),
        }
    }

    pub(super) fn check_party(&self, e: &PartyUpserted) -> Result<(), Refusal> {
        if e.party == PartyId::CLEARING {
            return Err(PartyMisfit::Clearing.into());
        }
        check_sealed(&e.name, &e.accounts)?;
        if self.parties.contains_key(&e.party) {
            return Ok(());
        }
        room("the table of parties", self.parties.len(), limits::PARTIES_MAX)
    }

    pub(super) fn check_signer(&self, e: &SignerAdded) -> Result<(), Refusal> {
        check_caps(&e.caps)?;
        self.known_party(e.party)?;
        e.caps.iter().try_for_each(|cap| self.known_asset(cap.asset))?;
        match self.signers.get(&e.signer) {
            Some(held) if held.revoked => Err(Refusal::SignerRevoked(e.signer)),
            Some(held) if held.party != e.party || held.caps != e.caps => {
                Err(Refusal::SignerDiffers(e.signer))
            }
            Some(_) => Ok(()),
            None => room("the table of signers", self.signers.len(), limits::SIGNERS_MAX),
        }
    }

    pub(super) fn check_limit(&self, e: &CreditLimitSet) -> Result<(), Refusal> {
        self.known_party(e.party)?;
        self.known_asset(e.asset)
    }

    pub(super) fn check_deposit(&self, e: &DepositRecorded) -> Result<(), Refusal> {
        if e.amount == Total::ZERO {
            return Err(Refusal::NoDeposit);
        }
        text(&e.reference, "reference")?;
        self.known_party(e.party)?;
        self.known_asset(e.asset)?;
        match self.deposited(e.party, e.asset).plus(e.amount) {
            sum if sum.0 <= MONEY_MAX => Ok(()),
            _ => Err(Refusal::DepositsTooLarge(e.party, e.asset)),
        }
    }

    pub(super) fn deposited(&self, party: PartyId, asset: AssetNumber) -> Total {
        self.deposits.get(&(party, asset)).copied().unwrap_or_default()
    }

    /// A party that was not erased.
    fn known_party(&self, party: PartyId) -> Result<(), Refusal> {
        self.party(party)?;
        self.check_open(party, false)
    }

    pub(super) fn known_asset(&self, asset: AssetNumber) -> Result<(), Refusal> {
        self.asset(asset).map(|_| ())
    }
}

/// One cap an asset, ordered by asset.
fn check_caps(caps: &[Cap]) -> Result<(), Refusal> {
    if caps.len() > CAPS_MAX {
        return Err(Refusal::TooManyCaps(CAPS_MAX));
    }
    match caps.is_sorted_by(|a, b| a.asset < b.asset) {
        true => Ok(()),
        false => Err(Refusal::CapsRepeat),
    }
}

#[cfg(test)]
mod tests;

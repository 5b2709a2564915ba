//! Payments with an identifier: what was brought under one is brought once (`settle/claims`).
//! Identifiers are each caller's own. Owns the way from there to the ledger and back.

use super::super::receipts::Credited;
use super::gather::{By, Gatherer, Got, Way};
use super::lanes::NoAnswer;
use super::messages::Status;
use super::read::{Charge, is_identifier};
use super::reasons::{LOST, REUSED, Refused, STALE};
use super::{X402, commitment, receipt};
use crate::api::access::Entrant;
use crate::ledger::Evidence;
use crate::pipeline::Busy;
use crate::settle::{Charges, Claim, Claims, Engine, Found, NotBrought};
use crate::types::{Amount, Digest, Lsn, Outcome, Packed, content_digest};
use std::sync::Arc;

/// The ledger, as one caller brings vouchers to it.
struct Ledger<'a> {
    engine: &'a Engine,
    gatherer: &'a Gatherer,
    by: &'a By,
}

impl Charges for Ledger<'_> {
    type Got = Got;

    async fn look(&self, claim: &Claim) -> Result<Got, Busy> {
        self.gatherer.get(self.by, Way::Ask, claim, None).await
    }

    async fn charge(&self, claim: &Claim) -> Result<Got, Busy> {
        self.gatherer.get(self.by, Way::Charge, claim, None).await
    }

    async fn newest(&self, claim: &Claim) -> Result<Option<Evidence>, Busy> {
        let voucher = Packed(&claim.voucher);
        let channel = self.engine.hasher().channel(voucher);
        self.engine.newest(voucher.signer(), channel).await
    }

    fn now(&self) -> i64 {
        self.engine.vitals().meters.time().seconds()
    }

    fn outcome(got: &Got) -> (Outcome, Lsn) {
        (got.outcome, got.lsn)
    }

    fn known(lsn: Lsn, total: Amount) -> Got {
        Got { outcome: Outcome::Credited, total, lsn, receipt: None, is_known: true }
    }
}

/// Finds out what became of payments that were under way when the last process ended.
pub(super) async fn resume(engine: &Engine, gatherer: &Gatherer, claims: &Claims) {
    // Nothing is brought.
    let by = By { name: String::new(), source: None };
    claims.resume(&Ledger { engine, gatherer, by: &by }).await;
}

impl From<NotBrought> for Refused {
    fn from(why: NotBrought) -> Self {
        match why {
            NotBrought::Reused => Self::new(REUSED),
            NotBrought::Lost => Self::new(LOST),
            NotBrought::BeingCharged => {
                Self::because(STALE, "it is being settled by another request")
            }
            NotBrought::Busy(busy) => busy.into(),
        }
    }
}

impl X402 {
    /// Has a payment looked at, or made.
    pub(super) async fn bring(
        self: &Arc<Self>,
        entrant: &Entrant,
        way: Way,
        charge: &Charge,
    ) -> Result<Got, Refused> {
        let by = By::of(entrant);
        let claim = Claim { voucher: charge.voucher, amount: charge.amount };
        let identifier = charge.identifier.as_ref().map(|id| digest(&by.name, id));
        if way == Way::Ask {
            let found = self.verify_once(&by, identifier, &claim).await.map_err(Into::into);
            self.counted.note(way, &found);
            return found;
        }
        let Some(identifier) = identifier else {
            let found = self.charge(&by, &claim).await.map_err(Into::into);
            self.counted.note(way, &found);
            return found;
        };
        // It ends what it has begun, whoever still listens.
        let this = self.clone();
        let bringing = async move {
            let (ledger, joins) = (this.ledger(&by), || this.counted.joins());
            let found = this.claims.once(&ledger, identifier, &claim, joins).await;
            let found = found.map_err(Into::into);
            this.counted.note(way, &found);
            found
        };
        tokio::spawn(bringing).await.map_err(|_| Busy::Stopping)?
    }

    fn ledger<'a>(&'a self, by: &'a By) -> Ledger<'a> {
        Ledger { engine: &self.engine, gatherer: &self.gatherer, by }
    }

    /// Whether a payment is good: what was made is, too.
    async fn verify_once(
        &self,
        by: &By,
        identifier: Option<Digest>,
        claim: &Claim,
    ) -> Result<Got, NotBrought> {
        let ledger = self.ledger(by);
        if let Some(identifier) = identifier
            && let Some(got) = self.claims.known(&ledger, identifier, claim).await?
        {
            return Ok(got);
        }
        Ok(ledger.look(claim).await?)
    }

    /// Makes a payment without an identifier.
    async fn charge(&self, by: &By, claim: &Claim) -> Result<Got, NotBrought> {
        let charging = self.claims.may_charge(claim)?;
        Ok(self.gatherer.get(by, Way::Charge, claim, Some(charging)).await?)
    }

    /// What became of the payment that a caller brought under an identifier.
    pub(super) async fn identified(&self, by: &By, identifier: &str) -> Result<Status, NoAnswer> {
        if !is_identifier(identifier) {
            let why =
                "ask for CHANNEL:CUMULATIVE, or for a payment identifier of 16 to 128 letters";
            return Err(NoAnswer::Wrong(why.to_owned()));
        }
        let (ledger, identifier) = (self.ledger(by), digest(&by.name, identifier));
        let Some((claim, found)) = self.claims.ended(&ledger, identifier).await? else {
            return Ok(Status::of("not_seen"));
        };
        let lsn = match found {
            Found::Not => return Ok(Status::of("not_seen")),
            Found::Unknown => return Ok(Status::of("unknown")),
            Found::Charged(lsn) => lsn,
        };
        let voucher = Packed(&claim.voucher);
        let channel = self.engine.hasher().channel(voucher);
        let transaction = Some(commitment(channel, voucher.cumulative()));
        let credited = Credited { voucher: claim.voucher, branch: None, lsn };
        let receipt = Some(receipt(&self.engine, credited).await?);
        Ok(Status { transaction, receipt, ..Status::of("settled") })
    }
}

/// A caller's identifier.
fn digest(caller: &str, identifier: &str) -> Digest {
    content_digest(&format!("x402 payment of {caller}"), identifier.as_bytes())
}

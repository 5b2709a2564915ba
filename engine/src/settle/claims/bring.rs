//! Bringing a payment under an identifier once: from a claim to what came of it, whoever else
//! brings the same, or something else, and wherever the last process ended.

use super::{Charging, Claim, Claims, Ended, Mine, Row, Turn};
use crate::ledger::Evidence;
use crate::pipeline::Busy;
use crate::types::{Amount, Digest, Lsn, Outcome, Packed};

/// Where vouchers are looked at and charged: the edge, which has frames made of them; the
/// simulator.
pub trait Charges: Sync {
    /// What is told of a voucher.
    type Got: Send;

    /// What would become of a voucher that is to raise its channel's total by just its amount.
    ///
    /// # Errors
    /// `Busy`: it was not taken in.
    fn look(&self, claim: &Claim) -> impl Future<Output = Result<Self::Got, Busy>> + Send;

    /// What becomes of it: it is credited and durable, or it is not credited.
    ///
    /// # Errors
    /// `Busy`: it was not taken in. When the engine stops meanwhile, it may have been.
    fn charge(&self, claim: &Claim) -> impl Future<Output = Result<Self::Got, Busy>> + Send;

    /// The newest voucher that was credited on the same channel.
    ///
    /// # Errors
    /// `Busy`.
    fn newest(&self, claim: &Claim) -> impl Future<Output = Result<Option<Evidence>, Busy>> + Send;

    /// The time of records, in seconds: a channel that has expired by it may be forgotten. It is
    /// asked for behind the answer of `newest`, and is no earlier than that.
    fn now(&self) -> i64;

    /// The outcome in what was told, and the record.
    fn outcome(got: &Self::Got) -> (Outcome, Lsn);

    /// What is told of one that was charged before: by this record, and that was the total then.
    fn known(lsn: Lsn, total: Amount) -> Self::Got;
}

/// Why nothing is told of a payment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotBrought {
    /// Another payment was brought under its identifier.
    #[error("another payment was brought under its identifier")]
    Reused,
    /// Nobody can say any more what became of it.
    #[error("what became of it cannot be said any more")]
    Lost,
    /// The same voucher is being charged under another identifier.
    #[error("it is being charged by another request")]
    BeingCharged,
    /// It was not taken in.
    #[error(transparent)]
    Busy(#[from] Busy),
}

/// What the ledger says of a claim whose end was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It was charged by this record.
    Charged(Lsn),
    /// It was not, so far.
    Not,
    /// The channel has gone on, or was forgotten.
    Unknown,
}

impl Claims {
    /// The right to have a voucher charged.
    ///
    /// # Errors
    /// `BeingCharged`.
    pub fn may_charge(&self, claim: &Claim) -> Result<Charging, NotBrought> {
        self.charging(&claim.voucher).ok_or(NotBrought::BeingCharged)
    }

    /// Makes a payment once. `joins` is called while another one's end is waited for: what it gives
    /// is held so long.
    ///
    /// # Errors
    /// `NotBrought`.
    pub async fn once<C: Charges, J: Send>(
        &self,
        charges: &C,
        identifier: Digest,
        claim: &Claim,
        joins: impl Fn() -> J + Send + Sync,
    ) -> Result<C::Got, NotBrought> {
        loop {
            match self.turn(identifier, claim) {
                Turn::Taken => return Err(NotBrought::Reused),
                Turn::Mine(mine) => return self.lead(charges, identifier, claim, mine).await,
                Turn::Joins(mut ended) => {
                    let joining = joins();
                    let ended = ended.wait_for(Option::is_some).await.map(|ended| *ended);
                    drop(joining);
                    if let Ok(Some(Ended::Charged(lsn, total))) = ended {
                        return Ok(C::known(lsn, total));
                    }
                    // It was not made: now it is this one's turn, or somebody else's.
                }
            }
        }
    }

    /// Makes it, where nobody else does.
    async fn lead<C: Charges>(
        &self,
        charges: &C,
        identifier: Digest,
        claim: &Claim,
        mine: Mine<'_>,
    ) -> Result<C::Got, NotBrought> {
        let same = |row: &Row| if row.claim == *claim { Ok(()) } else { Err(NotBrought::Reused) };
        let held = match self.row(identifier).await {
            None => None,
            Some(row) => match row.ended {
                Some(Ended::Refused) => None,
                Some(ended @ Ended::Charged(lsn, total)) => {
                    same(&row)?;
                    mine.known(ended);
                    return Ok(C::known(lsn, total));
                }
                // The engine ended meanwhile.
                None => match became(charges, &row).await? {
                    Found::Charged(lsn) => {
                        let (told, total) = (same(&row), cumulative(&row.claim));
                        match &told {
                            Ok(()) => mine.end(row, Ended::Charged(lsn, total)).await,
                            Err(_) => mine.note(row, Ended::Charged(lsn, total)).await,
                        }
                        return told.map(|()| C::known(lsn, total));
                    }
                    // Without a mark it is written anew: a start would not look it up.
                    Found::Not => Some(row).filter(|row| row.marked && row.claim == *claim),
                    Found::Unknown => return Err(same(&row).err().unwrap_or(NotBrought::Lost)),
                },
            },
        };
        let _charging = self.may_charge(claim)?;
        let row = match held {
            Some(row) => row,
            None => {
                // There is a claim for what can be charged alone, so that one that is found later
                // speaks of its own voucher's charge.
                let asked = charges.look(claim).await?;
                if C::outcome(&asked).0 != Outcome::Credited {
                    return Ok(asked);
                }
                mine.write(claim.clone()).await.ok_or(Busy::Stopping)?
            }
        };
        let got = match charges.charge(claim).await {
            Ok(got) => got,
            // Only a start can tell.
            Err(Busy::Stopping) => return Err(Busy::Stopping.into()),
            // It was not taken in: whoever brings it again begins anew, and if nobody does, it has
            // an end all the same.
            Err(busy @ (Busy::Full | Busy::DiskFull)) => {
                mine.end(row, Ended::Refused).await;
                return Err(busy.into());
            }
        };
        let ended = match C::outcome(&got) {
            (Outcome::Credited, lsn) => Ended::Charged(lsn, cumulative(claim)),
            _ => Ended::Refused,
        };
        mine.end(row, ended).await;
        Ok(got)
    }

    /// What became of what was brought under an identifier before: it is good, if it is the same.
    ///
    /// # Errors
    /// `NotBrought`.
    pub async fn known<C: Charges>(
        &self,
        charges: &C,
        identifier: Digest,
        claim: &Claim,
    ) -> Result<Option<C::Got>, NotBrought> {
        let Some((held, ended)) = self.ended(charges, identifier).await? else { return Ok(None) };
        match (held == *claim, ended) {
            (_, Found::Not) => Ok(None),
            (true, Found::Charged(lsn)) => Ok(Some(C::known(lsn, cumulative(claim)))),
            (true, Found::Unknown) => Err(NotBrought::Lost),
            (false, Found::Charged(_) | Found::Unknown) => Err(NotBrought::Reused),
        }
    }

    /// What stands under an identifier, and what became of it.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn ended<C: Charges>(
        &self,
        charges: &C,
        identifier: Digest,
    ) -> Result<Option<(Claim, Found)>, Busy> {
        if let Some((claim, mut ended)) = self.under_way(identifier) {
            let ended = ended.wait_for(Option::is_some).await.map(|ended| *ended);
            match ended {
                Ok(Some(Ended::Charged(lsn, _))) => return Ok(Some((claim, Found::Charged(lsn)))),
                Ok(Some(Ended::Refused)) => return Ok(Some((claim, Found::Not))),
                Ok(None) | Err(_) => {}
            }
        }
        let Some(row) = self.row(identifier).await else { return Ok(None) };
        let found = match row.ended {
            Some(Ended::Charged(lsn, _)) => Found::Charged(lsn),
            Some(Ended::Refused) => Found::Not,
            None => became(charges, &row).await?,
        };
        Ok(Some((row.claim, found)))
    }
}

/// What became of a claim without an end that a start did not look up. One without a mark was never
/// acknowledged, whatever of it a power cut has left: if its voucher was charged, then for somebody
/// else.
async fn became<C: Charges>(charges: &C, row: &Row) -> Result<Found, Busy> {
    Ok(match found(charges, &row.claim).await? {
        Found::Charged(_) if !row.marked => Found::Not,
        found @ (Found::Charged(_) | Found::Not | Found::Unknown) => found,
    })
}

/// What the ledger says of a claim.
pub(super) async fn found<C: Charges>(charges: &C, claim: &Claim) -> Result<Found, Busy> {
    let voucher = Packed(&claim.voucher);
    let newest = charges.newest(claim).await?;
    Ok(match newest {
        Some(newest) if newest.voucher == claim.voucher => Found::Charged(newest.lsn),
        Some(newest) if newest.voucher().cumulative() < voucher.cumulative() => Found::Not,
        // A channel that has expired is forgotten.
        None if voucher.expires_at() > charges.now() => Found::Not,
        Some(_) | None => Found::Unknown,
    })
}

fn cumulative(claim: &Claim) -> Amount {
    Packed(&claim.voucher).cumulative()
}

//! Payments with an identifier: what was brought under one is brought once, whatever is sent again,
//! and however often the engine is started again. Identifiers are each caller's own.

use super::gather::{By, Got, Way};
use super::lanes::NoAnswer;
use super::messages::Status;
use super::read::{Charge, is_identifier};
use super::reasons::{LOST, REUSED, Refused, STALE};
use super::{X402, commitment, receipt};
use crate::api::access::Entrant;
use crate::pipeline::{self, Busy};
use crate::settle::{Charging, Claim, Ended, Mine, Row, Turn};
use crate::types::{Amount, Digest, Lsn, Outcome, Packed, content_digest};
use std::sync::Arc;

/// What the ledger says of a claim whose end was not written.
enum Found {
    Charged(Lsn),
    Not,
    Unknown,
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
            let found = self.verify_once(&by, identifier, &claim).await;
            self.counted.note(way, &found);
            return found;
        }
        let Some(identifier) = identifier else {
            let found = self.charge(&by, &claim).await;
            self.counted.note(way, &found);
            return found;
        };
        // It ends what it has begun, whoever still listens.
        let this = self.clone();
        let bringing = async move {
            let found = this.once(&by, identifier, claim).await;
            this.counted.note(way, &found);
            found
        };
        tokio::spawn(bringing).await.map_err(|_| Busy::Stopping)?
    }

    /// Whether a payment is good: what was made is, too.
    async fn verify_once(
        &self,
        by: &By,
        identifier: Option<Digest>,
        claim: &Claim,
    ) -> Result<Got, Refused> {
        if let Some(identifier) = identifier
            && let Some(got) = self.known(identifier, claim).await?
        {
            return Ok(got);
        }
        Ok(self.gatherer.get(by, Way::Ask, claim, None).await?)
    }

    /// Makes a payment without an identifier.
    async fn charge(&self, by: &By, claim: &Claim) -> Result<Got, Refused> {
        let charging = self.charging(claim)?;
        Ok(self.gatherer.get(by, Way::Charge, claim, Some(charging)).await?)
    }

    fn charging(&self, claim: &Claim) -> Result<Charging, Refused> {
        let other = || Refused::because(STALE, "it is being settled by another request");
        self.claims.charging(&claim.voucher).ok_or_else(other)
    }

    /// Makes a payment once.
    async fn once(&self, by: &By, identifier: Digest, claim: Claim) -> Result<Got, Refused> {
        loop {
            match self.claims.turn(identifier, &claim) {
                Turn::Taken => return Err(Refused::new(REUSED)),
                Turn::Mine(mine) => return self.lead(by, identifier, claim, mine).await,
                Turn::Joins(mut ended) => {
                    let _joining = self.counted.joins();
                    let ended = ended.wait_for(Option::is_some).await.map(|ended| *ended);
                    if let Ok(Some(Ended::Charged(lsn, total))) = ended {
                        return Ok(charged(lsn, total));
                    }
                    // It was not made: now it is this one's turn, or somebody else's.
                }
            }
        }
    }

    /// Makes it, where nobody else does.
    async fn lead(
        &self,
        by: &By,
        identifier: Digest,
        claim: Claim,
        mine: Mine<'_>,
    ) -> Result<Got, Refused> {
        let held = match self.claims.row(identifier).await {
            None => None,
            Some(row) => match row.ended {
                Some(Ended::Refused) => None,
                Some(ended @ Ended::Charged(lsn, total)) => {
                    return match row.claim == claim {
                        true => {
                            mine.known(ended);
                            Ok(charged(lsn, total))
                        }
                        false => Err(Refused::new(REUSED)),
                    };
                }
                // The engine ended meanwhile.
                None => match self.found(&row.claim).await? {
                    Found::Charged(lsn) => {
                        let (same, total) = (row.claim == claim, cumulative(&row.claim));
                        mine.end(row, Ended::Charged(lsn, total)).await;
                        return match same {
                            true => Ok(charged(lsn, total)),
                            false => Err(Refused::new(REUSED)),
                        };
                    }
                    Found::Not => Some(row).filter(|row| row.claim == claim),
                    Found::Unknown if row.claim == claim => return Err(Refused::new(LOST)),
                    Found::Unknown => return Err(Refused::new(REUSED)),
                },
            },
        };
        let _charging = self.charging(&claim)?;
        let row = match held {
            Some(row) => row,
            None => {
                // There is a claim for what can be charged alone, so that one that is found later
                // speaks of its own voucher's charge.
                let asked = self.gatherer.get(by, Way::Ask, &claim, None).await?;
                if asked.outcome != Outcome::Credited {
                    return Ok(asked);
                }
                mine.write(claim.clone()).await.ok_or(Busy::Stopping)?
            }
        };
        let got = match self.gatherer.get(by, Way::Charge, &claim, None).await {
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
        let ended = if got.outcome == Outcome::Credited {
            Ended::Charged(got.lsn, cumulative(&claim))
        } else {
            Ended::Refused
        };
        mine.end(row, ended).await;
        Ok(got)
    }

    /// What became of what was brought under an identifier before: it is good, if it is the same.
    async fn known(&self, identifier: Digest, claim: &Claim) -> Result<Option<Got>, Refused> {
        let Some((held, ended)) = self.ended(identifier).await? else { return Ok(None) };
        match (held == *claim, ended) {
            (_, Found::Not) => Ok(None),
            (true, Found::Charged(lsn)) => Ok(Some(charged(lsn, cumulative(claim)))),
            (true, Found::Unknown) => Err(Refused::new(LOST)),
            (false, Found::Charged(_) | Found::Unknown) => Err(Refused::new(REUSED)),
        }
    }

    /// What stands under an identifier, and what became of it.
    async fn ended(&self, identifier: Digest) -> Result<Option<(Claim, Found)>, Busy> {
        if let Some((claim, mut ended)) = self.claims.under_way(identifier) {
            let ended = ended.wait_for(Option::is_some).await.map(|ended| *ended);
            match ended {
                Ok(Some(Ended::Charged(lsn, _))) => return Ok(Some((claim, Found::Charged(lsn)))),
                Ok(Some(Ended::Refused)) => return Ok(Some((claim, Found::Not))),
                Ok(None) | Err(_) => {}
            }
        }
        let Some(Row { claim, ended, .. }) = self.claims.row(identifier).await else {
            return Ok(None);
        };
        let found = match ended {
            Some(Ended::Charged(lsn, _)) => Found::Charged(lsn),
            Some(Ended::Refused) => Found::Not,
            None => self.found(&claim).await?,
        };
        Ok(Some((claim, found)))
    }

    /// What the ledger says of a claim.
    async fn found(&self, claim: &Claim) -> Result<Found, Busy> {
        let voucher = Packed(&claim.voucher);
        let channel = self.engine.hasher().channel(voucher);
        let newest = self.engine.newest(voucher.signer(), channel).await?;
        Ok(match newest {
            Some(newest) if newest.voucher == claim.voucher => Found::Charged(newest.lsn),
            Some(newest) if newest.voucher().cumulative() < voucher.cumulative() => Found::Not,
            // A channel that has expired is forgotten.
            None if voucher.expires_at() > pipeline::now().seconds() => Found::Not,
            Some(_) | None => Found::Unknown,
        })
    }

    /// What became of the payment that a caller brought under an identifier.
    pub(super) async fn identified(
        &self,
        caller: &str,
        identifier: &str,
    ) -> Result<Status, NoAnswer> {
        if !is_identifier(identifier) {
            let why =
                "ask for CHANNEL:CUMULATIVE, or for a payment identifier of 16 to 128 letters";
            return Err(NoAnswer::Wrong(why.to_owned()));
        }
        let Some((claim, found)) = self.ended(digest(caller, identifier)).await? else {
            return Ok(Status::of("not_seen"));
        };
        let lsn = match found {
            Found::Not => return Ok(Status::of("not_seen")),
            Found::Unknown => return Ok(Status::of("unknown")),
            Found::Charged(lsn) => lsn,
        };
        let channel = self.engine.hasher().channel(Packed(&claim.voucher));
        let transaction = Some(commitment(channel, cumulative(&claim)));
        let receipt = Some(receipt(&self.engine, claim.voucher, lsn).await?);
        Ok(Status { transaction, receipt, ..Status::of("settled") })
    }
}

fn charged(lsn: Lsn, total: Amount) -> Got {
    Got { outcome: Outcome::Credited, total, lsn, receipt: None, is_known: true }
}

fn cumulative(claim: &Claim) -> Amount {
    Packed(&claim.voucher).cumulative()
}

/// A caller's identifier.
fn digest(caller: &str, identifier: &str) -> Digest {
    content_digest(&format!("x402 payment of {caller}"), identifier.as_bytes())
}

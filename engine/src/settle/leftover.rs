//! How much signers may still credit; how much parties have left of what they may owe, told without
//! any of them; and who is nearest their limit.

use super::engine::{Engine, aside};
use crate::ledger::{Exposure, Headroom, Leftover};
use crate::limits::{EXPOSURES_KEPT, EXPOSURES_SORTED};
use crate::pipeline::{self, Busy};
use crate::types::{AssetNumber, PartyId, SignerKey, Timestamp, Total};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Parties by how near their limit they are, the nearest first.
#[derive(Debug)]
pub struct Nearest {
    /// When it was looked.
    pub at: Timestamp,
    /// The first of them.
    pub first: Vec<(PartyId, Exposure)>,
    /// How many there are.
    pub total: u64,
}

/// The last order of each asset, of half a million parties at most. What is too old goes when
/// somebody asks. One is made at a time.
pub(super) type Kept = tokio::sync::Mutex<Orders>;
type Orders = BTreeMap<AssetNumber, Arc<Nearest>>;

/// Whether an order may still be shown.
fn is_fresh(nearest: &Nearest, now: Timestamp) -> bool {
    let age = now.0.checked_sub(nearest.at.0).and_then(|age| u128::try_from(age).ok());
    age.is_some_and(|age| age < EXPOSURES_KEPT.as_micros())
}

/// Those that are nearest their limit come first.
fn place((party, exposure): &(PartyId, Exposure)) -> (Reverse<Total>, Total, PartyId) {
    let (used, left) = exposure.used();
    (Reverse(used), left, *party)
}

/// Leaves the first of these, in any order.
fn cut(all: &mut Vec<(PartyId, Exposure)>) {
    if all.len() > EXPOSURES_SORTED {
        all.select_nth_unstable_by_key(EXPOSURES_SORTED, place);
        all.truncate(EXPOSURES_SORTED);
    }
}

impl Engine {
    /// How much each of these signers may still credit in an asset, to this payee or to whomever.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn headroom(
        &self,
        signers: &[SignerKey],
        to: (AssetNumber, Option<PartyId>),
    ) -> Result<Vec<Headroom>, Busy> {
        self.intake().headroom(signers, to).await
    }

    /// What parties have left in each asset: of those that were looked at this time.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn leftover(&self) -> Result<BTreeMap<AssetNumber, Leftover>, Busy> {
        self.intake().leftover().await
    }

    /// Who is nearest their limit in an asset, as it was some seconds ago at most.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn nearest(&self, asset: AssetNumber) -> Result<Arc<Nearest>, Busy> {
        let mut kept = self.orders().nearest.lock().await;
        let now = pipeline::now();
        kept.retain(|_, nearest| is_fresh(nearest, now));
        if let Some(nearest) = kept.get(&asset) {
            return Ok(nearest.clone());
        }
        let (mut all, mut total) = (Vec::new(), 0);
        let note = |found: Vec<(PartyId, Exposure)>| {
            total += u64::try_from(found.len()).expect("a length fits 64 bits");
            all.extend(found);
            // Not at each: that would look through all of them as often.
            if all.len() > 2 * EXPOSURES_SORTED {
                cut(&mut all);
            }
        };
        self.intake().exposures(asset, note).await?;
        let sorted = aside(move || {
            cut(&mut all);
            all.sort_by_cached_key(place);
            all
        });
        let nearest = Arc::new(Nearest { at: now, first: sorted.await, total });
        // Of small networks all assets, of a large one some.
        let parties = |kept: &Orders| kept.values().map(|of| of.first.len()).sum::<usize>();
        while parties(&kept) > 4 * EXPOSURES_SORTED {
            let oldest = kept.iter().min_by_key(|(_, of)| of.at).map(|(asset, _)| *asset);
            if let Some(asset) = oldest {
                kept.remove(&asset);
            }
        }
        kept.insert(asset, nearest.clone());
        Ok(nearest)
    }
}

//! A party's statement: of each window what it sent, received and had left from before, from the
//! rows of the sealed windows themselves. Each is compared with the root that the engine signed as
//! it is loaded, so what a statement says can be proved. Whoever asks goes on where the last call
//! stopped. Decides nothing.

use super::archive::NotLoaded;
use super::engine::Engine;
use crate::ledger::{
    BatchState, Control, Obligation, Refusal, SealedAsset, SealedHead, WindowState,
};
use crate::limits::{STATEMENT_ROWS, STATEMENT_WINDOWS};
use crate::types::{AssetNumber, BatchId, Digest, Net, PartyId, Timestamp, Total, WindowNumber};
use std::collections::{BTreeMap, BTreeSet};

/// Whose statement, and of what.
#[derive(Debug, Clone, Copy)]
pub struct WantedStatement {
    /// Whose.
    pub party: PartyId,
    /// In this asset; `None`: in all.
    pub asset: Option<AssetNumber>,
    /// From this window on.
    pub first: WindowNumber,
    /// Up to this one; `None`: the newest that is sealed.
    pub last: Option<WindowNumber>,
}

/// What one call found.
#[derive(Debug, Default)]
pub struct Statement {
    /// The oldest window first, and its assets by number.
    pub lines: Vec<StatementLine>,
    /// Where to go on; `None`: everything was looked at.
    pub next: Option<WindowNumber>,
    /// What the batches of these lines leave for a later window, each once: owed to the party, less
    /// what it owes.
    pub carried_on: Vec<(BatchId, AssetNumber, Net)>,
}

/// What a party did in one asset of one window.
#[derive(Debug, Clone)]
pub struct StatementLine {
    /// The window.
    pub window: StatementWindow,
    /// The asset.
    pub asset: AssetNumber,
    /// What it signed to others.
    pub sent: Total,
    /// What others signed to it.
    pub received: Total,
    /// What earlier batches left for this window: owed to it, less what it owes.
    pub carried: Net,
    /// All of it: below zero it pays. This is its position, which can be proved.
    pub net: Net,
    /// The batch that settles it, and where that stands.
    pub batch: Option<(BatchId, BatchState)>,
}

/// The window of a line.
#[derive(Debug, Clone, Copy)]
pub struct StatementWindow {
    /// Its number.
    pub number: WindowNumber,
    /// When it was closed.
    pub cut_at: Timestamp,
    /// Where it stands.
    pub state: WindowState,
    /// Its root.
    pub root: Digest,
}

/// A window to look at.
struct Page {
    window: StatementWindow,
    sealed: SealedHead,
    batches: BTreeMap<AssetNumber, (BatchId, BatchState)>,
}

impl Page {
    /// Rows that are loaded with it.
    fn rows(&self) -> u64 {
        let of = self.sealed.seal.assets.iter();
        of.map(|seal| seal.totals.pairs + seal.totals.net_pairs + seal.totals.positions).sum()
    }
}

/// The windows to look at now, and behind them the one to go on with.
fn pages(
    control: &Control,
    wanted: &WantedStatement,
) -> Result<(Vec<Page>, Option<WindowNumber>), Refusal> {
    control.party(wanted.party)?;
    wanted.asset.map_or(Ok(()), |asset| control.asset(asset).map(|_| ()))?;
    control.window(wanted.first)?.sealed_head()?;
    wanted.last.map_or(Ok(()), |last| control.window(last)?.sealed_head().map(|_| ()))?;
    let most = u64::try_from(STATEMENT_ROWS).expect("a limit fits 64 bits");
    let (mut pages, mut rows, mut number) = (Vec::new(), 0, wanted.first);
    while wanted.last.is_none_or(|last| number <= last) {
        // Behind the newest sealed one there is nothing to look at yet.
        let Ok(entry) = control.window(number) else { return Ok((pages, None)) };
        let Ok(sealed) = entry.sealed_head() else { return Ok((pages, None)) };
        if pages.len() == STATEMENT_WINDOWS || rows >= most {
            return Ok((pages, Some(number)));
        }
        let (cut_at, root) = (sealed.head.cut_at, sealed.seal.root);
        let batch = |(asset, id): (&AssetNumber, &BatchId)| {
            control.batch(*id).ok().map(|batch| (*asset, (*id, batch.state())))
        };
        let batches = entry.live.iter().filter_map(batch).collect();
        let window = StatementWindow { number, cut_at, state: entry.state(), root };
        let page = Page { window, sealed, batches };
        rows += page.rows();
        pages.push(page);
        number = number.next();
    }
    Ok((pages, None))
}

/// What the batches of these pages carry on of what the party is owed, each once.
fn carried_on(
    control: &Control,
    wanted: &WantedStatement,
    pages: &[Page],
) -> Vec<(BatchId, AssetNumber, Net)> {
    let batches = pages.iter().flat_map(|page| &page.batches);
    let batches = batches.filter(|(of, _)| wanted.asset.is_none_or(|one| one == **of));
    let batches: BTreeMap<BatchId, AssetNumber> =
        batches.map(|(asset, (batch, _))| (*batch, *asset)).collect();
    let net = |batch: BatchId| {
        let carries = &control.batch(batch).ok()?.head.carries;
        Some(carries.iter().fold(Net::ZERO, |net, row| {
            let owed = |own: bool| if own { row.amount.to_net() } else { Net::ZERO };
            let net = net.plus(owed(row.payee == wanted.party));
            net.minus(owed(row.payer == wanted.party))
        }))
    };
    let one = |(batch, asset): (BatchId, AssetNumber)| Some((batch, asset, net(batch)?));
    batches.into_iter().filter_map(one).filter(|(.., net)| *net != Net::ZERO).collect()
}

/// What a party did in one asset of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Did {
    /// What it signed to others.
    pub sent: Total,
    /// What others signed to it.
    pub received: Total,
    /// What earlier batches left for this window: owed to it, less what it owes.
    pub carried: Net,
    /// All of it.
    pub net: Net,
    /// To how many others it signed.
    pub payees: usize,
    /// How many others signed to it.
    pub payers: usize,
}

/// What each of these parties did in one asset, of those that are in a row of it. The rows are
/// looked through once, however many the parties are.
pub(super) fn did(parties: &BTreeSet<PartyId>, of: &SealedAsset) -> BTreeMap<PartyId, Did> {
    let mut all: BTreeMap<PartyId, Did> = BTreeMap::new();
    let mut note = |party: PartyId, add: &dyn Fn(&mut Did)| {
        if parties.contains(&party) {
            add(all.entry(party).or_default());
        }
    };
    for Obligation { payer, payee, amount } in &of.obligations {
        note(*payer, &|did| (did.sent, did.payees) = (did.sent.plus(*amount), did.payees + 1));
        note(*payee, &|did| {
            (did.received, did.payers) = (did.received.plus(*amount), did.payers + 1);
        });
    }
    for Obligation { payer, payee, amount } in &of.carried {
        note(*payer, &|did| did.carried = did.carried.minus(amount.to_net()));
        note(*payee, &|did| did.carried = did.carried.plus(amount.to_net()));
    }
    for (party, did) in &mut all {
        let place = of.positions.binary_search_by_key(party, |position| position.party);
        did.net = place.map_or(Net::ZERO, |place| of.positions[place].net);
    }
    all
}

impl Engine {
    /// A party's statement, as far as one call looks.
    ///
    /// # Errors
    /// When the party, the asset or a window is not known, or a window is not sealed; `Storage`
    /// when one cannot be read.
    pub async fn statement(&self, wanted: WantedStatement) -> Result<Statement, NotLoaded> {
        let found = self.ask(|control| {
            let (pages, next) = pages(control, &wanted)?;
            let carried_on = carried_on(control, &wanted, &pages);
            Ok((pages, next, carried_on))
        });
        let (pages, next, carried_on) = found.await?;
        let archive = self.archive().clone();
        let looked = tokio::task::spawn_blocking(move || {
            let (mut lines, own) = (Vec::new(), BTreeSet::from([wanted.party]));
            for Page { window, sealed, batches } in pages {
                let loaded = archive.window(&sealed)?;
                let of = loaded.assets.iter();
                for (&asset, of) in of.filter(|(of, _)| wanted.asset.is_none_or(|one| one == **of))
                {
                    let Some(did) = did(&own, of).remove(&wanted.party) else { continue };
                    let Did { sent, received, carried, net, .. } = did;
                    let batch = batches.get(&asset).copied();
                    let line = StatementLine { window, asset, sent, received, carried, net, batch };
                    lines.push(line);
                }
            }
            Ok::<_, NotLoaded>(lines)
        });
        let lines = looked.await.expect("loading does not panic")?;
        Ok(Statement { lines, next, carried_on })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::seal::{Head, Owed, close};
    use crate::ledger::{EvidenceDigest, SealedWindow};
    use crate::types::Lsn;

    const PARTIES: u8 = 5;

    fn party(n: u8) -> PartyId {
        PartyId([n; 32])
    }

    /// Some rows, of pairs each once, in their order.
    fn rows(seed: u64, every: u64) -> Vec<Obligation> {
        let pairs = (1..=PARTIES).flat_map(|a| (1..=PARTIES).map(move |b| (a, b)));
        let pairs = pairs.filter(|(a, b)| a != b);
        let row = |(payer, payee): (u8, u8)| {
            let drawn = u64::from(payer) * 31 + u64::from(payee) * 7 + seed;
            let amount = Total(u128::from(drawn * drawn % 1_000 + 1));
            drawn.is_multiple_of(every).then(|| Obligation {
                payer: party(payer),
                payee: party(payee),
                amount,
            })
        };
        pairs.filter_map(row).collect()
    }

    fn window(seed: u64) -> SealedWindow {
        let obligations = rows(seed, 2);
        let evidence = obligations.iter();
        let evidence = evidence.map(|_| EvidenceDigest { count: 1, digest: Digest::ZERO });
        let owed = Owed { evidence: evidence.collect(), obligations, carried: rows(seed + 1, 3) };
        let (number, cut_at) = (WindowNumber(1), Timestamp(0));
        let head = Head { number, first_lsn: Lsn(2), cut_lsn: Lsn(9), cut_at, credited: 1 };
        close(head, BTreeMap::from([(AssetNumber(978), owed)]))
    }

    /// Of every party it adds up, and all of them add up to nothing.
    #[test]
    fn what_was_received_less_what_was_sent_with_what_was_carried_is_the_position() {
        for seed in 0..50 {
            let window = window(seed);
            let of = &window.assets[&AssetNumber(978)];
            let mut sum = Net::ZERO;
            let all = did(&(1..=PARTIES).chain([99]).map(party).collect(), of);
            for n in 1..=PARTIES {
                let Some(did) = all.get(&party(n)) else {
                    assert!(of.positions.iter().all(|position| position.party != party(n)));
                    continue;
                };
                let rises = did.received.to_net().minus(did.sent.to_net()).plus(did.carried);
                assert_eq!(rises, did.net, "party {n} of seed {seed}");
                let others = |own: fn(&Obligation) -> PartyId| {
                    of.obligations.iter().filter(|row| own(row) == party(n)).count()
                };
                let counts = (others(|row| row.payer), others(|row| row.payee));
                assert_eq!((did.payees, did.payers), counts, "party {n} of seed {seed}");
                sum = sum.plus(did.net);
            }
            assert_eq!((sum, all.get(&party(99))), (Net::ZERO, None));
        }
    }

    #[test]
    fn what_is_said_of_a_party_is_the_same_whoever_else_is_asked_for() {
        let window = window(3);
        let of = &window.assets[&AssetNumber(978)];
        let all = did(&(1..=PARTIES).map(party).collect(), of);
        for n in 1..=PARTIES {
            let alone = did(&BTreeSet::from([party(n)]), of);
            assert_eq!(alone.get(&party(n)), all.get(&party(n)));
            assert!(alone.len() <= 1);
        }
    }
}

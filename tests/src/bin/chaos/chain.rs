//! The rail `evm` of the run: a chain that mines while the run goes on, leaves its newest blocks
//! now and then, is started again, and is reached over a line that loses and delays.
//!
//! Owns the node, the line and the moments of blocks and reorganisations. Knows nothing of the
//! engine. Its books are read from the node itself, not over the line.

use crate::check::{Movement, Told};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tallystick_tests::chain::{Anvil, Chain, DECIMALS, Fault, Proxy, Transfer};

/// Decimals of the asset: finer than the token, so that crumbs are carried.
pub const SCALE: u32 = 8;
/// Asset units in one unit of the token.
pub const UNITS_PER_TOKEN: u128 = 100;
const _: () = assert!(10u128.pow(SCALE - DECIMALS) == UNITS_PER_TOKEN);
/// Between two blocks.
const BLOCK: Duration = Duration::from_millis(250);
/// Of so many blocks, one is followed by a reorganisation of one block or two: what is final stays.
const REORG: u32 = 12;
/// Blocks after a start of the node before it can leave any: it keeps no older states.
const YOUNG: u32 = 4;
/// What the contract holds at the beginning, in token units: more than any run pays.
const MONEY: u128 = 1_000_000_000_000_000_000;
/// How much later an answer comes that is late: the engine has given up by then.
const LATE: Duration = Duration::from_millis(1_500);

/// A running chain.
pub struct ChainSide {
    chain: Arc<Mutex<Chain>>,
    line: Proxy,
    miner: Option<(Sender<()>, JoinHandle<Mined>)>,
    /// What the miner did, once it has ended.
    mined: Mined,
    /// Starts of the node after the first.
    pub restarts: u64,
    /// Blocks since the node was started.
    age: Arc<Mutex<u32>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Mined {
    blocks: u64,
    reorgs: u64,
}

/// Of a thousand calls, how many meet what.
fn faults() -> Vec<(&'static str, u32, Fault)> {
    vec![
        ("request_lost", 20, Fault::LoseRequest),
        ("answer_lost", 20, Fault::LoseAnswer),
        ("answer_cut", 8, Fault::CutAnswer(90)),
        ("gateway", 10, Fault::Answer(502, "<html>Bad Gateway</html>".into())),
        ("late", 3, Fault::Late(LATE)),
    ]
}

impl ChainSide {
    /// Starts it, with these recipients refused by the token.
    pub fn start(dir: &Path, seed: u64, refused: &[String]) -> Self {
        let chain = Chain::on(Anvil::start_in(dir), "BlacklistToken");
        chain.mint(MONEY);
        refused.iter().for_each(|address| chain.block(address));
        let line = Proxy::start(&chain.anvil.address);
        line.chance(seed, faults());
        let chain = Arc::new(Mutex::new(chain));
        let age = Arc::new(Mutex::new(0));
        let (stop, stopped) = channel();
        let shared = (chain.clone(), age.clone());
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let thread = std::thread::spawn(move || {
            let mut mined = Mined::default();
            // Nothing is ever sent: the run ends it by hanging up.
            while stopped.recv_timeout(BLOCK) == Err(RecvTimeoutError::Timeout) {
                mine(&held(&shared.0), &mut held(&shared.1), &mut rng, &mut mined);
            }
            mined
        });
        let miner = Some((stop, thread));
        Self { chain, line, miner, mined: Mined::default(), restarts: 0, age }
    }

    /// The engine's settings for it.
    pub fn config(&self, dir: &Path) -> String {
        let more = "every = \"200ms\"\ntimeout = \"1s\"\nbump_after_blocks = 8";
        held(&self.chain).config(&self.line.url, dir, more)
    }

    /// The token as an asset's code.
    pub fn asset_code(&self) -> String {
        held(&self.chain).asset_code()
    }

    /// Ends the node and starts it again: it keeps its blocks and loses its pool.
    pub fn restart(&mut self) {
        let mut chain = held(&self.chain);
        chain.anvil.restart();
        self.line.lead_to(&chain.anvil.address);
        *held(&self.age) = 0;
        self.restarts += 1;
    }

    /// No more blocks, but those that make the last ones final.
    pub fn rest(&mut self) {
        if let Some((stop, thread)) = self.miner.take() {
            drop(stop);
            self.mined = thread.join().expect("the miner does not panic");
            held(&self.chain).anvil.mine(u64::from(YOUNG));
        }
    }

    /// What there was.
    pub fn counters(&self) -> BTreeMap<&'static str, u64> {
        let mut counted = self.line.counted();
        counted.extend([
            ("blocks", self.mined.blocks),
            ("reorgs", self.mined.reorgs),
            ("node_restarts", self.restarts),
        ]);
        counted
    }

    /// The chain's own books: every payment by the contract, each with the leg that it is of, if
    /// there is one.
    ///
    /// # Errors
    /// A text, when the token's events and balances do not say the same.
    pub fn movements(&self, legs: &[Told]) -> Result<Vec<Movement>, String> {
        let chain = held(&self.chain);
        let transfers = chain.transfers();
        let mut due: BTreeMap<&str, u128> = BTreeMap::new();
        for transfer in &transfers {
            *due.entry(&transfer.to).or_default() += transfer.amount;
        }
        let paid: u128 = due.values().sum();
        let left = chain.contract_balance();
        if left + paid != MONEY {
            return Err(format!("the contract holds {left} and has paid {paid} of {MONEY}"));
        }
        let holders: Vec<String> = due.keys().map(|holder| (*holder).to_owned()).collect();
        for (holder, held) in holders.iter().zip(chain.balances(&holders)) {
            let due = due[holder.as_str()];
            if held != due {
                return Err(format!("{holder} holds {held} and was paid {due}"));
            }
        }
        Ok(matched(legs, &transfers))
    }
}

/// One block, and perhaps others in its place.
fn mine(chain: &Chain, age: &mut u32, rng: &mut ChaCha8Rng, mined: &mut Mined) {
    chain.anvil.mine(1);
    mined.blocks += 1;
    *age = age.saturating_add(1);
    if *age > YOUNG && rng.random_range(0..REORG) == 0 {
        let depth = rng.random_range(1..=2_u32);
        chain.anvil.ask("anvil_reorg", json!([depth, []]));
        mined.reorgs += 1;
    }
}

/// Each payment with the key of the leg that names its transaction, or else of one to the same
/// recipient for as much: then it was paid twice, or is in the ledger as not paid.
fn matched(legs: &[Told], transfers: &[Transfer]) -> Vec<Movement> {
    let outs = || legs.iter().filter(|leg| !leg.pay_in);
    let exact: HashMap<_, _> =
        outs().map(|leg| ((leg.reference.as_str(), leg.whom.as_str()), leg)).collect();
    let alike: HashMap<_, _> = outs().map(|leg| ((leg.whom.as_str(), leg.amount), leg)).collect();
    let one = |transfer: &Transfer| {
        let (whom, amount) = (transfer.to.as_str(), transfer.amount * UNITS_PER_TOKEN);
        let leg = exact.get(&(transfer.tx.as_str(), whom)).or_else(|| alike.get(&(whom, amount)));
        Movement {
            leg_key: leg.map(|leg| leg.key.clone()).unwrap_or_default(),
            reference: transfer.tx.clone(),
            pay_in: false,
            amount,
            whom: transfer.to.clone(),
            back: false,
        }
    };
    transfers.iter().map(one).collect()
}

fn held<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::compare;
    use tallystick_tests::wire::LegState;

    fn leg(key: &str, state: LegState) -> Told {
        let (key, whom, reference) = (key.into(), "0xaa".into(), "tx1".into());
        Told { key, pay_in: false, whom, amount: 700, state, reference, by_hand: false }
    }

    fn transfer(tx: &str, amount: u128) -> Transfer {
        Transfer { to: "0xaa".into(), amount, tx: tx.into() }
    }

    #[test]
    fn a_payment_belongs_to_the_leg_that_names_it_and_any_other_is_one_too_many() {
        let confirmed = [leg("a", LegState::Confirmed)];
        let came_in = Movement {
            leg_key: "in".into(),
            reference: "tx1".into(),
            pay_in: true,
            amount: 10_000,
            whom: "0xaa".into(),
            back: false,
        };
        let judge = |legs: &[Told], transfers: &[Transfer]| {
            let mut movements = matched(legs, transfers);
            movements.push(came_in.clone());
            let pay_in = Told { pay_in: true, amount: 10_000, ..leg("in", LegState::Confirmed) };
            let verdict = compare(&[legs, &[pay_in]].concat(), &movements, &|_| false);
            (verdict.paid_twice, verdict.lost, verdict.different)
        };
        assert_eq!(judge(&confirmed, &[transfer("tx1", 7)]), (0, 0, 0));
        // The second one is also not the transaction that the leg names.
        assert_eq!(judge(&confirmed, &[transfer("tx1", 7), transfer("tx2", 7)]), (1, 0, 1));
        assert_eq!(judge(&confirmed, &[]), (0, 1, 0));
        assert_eq!(judge(&confirmed, &[transfer("tx1", 7), transfer("tx2", 8)]), (0, 0, 1));
        assert_eq!(judge(&confirmed, &[transfer("tx1", 8)]), (0, 0, 1));
        let rejected = [leg("a", LegState::Rejected)];
        assert_eq!(judge(&rejected, &[]), (0, 0, 0));
        assert_eq!(judge(&rejected, &[transfer("tx1", 7)]), (0, 1, 0));
    }
}

//! Vouchers signed ahead: a client that signs while it sends would give the engine time to breathe.
//!
//! Owns who pays whom. The network's id is chosen here, so that the same vouchers serve every
//! directory.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tallystick_tests::{
    NetworkId, PartyId, Signer, VOUCHER_BYTES, World, in_a_day, party_id, seed,
};

pub const PAYERS: usize = 6;
pub const PAYEES: usize = 4;
const LANES: u64 = 2;
/// Vouchers of one channel: more than are sent in the life of one directory.
const DEPTH: usize = 1_500;
/// What a voucher adds, in units of a millionth; often less than a bank can pay.
const DELTA_MAX: u64 = 40_000;

/// One channel and all its vouchers.
pub struct Channel {
    pub payer: usize,
    pub payee: PartyId,
    pub asset: u32,
    pub lane: u64,
    /// Running totals, rising.
    pub totals: Vec<u64>,
    /// The vouchers, packed.
    pub packed: Vec<[u8; VOUCHER_BYTES]>,
}

pub struct Pool {
    pub world: World,
    pub channels: Vec<Channel>,
}

impl Pool {
    /// Signs everything, on two threads.
    pub fn sign(number: u64) -> Self {
        let payer = |i| {
            let name = format!("payer {i}");
            Signer::new(&name, party_id(&name))
        };
        let world = World {
            network: NetworkId(seed(&format!("crash network {number}"))),
            payers: (0..PAYERS).map(payer).collect(),
            payees: (0..PAYEES).map(|i| party_id(&format!("payee {i}"))).collect(),
            expires_at: in_a_day(),
        };
        let mut rng = ChaCha8Rng::seed_from_u64(number);
        let mut channels = Vec::new();
        for payer in 0..PAYERS {
            // Payers pay each other as well, so that there is something to set off.
            let others = (1..3).map(|next| world.payers[(payer + next) % PAYERS].party);
            for payee in world.payees.iter().copied().chain(others) {
                for asset in [World::PAIRS, World::CLEARED] {
                    channels.extend((0..LANES).map(|lane| {
                        let totals = totals(&mut rng);
                        Channel { payer, payee, asset, lane, totals, packed: Vec::new() }
                    }));
                }
            }
        }
        let half = channels.len() / 2;
        let (left, right) = channels.split_at_mut(half);
        std::thread::scope(|scope| {
            scope.spawn(|| left.iter_mut().for_each(|channel| channel.sign(&world)));
            right.iter_mut().for_each(|channel| channel.sign(&world));
        });
        Self { world, channels }
    }
}

fn totals(rng: &mut ChaCha8Rng) -> Vec<u64> {
    let mut total = 0;
    let mut next = || {
        total += rng.random_range(1..=DELTA_MAX);
        total
    };
    (0..DEPTH).map(|_| next()).collect()
}

impl Channel {
    fn sign(&mut self, world: &World) {
        let voucher = |&total| world.pay(self.payer, self.payee, self.asset, self.lane, total);
        self.packed = self.totals.iter().map(|total| voucher(total).pack()).collect();
    }
}

//! What a large batch costs from sealed windows to files on disk: one asset through the clearing
//! account, nearly all legs pay-outs. Prints one JSON line a step, medians of `ROUNDS`, and the
//! most memory held.
//!
//! `TALLYSTICK_LEGS` asks for another number of legs than a million.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tallystick::journal::memory::Memory;
use tallystick::ledger::{
    AssetSeal, BatchContent, Obligation, OpenBatch, Policy, Rail, RailAccount, SealedAccount,
    SealedAsset, SealedWindow, WindowTotals,
};
use tallystick::rails;
use tallystick::types::{
    AssetDef, AssetNumber, Digest, Lsn, PartyId, SettlementModel, Timestamp, Total, WindowNumber,
};
use tallystick::vault::{Plain, SealedParty, Standing, Vault, VaultError};

const ROUNDS: usize = 3;
const LEGS: usize = 1_000_000;
/// One in so many parties pays in; the others are paid.
const PAYEES_PER_PAYER: usize = 999;
const CUT_AT: Timestamp = Timestamp(1_795_822_245_123_456);

fn main() {
    // `cargo test --benches` runs this too; it has nothing to test.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let legs =
        std::env::var("TALLYSTICK_LEGS").map_or(LEGS, |legs| legs.parse().expect("a number"));
    let asset = AssetDef {
        number: AssetNumber(978),
        code: "EUR".into(),
        scale: 6,
        model: SettlementModel::Multilateral,
    };
    let clearing = rails::placeholder(Rail::Iso20022);
    let policy = rails::policy(Rail::Iso20022, &asset, &clearing).expect("euros are fit");
    let window = Arc::new(window(&asset, legs));
    let vault = Vault::seeded(Memory::journal().tables, [7; 32]);
    let accounts = sealed_accounts(&vault, legs);
    say("parties", legs, 0, Took::default());

    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut took: BTreeMap<String, Vec<Took>> = BTreeMap::new();
    let mut bytes = BTreeMap::new();
    for _ in 0..ROUNDS {
        let start = Clocks::now();
        let content = compute(&window, &asset, &policy, &accounts);
        assert_eq!(content.legs.len(), legs);
        took.entry("compute".into()).or_default().push(start.elapsed());
        let opening = Clocks::now();
        let open = vault.open_batch(&content).expect("every party has its key");
        took.entry("open".into()).or_default().push(opening.elapsed());
        for (name, (time, size)) in write(&open, dir.path()) {
            took.entry(name.clone()).or_default().push(time);
            bytes.insert(name, size);
        }
        took.entry("all".into()).or_default().push(start.elapsed());
    }
    for (step, times) in &mut took {
        times.sort_unstable();
        let size = bytes.get(step).copied().unwrap_or_default();
        say(step, legs, size, times[ROUNDS / 2]);
    }
}

fn compute(
    window: &Arc<SealedWindow>,
    asset: &AssetDef,
    policy: &Policy,
    accounts: &BTreeMap<PartyId, SealedAccount>,
) -> BatchContent {
    let account = |party| accounts.get(&party).cloned();
    BatchContent::compute(&[Arc::clone(window)], asset, policy, account, |_| Total::ZERO)
        .expect("a batch")
}

/// Writes the batch's files and has them on disk; gives time and size of each, by its ending.
fn write(content: &OpenBatch, dir: &Path) -> BTreeMap<String, (Took, u64)> {
    let mut files: BTreeMap<String, (Took, u64)> = BTreeMap::new();
    let mut open: Option<(String, File)> = None;
    let mut since = Clocks::now();
    let mut close = |open: &mut Option<(String, File)>, since: &mut Clocks| {
        if let Some((name, file)) = open.take() {
            file.sync_all().expect("the file is synced");
            let size = file.metadata().expect("a file").len();
            let (_, end) = name.split_once('.').expect("a file name with an ending");
            files.insert(end.to_owned(), (since.elapsed(), size));
            *since = Clocks::now();
        }
    };
    rails::export(content, &mut |name, piece: &[u8]| {
        if open.as_ref().is_none_or(|(before, _)| before != name) {
            close(&mut open, &mut since);
            open = Some((name.to_owned(), File::create(dir.join(name))?));
        }
        open.as_mut().map_or(Ok(()), |(_, file)| file.write_all(piece))
    })
    .expect("the files are written");
    close(&mut open, &mut since);
    // What leaves: all pay-outs at once.
    let first = u32::try_from(content.head.pay_in_count).expect("legs are limited");
    let legs: Vec<u32> =
        (first..u32::try_from(content.legs.len()).expect("legs are limited")).collect();
    let part = rails::Part::new(content, &legs, 0);
    let own = part.file().expect("a rail of files");
    let name = own.name();
    let mut file = File::create(dir.join(&name)).expect("the file is made");
    own.write(&mut file).expect("the file is written");
    open = Some((name, file));
    close(&mut open, &mut since);
    files
}

fn say(step: &str, legs: usize, bytes: u64, took: Took) {
    let (ms, cpu_ms, kib) = (took.wall.as_millis(), took.cpu.as_millis(), most_memory());
    println!(
        "{{\"step\":\"{step}\",\"legs\":{legs},\"ms\":{ms},\"cpu_ms\":{cpu_ms},\"bytes\":{bytes},\
         \"most_memory_kib\":{kib}}}"
    );
}

/// What a step took: by the clock, and of this thread's processor, which other programs disturb
/// less.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Took {
    wall: Duration,
    cpu: Duration,
}

/// Both clocks at one moment.
struct Clocks {
    wall: std::time::Instant,
    cpu: Duration,
}

impl Clocks {
    fn now() -> Self {
        Self { wall: std::time::Instant::now(), cpu: cpu() }
    }

    fn elapsed(&self) -> Took {
        Took { wall: self.wall.elapsed(), cpu: cpu().saturating_sub(self.cpu) }
    }
}

/// Processor time of this thread so far; zero where the system does not tell.
fn cpu() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = told.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

/// The most memory that this process has held so far.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse().ok()).unwrap_or_default()
}

fn party(number: usize) -> PartyId {
    // Spread over the whole range, as real ids are, and different for each number.
    let mut id = PartyId([0x5a; 32]);
    let number = u64::try_from(number).expect("a number");
    id.0[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    id
}

/// Every party's account, under its own key.
fn sealed_accounts(vault: &Vault, legs: usize) -> BTreeMap<PartyId, SealedAccount> {
    let plain = |n| {
        let (name, account) = account(n);
        Plain { party: party(n), name, accounts: vec![account], request_id: String::new() }
    };
    let plain: Vec<Plain> = (0..legs).map(plain).collect();
    let new = |_| Ok(Standing { erasures: 0, registered: false });
    let sealed = vault.seal_parties(&plain, &new).expect("memory does not fail");
    let one = |(plain, sealed): (&Plain, Result<SealedParty, VaultError>)| {
        let SealedParty { name, mut accounts, .. } = sealed.expect("a new party is sealed");
        let fields = accounts.pop().expect("it has an account").fields;
        (plain.party, SealedAccount { name, fields })
    };
    plain.iter().zip(sealed).map(one).collect()
}

fn account(number: usize) -> (String, RailAccount) {
    let bban = 370_400_440_000_000_000 + u128::try_from(number).expect("a number");
    let iban = format!("DE{:02}{bban:018}", 98 - (bban * 1_000_000 + 131_400) % 97);
    let fields =
        BTreeMap::from([("iban".to_owned(), iban), ("bic".to_owned(), "COBADEFFXXX".to_owned())]);
    let account = rails::check_account("iso20022", &fields).expect("an account");
    (format!("Müller & Söhne Agent {number} GmbH"), account)
}

fn window(asset: &AssetDef, legs: usize) -> SealedWindow {
    let payer = |n: usize| n - n % (PAYEES_PER_PAYER + 1);
    let owed = (0..legs).filter(|&n| n != payer(n)).map(|n| Obligation {
        payer: party(payer(n)),
        payee: party(n),
        amount: Total(1_000_000 + 10_000 * u128::try_from(n % 10_000).expect("a number")),
    });
    let mut net: Vec<Obligation> = owed.collect();
    net.sort_unstable();
    let seal = AssetSeal {
        asset: asset.number,
        obligations_root: Digest::ZERO,
        positions_root: Digest::ZERO,
        carried_in: Total::ZERO,
        totals: WindowTotals::default(),
    };
    let (obligations, evidence, carried) = (Vec::new(), Vec::new(), Vec::new());
    let positions = Vec::new();
    let sealed = SealedAsset { obligations, evidence, carried, net, positions, seal };
    SealedWindow {
        number: WindowNumber(1),
        first_lsn: Lsn(1),
        cut_lsn: Lsn(2),
        cut_at: CUT_AT,
        credited: 1,
        assets: BTreeMap::from([(asset.number, sealed)]),
        root: Digest([7; 32]),
    }
}

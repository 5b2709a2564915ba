use super::*;
use crate::agent::line::Number;
use crate::agent::store::{Durable, FileStore};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

const NOW: i64 = 1_800_000_000;
const NETWORK: [u8; 32] = [7; 32];
const SIGNER: [u8; 32] = [8; 32];

fn open(path: &Path, most: usize) -> Lanes {
    let (file, lines) =
        FileStore::open(path, NETWORK, SIGNER, Arc::new(Durable::default())).unwrap();
    Lanes::open(Store::File(file), lines, most, true, NOW).unwrap()
}

fn want(id: usize, payee: u8, amount: u64) -> Want {
    Want { id: format!("payment-{id}"), payee: [payee; 32], asset: 978, amount }
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    Pay {
        payee: u8,
        amount: u64,
    },
    /// One of the payments under way is credited by the engine.
    Deliver(usize),
    Confirm(usize),
    Refuse(usize),
    Doubt(usize),
    /// The engine is asked about everything in doubt.
    Ask,
    /// The process ends, and its lanes are taken up again.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..2u8, 1..50u64).prop_map(|(payee, amount)| Step::Pay { payee, amount }),
        3 => any::<usize>().prop_map(Step::Deliver),
        2 => any::<usize>().prop_map(Step::Confirm),
        1 => any::<usize>().prop_map(Step::Refuse),
        1 => any::<usize>().prop_map(Step::Doubt),
        1 => Just(Step::Ask),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..80)
}

/// What the slow model knows of a payment: everything, for ever.
struct Made {
    signed: Signed,
    is_out: bool,
    is_in_doubt: bool,
    was_delivered: bool,
}

/// The engine's totals, and every payment that was ever made.
#[derive(Default)]
struct Model {
    made: Vec<Made>,
    engine: BTreeMap<Channel, u64>,
}

impl Model {
    fn signed(&self) -> u128 {
        let mut most: BTreeMap<Channel, u64> = BTreeMap::new();
        for one in &self.made {
            let most = most.entry(one.signed.channel).or_default();
            *most = one.signed.total.max(*most);
        }
        most.values().map(|&most| u128::from(most)).sum()
    }

    fn pick(&self, place: usize, fits: impl Fn(&Made) -> bool) -> Option<usize> {
        let all: Vec<usize> = (0..self.made.len()).filter(|&at| fits(&self.made[at])).collect();
        (!all.is_empty()).then(|| all[place % all.len()])
    }

    fn held(&self, channel: Channel) -> u64 {
        self.engine.get(&channel).copied().unwrap_or(0)
    }

    fn step(&mut self, lanes: &mut Lanes, path: &Path, step: &Step) {
        let name = |at: usize| format!("payment-{at}");
        match *step {
            Step::Pay { payee, amount } => {
                let at = self.made.len();
                let random = u64::try_from(at).unwrap() + 1;
                let taken = lanes.take(&want(at, payee, amount), Budget::default(), NOW, random);
                let Some((signed, _)) = taken.unwrap() else { return };
                let is_busy = |one: &Made| {
                    one.signed.channel == signed.channel && (one.is_out || one.is_in_doubt)
                };
                assert!(!self.made.iter().any(is_busy), "a lane is out for one payment at a time");
                assert_eq!(signed.total, self.held(signed.channel) + amount);
                let (is_out, is_in_doubt, was_delivered) = (true, false, false);
                self.made.push(Made { signed, is_out, is_in_doubt, was_delivered });
            }
            Step::Deliver(place) => {
                let fits = |one: &Made| !one.was_delivered && (one.is_out || one.is_in_doubt);
                let Some(at) = self.pick(place, fits) else { return };
                let Signed { channel, total, .. } = self.made[at].signed;
                self.made[at].was_delivered = true;
                let held = self.engine.entry(channel).or_default();
                *held = total.max(*held);
            }
            Step::Confirm(place) | Step::Refuse(place) => {
                let is_paid = matches!(step, Step::Confirm(_));
                let fits = |one: &Made| one.is_out && one.was_delivered == is_paid;
                let Some(at) = self.pick(place, fits) else { return };
                let held = self.held(self.made[at].signed.channel);
                match is_paid {
                    true => lanes.paid(&name(at), NOW).unwrap(),
                    false => lanes.known(&name(at), held, NOW).unwrap(),
                }
                self.made[at].is_out = false;
                // What was refused can be brought again.
                assert!(!lanes.is_void(&name(at), true, NOW).unwrap());
                assert_eq!(lanes.payment(&name(at)).unwrap().paid, is_paid);
            }
            Step::Doubt(place) => {
                let Some(at) = self.pick(place, |one| one.is_out) else { return };
                lanes.doubt(&name(at));
                (self.made[at].is_out, self.made[at].is_in_doubt) = (false, true);
            }
            Step::Ask => {
                for (id, channel) in lanes.in_doubt(usize::MAX) {
                    lanes.answered(&id, self.held(channel), NOW).unwrap();
                }
                self.made.iter_mut().for_each(|one| one.is_in_doubt = false);
            }
            Step::Crash => {
                let nobody = Lanes::open(Store::Memory, Vec::new(), 1, true, NOW).unwrap();
                // The lock goes with the old ones, as it does with a process.
                drop(std::mem::replace(lanes, nobody));
                *lanes = open(path, 3);
                for one in &mut self.made {
                    one.is_in_doubt |= one.is_out;
                    one.is_out = false;
                }
            }
        }
    }

    fn check(&self, lanes: &Lanes) {
        assert_eq!(lanes.signed(978), self.signed());
        let (out, doubt) = (|one: &&Made| one.is_out, |one: &&Made| one.is_in_doubt);
        let count = lanes.count();
        assert_eq!(count.out, self.made.iter().filter(out).count());
        assert_eq!(count.in_doubt, self.made.iter().filter(doubt).count());
        // Nothing lost, nothing twice: each payment that was credited raised its channel by its
        // amount.
        let delivered = self.made.iter().filter(|one| one.was_delivered);
        let paid: u64 = delivered.map(|one| one.signed.amount).sum();
        assert_eq!(self.engine.values().sum::<u64>(), paid);
        for (at, one) in self.made.iter().enumerate() {
            let kept = lanes.payment(&format!("payment-{at}")).unwrap();
            let of = |one: &Signed| (one.channel, one.amount, one.total);
            assert_eq!(of(kept), of(&one.signed));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_payment_is_its_amount(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lanes");
        let mut lanes = open(&path, 3);
        let mut model = Model::default();
        for step in &steps {
            model.step(&mut lanes, &path, step);
            model.check(&lanes);
        }
    }
}

#[test]
fn a_file_is_one_process_s_and_one_key_s() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lanes");
    let first = open(&path, 1);
    let durable = || Arc::new(Durable::default());
    let again = FileStore::open(&path, NETWORK, SIGNER, durable()).err().unwrap();
    assert!(again.to_string().contains("is used by process"), "{again}");
    drop(first);
    let other = FileStore::open(&path, NETWORK, [9; 32], durable()).err().unwrap();
    assert!(other.to_string().contains("another key"), "{other}");
    // A process that is gone holds nothing, nor does one that has its number by now.
    for gone in ["4194305 77\n".to_owned(), format!("{} 1\n", std::process::id())] {
        std::fs::write(dir.path().join("lanes.lock"), gone).unwrap();
        drop(open(&path, 1));
    }
}

#[test]
fn a_line_that_was_cut_off_never_left_and_one_that_is_none_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lanes");
    let mut lanes = open(&path, 1);
    lanes.take(&want(1, 1, 5), Budget::default(), NOW, 1).unwrap().unwrap();
    drop(lanes);
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{whole}{{\"sign\":\"payment-2\",\"at\"")).unwrap();
    assert_eq!(open(&path, 1).signed(978), 5);
    std::fs::write(&path, format!("{whole}nonsense\n")).unwrap();
    let failed = FileStore::open(&path, NETWORK, SIGNER, Arc::new(Durable::default()));
    assert!(failed.err().unwrap().to_string().contains("line 3 of"));
}

#[test]
fn after_a_write_that_failed_nothing_is_paid_from_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lanes");
    let (kept, other) = (Line::Void { void: "one".into() }, Line::Void { void: "two".into() });
    let open = || FileStore::open(&path, NETWORK, SIGNER, Arc::new(Durable::default())).unwrap();
    let (store, lines) = open();
    assert_eq!(lines, []);
    let mut file = Store::File(store);
    file.rewrite(std::slice::from_ref(&kept)).unwrap();
    // In the way of the file that is to be put in its place.
    let in_the_way = dir.path().join("lanes.tmp");
    std::fs::create_dir(&in_the_way).unwrap();
    let why = file.rewrite(std::slice::from_ref(&other)).unwrap_err().to_string();
    std::fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(file.append(&other).err().map(|error| error.to_string()), Some(why.clone()));
    assert_eq!(file.rewrite(&[]).unwrap_err().to_string(), why);
    drop(file);
    assert_eq!(open().1, [kept]);
}

#[test]
fn what_was_signed_on_channels_that_are_over_is_counted_on() {
    let mut lanes = Lanes::open(Store::Memory, Vec::new(), 1, false, NOW).unwrap();
    let (signed, _) = lanes.take(&want(1, 1, 5), Budget::default(), NOW, 1).unwrap().unwrap();
    lanes.known("payment-1", 5, NOW).unwrap();
    lanes.forget_expired(signed.channel.expires_at);
    assert_eq!((lanes.signed(978), lanes.count()), (5, Count::default()));
    let kept = lanes.snapshot();
    let over = Line::Over { over: "payment-1".into(), paid: false, void: false };
    assert_eq!(kept, [Line::Gone { gone: Number(5), asset: 978 }, over]);
    let budget = Budget { total: Some(7), ..Budget::default() };
    let refused = lanes.take(&want(2, 1, 3), budget, NOW, 2).err().unwrap();
    assert!(refused.to_string().contains("nothing was signed"), "{refused}");
    assert!(lanes.take(&want(2, 1, 2), budget, NOW, 2).unwrap().is_some());
}

#[test]
fn a_file_as_the_packages_in_python_and_javascript_write_it_is_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.lanes");
    std::fs::write(&path, include_str!("../../../../../tests/vectors/agent.lanes")).unwrap();
    let take_up = || {
        let durable = Arc::new(Durable::default());
        let (file, lines) = FileStore::open(&path, [0x11; 32], [0x22; 32], durable).unwrap();
        Lanes::open(Store::File(file), lines, 4, true, NOW).unwrap()
    };
    // What is written anew says the same.
    for _ in 0..2 {
        let lanes = take_up();
        assert_eq!(lanes.signed(978), 70 + 11 + 12 + 4 + 30);
        assert_eq!(lanes.count(), Count { free: 1, in_doubt: 2, ..Count::default() });
        for (id, amount, total, paid, void) in [
            ("payment_one_0001", 5, 5, true, false),
            ("payment_two_0001", 9, 9, false, false),
            ("payment_three_01", 4, 4, false, true),
            ("payment_four_001", 6, 11, false, false),
        ] {
            let one = lanes.payment(id).unwrap();
            assert_eq!((one.amount, one.total), (amount, total), "{id}");
            assert_eq!((one.paid, one.void), (paid, void), "{id}");
        }
        assert_eq!(lanes.bounds("payment_four_001"), Some((5, 11)));
        assert_eq!(lanes.bounds("payment_two_0001"), Some((0, 12)));
        assert!(lanes.payment("over_long_ago_01").is_none());
        let over = |id| lanes.over(id).map(|one| (one.paid, one.void));
        assert_eq!(over("order_of_last_year-1_"), Some((true, false)));
        assert_eq!(over("order_of_last_year-2_"), Some((false, false)));
        assert_eq!(over("order_of_long_ago-1__"), Some((false, true)));
        assert_eq!(over("over_long_ago_01"), Some((false, false)), "its channel is over");
    }
    let mut lanes = take_up();
    let next = Want { id: "payment_five_001".into(), payee: [0x33; 32], asset: 978, amount: 6 };
    let (signed, _) = lanes.take(&next, Budget::default(), NOW, 1).unwrap().unwrap();
    assert_eq!((signed.channel.lane, signed.total), (8, 6));
    assert_eq!(
        lanes.signed(978),
        70 + 11 + 12 + 6 + 30,
        "4 of them were signed on that lane before"
    );
}

/// The same as in the other packages: it had no payments whose channels were over.
#[test]
fn a_file_of_version_1_is_taken_up_and_written_as_version_2() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.lanes");
    drop(open(&path, 1));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("lanes 2"), "{text}");
    std::fs::write(&path, text.replace("lanes 2", "lanes 1")).unwrap();
    drop(open(&path, 1));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    std::fs::write(&path, text.replace("lanes 2", "lanes 3")).unwrap();
    assert!(FileStore::open(&path, NETWORK, SIGNER, Arc::default()).is_err());
}

/// Whether a request may be paid anew is known as long as it is remembered, however long its
/// channel is over.
#[test]
fn what_was_signed_on_a_channel_that_is_over_is_remembered_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lanes");
    let unnamed = |digit: &str| format!("tly_{}", digit.repeat(32));
    let mut lanes = open(&path, 9);
    let mut pay = |id: &str, random| {
        let want = Want { id: id.into(), payee: [1; 32], asset: 978, amount: 5 };
        lanes.take(&want, Budget::default(), NOW, random).unwrap().unwrap();
    };
    for (id, random) in [("paid-1", 1), ("lost-1", 2), ("void-1", 3)] {
        pay(id, random);
    }
    for (digit, random) in [("a", 4), ("b", 5)] {
        pay(&unnamed(digit), random);
    }
    lanes.paid("paid-1", NOW).unwrap();
    lanes.paid(&unnamed("a"), NOW).unwrap();
    // The channel went on by less than this payment: it can never count.
    lanes.known("void-1", 2, NOW).unwrap();
    drop(lanes);
    let later = NOW + 30 * DAY;
    let open = || {
        let (file, lines) = FileStore::open(&path, NETWORK, SIGNER, Arc::default()).unwrap();
        Lanes::open(Store::File(file), lines, 9, true, later).unwrap()
    };
    for _ in 0..2 {
        let lanes = open();
        assert!(lanes.payment("lost-1").is_none());
        let over = |id: &str| lanes.over(id).map(|one| (one.paid, one.void));
        assert_eq!(over("paid-1"), Some((true, false)));
        assert_eq!(over("lost-1"), Some((false, false)));
        assert_eq!(over("void-1"), Some((false, true)));
        assert_eq!((over(&unnamed("a")), over(&unnamed("b"))), (None, Some((false, false))));
        assert_eq!(lanes.signed(978), 25);
    }
}

#[test]
fn a_payment_is_void_once_nothing_can_charge_it_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lanes");
    let mut lanes = open(&path, 1);
    let name = |at: usize| format!("payment-{at}");
    let take = |lanes: &mut Lanes, at: usize, amount| {
        let random = at.try_into().unwrap();
        let taken = lanes.take(&want(at, 1, amount), Budget::default(), NOW, random).unwrap();
        taken.unwrap().0
    };
    let void = |lanes: &mut Lanes, at: usize, is_refused| lanes.is_void(&name(at), is_refused, NOW);
    let first = take(&mut lanes, 1, 5);
    lanes.doubt("payment-1");
    lanes.answered("payment-1", 0, NOW).unwrap();
    let second = take(&mut lanes, 2, 5);
    assert_eq!((second.channel, second.total), (first.channel, 5), "the very same voucher");
    assert!(!void(&mut lanes, 1, true).unwrap() && !void(&mut lanes, 2, true).unwrap());
    assert_eq!(lanes.again("payment-2"), Again::UnderWay);
    assert_eq!(lanes.again("payment-1"), Again::Wait, "one after the other");
    lanes.known("payment-2", 5, NOW).unwrap();
    assert!(!void(&mut lanes, 1, false).unwrap(), "one of them was, nobody knows which");
    assert_eq!((lanes.is_held("payment-1"), lanes.is_held("payment-2")), (None, None));
    assert!(void(&mut lanes, 1, true).unwrap() && !void(&mut lanes, 2, true).unwrap());
    assert_eq!((lanes.is_held("payment-1"), lanes.is_held("payment-2")), (Some(false), Some(true)));
    drop(lanes);
    let mut lanes = open(&path, 1);
    assert!(void(&mut lanes, 1, false).unwrap() && !void(&mut lanes, 2, true).unwrap());
    // What the engine said of one payment is known of its rivals.
    take(&mut lanes, 3, 3);
    lanes.known("payment-3", 5, NOW).unwrap();
    take(&mut lanes, 4, 3);
    lanes.paid("payment-4", NOW).unwrap();
    drop(lanes);
    let mut lanes = open(&path, 1);
    assert!(void(&mut lanes, 3, false).unwrap() && !void(&mut lanes, 4, true).unwrap());
    // The total passed what it builds on by less than its amount.
    take(&mut lanes, 5, 9);
    lanes.known("payment-5", 8, NOW).unwrap();
    take(&mut lanes, 6, 1);
    lanes.paid("payment-6", NOW).unwrap();
    assert!(void(&mut lanes, 5, false).unwrap());
}

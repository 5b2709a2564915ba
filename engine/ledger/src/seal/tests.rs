//! What a cut window nets to, row by row; every number is one that a reader can work out.
//!
//! A row is a window: what its channels rose by (`A>B:20..30`, or `A>B:10` from nothing), what
//! earlier batches left for it, and what follows. Each row is sealed from the parts of one, two and
//! three shards, which hold their evidence in another order each time: the window is the same.

use super::*;
use crate::fixture::table::{columns, debts, letter, lines, party, told};
use crate::net::assert_sums_to_zero;
use crate::types::{Amount, Net, PartyId, SignerKey, Voucher};
use std::panic::catch_unwind;

const EUR: AssetNumber = AssetNumber(978);
const USD: AssetNumber = AssetNumber(840);
const NUMBER: WindowNumber = WindowNumber(7);

/// One channel's evidence: `A>B:20..30`, on a lane of its own.
fn piece(lane: usize, word: &str, asset: AssetNumber) -> Evidence {
    let (pair, totals) = word.split_once(':').expect("A>B:10");
    let (payer, payee) = pair.split_once('>').expect("A>B");
    let (before, total) = totals.split_once("..").unwrap_or(("0", totals));
    let voucher = Voucher {
        signer: SignerKey(party(payer).0),
        payee: party(payee),
        asset,
        lane: u64::try_from(lane).unwrap(),
        expires_at: 9,
        cumulative: Amount(total.parse().unwrap()),
        signature: [5; 64],
    };
    let before = Amount(before.parse().unwrap());
    Evidence { payer: party(payer), before, lsn: Lsn(3), voucher: voucher.pack(), branch: None }
}

/// The evidence of some columns, each in its asset.
fn pieces(columns: &[(AssetNumber, &str)]) -> Vec<Evidence> {
    let each = columns.iter().flat_map(|(asset, column)| {
        column.split_whitespace().enumerate().map(|(lane, word)| piece(lane, word, *asset))
    });
    each.collect()
}

fn carried(asset: AssetNumber, column: &str) -> Vec<(AssetNumber, Obligation)> {
    debts(column).into_iter().map(|carry| (asset, carry)).collect()
}

fn cut(carried: Vec<(AssetNumber, Obligation)>) -> Cut {
    let (first_lsn, cut_lsn, cut_at) = (Lsn(2), Lsn(9), Timestamp(5));
    Cut { number: NUMBER, first_lsn, cut_lsn, cut_at, carried }
}

/// The same window from one, two and three shards, whatever the order in which they hold it.
fn sealed(evidence: &[Evidence], carried: &[(AssetNumber, Obligation)]) -> Sealed {
    let from = |count: usize| {
        let (mut carried, mut evidence) = (carried.to_vec(), evidence.to_vec());
        if count > 1 {
            carried.reverse();
            evidence.reverse();
        }
        let part = |shard: usize| {
            let own = evidence.iter().skip(shard).step_by(count).cloned();
            let own: Vec<Evidence> = own.collect();
            SealedPart::new(NUMBER, u64::try_from(own.len()).unwrap(), own)
        };
        seal(cut(carried), (0..count).map(part).collect())
    };
    let one = from(1);
    for other in [from(2), from(3)] {
        assert_eq!(other.window, one.window);
        assert_eq!(other.evidence, one.evidence);
    }
    one
}

fn positions(of: &SealedAsset) -> String {
    let one = |p: &Position| format!("{}:{}", letter(p.party), p.net);
    of.positions.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// gross, carried in, owed pair by pair, and what must move at the least.
fn sums(of: &SealedAsset) -> String {
    let AssetSeal { carried_in, totals, .. } = of.seal;
    let WindowTotals { gross, net_bilateral, net_multilateral, .. } = totals;
    format!("{gross} {carried_in} {net_bilateral} {net_multilateral}")
}

/// The counts beside the sums are those of the lists.
fn check_counts(of: &SealedAsset) {
    let WindowTotals { pairs, net_pairs, positions, .. } = of.seal.totals;
    let lists = [of.obligations.len(), of.net.len(), of.positions.len()].map(count);
    assert_eq!([pairs, net_pairs, positions], lists);
    assert_eq!(of.evidence.len(), of.obligations.len());
}

const NETS: &str = "
    # rose in the window      | carried     | owed, pair by pair | positions     | sums
    # One debt is one debt, of one channel or of many, and of what rose alone.
    A>B:10                    |             | A>B:10             | A:-10 B:10    | 10 0 10 10
    A>B:1 A>B:2 A>B:3         |             | A>B:6              | A:-6 B:6      | 6 0 6 6
    A>B:20..30                |             | A>B:10             | A:-10 B:10    | 10 0 10 10
    A>B:5 A>B:20..21          |             | A>B:6              | A:-6 B:6      | 6 0 6 6
    # Two who owe each other: one direction is left, or none.
    A>B:10 B>A:4              |             | A>B:6              | A:-6 B:6      | 14 0 6 6
    A>B:4 B>A:10              |             | B>A:6              | A:6 B:-6      | 14 0 6 6
    A>B:10 B>A:10             |             |                    |               | 20 0 0 0
    A>B:10 B>A:9              |             | A>B:1              | A:-1 B:1      | 19 0 1 1
    # A chain pays through its middle, a ring pays nothing at all; pair by pair, all of it.
    A>B:10 B>C:10             |             | A>B:10 B>C:10      | A:-10 C:10    | 20 0 20 10
    A>B:10 B>C:7              |             | A>B:10 B>C:7       | A:-10 B:3 C:7 | 17 0 17 10
    A>B:5 B>C:5 C>A:5         |             | A>B:5 B>C:5 C>A:5  |               | 15 0 15 0
    A>B:5 B>C:5 C>A:6         |             | A>B:5 B>C:5 C>A:6  | A:1 C:-1      | 16 0 16 1
    A>C:60 B>C:40 C>A:30      |             | A>C:30 B>C:40      | A:-30 B:-40 C:70 | 130 0 70 70
    # What was carried counts like what rose, and is no obligation of this window.
                              | A>B:3       | A>B:3              | A:-3 B:3      | 0 3 3 3
    A>B:10                    | A>B:3       | A>B:13             | A:-13 B:13    | 10 3 13 13
    A>B:10                    | B>A:3       | A>B:7              | A:-7 B:7      | 10 3 7 7
    A>B:10                    | B>A:10      |                    |               | 10 10 0 0
    A>B:1                     | A>B:2 A>B:2 | A>B:5              | A:-5 B:5      | 1 4 5 5
    # The dust of the clearing account: it owes what it is owed, and nets like anybody.
    A>B:10                    | A>0:3 0>B:3 | 0>B:3 A>0:3 A>B:10 | A:-13 B:13    | 10 6 16 13
    A>B:10                    | A>0:3       | A>0:3 A>B:10       | 0:3 A:-13 B:10 | 10 3 13 13
                              | 0>A:2 A>0:3 | A>0:1              | 0:1 A:-1      | 0 5 1 1
    # No unit is rounded away, however many there are: 2^64-1 and 2^64-1, less 1.
    A>B:18446744073709551615 A>B:18446744073709551615 B>A:1 | | A>B:36893488147419103229 | \
        A:-36893488147419103229 B:36893488147419103229 | \
        36893488147419103231 0 36893488147419103229 36893488147419103229
    A>B:18446744073709551614..18446744073709551615 | | A>B:1 | A:-1 B:1 | 1 0 1 1
";

#[test]
fn a_window_owes_what_is_left_when_debts_are_set_off_and_no_unit_more_or_less() {
    for line in lines(NETS) {
        let [rose, carry, net, wanted, figures] = columns(line);
        let evidence = pieces(&[(EUR, rose)]);
        let sealed = sealed(&evidence, &carried(EUR, carry)).window;
        assert_eq!(sealed.assets.keys().collect::<Vec<_>>(), [&EUR], "{line}");
        let of = &sealed.assets[&EUR];
        assert_eq!(told(&of.net), net, "{line}");
        assert_eq!(positions(of), wanted, "{line}");
        assert_eq!(sums(of), figures, "{line}");
        assert_eq!(sealed.credited, count(evidence.len()), "{line}");
        check_counts(of);
    }
}

const PAIRS: &str = "
    # rose in the window, in no order         | obligations: who owes whom, and by how many channels
    B>A:4 A>C:1 A>B:10                        | A>B:10/1 A>C:1/1 B>A:4/1
    A>B:1 B>C:8 A>B:2 B>C:9..10 A>B:3         | A>B:6/3 B>C:9/2
    C>B:1 B>C:1                               | B>C:1/1 C>B:1/1
";

#[test]
fn an_obligation_is_a_pairs_gross_with_the_count_and_the_digest_of_its_channels() {
    for line in lines(PAIRS) {
        let [rose, wanted] = columns(line);
        let Sealed { window, evidence } = sealed(&pieces(&[(EUR, rose)]), &[]);
        let of = &window.assets[&EUR];
        let (mut rest, mut found) = (&evidence[..], Vec::new());
        for (o, digest) in of.obligations.iter().zip(&of.evidence) {
            let (own, others) = rest.split_at(digest.count as usize);
            rest = others;
            assert!(own.iter().all(|piece| piece.pair() == (EUR.0, o.payer, o.payee)), "{line}");
            let bytes = own.iter().map(Evidence::encoded);
            assert_eq!(EvidenceHasher::default().digest(bytes), digest.digest, "{line}");
            found.push(format!("{}/{}", told([o]), digest.count));
        }
        assert!(rest.is_empty(), "evidence of nothing: {line}");
        assert_eq!(found.join(" "), wanted, "{line}");
    }
}

const ASSETS: &str = "
    # rose in eur    | carried  | rose in usd | carried  | net in eur | net in usd
    A>B:10           |          | B>A:10      |          | A>B:10     | B>A:10
    A>B:10 B>A:10    |          | B>A:10      |          |            | B>A:10
    A>B:10           |          |             | B>A:10   | A>B:10     | B>A:10
                     | A>B:10   | B>A:4       | A>B:4    | A>B:10     |
";

#[test]
fn no_asset_is_set_off_against_another() {
    for line in lines(ASSETS) {
        let [eur, eur_carry, usd, usd_carry, eur_net, usd_net] = columns(line);
        let evidence = pieces(&[(EUR, eur), (USD, usd)]);
        let carry = [carried(EUR, eur_carry), carried(USD, usd_carry)].concat();
        let window = sealed(&evidence, &carry).window;
        assert_eq!(told(&window.assets[&EUR].net), eur_net, "{line}");
        assert_eq!(told(&window.assets[&USD].net), usd_net, "{line}");
        window.assets.values().for_each(check_counts);
    }
}

const ROOTS: &str = "
    # Each differs from A>B:10 B>C:5, carried A>B:1, in one thing alone.
    # rose              | carried         | what the root says is other
    A>B:10 B>C:5        | A>B:1           | nothing
    B>C:5 A>B:10        | A>B:1           | evidence
    A>B:11 B>C:5        | A>B:1           | obligations positions
    A>B:10..20 B>C:5    | A>B:1           | evidence
    A>B:10 B>D:5        | A>B:1           | obligations positions
    A>B:10 B>C:5        | A>B:2           | carry positions
    A>B:10 B>C:5        | A>B:1 A>B:1     | carry positions
    A>B:10 B>C:5        |                 | carry positions
    A>B:11 B>C:5        |                 | obligations carry
    A>B:10 B>C:5 C>B:1  | A>B:1 B>C:1     | obligations carry
";

/// The root of a window proves each obligation with its evidence, each carry, and each position.
#[test]
fn a_root_changes_with_everything_that_it_proves() {
    let of = |rose, carry| sealed(&pieces(&[(EUR, rose)]), &carried(EUR, carry)).window;
    let first = of("A>B:10 B>C:5", "A>B:1");
    for line in lines(ROOTS) {
        let [rose, carry, wanted] = columns(line);
        let other = of(rose, carry);
        let (a, b) = (&first.assets[&EUR], &other.assets[&EUR]);
        let found = [
            (a.obligations != b.obligations, "obligations"),
            (a.obligations == b.obligations && a.evidence != b.evidence, "evidence"),
            (a.carried != b.carried, "carry"),
            (a.positions != b.positions, "positions"),
        ];
        let found: Vec<&str> = found.iter().filter(|(is, _)| *is).map(|(_, what)| *what).collect();
        let is_other = !found.is_empty();
        let found = if is_other { found.join(" ") } else { "nothing".to_owned() };
        assert_eq!(found, wanted, "{line}");
        assert_eq!(first.root != other.root, is_other, "{line}");
        let kept = a.positions == b.positions;
        assert_eq!(a.seal.positions_root == b.seal.positions_root, kept, "{line}");
        assert_eq!(a.seal.obligations_root != b.seal.obligations_root, is_other, "{line}");
    }
}

/// Does the last job first.
struct Backwards;

impl Hands for Backwards {
    fn map<J: Send, T: Send>(&self, jobs: Vec<J>, work: impl Fn(J) -> T + Sync) -> Vec<T> {
        let mut done: Vec<T> = jobs.into_iter().rev().map(work).collect();
        done.reverse();
        done
    }

    fn both<A: Send, B>(
        &self,
        first: impl FnOnce() -> A + Send,
        second: impl FnOnce() -> B,
    ) -> (A, B) {
        let second = second();
        (first(), second)
    }
}

/// Obligations, their digests and the root over them, one pair after the other.
fn pair_by_pair(evidence: &[Evidence], asset: AssetNumber) -> (Vec<Obligation>, Digest) {
    let mut pairs: BTreeMap<_, Vec<&Evidence>> = BTreeMap::new();
    for piece in evidence.iter().filter(|piece| piece.pair().0 == asset.0) {
        pairs.entry(piece.pair()).or_default().push(piece);
    }
    let (mut tree, mut owed) = (MerkleTree::default(), Vec::new());
    for ((_, payer, payee), mut pieces) in pairs {
        pieces.sort_by(|a, b| a.channel_bytes().cmp(&b.channel_bytes()));
        let amount =
            pieces.iter().map(|piece| piece.owed().unwrap()).fold(Total::ZERO, Total::plus);
        let one = Obligation { payer, payee, amount };
        let digest = EvidenceHasher::default().digest(pieces.iter().map(|piece| piece.encoded()));
        tree.push(&obligation_leaf(NUMBER, asset, 0, &one, digest));
        owed.push(one);
    }
    (owed, tree.root())
}

/// More than one job, in each asset, and a pair whose channels alone are more than one.
#[test]
fn a_large_window_is_what_its_pairs_are_one_by_one() {
    let voucher = |asset, payer: u64, payee: u64, lane| {
        let id = |n: u64| *blake3::hash(&n.to_le_bytes()).as_bytes();
        let voucher = Voucher {
            signer: SignerKey(id(payer)),
            payee: PartyId(id(payee)),
            asset,
            lane,
            expires_at: 9,
            cumulative: Amount(1 + lane),
            signature: [5; 64],
        };
        let (payer, before, lsn) = (PartyId(id(payer)), Amount(lane % 2), Lsn(3));
        Evidence { payer, before, lsn, voucher: voucher.pack(), branch: None }
    };
    let grid = (0..100u64).flat_map(|payer| (0..90).map(move |place| (payer, 90 + place, 0)));
    let wide = (0..5_000u64).map(|lane| (40, 10, lane));
    let of = |asset| move |(payer, payee, lane)| voucher(asset, payer, payee, lane);
    let pays = |(payer, payee, _): &(u64, u64, u64)| payer != payee;
    let mut evidence: Vec<Evidence> = grid.clone().filter(pays).map(of(EUR)).collect();
    evidence.extend(grid.take(900).chain(wide).filter(pays).map(of(USD)));
    evidence.sort_by_key(|piece| *blake3::hash(&piece.voucher).as_bytes());
    let part = || SealedPart::new(NUMBER, 1, evidence.clone());
    let gathered = Gathered::new(cut(Vec::new()), vec![part()]);
    let window = gathered.close(&Backwards);
    for (&asset, sealed) in &window.assets {
        let (obligations, root) = pair_by_pair(&evidence, asset);
        assert_eq!((&sealed.obligations, sealed.seal.obligations_root), (&obligations, root));
        check_counts(sealed);
    }
    assert_eq!(window, seal(cut(Vec::new()), vec![part()]).window);
    let SealedWindow { number, first_lsn, cut_lsn, cut_at, credited, .. } = window;
    let head = Head { number, first_lsn, cut_lsn, cut_at, credited };
    assert_eq!(window, close(head, owed_of(&window)));
}

/// What is kept of a window, to be closed again.
fn owed_of(window: &SealedWindow) -> BTreeMap<AssetNumber, Owed> {
    let of = |sealed: &SealedAsset| Owed {
        obligations: sealed.obligations.clone(),
        evidence: sealed.evidence.clone(),
        carried: sealed.carried.clone(),
    };
    window.assets.iter().map(|(&asset, sealed)| (asset, of(sealed))).collect()
}

/// The panic that this ends in.
fn stops(wrong: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = catch_unwind(wrong).expect_err("it goes on");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap()
}

/// Nothing is sealed of which the sums are wrong: the engine stops before anybody signs it.
#[test]
fn a_wrong_sum_stops() {
    let of_sums = |nets: [i128; 3]| {
        move || {
            let parties = ["A", "B", "C"].map(party);
            let one = |(party, net)| Position { party, net: Net(net) };
            assert_sums_to_zero(&parties.into_iter().zip(nets).map(one).collect::<Vec<_>>());
        }
    };
    of_sums([-10, 4, 6])();
    let to_zero = "net positions must sum to zero";
    assert!(stops(of_sums([-10, 4, 5])).contains(to_zero), "a unit has vanished");
    assert!(stops(of_sums([-10, 4, 7])).contains(to_zero), "a unit was made");
    assert!(stops(of_sums([10, 4, 6])).contains(to_zero), "everybody receives");
    let sealed_of = |word: &'static str, window: u64| {
        move || {
            let part = SealedPart::new(WindowNumber(window), 1, vec![piece(0, word, EUR)]);
            drop(seal(cut(Vec::new()), vec![part]));
        }
    };
    sealed_of("A>B:10..11", 7)();
    let no_rise = "what was credited is a rise";
    assert!(stops(sealed_of("A>B:10..10", 7)).contains(no_rise), "a total that stands");
    assert!(stops(sealed_of("A>B:10..9", 7)).contains(no_rise), "a total that falls");
    assert!(stops(sealed_of("A>B:10", 6)).contains("a shard cut another window"));
    let bare = || {
        let owed = Owed { obligations: debts("A>B:10"), ..Owed::default() };
        drop(close(crate::fixture::HEAD, BTreeMap::from([(EUR, owed)])));
    };
    assert!(stops(bare).contains("every obligation has its evidence"));
    let too_much = || {
        let most = Obligation { payer: party("A"), payee: party("B"), amount: Total(u128::MAX) };
        drop(seal(cut(vec![(EUR, most)]), Vec::new()));
    };
    assert!(stops(too_much).contains("a sum of money exceeds 127 bits"));
}

//! The bytes of the pages of shards: rows of one kind after the other, all of fixed size but
//! channels: evidence may end with a path. What they mean is the shards'.

use tallystick_ledger::evidence::{EVIDENCE_BYTES, Evidence, piece_of};
use tallystick_ledger::types::{Amount, AssetNumber, Lsn, PartyId, SignerKey, Total, WindowNumber};
use tallystick_ledger::{Budget, BudgetKey, BudgetUse, Exposure, Held, Period, ShardPage};

/// Of a channel that was credited by a voucher; room for it is reckoned so.
const HELD_BYTES: usize = 8 + EVIDENCE_BYTES;
const EXPOSURE_BYTES: usize = 3 * 16;
const OWES_BYTES: usize = 32 + 4 + EXPOSURE_BYTES;
const CAP_BYTES: usize = 32 + 4 + 8;
const BUDGET_BYTES: usize = 32 + 4 + 1 + 1 + 32 + 8 + 8 + 8;
const ANSWER_BYTES: usize = 8 + 32 + EXPOSURE_BYTES;

/// Counts of channels, exposures and caps (u32 each), then the rows, then those of budgets.
pub(super) fn encode_state(page: &ShardPage) -> Vec<u8> {
    let count = |length: usize| u32::try_from(length).expect("a page is bounded").to_le_bytes();
    let mut bytes = Vec::with_capacity(12 + page.channels.len() * HELD_BYTES);
    for length in [page.channels.len(), page.exposures.len(), page.caps.len()] {
        bytes.extend_from_slice(&count(length));
    }
    for held in &page.channels {
        bytes.extend_from_slice(&held.window.0.to_le_bytes());
        held.evidence.encode(&mut bytes);
    }
    for (party, asset, exposure) in &page.exposures {
        bytes.extend_from_slice(&party.0);
        bytes.extend_from_slice(&asset.0.to_le_bytes());
        bytes.extend_from_slice(&encode_exposure(exposure));
    }
    for (signer, asset, used) in &page.caps {
        bytes.extend_from_slice(&signer.0);
        bytes.extend_from_slice(&asset.0.to_le_bytes());
        bytes.extend_from_slice(&used.0.to_le_bytes());
    }
    page.budgets.iter().for_each(|of| bytes.extend_from_slice(&encode_budget(of)));
    bytes
}

/// Signer, asset, period, whether of one payee, that payee, amount, number, used.
fn encode_budget(of: &BudgetUse) -> [u8; BUDGET_BYTES] {
    let Budget { key, amount } = of.budget;
    let mut bytes = [0; BUDGET_BYTES];
    bytes[..32].copy_from_slice(&of.signer.0);
    bytes[32..36].copy_from_slice(&key.asset.0.to_le_bytes());
    bytes[36] = key.period.byte();
    bytes[37] = u8::from(key.payee.is_some());
    bytes[38..70].copy_from_slice(&key.payee.unwrap_or(PartyId([0; 32])).0);
    bytes[70..78].copy_from_slice(&amount.0.to_le_bytes());
    bytes[78..86].copy_from_slice(&of.number.to_le_bytes());
    bytes[86..].copy_from_slice(&of.used.0.to_le_bytes());
    bytes
}

fn decode_budget(row: &[u8; BUDGET_BYTES]) -> Option<BudgetUse> {
    let payee = match row[37] {
        0 => None,
        1 => Some(PartyId(part(row, 38))),
        _ => return None,
    };
    let (asset, period) =
        (AssetNumber(u32::from_le_bytes(part(row, 32))), Period::from_byte(row[36])?);
    let amount = Amount(u64::from_le_bytes(part(row, 70)));
    Some(BudgetUse {
        signer: SignerKey(part(row, 0)),
        budget: Budget { key: BudgetKey { asset, period, payee }, amount },
        number: i64::from_le_bytes(part(row, 78)),
        used: Amount(u64::from_le_bytes(part(row, 86))),
    })
}

pub(super) fn decode_state(
    bytes: &[u8],
    payer: &dyn Fn(SignerKey) -> Option<PartyId>,
) -> Option<ShardPage> {
    let (head, rest) = bytes.split_at_checked(12)?;
    let count = |n: usize| u32::from_le_bytes(part(head, 4 * n)) as usize;
    let (channels, rest) = decode_channels(count(0), rest, payer)?;
    let (exposures, rest) = rest.split_at_checked(count(1).checked_mul(OWES_BYTES)?)?;
    let (caps, rest) = rest.split_at_checked(count(2).checked_mul(CAP_BYTES)?)?;
    let (budgets, rest) = rest.as_chunks::<BUDGET_BYTES>();
    if !rest.is_empty() {
        return None;
    }
    let owes = |row: &[u8; OWES_BYTES]| {
        let asset = AssetNumber(u32::from_le_bytes(part(row, 32)));
        (PartyId(part(row, 0)), asset, decode_exposure(&part(row, 36)))
    };
    let used = |row: &[u8; CAP_BYTES]| {
        let asset = AssetNumber(u32::from_le_bytes(part(row, 32)));
        (SignerKey(part(row, 0)), asset, Amount(u64::from_le_bytes(part(row, 36))))
    };
    Some(ShardPage {
        channels,
        exposures: exposures.as_chunks().0.iter().map(owes).collect(),
        caps: caps.as_chunks().0.iter().map(used).collect(),
        budgets: budgets.iter().map(decode_budget).collect::<Option<_>>()?,
        answers: Vec::new(),
        credited: 0,
    })
}

/// So many channels, and what follows them.
fn decode_channels<'a>(
    count: usize,
    mut bytes: &'a [u8],
    payer: &dyn Fn(SignerKey) -> Option<PartyId>,
) -> Option<(Vec<Held>, &'a [u8])> {
    // As many as there can be, whatever the count says.
    let mut channels = Vec::with_capacity(count.min(bytes.len() / HELD_BYTES));
    for _ in 0..count {
        let (window, rest) = bytes.split_first_chunk()?;
        let (piece, rest) = piece_of(rest)?;
        let signer = SignerKey(part(piece, EVIDENCE_BYTES - 160));
        let evidence = Evidence::decode(piece, payer(signer)?)?;
        channels.push(Held { window: WindowNumber(u64::from_le_bytes(*window)), evidence });
        bytes = rest;
    }
    Some((channels, bytes))
}

/// Limit, prefund, unsettled.
fn encode_exposure(exposure: &Exposure) -> [u8; EXPOSURE_BYTES] {
    let mut bytes = [0; EXPOSURE_BYTES];
    let sums = [exposure.limit, exposure.prefund, exposure.unsettled];
    for (field, sum) in bytes.as_chunks_mut::<16>().0.iter_mut().zip(sums) {
        *field = sum.0.to_le_bytes();
    }
    bytes
}

fn decode_exposure(bytes: &[u8; EXPOSURE_BYTES]) -> Exposure {
    let sum = |n: usize| Total(u128::from_le_bytes(part(bytes, 16 * n)));
    Exposure { limit: sum(0), prefund: sum(1), unsettled: sum(2) }
}

pub(super) fn encode_answers(answers: &[(Lsn, PartyId, Exposure)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(answers.len() * ANSWER_BYTES);
    for (lsn, party, exposure) in answers {
        bytes.extend_from_slice(&lsn.0.to_le_bytes());
        bytes.extend_from_slice(&party.0);
        bytes.extend_from_slice(&encode_exposure(exposure));
    }
    bytes
}

pub(super) fn decode_answers(bytes: &[u8]) -> Option<ShardPage> {
    let (rows, rest) = bytes.as_chunks::<ANSWER_BYTES>();
    let answer = |row: &[u8; ANSWER_BYTES]| {
        let (lsn, party) = (Lsn(u64::from_le_bytes(part(row, 0))), PartyId(part(row, 8)));
        (lsn, party, decode_exposure(&part(row, 40)))
    };
    let answers = rows.iter().map(answer).collect();
    rest.is_empty().then_some(ShardPage { answers, ..ShardPage::default() })
}

/// Some bytes of a row.
pub(super) fn part<const N: usize>(row: &[u8], at: usize) -> [u8; N] {
    *row[at..].first_chunk().expect("fields lie within their row")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(period: Period, payee: Option<PartyId>) -> BudgetUse {
        let key = BudgetKey { asset: AssetNumber(978), period, payee };
        BudgetUse {
            signer: SignerKey([3; 32]),
            budget: Budget { key, amount: Amount(0x0102) },
            number: -2,
            used: Amount(u64::MAX),
        }
    }

    #[test]
    fn what_is_used_of_caps_and_budgets_is_read_back() {
        let budgets = Period::ALL.into_iter().flat_map(|period| {
            [
                used(period, None),
                used(period, Some(PartyId([0; 32]))),
                used(period, Some(PartyId([9; 32]))),
            ]
        });
        let page = ShardPage {
            exposures: vec![(PartyId([1; 32]), AssetNumber(1), Exposure::default())],
            caps: vec![(SignerKey([3; 32]), AssetNumber(1), Amount(5))],
            budgets: budgets.collect(),
            ..ShardPage::default()
        };
        let bytes = encode_state(&page);
        assert_eq!(bytes.len(), 12 + OWES_BYTES + CAP_BYTES + 12 * BUDGET_BYTES);
        assert_eq!(decode_state(&bytes, &|_| None), Some(page));
        assert_eq!(decode_state(&bytes[..bytes.len() - 1], &|_| None), None);
    }

    #[test]
    fn a_budget_of_a_period_that_there_is_not_is_no_page() {
        let page = ShardPage { budgets: vec![used(Period::Day, None)], ..ShardPage::default() };
        let bytes = encode_state(&page);
        for (place, byte) in [(36, 0), (36, 5), (37, 2)] {
            let mut other = bytes.clone();
            other[12 + place] = byte;
            assert_eq!(decode_state(&other, &|_| None), None, "{place} {byte}");
        }
    }
}

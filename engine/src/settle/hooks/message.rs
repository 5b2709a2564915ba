//! What is sent: the JSON of each kind of message (`docs/WEBHOOKS.md`). Everything in it follows
//! from records, so that it is the same whenever it is made.

use super::super::statement::Did;
use crate::ledger::{BudgetKey, BudgetUse, LegMove, Period, Topic};
use crate::types::{AssetDef, BatchId, Digest, Lsn, NetworkId, PartyId, Timestamp};
use serde::Serialize;

const CONTEXT: &str = "tallystick 2026-11 webhook id v1";

/// A message without what is sealed.
#[derive(Serialize)]
struct Body<'a, D> {
    r#type: &'a str,
    timestamp: String,
    data: Data<D>,
}

#[derive(Serialize)]
struct Data<D> {
    lsn: u64,
    party: String,
    #[serde(flatten)]
    of: D,
}

/// What every message says: in which record it happened, when, and to whom.
#[derive(Debug, Clone, Copy)]
pub struct Of {
    pub topic: Topic,
    pub lsn: Lsn,
    pub at: Timestamp,
    pub party: PartyId,
}

fn time(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.0).map_or_else(|_| String::new(), |at| format!("{at:.6}"))
}

fn body<D: Serialize>(of: Of, data: D) -> Vec<u8> {
    let (lsn, party) = (of.lsn.0, of.party.to_string());
    let data = Data { lsn, party, of: data };
    let body = Body { r#type: of.topic.name(), timestamp: time(of.at), data };
    serde_json::to_vec(&body).expect("plain data becomes JSON")
}

/// The id of a message: it follows from the record (its digest, so that two ledgers that go on from
/// one copy never name two things by one id), which of several in it, and the endpoint.
pub fn id(network: NetworkId, endpoint: Lsn, record: Digest, index: u32) -> String {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(&network.0).update(&endpoint.0.to_le_bytes());
    hasher.update(&record.0).update(&index.to_le_bytes());
    let bytes = hasher.finalize();
    format!("msg_{}", data_encoding::HEXLOWER.encode(&bytes.as_bytes()[..16]))
}

/// An asset, for whoever shows amounts of it.
#[derive(Serialize)]
struct Asset<'a> {
    asset: u32,
    code: &'a str,
    scale: u32,
}

impl<'a> Asset<'a> {
    fn of(def: &'a AssetDef) -> Self {
        Self { asset: def.number.0, code: &def.code, scale: def.scale }
    }
}

/// What a party was paid, and what it owes, in each asset of a window.
pub fn window_closed(
    of: Of,
    (window, closed_at, root): (u64, Timestamp, Digest),
    shares: &[(&AssetDef, Did)],
) -> Vec<u8> {
    #[derive(Serialize)]
    struct Line<'a> {
        #[serde(flatten)]
        asset: Asset<'a>,
        received: String,
        sent: String,
        carried: String,
        net: String,
        payers: usize,
        payees: usize,
    }
    #[derive(Serialize)]
    struct Window<'a> {
        window: u64,
        closed_at: String,
        root: String,
        assets: Vec<Line<'a>>,
    }
    fn line<'a>((asset, did): &(&'a AssetDef, Did)) -> Line<'a> {
        let Did { sent, received, carried, net, payees, payers } = *did;
        Line {
            asset: Asset::of(asset),
            received: received.to_string(),
            sent: sent.to_string(),
            carried: carried.to_string(),
            net: net.to_string(),
            payers,
            payees,
        }
    }
    let assets = shares.iter().map(line).collect();
    body(of, Window { window, closed_at: time(closed_at), root: root.to_string(), assets })
}

/// A payment to a party, or by it.
pub fn leg(of: Of, (batch, key): (BatchId, &str), asset: &AssetDef, one: &LegMove) -> Vec<u8> {
    #[derive(Serialize)]
    struct Leg<'a> {
        batch: String,
        leg: u32,
        key: &'a str,
        #[serde(flatten)]
        asset: Asset<'a>,
        amount: String,
        /// `in`: to the party.
        direction: &'static str,
        counterparty: String,
        reference: &'a str,
        reason: &'a str,
    }
    let is_in = one.payee == of.party;
    let other = if is_in { one.payer } else { one.payee };
    let counterparty = match other {
        PartyId::CLEARING => "clearing".to_owned(),
        other => other.to_string(),
    };
    body(
        of,
        Leg {
            batch: batch.to_string(),
            leg: one.leg,
            key,
            asset: Asset::of(asset),
            amount: one.amount.to_string(),
            direction: if is_in { "in" } else { "out" },
            counterparty,
            reference: &one.reference,
            reason: &one.reason,
        },
    )
}

/// A budget of one of the party's keys is nearly used up.
pub fn budget(of: Of, asset: &AssetDef, used: &BudgetUse) -> Vec<u8> {
    #[derive(Serialize)]
    struct Used<'a> {
        signer: String,
        #[serde(flatten)]
        asset: Asset<'a>,
        period: &'static str,
        /// Which period since 1970, of a budget that begins anew.
        number: i64,
        payee: Option<String>,
        amount: String,
        used: String,
    }
    let BudgetKey { period, payee, .. } = used.budget.key;
    body(
        of,
        Used {
            signer: used.signer.to_string(),
            asset: Asset::of(asset),
            period: Period::name(period),
            number: used.number,
            payee: payee.map(|payee| payee.to_string()),
            amount: used.budget.amount.to_string(),
            used: used.used.to_string(),
        },
    )
}

/// A test: nothing has happened.
pub fn test(endpoint: Lsn, party: PartyId, at: Timestamp) -> Vec<u8> {
    let value = serde_json::json!({
        "type": "webhook.test",
        "timestamp": time(at),
        "data": { "webhook": endpoint.0, "party": party.to_string() },
    });
    serde_json::to_vec(&value).expect("plain data becomes JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Budget, LegState};
    use crate::types::{Amount, AssetNumber, Net, SettlementModel, SignerKey, Total};

    fn of(topic: Topic) -> Of {
        let at = Timestamp(1_795_000_000_123_456);
        Of { topic, lsn: Lsn(7), at, party: PartyId([0xaa; 32]) }
    }

    fn eur() -> AssetDef {
        let model = SettlementModel::Multilateral;
        AssetDef { number: AssetNumber(978), code: "EUR".into(), scale: 6, model }
    }

    fn text(body: Vec<u8>) -> String {
        String::from_utf8(body).unwrap()
    }

    /// Receivers read these: fields are added, never renamed.
    #[test]
    fn what_is_sent_is_just_this() {
        let party = "aa".repeat(32);
        let head = |word: &str| {
            format!(
                "{{\"type\":\"{word}\",\"timestamp\":\"2026-11-18T11:06:40.123456Z\",\"data\":\
                 {{\"lsn\":7,\"party\":\"{party}\","
            )
        };
        let (sent, received, carried, net) = (Total(2), Total(5), Net(-1), Net(2));
        let share = (&eur(), Did { sent, received, carried, net, payees: 1, payers: 3 });
        let closed = (4, Timestamp(1_795_000_000_000_000), Digest([0xbb; 32]));
        let found = text(window_closed(of(Topic::WindowClosed), closed, &[share]));
        let root = "bb".repeat(32);
        assert_eq!(
            found,
            head("window.closed")
                + &format!(
                    "\"window\":4,\"closed_at\":\"2026-11-18T11:06:40.000000Z\",\"root\":\"{root}\",\"assets\":\
                     [{{\"asset\":978,\"code\":\"EUR\",\"scale\":6,\"received\":\"5\",\"sent\":\"2\",\"carried\":\
                     \"-1\",\"net\":\"2\",\"payers\":3,\"payees\":1}}]}}}}"
                )
        );
        let one = LegMove {
            leg: 3,
            to: LegState::Confirmed,
            payer: PartyId::CLEARING,
            payee: PartyId([0xaa; 32]),
            amount: Total(9),
            reference: "R".into(),
            reason: String::new(),
        };
        let batch = (BatchId([0xcc; 32]), "K1");
        let found = text(leg(of(Topic::LegConfirmed), batch, &eur(), &one));
        let id = "cc".repeat(32);
        let rest = format!(
            "\"batch\":\"{id}\",\"leg\":3,\"key\":\"K1\",\"asset\":978,\"code\":\"EUR\",\"scale\":6,\"amount\":\"9\",\
             \"direction\":\"in\",\"counterparty\":\"clearing\",\"reference\":\"R\",\"reason\":\"\"}}}}"
        );
        assert_eq!(found, head("leg.confirmed") + &rest);
        let key = BudgetKey { asset: AssetNumber(978), period: Period::Day, payee: None };
        let budget = Budget { key, amount: Amount(10) };
        let signer = SignerKey([0xdd; 32]);
        let used = BudgetUse { signer, budget, number: 20_775, used: Amount(8) };
        let found = text(super::budget(of(Topic::BudgetReached), &eur(), &used));
        let signer = "dd".repeat(32);
        let rest = format!(
            "\"signer\":\"{signer}\",\"asset\":978,\"code\":\"EUR\",\"scale\":6,\"period\":\"day\",\"number\":20775,\
             \"payee\":null,\"amount\":\"10\",\"used\":\"8\"}}}}"
        );
        assert_eq!(found, head("budget.reached") + &rest);
    }

    #[test]
    fn an_id_is_of_one_endpoint_one_record_and_one_thing_in_it() {
        let (network, record) = (NetworkId([1; 32]), Digest([2; 32]));
        let one = id(network, Lsn(3), record, 0);
        assert_eq!(one, id(network, Lsn(3), record, 0));
        for other in [
            id(NetworkId([9; 32]), Lsn(3), record, 0),
            id(network, Lsn(4), record, 0),
            id(network, Lsn(3), Digest([3; 32]), 0),
            id(network, Lsn(3), record, 1),
        ] {
            assert_ne!(one, other);
        }
        assert!(one.starts_with("msg_") && one.len() == 36 && !one.contains('.'));
    }
}

//! Long lists by the page, the largest first: of a window's obligations and positions, of a batch's
//! legs, and the newest of the history.

use bytes::Bytes;
use tallystick_tests::wire::{
    Batch, FindLegsRequest, GetWindowRequest, Leg, LegState, ListAuditLogRequest,
    ListExposuresRequest, ListHistoryRequest, NetPosition, Obligation, WindowAssetRequest,
};
use tallystick_tests::{Cli, Client, Deployment, Outcome, World, limit_request};
use tokio_stream::StreamExt as _;
use tonic::{Code, Response, Status, Streaming};

const ASSET: u32 = World::CLEARED;

/// Three payers and three payees, each pair with its own amount, some of them the same; a batch.
async fn house() -> (Deployment, Batch) {
    let mut house = Deployment::new(3, 3).await;
    let world = &house.world;
    let pairs = (0..3).flat_map(|payer| (0..3).map(move |payee| (payer, payee)));
    let amount = |payer: usize, payee: usize| ((payer * payee) as u64 + 1) * 1_000_000;
    let vouchers: Vec<_> = pairs
        .map(|(payer, payee)| world.pay(payer, world.payees[payee], ASSET, 1, amount(payer, payee)))
        .collect();
    house.client.pay(&vouchers).await;
    let window = house.client.close_window().await;
    let batch = house.client.create_batch(&[window.number], ASSET).await.unwrap();
    (house, batch)
}

async fn all<T>(answer: Result<Response<Streaming<T>>, Status>) -> Vec<T> {
    let items: Vec<_> = answer.unwrap().into_inner().collect().await;
    items.into_iter().map(Result::unwrap).collect()
}

fn page(largest_first: bool, skip: u64, limit: u32) -> WindowAssetRequest {
    WindowAssetRequest { window: 1, asset: ASSET, largest_first, skip, limit, ..Default::default() }
}

fn amount(text: &str) -> i128 {
    text.parse().unwrap()
}

async fn owed(client: &mut Client, asked: WindowAssetRequest) -> Vec<Obligation> {
    all(client.operator.list_obligations(asked).await).await
}

#[tokio::test]
async fn obligations_and_positions_come_by_the_page_in_either_order() {
    let (mut house, _) = house().await;
    let client = &mut house.client;
    let by_ids = owed(client, page(false, 0, 0)).await;
    let mut largest = by_ids.clone();
    // Stable: of the same amount by their ids.
    largest.sort_by_key(|of| -amount(&of.amount));
    assert_eq!((by_ids.len(), amount(&largest[0].amount)), (9, 5_000_000));
    for (first, expected) in [(false, &by_ids), (true, &largest)] {
        assert_eq!(&owed(client, page(first, 0, 0)).await, expected);
        let mut found = Vec::new();
        while found.len() < 9 {
            found.extend(owed(client, page(first, found.len() as u64, 2)).await);
        }
        assert_eq!(&found, expected, "two at a time");
        assert!(owed(client, page(first, 9, 2)).await.is_empty());
        assert!(owed(client, page(first, u64::MAX, u32::MAX)).await.is_empty());
    }
    let payer = by_ids[0].payer.clone();
    let own = WindowAssetRequest { payer: payer.clone(), ..page(true, 1, 1) };
    let expected = largest.iter().filter(|of| of.payer == payer).nth(1).cloned();
    assert_eq!(owed(client, own).await, Vec::from_iter(expected), "of one payer's");
    let positions: Vec<NetPosition> =
        all(client.operator.list_net_positions(page(true, 0, 3)).await).await;
    let size = |of: &NetPosition| amount(&of.amount).abs();
    assert!(positions.is_sorted_by_key(|of| -size(of)) && size(&positions[0]) == 9_000_000);
    let net = all(client.operator.list_net_obligations(page(true, 0, 1)).await).await;
    assert_eq!(net, largest[..1]);
    let shown = Cli(&house.engine).lines(&[
        "window",
        "obligations",
        "1",
        "--asset",
        "2",
        "--largest-first",
        "--skip",
        "1",
        "--limit",
        "1",
    ]);
    assert_eq!(shown[0]["amount"], largest[1].amount.as_str(), "{shown:?}");
}

#[tokio::test]
async fn parties_come_by_how_near_their_limit_they_are() {
    let mut house = Deployment::new(4, 1).await;
    let (world, client) = (&house.world, &mut house.client);
    // Of limits of their own: a half, all, a third and nothing of it is used.
    let used =
        [(4_000_000, 2_000_000), (1_000_000, 1_000_000), (9_000_000, 3_000_000), (5_000_000, 0)];
    for (payer, (limit, paid)) in used.into_iter().enumerate() {
        let party = world.payers[payer].party;
        let limit = limit_request(party, ASSET, &limit.to_string());
        client.operator.set_credit_limit(limit).await.unwrap();
        if paid > 0 {
            let voucher = world.pay(payer, world.payees[0], ASSET, 1, paid);
            assert_eq!(client.pay(&[voucher]).await, [Outcome::Credited]);
        }
    }
    let asked = |skip, limit| ListExposuresRequest { asset: ASSET, skip, limit };
    let all = client.operator.list_exposures(asked(0, 0)).await.unwrap().into_inner();
    let id = |payer: usize| Bytes::copy_from_slice(&world.payers[payer].party.0);
    let ids: Vec<Bytes> = all.exposures.iter().map(|of| of.party_id.clone()).collect();
    assert_eq!(ids, [1, 0, 2, 3].map(id), "{all:?}");
    assert_eq!((all.total, all.sorted), (4, 4));
    let first = &all.exposures[0];
    assert_eq!((&*first.credit_limit, &*first.unsettled), ("1000000", "1000000"));
    // That order is kept: whoever turns pages sees each once.
    let mut paged = Vec::new();
    for skip in 0..4 {
        paged.extend(
            client.operator.list_exposures(asked(skip, 1)).await.unwrap().into_inner().exposures,
        );
    }
    assert_eq!(paged, all.exposures);
    for skip in [4, u64::MAX] {
        let behind = client.operator.list_exposures(asked(skip, 9)).await.unwrap().into_inner();
        assert!(behind.exposures.is_empty() && behind.total == 4);
    }
    // Whoever looks at another asset meanwhile changes nothing about it.
    let other = ListExposuresRequest { asset: World::PAIRS, ..Default::default() };
    client.operator.list_exposures(other).await.unwrap();
    let again = client.operator.list_exposures(asked(0, 0)).await.unwrap().into_inner();
    assert_eq!(again.at_us, all.at_us);
    let nothing = ListExposuresRequest { asset: 77, ..Default::default() };
    let status = client.operator.list_exposures(nothing).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status}");
    let asset = ASSET.to_string();
    let list =
        ["party", "list", "--by", "exposure", "--asset", &asset, "--skip", "1", "--limit", "2"];
    let shown = Cli(&house.engine).lines(&list);
    let used: Vec<&str> = shown.iter().map(|of| of["used"].as_str().unwrap()).collect();
    assert_eq!(used, ["50.00 %", "33.33 %"]);
    Cli(&house.engine).fails(&["party", "list", "--by", "exposure"], 2, "--asset");
}

#[tokio::test]
async fn legs_of_a_batch_come_by_state_and_the_largest_first() {
    let (mut house, batch) = house().await;
    let listed: Vec<Leg> = house.client.legs(&batch).await;
    let client = &mut house.client;
    let asked = |states: &[LegState], limit| FindLegsRequest {
        batch_id: batch.batch_id.clone(),
        states: states.iter().map(|state| (*state).into()).collect(),
        largest_first: true,
        limit,
        ..Default::default()
    };
    let (mut found, mut next) = (Vec::new(), Bytes::new());
    loop {
        let request = FindLegsRequest { next, ..asked(&[LegState::Ready], 2) };
        let answer = client.operator.find_legs(request).await.unwrap().into_inner();
        assert!(answer.legs.len() <= 2);
        found.extend(answer.legs.into_iter().map(|of| of.leg.unwrap()));
        next = answer.next;
        if next.is_empty() {
            break;
        }
    }
    let mut expected = listed;
    expected.sort_by_key(|leg| -amount(&leg.amount));
    let keys = |legs: &[Leg]| legs.iter().map(|leg| leg.key.clone()).collect::<Vec<_>>();
    assert!(expected.len() > 4);
    assert_eq!(keys(&found), keys(&expected));
    let sent = client.operator.find_legs(asked(&[LegState::Sent, LegState::Unknown], 5)).await;
    assert!(sent.unwrap().into_inner().legs.is_empty(), "nothing has left");
    for wrong in [
        FindLegsRequest { batch_id: Bytes::new(), ..asked(&[], 5) },
        FindLegsRequest { states: vec![0], ..asked(&[], 5) },
        FindLegsRequest { states: vec![99], ..asked(&[], 5) },
    ] {
        let refused = client.operator.find_legs(wrong).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    }
}

#[tokio::test]
async fn the_newest_of_the_history_come_first_and_one_goes_on_before_the_last() {
    let (mut house, _) = house().await;
    let client = &mut house.client;
    let kinds = vec!["signer_added".to_owned(), "limit_set".to_owned()];
    let asked = ListHistoryRequest { kinds, ..Default::default() };
    let mut expected = all(client.operator.list_history(asked.clone()).await).await;
    assert!(expected.len() > 5, "{}", expected.len());
    let first = ListHistoryRequest { limit: 2, ..asked.clone() };
    assert_eq!(all(client.operator.list_history(first).await).await, expected[..2]);
    expected.reverse();
    let (mut found, mut before_lsn) = (Vec::new(), 0);
    loop {
        let page = ListHistoryRequest { limit: 2, newest_first: true, before_lsn, ..asked.clone() };
        let page = all(client.operator.list_history(page).await).await;
        let Some(last) = page.last() else { break };
        before_lsn = last.lsn;
        found.extend(page);
    }
    assert_eq!(found, expected);
    let shown =
        Cli(&house.engine).lines(&["history", "--newest", "1", "--kind", "limit_set,signer_added"]);
    assert_eq!(shown[0]["lsn"], expected[0].lsn);
}

#[tokio::test]
async fn the_audit_log_is_read_newest_first_and_each_line_once() {
    let (mut house, _) = house().await;
    let client = &mut house.client;
    for number in 0..7 {
        // None of them is there: that is written down, too.
        let missing = GetWindowRequest { number: 90 + number };
        client.operator.get_window(missing).await.expect_err("there is none");
    }
    let asked = |next, limit| ListAuditLogRequest {
        call: "GetWindow".to_owned(),
        next,
        limit,
        ..Default::default()
    };
    // Lines are written a moment after the answer.
    let mut lines = Vec::new();
    while lines.len() < 7 {
        let (mut next, mut found) = (Bytes::new(), Vec::new());
        loop {
            let page = client.operator.list_audit_log(asked(next, 3)).await.unwrap().into_inner();
            assert!(page.lines.len() <= 3);
            found.extend(page.lines);
            next = page.next;
            if next.is_empty() {
                break;
            }
        }
        lines = found;
    }
    assert_eq!(lines.len(), 7);
    assert!(lines.iter().all(|of| of.result == "NOT_FOUND" && of.role == "anyone"), "{lines:?}");
    assert!(lines.is_sorted_by(|a, b| a.at >= b.at), "{lines:?}");
    let wrong = ListAuditLogRequest { next: "x".into(), ..Default::default() };
    let refused = client.operator.list_audit_log(wrong).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let none = ListAuditLogRequest { name: "nobody of this name".into(), ..Default::default() };
    let none = client.operator.list_audit_log(none).await.unwrap().into_inner();
    assert!(none.lines.is_empty());
}

//! Clients of several addresses: they find the owner, go on when it changes, lose nothing and count
//! nothing twice.

mod cluster;

use cluster::tls::Authority;
use cluster::{Cluster, until};
use std::net::TcpListener;
use std::time::Duration;
use tallystick_client::voucher::Fields;
use tallystick_client::wire::operator_client::OperatorClient;
use tallystick_client::wire::{CloseWindowRequest, CreateConsoleLoginRequest};
use tallystick_client::{
    AgentKey, CallError, Credentials, Facilitator, Link, Network, Operator, Outcome, Voucher, Way,
};
use tokio::net::TcpSocket;
use tonic::{Code, Request};

fn way(servers: &str) -> Way {
    Way::prepare(servers, &Credentials::default()).unwrap()
}

fn operator(link: Link) -> OperatorClient<Link> {
    OperatorClient::new(link)
}

fn close(id: &str) -> CloseWindowRequest {
    CloseWindowRequest { request_id: id.to_owned() }
}

/// An address at which nobody listens, as long as it is held.
fn nobody() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket
}

/// Vouchers of one channel, each a unit more.
fn vouchers(count: u64) -> Vec<Voucher> {
    let key = AgentKey::new(&[3; 32]);
    let (signer, payee, expires_at) = (key.signer(), [5; 32], 2_000_000_000);
    let fields = |cumulative| Fields { signer, payee, asset: 978, lane: 1, expires_at, cumulative };
    (1..=count).map(|total| key.sign(&Network::new([7; 32]), fields(total))).collect()
}

#[tokio::test]
async fn the_owner_is_found_behind_a_dead_address_and_a_standby() {
    let cluster = Cluster::start(3);
    cluster.own(2);
    let nobody = nobody();
    let list = format!("{},{}", nobody.local_addr().unwrap(), cluster.list());
    let link = way(&list).connect().await.unwrap();
    assert_eq!(operator(link).close_window(close("a")).await.unwrap().into_inner().number, 1);
    let shared = cluster.shared();
    let network = |node| shared.count(node, "GetNetwork");
    assert_eq!([network(0), network(1), network(2)], [1, 0, 1], "a standby names the owner");
    let others = shared.calls.iter().filter(|(node, call)| *node != 2 && call != "GetNetwork");
    assert_eq!(others.count(), 0, "and gets nothing else");
}

#[tokio::test]
async fn a_standby_that_does_not_know_its_network_yet_names_the_owner_all_the_same() {
    let cluster = Cluster::start(3);
    cluster.shared().young = true;
    cluster.own(2);
    let link = way(&cluster.list()).connect().await.unwrap();
    operator(link).close_window(close("a")).await.unwrap();
    assert_eq!(cluster.shared().count(1, "GetNetwork"), 0, "the first one named the third");
}

#[tokio::test]
async fn one_that_accepts_and_never_answers_holds_up_nobody_for_long() {
    let cluster = Cluster::start(2);
    cluster.own(1);
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let hole_at = hole.local_addr().unwrap();
    let link = way(&format!("{hole_at},{}", cluster.list())).connect().await.unwrap();
    operator(link).close_window(close("a")).await.unwrap();
    // Where there are only such, each says so.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let both = way(&format!("{hole_at},{}", other.local_addr().unwrap()));
    let error = both.connect().await.err().unwrap();
    let text = error.to_string();
    assert_eq!(text.matches("does not answer").count(), 2, "{text}");
    assert!(CallError::from(error).is_passing(), "they may come back: {text}");
}

#[tokio::test]
async fn an_owner_outside_of_the_list_is_named_and_left_alone() {
    let cluster = Cluster::start(2);
    cluster.own(0);
    let link = way(&cluster.list()).connect().await.unwrap();
    cluster.shared().owner = None;
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let named = stranger.local_addr().unwrap().to_string();
    cluster.shared().names = Some(named.clone());
    let mut request = Request::new(close("a"));
    request.set_timeout(Duration::from_millis(500));
    let status = operator(link).close_window(request).await.unwrap_err();
    let text = status.message().to_owned();
    assert!(CallError::from(status).is_passing(), "an owner of the list may come: {text}");
    for wanted in [&cluster.address(0).to_string(), &cluster.address(1).to_string(), "add it"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!(text.contains(&format!("{named} is not among your addresses")), "{text}");
    stranger.set_nonblocking(true).unwrap();
    let came = stranger.accept().map_err(|error| error.kind());
    assert_eq!(came.err(), Some(std::io::ErrorKind::WouldBlock), "nobody went there");
}

/// Standbys name a dead owner for some seconds, maybe by a name that is not in the list.
#[tokio::test]
async fn while_standbys_name_one_outside_of_the_list_an_owner_is_waited_for() {
    let cluster = Cluster::start(2);
    cluster.shared().names = Some("10.0.0.9:7450".into());
    let facilitator = Facilitator::start(&cluster.list(), &Credentials::default()).unwrap();
    let waiting = facilitator.send(&vouchers(1)[0]).await.unwrap();
    let other = way(&cluster.list());
    let connecting = tokio::spawn(async move { other.connect().await });
    until("each asks more than once", || cluster.shared().count(1, "GetNetwork") > 4).await;
    cluster.own(1);
    operator(connecting.await.unwrap().unwrap()).close_window(close("a")).await.unwrap();
    assert_eq!(waiting.answer().await.unwrap().outcome, Outcome::CREDITED);
}

#[tokio::test]
async fn while_all_stand_by_an_owner_is_waited_for() {
    let cluster = Cluster::start(2);
    let way = way(&cluster.list());
    let connecting = tokio::spawn(async move { way.connect().await });
    until("a second round", || cluster.shared().count(1, "GetNetwork") > 1).await;
    cluster.own(0);
    let link = connecting.await.unwrap().unwrap();
    // No longer than the call may take.
    cluster.shared().owner = None;
    let mut request = Request::new(close("a"));
    request.set_timeout(Duration::from_millis(300));
    let status = operator(link).close_window(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status.message().matches("knows of no owner").count(), 2, "{status:?}");
    assert!(CallError::from(status).is_passing());
}

/// A standby that becomes the owner opens its doors anew: for a moment nobody answers at all.
#[tokio::test]
async fn an_owner_that_is_between_doors_is_waited_for() {
    let mut cluster = Cluster::start(2);
    cluster.own(0);
    let link = way(&cluster.list()).connect().await.unwrap();
    cluster.kill(0);
    cluster.kill(1);
    // Nobody listens, or what does never answers.
    let hole = cluster.hole(1);
    let calling = tokio::spawn(async move { operator(link).close_window(close("a")).await });
    until("it was asked", || hole.accept().is_ok()).await;
    drop(hole);
    cluster.own(1);
    cluster.start_again(1);
    calling.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_that_is_left_late_sends_nobody_back() {
    let cluster = Cluster::start(2);
    cluster.own(0);
    let way = way(&cluster.list());
    let (first, second) = (way.connect().await.unwrap(), way.connect().await.unwrap());
    cluster.own(1);
    first.leave();
    way.connect().await.unwrap();
    // The owner that it was connected to is not the last one that was found.
    second.leave();
    way.connect().await.unwrap();
    let shared = cluster.shared();
    assert_eq!((shared.count(0, "GetNetwork"), shared.count(1, "GetNetwork")), (2, 2));
}

#[tokio::test]
async fn nobody_waits_for_the_search_of_another_call() {
    let mut cluster = Cluster::start(2);
    cluster.own(0);
    let link = way(&cluster.list()).connect().await.unwrap();
    cluster.shared().silent.insert(0);
    let (mut calls, mut others) = (operator(link.clone()), operator(link));
    let patient = tokio::spawn(async move { calls.close_window(close("patient")).await });
    let mut request = Request::new(close("hasty"));
    request.set_timeout(Duration::from_secs(2));
    let hasty = tokio::spawn(async move { others.close_window(request).await });
    until("both have arrived", || cluster.shared().changes.len() == 2).await;
    cluster.shared().owner = None;
    cluster.kill(0);
    assert_eq!(hasty.await.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
    assert!(!patient.is_finished(), "the other one looks on");
    cluster.own(1);
    patient.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_change_with_a_request_id_goes_on_at_the_next_owner_and_happens_once() {
    let mut cluster = Cluster::start(3);
    cluster.own(0);
    let link = way(&cluster.list()).connect().await.unwrap();
    cluster.shared().silent.insert(0);
    let mut calls = operator(link);
    let closing = tokio::spawn(async move { calls.close_window(close("once")).await });
    until("the change has happened", || !cluster.shared().changes.is_empty()).await;
    cluster.own(2);
    cluster.kill(0);
    assert_eq!(closing.await.unwrap().unwrap().into_inner().number, 1);
    let shared = cluster.shared();
    assert_eq!((shared.count(0, "CloseWindow once"), shared.count(2, "CloseWindow once")), (1, 1));
    assert_eq!(shared.changes.len(), 1);
}

#[tokio::test]
async fn what_may_have_arrived_and_has_no_request_id_is_not_sent_again() {
    let mut cluster = Cluster::start(2);
    cluster.own(0);
    let link = way(&cluster.list()).connect().await.unwrap();
    // It surely did not arrive: who got it stands by by now.
    cluster.own(1);
    operator(link.clone()).create_console_login(CreateConsoleLoginRequest {}).await.unwrap();
    assert_eq!(cluster.shared().count(1, "CreateConsoleLogin"), 1);
    // It may have.
    cluster.shared().silent.insert(1);
    let mut calls = operator(link.clone());
    let login = async move { calls.create_console_login(CreateConsoleLoginRequest {}).await };
    let login = tokio::spawn(login);
    until("it has arrived", || cluster.shared().count(1, "CreateConsoleLogin") == 2).await;
    cluster.own(0);
    cluster.kill(1);
    assert!(CallError::from(login.await.unwrap().unwrap_err()).is_passing());
    assert_eq!(cluster.shared().count(0, "CreateConsoleLogin"), 1, "the first one, refused");
    // The next call finds the owner.
    operator(link).create_console_login(CreateConsoleLoginRequest {}).await.unwrap();
}

#[tokio::test]
async fn what_an_owner_says_of_now_is_its_answer() {
    let cluster = Cluster::start(2);
    cluster.own(0);
    let mut calls = operator(way(&cluster.list()).connect().await.unwrap());
    let word = tonic::Status::unavailable("the engine's key is changing; try again");
    cluster.shared().word = Some(word);
    let status = calls.close_window(close("a")).await.unwrap_err();
    assert!(status.message().contains("key is changing"), "{status:?}");
    assert_eq!(cluster.shared().count(0, "CloseWindow"), 2, "asked once more, since it owns still");
    // It is its answer as long as it owns; another owner has another one.
    cluster.shared().word = None;
    cluster.own(1);
    assert_eq!(calls.close_window(close("a")).await.unwrap().into_inner().number, 1);
}

#[tokio::test]
async fn an_operator_goes_on_through_a_takeover() {
    let mut cluster = Cluster::start(3);
    cluster.own(1);
    let operator = Operator::connect(&cluster.list(), &Credentials::default()).await.unwrap();
    assert_eq!(operator.close_window().await.unwrap().number, 1);
    cluster.kill(1);
    cluster.shared().owner = None;
    let going_on = tokio::spawn(async move { operator.close_window().await });
    until("somebody is asked", || cluster.shared().count(2, "GetNetwork") > 0).await;
    cluster.own(2);
    assert_eq!(going_on.await.unwrap().unwrap().number, 2);
    assert_eq!(cluster.shared().changes.len(), 2);
}

/// Gives all, while the owner changes in the middle; each is credited once, and told so.
async fn stream_through(mut cluster: Cluster, change: impl FnOnce(&mut Cluster)) {
    let all = vouchers(600);
    let facilitator = Facilitator::start(&cluster.list(), &Credentials::default()).unwrap();
    let mut waiting = Vec::new();
    for voucher in &all[..200] {
        waiting.push(facilitator.send(voucher).await.unwrap());
    }
    until("some are credited", || cluster.shared().credited.len() >= 200).await;
    // From here on the owner credits, and its acks are lost.
    cluster.shared().silent.insert(0);
    for voucher in &all[200..400] {
        waiting.push(facilitator.send(voucher).await.unwrap());
    }
    until("an ack is lost", || cluster.shared().credited.len() > 200).await;
    change(&mut cluster);
    for voucher in &all[400..] {
        waiting.push(facilitator.send(voucher).await.unwrap());
    }
    let mut again = 0;
    for waiting in waiting {
        let answer = waiting.answer().await.unwrap();
        // One whose channel rose further meanwhile is told as held.
        assert!(answer.outcome.is_held(), "{answer:?}");
        assert!(answer.outcome == Outcome::CREDITED || answer.was_sent_again, "{answer:?}");
        again += u32::from(answer.was_sent_again);
    }
    facilitator.stop(Duration::from_secs(60)).await.unwrap();
    assert!(again > 0, "something was sent again");
    let shared = cluster.shared();
    assert_eq!(shared.credited.len(), all.len(), "nothing is lost");
    assert!(shared.credited.values().all(|times| *times == 1), "nothing is doubled");
}

#[tokio::test]
async fn a_stream_goes_on_when_its_owner_is_killed() {
    let cluster = Cluster::start(3);
    cluster.own(0);
    stream_through(cluster, |cluster| {
        cluster.own(1);
        cluster.kill(0);
    })
    .await;
}

#[tokio::test]
async fn a_stream_goes_on_when_its_owner_comes_back_as_a_standby() {
    let cluster = Cluster::start(3);
    cluster.own(0);
    stream_through(cluster, |cluster| {
        cluster.own(2);
        cluster.kill(0);
        cluster.shared().silent.clear();
        cluster.start_again(0);
    })
    .await;
}

#[tokio::test]
async fn a_stream_goes_on_when_all_nodes_were_killed_and_one_is_back() {
    let cluster = Cluster::start(2);
    cluster.own(0);
    stream_through(cluster, |cluster| {
        cluster.kill(0);
        cluster.kill(1);
        cluster.shared().silent.clear();
        cluster.start_again(0);
    })
    .await;
}

#[tokio::test]
async fn a_stream_goes_on_when_its_owner_hands_over() {
    let cluster = Cluster::start(3);
    cluster.own(0);
    let all = vouchers(2_000);
    let facilitator = Facilitator::start(&cluster.list(), &Credentials::default()).unwrap();
    let mut waiting = Vec::new();
    for (number, voucher) in all.iter().enumerate() {
        waiting.push(facilitator.send(voucher).await.unwrap());
        if number % 400 == 399 {
            let before = number - 200;
            until("some are credited", || cluster.shared().credited.len() > before).await;
            cluster.own(number / 400 % 3);
        }
    }
    for waiting in waiting {
        assert!(waiting.answer().await.unwrap().outcome.is_held());
    }
    let shared = cluster.shared();
    assert_eq!(shared.credited.len(), all.len());
    assert!(shared.credited.values().all(|times| *times == 1));
    assert!([0, 1, 2].iter().all(|node| shared.count(*node, "Stream") > 0), "each owned once");
}

#[tokio::test]
async fn each_address_must_show_a_certificate_with_its_own_name() {
    let (cluster, dir) = (Cluster::start(2), tempfile::tempdir().unwrap());
    cluster.own(1);
    let authority = Authority::new(dir.path());
    let first = authority.before(cluster.address(0), "localhost").await;
    let second = authority.before(cluster.address(1), "127.0.0.1").await;
    let credentials = Credentials { tls_ca: Some(authority.file), ..Credentials::default() };
    let prepare = |servers: String| Way::prepare(&servers, &credentials).unwrap();
    // What nodes say of each other is in their own words, where these are the addresses.
    cluster.shared().names = Some(format!("127.0.0.1:{second}"));
    let good = prepare(format!("localhost:{first},https://127.0.0.1:{second}"));
    operator(good.connect().await.unwrap()).close_window(close("a")).await.unwrap();
    cluster.shared().names = None;
    let crossed = prepare(format!("127.0.0.1:{first},localhost:{second}"));
    let text = crossed.connect().await.err().unwrap().to_string();
    for wanted in ["not for 127.0.0.1, but for localhost", "not for localhost, but for 127.0.0.1"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
}

#[test]
fn a_token_must_be_safe_on_the_way_to_all_of_them() {
    let credentials = Credentials { token: Some("t".into()), ..Credentials::default() };
    let text = Way::prepare("127.0.0.1:1,10.0.0.1:1", &credentials).err().unwrap().to_string();
    assert!(text.contains("10.0.0.1") && text.contains("tunnel"), "{text}");
}

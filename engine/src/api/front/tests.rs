//! Who may read the metrics, and what is told before there is an engine.

use super::*;
use std::net::SocketAddr;

fn peer(address: &str) -> Peer {
    let address: SocketAddr = address.parse().unwrap();
    Peer { address, certificate: None }
}

async fn answer(front: &Front, path: &str, from: &str, token: Option<&str>) -> (u16, String) {
    let mut request = axum::http::Request::get(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(peer(from));
    let Ok(answer) = front.router().call(request).await;
    let status = answer.status().as_u16();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

const HERE: [&str; 2] = ["127.0.0.1:9", "[::1]:9"];
const ELSEWHERE: [&str; 3] = ["192.0.2.7:9", "[2001:db8::1]:9", "0.0.0.0:9"];
const TOKEN: &str = "a token that is long enough";

#[tokio::test]
async fn without_a_token_the_metrics_are_for_this_machine() {
    let front = Front::new(Timestamp(5), None);
    for from in HERE {
        assert_eq!(answer(&front, "/metrics", from, None).await.0, 200, "{from}");
    }
    for (from, count) in ELSEWHERE.into_iter().zip(1..) {
        let (status, why) = answer(&front, "/metrics", from, Some(TOKEN)).await;
        assert_eq!(status, 403, "{from}");
        assert!(why.contains("metrics_token_file"), "{why}");
        assert_eq!(front.0.denied.elsewhere.load(Ordering::Relaxed), count);
    }
    // Nobody is known by nothing.
    let request = axum::http::Request::get("/metrics").body(Body::empty()).unwrap();
    let Ok(nobody) = front.router().call(request).await;
    assert_eq!(nobody.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn with_a_token_the_metrics_are_for_whoever_has_it() {
    let front = Front::new(Timestamp(5), Some(TOKEN));
    let mut refused = 0;
    for from in HERE.into_iter().chain(ELSEWHERE) {
        assert_eq!(answer(&front, "/metrics", from, Some(TOKEN)).await.0, 200, "{from}");
        for wrong in [None, Some(""), Some("a token that is long enough, and more"), Some("x")] {
            let (status, why) = answer(&front, "/metrics", from, wrong).await;
            assert_eq!(status, 401, "{from} {wrong:?}");
            assert!(!why.contains(TOKEN), "{why}");
            refused += 1;
        }
    }
    assert_eq!(front.0.denied.token.load(Ordering::Relaxed), refused);
}

#[tokio::test]
async fn before_the_engine_serves_and_after_it_lives_and_is_not_ready() {
    let front = Front::new(Timestamp(1_500_000), None);
    let looks = |front: Front, why: &'static str| async move {
        let from = ELSEWHERE[0];
        assert_eq!(answer(&front, "/livez", from, None).await.0, 200);
        let (status, text) = answer(&front, "/readyz", from, None).await;
        assert_eq!(status, 503);
        assert!(text.contains(why), "{text}");
        let (status, text) = answer(&front, "/webhooks/card", from, None).await;
        assert_eq!(status, 503);
        assert!(text.contains(why) && text.contains("send this again"), "{text}");
        let (status, text) = answer(&front, "/metrics", HERE[0], None).await;
        assert_eq!(status, 200);
        for line in [
            "tallystick_ready 0",
            "tallystick_metrics_complete 0",
            "tallystick_started_timestamp_seconds 1.500000",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    };
    looks(front.clone(), "the journal is read").await;
    front.stopping();
    looks(front, "stopping").await;
}

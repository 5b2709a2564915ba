//! The provider is not there, comes back, or has forgotten.

use crate::world::{charge, client, config, now, options, psp, word};
use std::io::{Read, Write};
use std::net::TcpListener;
use tallystick::rails::card::{Client, Found};
use tallystick_tests::psp::{Fault, Psp};

/// A server that does `what` with each connection, one after the other.
fn server(what: impl Fn(std::net::TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(what));
    format!("http://{address}")
}

#[test]
fn what_provably_never_left_waits_and_is_not_unknown() {
    // Nobody listens on port 1.
    let nobody = "http://127.0.0.1:1".to_owned();
    // Plain HTTP where TLS is expected: the handshake fails before the request.
    let psp = psp();
    let no_tls = psp.url().replace("http:", "https:");
    for url in [nobody, no_tls] {
        let client = Client::new(config(&url)).unwrap();
        let answer = client.send(&charge());
        assert_eq!(word(&answer), "later", "{url}: {answer:?}");
        let found = client.lookup(&charge(), "", now());
        assert!(matches!(found, Found::Again { .. }), "{url}: {found:?}");
    }
    assert_eq!((psp.calls(), psp.movements().len()), (0, 0));
}

#[test]
fn what_may_have_left_is_unknown_whatever_the_server_says() {
    let after_request = |say: &'static [u8]| {
        move |mut stream: std::net::TcpStream| {
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(say);
        }
    };
    for say in [
        &b""[..],
        b"garbage",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"id\":",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 303 See Other\r\nLocation: /v1/other\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n",
    ] {
        let client = Client::new(config(&server(after_request(say)))).unwrap();
        let answer = client.send(&charge());
        let shown = String::from_utf8_lossy(say);
        assert_eq!(word(&answer), "unknown", "{shown}: {answer:?}");
    }
    // A connection that is closed before anything is read: the request may be on its way.
    let client = Client::new(config(&server(drop))).unwrap();
    assert_eq!(word(&client.send(&charge())), "unknown");
}

#[test]
fn an_answer_without_end_is_cut_off_and_unknown() {
    let endless = |mut stream: std::net::TcpStream| {
        let mut request = [0; 4_096];
        let _ = stream.read(&mut request);
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n\"";
        let mut sent = stream.write_all(head);
        while sent.is_ok() {
            sent = stream.write_all(&[b'x'; 65_536]);
        }
    };
    let client = Client::new(config(&server(endless))).unwrap();
    assert_eq!(word(&client.send(&charge())), "unknown");
}

#[test]
fn a_provider_that_dies_with_the_answer_knows_the_payment_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.dir = Some(dir.path().to_owned());
    let psp = Psp::start(options.clone()).unwrap();
    let (call, first_sent) = (charge(), now());
    psp.fail_next(&[Fault::DropAfter]);
    assert_eq!(word(&client(&psp).send(&call)), "unknown");
    drop(psp);

    let psp = Psp::start(options).unwrap();
    let client = client(&psp);
    let Found::Leg(answer) = client.lookup(&call, "", first_sent) else { panic!("it is there") };
    assert_eq!(word(&answer), "confirmed");
    assert_eq!(word(&client.send(&call)), "confirmed");
    assert_eq!(psp.movements().len(), 1);
}

#[test]
fn when_the_provider_has_forgotten_the_key_only_looking_first_saves_from_paying_twice() {
    // What would happen without: the same bytes under the same key are a new payment.
    let psp_without = psp();
    let careless = client(&psp_without);
    psp_without.fail_next(&[Fault::DropAfter]);
    assert_eq!(word(&careless.send(&charge())), "unknown");
    psp_without.forget_keys();
    assert_eq!(word(&careless.send(&charge())), "confirmed");
    assert_eq!(psp_without.movements().len(), 2, "the double forgets as a provider does");
    // Found out by the next lookup, and by nobody's guess which of the two stays.
    let Found::Leg(answer) = careless.lookup(&charge(), "", now()) else { panic!("it is there") };
    assert_eq!(word(&answer), "alarm", "{answer:?}");

    // The settler looks first, whatever the time.
    let psp = psp();
    let client = client(&psp);
    let first_sent = now();
    psp.fail_next(&[Fault::DropAfter]);
    assert_eq!(word(&client.send(&charge())), "unknown");
    psp.forget_keys();
    let Found::Leg(answer) = client.lookup(&charge(), "", first_sent) else {
        panic!("it is there")
    };
    assert_eq!(word(&answer), "confirmed");
    assert_eq!(psp.movements().len(), 1);
}

//! Real sockets on loopback, certificates made for the test, and the client that everybody has.

use super::*;
use crate::api::door::{Door, Origins, Peer, Routing, Service};
use axum::Extension;
use axum::routing::get;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use std::path::{Path, PathBuf};
use tallystick_client::{Credentials, Way};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::service::Routes;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// The name of the client's certificate.
const CLIENT: &str = "spiffe://example.org/facilitator";

/// An authority, a server's certificate and a client's, in files.
struct Files {
    dir: TempDir,
}

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, "authority");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        write(&dir.path().join("ca.pem"), "CERTIFICATE", ca.self_signed(&key).unwrap().der());
        let issuer = Issuer::new(ca, key);
        let mut client = CertificateParams::new(Vec::<String>::new()).unwrap();
        client.subject_alt_names = vec![SanType::URI(CLIENT.try_into().unwrap())];
        for (name, params) in [
            (
                "server",
                CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
                    .unwrap(),
            ),
            ("client", client),
        ] {
            let key = KeyPair::generate().unwrap();
            let made = params.signed_by(&key, &issuer).unwrap();
            write(&dir.path().join(format!("{name}.pem")), "CERTIFICATE", made.der());
            write(&dir.path().join(format!("{name}.key")), "PRIVATE KEY", &key.serialize_der());
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn keys(&self, protocol: Protocol) -> Keys {
        Keys::load(&self.settings(), protocol).unwrap()
    }

    fn settings(&self) -> TlsFiles {
        TlsFiles {
            cert: self.path("server.pem"),
            key: self.path("server.key"),
            client_ca: Some(self.path("ca.pem")),
        }
    }
}

/// Whoever makes one may read it, and nobody else.
fn write(path: &Path, what: &str, der: &[u8]) {
    use std::os::unix::fs::PermissionsExt as _;
    let text = data_encoding::BASE64.encode(der);
    std::fs::write(path, format!("-----BEGIN {what}-----\n{text}\n-----END {what}-----\n"))
        .unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn a_call_over_grpc_carries_its_clients_address_and_certificate() {
    let files = Files::new();
    let (seen, mut peers) = mpsc::unbounded_channel();
    let (_, health) = tonic_health::server::health_reporter();
    let see = move |request: tonic::Request<()>| {
        seen.send(request.extensions().get::<Peer>().cloned()).unwrap();
        Ok(request)
    };
    let service = tonic::service::interceptor::InterceptedService::new(health, see);
    let service = Service::Grpc(Routing::new(Routes::new(service)));
    let keys = files.keys(Protocol::Grpc);
    let door = Door::open("127.0.0.1:0".parse().unwrap(), service, Some(keys), Origins::new(None))
        .unwrap();
    let address = door.address();
    let (stop, stopping) = watch::channel(false);
    let served = tokio::spawn(door.serve(stopping));
    let credentials = Credentials {
        token_file: None,
        token: None,
        tls_ca: Some(files.path("ca.pem")),
        tls_cert: Some(files.path("client.pem")),
        tls_key: Some(files.path("client.key")),
    };
    let way = Way::prepare(&format!("https://{address}"), &credentials).unwrap();
    let mut client = HealthClient::new(way.connect().await.unwrap());
    client.check(HealthCheckRequest::default()).await.unwrap();
    let peer = peers.recv().await.unwrap().unwrap();
    assert!(peer.address.ip().is_loopback() && peer.address.port() != address.port());
    assert_eq!(peer.certificate.as_deref(), Some(CLIENT));
    stop.send_replace(true);
    drop(client);
    served.await.unwrap();
}

#[tokio::test]
async fn a_request_over_http_carries_its_clients_address_and_certificate() {
    let files = Files::new();
    let show = |Extension(peer): Extension<Peer>| async move {
        format!("{} {}", peer.address.ip(), peer.certificate.unwrap_or_default())
    };
    let service = Service::Http(Arc::new(axum::Router::new().route("/", get(show))));
    let keys = files.keys(Protocol::Http);
    let door = Door::open("127.0.0.1:0".parse().unwrap(), service, Some(keys), Origins::new(None))
        .unwrap();
    let address = door.address();
    let (stop, stopping) = watch::channel(false);
    let served = tokio::spawn(door.serve(stopping));
    let pem = |name: &str| std::fs::read(files.path(name)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config =
        config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let chain = vec![CertificateDer::from_pem_slice(&pem("client.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(&pem("client.key")).unwrap();
    let config = config.with_client_auth_cert(chain, key).unwrap();
    let socket = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.ends_with(&format!("127.0.0.1 {CLIENT}")), "{answer}");
    stop.send_replace(true);
    served.await.unwrap();
}

/// A certificate and its key are two files: between writing one and the other they do not fit.
#[test]
fn new_files_are_taken_when_they_have_come_to_rest_and_bad_ones_never() {
    let files = Files::new();
    let keys = files.keys(Protocol::Grpc);
    let (old, other) = (keys.in_force(), Files::new());
    let is_old = || Arc::ptr_eq(&keys.in_force(), &old);
    // Under another name first, as everybody should: the file is another one, whatever the clock.
    let take = |name: &str| {
        std::fs::copy(other.path(name), files.path("new")).unwrap();
        std::fs::rename(files.path("new"), files.path(name)).unwrap();
    };
    keys.look();
    keys.look();
    assert!(is_old(), "nothing has changed");
    take("server.pem");
    keys.look();
    assert!(is_old(), "half of a pair was just written");
    take("server.key");
    keys.look();
    assert!(is_old(), "the other half was just written");
    keys.look();
    assert!(!is_old(), "both have come to rest");
    // What cannot be used is tried once, and changes nothing.
    let good = keys.in_force();
    std::fs::write(files.path("server.key"), "no key").unwrap();
    for _ in 0..3 {
        keys.look();
    }
    assert!(Arc::ptr_eq(&keys.in_force(), &good));
    assert_eq!(lock(&keys.0.looks).tried, Stamps::of(&files.settings()));
    std::fs::remove_file(files.path("server.key")).unwrap();
    keys.reload();
    assert!(Arc::ptr_eq(&keys.in_force(), &good));
    take("server.key");
    keys.reload();
    assert!(!Arc::ptr_eq(&keys.in_force(), &good), "who asks does not wait");
}

#[test]
fn files_that_cannot_be_used_are_refused_with_what_to_do() {
    use std::os::unix::fs::PermissionsExt as _;
    let (files, other) = (Files::new(), Files::new());
    let good = files.settings();
    let refused = |settings: &TlsFiles| {
        Keys::load(settings, Protocol::Grpc).err().map(|error| error.to_string()).unwrap()
    };
    let with = |change: &dyn Fn(&mut TlsFiles)| {
        let mut settings = good.clone();
        change(&mut settings);
        refused(&settings)
    };
    assert!(with(&|of| of.cert = files.path("none.pem")).contains("none.pem does not exist"));
    assert!(with(&|of| of.key = files.path("none.key")).contains("the TLS key"));
    assert!(with(&|of| of.key = files.dir.path().into()).contains("is a folder"));
    assert!(with(&|of| of.cert = files.path("server.key")).contains("holds no certificate"));
    assert!(with(&|of| of.key = files.path("server.pem")).contains("holds no private key"));
    assert!(with(&|of| of.client_ca = Some(files.path("server.key"))).contains("no certificate"));
    assert!(with(&|of| of.key = other.path("server.key")).contains("made together"));
    std::fs::write(
        files.path("bad.pem"),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    assert!(with(&|of| of.cert = files.path("bad.pem")).contains("cannot be read"));
    for mode in [0o604, 0o602, 0o660, 0o644] {
        std::fs::set_permissions(&good.key, std::fs::Permissions::from_mode(mode)).unwrap();
        let said = refused(&good);
        assert!(said.contains("chmod 600") && said.contains(&format!("mode {mode:03o}")), "{said}");
    }
    std::fs::set_permissions(&good.key, std::fs::Permissions::from_mode(0o400)).unwrap();
    assert!(Keys::load(&good, Protocol::Grpc).is_ok());
}

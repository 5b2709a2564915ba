//! TLS from outside: certificates as `tallystick cert dev` makes them, and a client of our own,
//! which shares nothing with the product's.

use crate::engine::run_cli;
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tonic::transport::{Channel, Endpoint, Uri};

pub use tokio_rustls::rustls::version::{TLS12, TLS13};

/// A folder with certificates: an authority, the engine's, and those of clients.
#[derive(Debug, Clone)]
pub struct Certs(PathBuf);

impl Certs {
    /// Has them made in a new folder.
    #[must_use]
    pub fn make(folder: &Path, clients: &[&str]) -> Self {
        let out = folder.to_str().expect("a plain path");
        let mut args = vec!["cert", "dev", "--out", out];
        for client in clients {
            args.extend(["--client", client]);
        }
        let made = run_cli(&args);
        assert!(made.status.success(), "{made:?}");
        Self(folder.to_owned())
    }

    /// An authority, and an engine's certificate by it that ends so many days from now.
    #[must_use]
    pub fn dated(folder: &Path, days: i64) -> Self {
        let certs = Self(folder.to_owned());
        std::fs::create_dir_all(folder).expect("a temporary folder");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        let day = |days: u64| date_time_ymd(1970, 1, 1) + Duration::from_secs(days * 86_400);
        let today = now.as_secs() / 86_400;
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let ca_key = KeyPair::generate().expect("a key");
        let authority = ca.self_signed(&ca_key).expect("an authority");
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
                .expect("names");
        (params.not_before, params.not_after) =
            (day(today - 30), day(today.checked_add_signed(days).expect("a day")));
        let key = KeyPair::generate().expect("a key");
        let made = params.signed_by(&key, &Issuer::new(ca, ca_key)).expect("a certificate");
        certs.replace("ca.pem", pem("CERTIFICATE", authority.der()).as_bytes());
        certs.replace("server.pem", pem("CERTIFICATE", made.der()).as_bytes());
        certs.replace("server.key", pem("PRIVATE KEY", &key.serialize_der()).as_bytes());
        certs
    }

    /// One of the files.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a plain path").to_owned()
    }

    /// Puts another folder's certificate and key of the engine in the place of these: whole files
    /// under their names, as everybody should.
    pub fn renew_from(&self, other: &Self) {
        for name in ["server.pem", "server.key"] {
            self.replace(name, &std::fs::read(other.path(name)).expect("the file is there"));
        }
    }

    /// Puts another file in the place of one.
    pub fn replace(&self, name: &str, bytes: &[u8]) {
        use std::os::unix::fs::PermissionsExt as _;
        let new = self.path(".new");
        std::fs::write(&new, bytes).expect("a temporary file");
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
        std::fs::rename(new, self.path(name)).expect("both are in one folder");
    }

    /// The `tls` of a listener with them.
    #[must_use]
    pub fn setting(&self, mutual: bool) -> String {
        let (cert, key) = (self.path("server.pem"), self.path("server.key"));
        let ca = self.path("ca.pem");
        let client_ca = if mutual { format!(", client_ca = {ca:?}") } else { String::new() };
        format!("tls = {{ cert = {cert:?}, key = {key:?}{client_ca} }}\n")
    }

    /// A listener for gRPC with them.
    #[must_use]
    pub fn listener(&self, mutual: bool) -> String {
        let tls = self.setting(mutual);
        format!("[[listen]]\naddress = \"127.0.0.1:0\"\nkind = \"grpc\"\n{tls}")
    }

    /// A server's configuration with the engine's certificate.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn server(&self) -> Arc<ServerConfig> {
        let pem = |name: &str| std::fs::read(self.path(name)).expect("the file is there");
        let chain = pem("server.pem");
        let chain = CertificateDer::pem_slice_iter(&chain)
            .collect::<Result<Vec<_>, _>>()
            .expect("certificates");
        let key = PrivateKeyDer::from_pem_slice(&pem("server.key")).expect("a key");
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(&[&TLS12, &TLS13]).expect("versions");
        let builder = builder.with_no_client_auth();
        Arc::new(builder.with_single_cert(chain, key).expect("a pair"))
    }

    /// A client's configuration: what it trusts, what it shows, and what it speaks.
    #[must_use]
    pub fn client(
        &self,
        name: Option<&str>,
        versions: &[&'static SupportedProtocolVersion],
        protocol: &[u8],
    ) -> Arc<ClientConfig> {
        let pem = |name: &str| std::fs::read(self.path(name)).expect("the file is there");
        let certificate =
            |name: &str| CertificateDer::from_pem_slice(&pem(name)).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(certificate("ca.pem")).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(versions).expect("versions that there are");
        let builder = builder.with_root_certificates(roots);
        let mut config = match name {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let key = PrivateKeyDer::from_pem_slice(&pem(&format!("{name}.key")));
                let chain = vec![certificate(&format!("{name}.pem"))];
                builder.with_client_auth_cert(chain, key.expect("a key")).expect("a pair")
            }
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        Arc::new(config)
    }
}

fn pem(what: &str, der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    format!("-----BEGIN {what}-----\n{text}\n-----END {what}-----\n")
}

/// A handshake with whoever listens at `address`.
///
/// # Errors
/// When it fails.
pub async fn handshake(
    address: &str,
    config: Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(config).connect(name, socket).await
}

/// A gRPC connection over TLS.
///
/// # Errors
/// When it does not come about.
pub async fn channel(
    address: &str,
    config: Arc<ClientConfig>,
) -> Result<Channel, tonic::transport::Error> {
    let address = address.to_owned();
    let connect = tower::service_fn(move |_: Uri| {
        let (address, config) = (address.clone(), config.clone());
        async move { handshake(&address, config).await.map(TokioIo::new) }
    });
    Endpoint::from_static("https://localhost").connect_with_connector(connect).await
}

//! TLS in front of a node, with a certificate for one name.

use data_encoding::BASE64;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::version::TLS13;

/// Who makes certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own, as clients are told of it.
    pub file: PathBuf,
}

impl Authority {
    pub fn new(dir: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let own = params.self_signed(&key).unwrap();
        let (file, text) = (dir.join("ca.pem"), BASE64.encode(own.der()));
        let text = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        std::fs::write(&file, text).unwrap();
        Self { issuer: Issuer::new(params, key), file }
    }

    /// A listener that shows a certificate for this name, and passes on to a node. Its port.
    pub async fn before(&self, node: SocketAddr, name: &str) -> u16 {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Either side may hang up whenever it likes.
                    let Ok(mut near) = acceptor.accept(socket).await else { return };
                    let Ok(mut far) = TcpStream::connect(node).await else { return };
                    drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
                });
            }
        });
        port
    }
}

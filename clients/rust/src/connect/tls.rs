//! Whom a client trusts, and by what it is known: from files to what a handshake needs. TLS 1.3
//! only, as the engine.

use super::ConnectError;
use super::address::Address;
use super::token::read_private;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Where systems keep the authorities that they trust.
const SYSTEM_FILES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
/// Names another file of them, as other programs take it.
const SYSTEM_VARIABLE: &str = "SSL_CERT_FILE";

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    /// gRPC: HTTP/2.
    Grpc,
    /// HTTP/1.1.
    #[cfg(feature = "seller")]
    Http,
}

impl Speech {
    /// What TLS calls it.
    pub fn protocol(self) -> &'static [u8] {
        match self {
            Self::Grpc => b"h2",
            #[cfg(feature = "seller")]
            Self::Http => b"http/1.1",
        }
    }
}

/// What a handshake needs.
#[derive(Clone)]
pub(crate) struct Trust {
    pub connector: TlsConnector,
    pub name: ServerName<'static>,
    pub speech: Speech,
}

/// A certificate and its key: both or none.
pub(crate) fn own_files<'a>(
    cert: Option<&'a Path>,
    key: Option<&'a Path>,
) -> Result<Option<(&'a Path, &'a Path)>, ConnectError> {
    match (cert, key) {
        (None, None) => Ok(None),
        (Some(cert), Some(key)) => Ok(Some((cert, key))),
        (Some(_), None) | (None, Some(_)) => Err(ConnectError::Input(
            "--tls-cert and --tls-key belong together: your certificate and its key".into(),
        )),
    }
}

impl Trust {
    pub fn load(
        address: &Address,
        ca: Option<&Path>,
        own: Option<(&Path, &Path)>,
        speech: Speech,
    ) -> Result<Self, ConnectError> {
        let input = ConnectError::Input;
        let name = ServerName::try_from(address.host().to_owned()).map_err(|_| {
            input(format!("{} is no name that a certificate can have", address.host()))
        })?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("ring has all that TLS 1.3 needs")
            .with_root_certificates(roots(ca)?);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let text = read_private(key)?;
                let secret = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
                    input(format!(
                        "{} holds no private key in PEM; is it --tls-key?",
                        key.display()
                    ))
                })?;
                let chain = certificates(cert)?;
                builder.with_client_auth_cert(chain, secret).map_err(|error| {
                    let (cert, key) = (cert.display(), key.display());
                    input(format!("{cert} and {key} are not a certificate and its key: {error}"))
                })?
            }
        };
        config.alpn_protocols = vec![speech.protocol().to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name, speech })
    }
}

/// The authorities that are trusted.
fn roots(ca: Option<&Path>) -> Result<RootCertStore, ConnectError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca {
        for authority in certificates(path)? {
            roots.add(authority).map_err(|error| {
                ConnectError::Input(format!("{} holds no authority: {error}", path.display()))
            })?;
        }
        return Ok(roots);
    }
    let named = std::env::var_os(SYSTEM_VARIABLE).map(PathBuf::from);
    let usual = SYSTEM_FILES.iter().map(PathBuf::from).find(|path| path.exists());
    let Some(path) = named.or(usual) else {
        return Err(ConnectError::Input(
            "this system names no authorities that it trusts: name the engine's with --tls-ca FILE"
                .into(),
        ));
    };
    // Old authorities are in such a file that no check takes any more.
    roots.add_parsable_certificates(certificates(&path)?);
    Ok(roots)
}

/// Every certificate in a file; one at least.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let text = std::fs::read(path)
        .map_err(|source| ConnectError::File { path: path.to_owned(), source })?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    all.ok().filter(|all| !all.is_empty()).ok_or_else(|| {
        ConnectError::Input(format!(
            "{} holds no certificate in PEM (-----BEGIN CERTIFICATE-----): is it the right file?",
            path.display()
        ))
    })
}

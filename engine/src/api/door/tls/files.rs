//! What the files of a listener's TLS hold: read, checked against each other, and made into what a
//! handshake needs. Never shows what is in one.

use super::certificate::{self, Known};
use crate::config::TlsFiles;
use crate::files;
use crate::limits::TLS_FILE_BYTES_MAX;
use jiff::Timestamp;
use rustix::fs::Uid;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{Error, InconsistentKeys, RootCertStore, ServerConfig};

/// Why a listener's TLS files cannot be used: which, and what to do.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum TlsError {
    #[error("the TLS {what} {}", files::why(path, why))]
    Unreadable { what: &'static str, path: PathBuf, why: io::Error },
    #[error("the TLS {what} {} is {bytes} bytes; it cannot be more than {TLS_FILE_BYTES_MAX}", .path.display())]
    TooLarge { what: &'static str, path: PathBuf, bytes: u64 },
    #[error(
        "others may read the TLS key {} (mode {mode:03o}): chmod 600 it (640 if it is root's, for one group); \
         if others may have read it, have a new certificate made",
        .path.display()
    )]
    OpenKey { path: PathBuf, mode: u32 },
    #[error("{} holds no certificate in PEM (-----BEGIN CERTIFICATE-----); is it the right file?", .path.display())]
    NoCertificate { path: PathBuf },
    #[error("a certificate in {} cannot be read: {why}", .path.display())]
    BadCertificate { path: PathBuf, why: String },
    #[error(
        "{} holds no private key in PEM that can be used (-----BEGIN PRIVATE KEY-----); a key with a \
         passphrase cannot be: take it off (openssl pkey -in KEY -out NEW)",
        .path.display()
    )]
    NoKey { path: PathBuf },
    #[error("the TLS key in {} cannot be used: {why}", .path.display())]
    BadKey { path: PathBuf, why: String },
    #[error(
        "the TLS key in {} is not that of the first certificate in {}: name the two that were made together",
        .key.display(), .cert.display()
    )]
    OtherKey { cert: PathBuf, key: PathBuf },
}

/// What a handshake needs, and how long it is good for.
pub(super) struct InForce {
    pub server: Arc<ServerConfig>,
    /// When the listener's own certificate begins, in unix seconds.
    pub begins_at: i64,
    /// When the first of all certificates ends, and the file that it is in.
    pub ends_at: i64,
    pub ends_first: PathBuf,
}

/// What the system says of the files: changes when one is written or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamps([Option<[i128; 5]>; 3]);

impl Stamps {
    pub fn of(files: &TlsFiles) -> Self {
        let stamp = |path: &Path| {
            let of = fs::metadata(path).ok()?;
            let changed = i128::from(of.ctime()) * 1_000_000_000 + i128::from(of.ctime_nsec());
            let written = i128::from(of.mtime()) * 1_000_000_000 + i128::from(of.mtime_nsec());
            Some([of.dev().into(), of.ino().into(), of.size().into(), changed, written])
        };
        let client_ca = files.client_ca.as_deref().and_then(stamp);
        Self([stamp(&files.cert), stamp(&files.key), client_ca])
    }
}

/// A day, for people.
pub(super) fn day(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |at| at.to_string())
}

impl InForce {
    /// From the files.
    pub fn read(files: &TlsFiles, protocol: &[u8]) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let chain = certificates("certificate", &files.cert)?;
        let own = known(&files.cert, &chain[0])?;
        let mut ends = first_end(&files.cert, &chain)?;
        let key = certified_key(files, chain, &provider)?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .expect("ring has all that TLS 1.3 needs");
        let builder = match &files.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let authorities = certificates("client_ca", path)?;
                ends = ends.min(first_end(path, &authorities)?);
                let wrong = |why: String| TlsError::BadCertificate { path: path.clone(), why };
                let mut roots = RootCertStore::empty();
                for authority in authorities {
                    roots.add(authority).map_err(|e| wrong(e.to_string()))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = verifier.build().map_err(|e| wrong(e.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut server = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        server.alpn_protocols = vec![protocol.to_vec()];
        // Nobody comes in by what was checked another day.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let (ends_at, ends_first) = ends;
        Ok(Self { server: Arc::new(server), begins_at: own.begins_at, ends_at, ends_first })
    }
}

/// The key, if it is that of the first certificate.
fn certified_key(
    files: &TlsFiles,
    chain: Vec<CertificateDer<'static>>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let path = || files.key.clone();
    let text = key_text(&files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| TlsError::NoKey { path: path() })?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| {
        if error == Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
            TlsError::OtherKey { cert: files.cert.clone(), key: path() }
        } else {
            TlsError::BadKey { path: path(), why: error.to_string() }
        }
    })
}

/// Every certificate in a file; one at least.
fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let (text, _) = read(what, path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let all = all.map_err(|error| TlsError::BadCertificate {
        path: path.to_owned(),
        why: error.to_string(),
    })?;
    match all.is_empty() {
        true => Err(TlsError::NoCertificate { path: path.to_owned() }),
        false => Ok(all),
    }
}

fn known(path: &Path, der: &CertificateDer<'_>) -> Result<Known, TlsError> {
    certificate::read(der).ok_or_else(|| TlsError::BadCertificate {
        path: path.to_owned(),
        why: "it has not the form of one (X.509)".into(),
    })
}

/// When the first of these certificates ends.
fn first_end(path: &Path, all: &[CertificateDer<'_>]) -> Result<(i64, PathBuf), TlsError> {
    let mut ends = i64::MAX;
    for one in all {
        ends = ends.min(known(path, one)?.ends_at);
    }
    Ok((ends, path.to_owned()))
}

/// A key's file, which nobody but its owner may read; a group may where the file is root's, as
/// services that share one certificate have it.
fn key_text(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, TlsError> {
    let (text, metadata) = read("key", path)?;
    let text = zeroize::Zeroizing::new(text);
    let mode = metadata.mode() & 0o777;
    let for_a_group = metadata.uid() == Uid::ROOT.as_raw() && mode & 0o037 == 0;
    if mode & 0o077 != 0 && !for_a_group {
        return Err(TlsError::OpenKey { path: path.to_owned(), mode });
    }
    Ok(text)
}

/// A file's bytes, and what the system says of the file that was read.
fn read(what: &'static str, path: &Path) -> Result<(Vec<u8>, Metadata), TlsError> {
    let unreadable = |why| TlsError::Unreadable { what, path: path.to_owned(), why };
    let most = u64::try_from(TLS_FILE_BYTES_MAX).expect("a size fits 64 bits");
    // A folder or a pipe is no file: opening a pipe would wait for whoever writes to it.
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(unreadable(io::ErrorKind::IsADirectory.into()));
    }
    if !metadata.is_file() {
        return Err(unreadable(io::Error::other("it is no ordinary file: name one")));
    }
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.len() > most {
        let (path, bytes) = (path.to_owned(), metadata.len());
        return Err(TlsError::TooLarge { what, path, bytes });
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok((bytes, metadata))
}

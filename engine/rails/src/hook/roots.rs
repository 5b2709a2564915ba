//! Whose certificates receivers may show: the authorities that browsers trust, and for receivers
//! inside those that a file names beside them.

use std::sync::Arc;
use ureq::tls::TlsConfig;
use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};
use webpki::anchor_from_trusted_cert;

/// Authorities of certificates.
#[derive(Debug, Clone, Default)]
pub struct Roots {
    more: Vec<Certificate<'static>>,
}

/// Why a file's authorities are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum RootsMisfit {
    #[error("it holds no certificate: expected PEM, with -----BEGIN CERTIFICATE-----")]
    None,
    #[error("it is not whole: its PEM ends early, or holds what is no base64")]
    Broken,
    #[error("its certificate number {0} cannot be read: name the authority's own, as X.509 in PEM")]
    Unreadable(usize),
}

impl Roots {
    /// Those of a file, beside the public ones. Keys and whatever else is in it are left out.
    ///
    /// # Errors
    /// `RootsMisfit`.
    pub fn read(pem: &[u8]) -> Result<Self, RootsMisfit> {
        let mut more = Vec::new();
        for item in parse_pem(pem) {
            let PemItem::Certificate(of) = item.map_err(|_| RootsMisfit::Broken)? else { continue };
            let number = more.len() + 1;
            // The HTTP client leaves out in silence what it cannot read.
            anchor_from_trusted_cert(&of.der().into())
                .map_err(|_| RootsMisfit::Unreadable(number))?;
            more.push(of);
        }
        match more.is_empty() {
            true => Err(RootsMisfit::None),
            false => Ok(Self { more }),
        }
    }

    /// How many there are beside the public ones.
    #[must_use]
    pub fn count(&self) -> usize {
        self.more.len()
    }

    pub(super) fn tls(&self) -> TlsConfig {
        let roots = match self.more.is_empty() {
            true => RootCerts::WebPki,
            false => {
                let public = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
                let public = public.map(|of| Certificate::from_der(of).to_owned());
                RootCerts::Specific(Arc::new(public.chain(self.more.iter().cloned()).collect()))
            }
        };
        TlsConfig::builder().root_certs(roots).build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(der: &[u8]) -> String {
        let text = data_encoding::BASE64.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    }

    #[test]
    fn a_file_names_authorities_or_is_refused_with_what_is_wrong() {
        let known = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
        let two = format!("# ours\n{}{}", pem(&known[0]), pem(&known[1]));
        let roots = Roots::read(two.as_bytes()).unwrap();
        assert_eq!(roots.count(), 2);
        let tls = roots.tls();
        let RootCerts::Specific(all) = tls.root_certs() else { panic!("{tls:?}") };
        assert_eq!(all.len(), known.len() + 2, "the public ones stay");
        let bad = format!("{}{}", pem(&known[0]), pem(b"?"));
        for (text, misfit) in [
            ("", RootsMisfit::None),
            ("ca.pem", RootsMisfit::None),
            (bad.as_str(), RootsMisfit::Unreadable(2)),
            ("-----BEGIN CERTIFICATE-----\nMIIB", RootsMisfit::Broken),
        ] {
            assert_eq!(Roots::read(text.as_bytes()).map(|of| of.count()), Err(misfit), "{text}");
        }
        assert!(matches!(Roots::default().tls().root_certs(), RootCerts::WebPki));
    }
}

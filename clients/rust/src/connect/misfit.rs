//! What does not fit between a client and who answers it, found in what the TLS library says; and
//! what a person can do about it.

use super::address::Address;
use std::error::Error;
use std::io;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as TlsError};

/// What does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// We speak plain text, and it speaks TLS.
    SpeaksTls,
    /// We speak TLS, and it does not.
    SpeaksNoTls,
    /// Its certificate is by an authority that we do not trust.
    UnknownAuthority,
    /// Its certificate is for other names.
    OtherName(Vec<String>),
    /// Its certificate has ended.
    Ended,
    /// Its certificate is not valid yet.
    NotYet,
    /// It asks for a certificate, and we have none.
    NoCertificate,
    /// It refuses our certificate: the library's word.
    Refused(String),
    /// It speaks an older TLS only.
    OldTls,
    /// It speaks TLS, and not our protocol behind it.
    NoGrpc,
    /// Anything else about TLS.
    Other(String),
}

impl Misfit {
    /// What a failed handshake means; `None` when it is nothing of TLS.
    pub(crate) fn of_handshake(error: &io::Error) -> Option<Self> {
        // Whoever speaks no TLS takes our first word for nonsense, and hangs up.
        let hung_up = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
        let silent = hung_up.contains(&error.kind());
        Self::of_tls(error).or(silent.then_some(Self::SpeaksNoTls))
    }

    /// What an error on a connection under TLS means; `None` when it is nothing of TLS.
    pub(crate) fn of_tls(error: &io::Error) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<TlsError>()?;
        Some(if let TlsError::InvalidCertificate(why) = error {
            Self::of_certificate(why)
        } else if let TlsError::AlertReceived(alert) = error {
            Self::of_alert(*alert)
        } else if matches!(error, TlsError::InvalidMessage(_)) {
            Self::SpeaksNoTls
        } else if matches!(error, TlsError::PeerIncompatible(_)) {
            Self::OldTls
        } else if matches!(error, TlsError::NoApplicationProtocol) {
            Self::NoGrpc
        } else {
            Self::Other(error.to_string())
        })
    }

    fn of_certificate(error: &CertificateError) -> Self {
        use CertificateError as E;
        if let E::NotValidForNameContext { presented, .. } = error {
            return Self::OtherName(presented.iter().map(|name| plain(name)).collect());
        }
        if matches!(error, E::UnknownIssuer | E::BadSignature | E::InvalidPurpose)
            || is_its_own_authority(error)
        {
            Self::UnknownAuthority
        } else if matches!(error, E::NotValidForName) {
            Self::OtherName(Vec::new())
        } else if matches!(error, E::Expired | E::ExpiredContext { .. }) {
            Self::Ended
        } else if matches!(error, E::NotValidYet | E::NotValidYetContext { .. }) {
            Self::NotYet
        } else {
            Self::Other(error.to_string())
        }
    }

    fn of_alert(alert: AlertDescription) -> Self {
        use AlertDescription as A;
        if alert == A::CertificateRequired {
            return Self::NoCertificate;
        }
        let about_us = [
            A::BadCertificate,
            A::UnsupportedCertificate,
            A::CertificateRevoked,
            A::CertificateExpired,
            A::CertificateUnknown,
            A::UnknownCA,
            A::AccessDenied,
            A::DecryptError,
        ];
        if about_us.contains(&alert) {
            Self::Refused(format!("{alert:?}"))
        } else if alert == A::ProtocolVersion {
            Self::OldTls
        } else if alert == A::NoApplicationProtocol {
            Self::NoGrpc
        } else {
            Self::Other(format!("it answered with the alert {alert:?}"))
        }
    }

    /// What is wrong, and what to do about it.
    pub(crate) fn say(&self, address: &Address, has_own_ca: bool, has_certificate: bool) -> String {
        let (url, host, port) = (address.url(), address.host(), address.port());
        let shown = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        match self {
            Self::SpeaksTls => format!(
                "{url} speaks TLS: write --server https://{shown}:{port}, and name the authority of its \
                 certificate with --tls-ca FILE"
            ),
            Self::SpeaksNoTls => format!(
                "{url} does not speak TLS: if it is an engine that listens in plain text, write --server \
                 http://{shown}:{port}, without --tls-ca, --tls-cert and --tls-key"
            ),
            Self::UnknownAuthority if has_own_ca => format!(
                "the certificate of {url} is not by the authority in --tls-ca: is it the file that belongs to \
                 this engine (`ca.pem`)?"
            ),
            Self::UnknownAuthority => format!(
                "the certificate of {url} is not by an authority that this system trusts: name the engine's \
                 with --tls-ca FILE"
            ),
            Self::OtherName(names) if names.is_empty() => {
                format!(
                    "the certificate of {url} is not for {host}: name the engine as its certificate does"
                )
            }
            Self::OtherName(names) => format!(
                "the certificate of {url} is not for {host}, but for {}: write one of these in --server, or \
                 have a certificate made for {host}",
                names.join(", ")
            ),
            Self::Ended => format!(
                "the certificate of {url} has ended: its operator must put a new one in place (or is this \
                 machine's clock wrong?)"
            ),
            Self::NotYet => {
                format!("the certificate of {url} is not valid yet: is this machine's clock right?")
            }
            Self::NoCertificate => format!(
                "{url} asks for a certificate of yours: name it with --tls-cert FILE and its key with \
                 --tls-key FILE"
            ),
            Self::Refused(why) if has_certificate => format!(
                "{url} refuses your certificate in --tls-cert ({why}): is it by the authority that the engine \
                 trusts (client_ca), for clients, and still valid?"
            ),
            Self::Refused(why) => format!("{url} refuses the connection ({why})"),
            Self::OldTls => {
                format!("{url} does not speak TLS 1.3, which is the only one that is spoken here")
            }
            Self::NoGrpc => {
                format!(
                    "{url} speaks TLS, but is no engine's listener for gRPC: is the port right?"
                )
            }
            Self::Other(why) => {
                format!("{url} and this program do not come together in TLS: {why}")
            }
        }
    }
}

/// A name as the library shows it, `DnsName("localhost")`, without what is around it, and without
/// what could disturb a terminal: a stranger may have written it.
fn plain(shown: &str) -> String {
    let inner = shown.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    let inner = inner.unwrap_or(shown).trim_matches('"');
    inner.chars().filter(char::is_ascii_graphic).collect()
}

/// A certificate that is put among the authorities and is none.
fn is_its_own_authority(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity"))
}

/// The innermost reason of an error, which is the one that says something: the outermost texts are
/// "transport error".
pub(crate) fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_rustls::rustls::InvalidMessage;

    fn of(error: TlsError) -> Misfit {
        Misfit::of_handshake(&io::Error::new(io::ErrorKind::InvalidData, error)).unwrap()
    }

    #[test]
    fn every_misfit_names_what_to_do() {
        let address = Address::read("https://h:1", false).unwrap();
        let say = |misfit: &Misfit, ca| misfit.say(&address, ca, true);
        for (error, wanted) in [
            (TlsError::InvalidMessage(InvalidMessage::InvalidContentType), "http://h:1"),
            (TlsError::InvalidCertificate(CertificateError::UnknownIssuer), "--tls-ca"),
            (TlsError::InvalidCertificate(CertificateError::Expired), "has ended"),
            (TlsError::InvalidCertificate(CertificateError::NotValidYet), "clock"),
            (TlsError::InvalidCertificate(CertificateError::NotValidForName), "not for h"),
            (TlsError::AlertReceived(AlertDescription::CertificateRequired), "--tls-key"),
            (TlsError::AlertReceived(AlertDescription::UnknownCA), "client_ca"),
            (TlsError::AlertReceived(AlertDescription::ProtocolVersion), "TLS 1.3"),
            (TlsError::NoApplicationProtocol, "port"),
            (TlsError::General("odd".into()), "odd"),
        ] {
            let text = say(&of(error.clone()), true);
            assert!(text.contains(wanted) && text.contains("https://h:1"), "{error:?}: {text}");
        }
        assert!(say(&Misfit::UnknownAuthority, false).contains("this system trusts"));
        assert_eq!(plain("DnsName(\"a.example\")"), "a.example");
        assert_eq!(plain("IpAddress(127.0.0.1)"), "127.0.0.1");
        assert_eq!(plain("DnsName(\"\u{1b}[31mred\")"), "[31mred");
        let eof = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(Misfit::of_handshake(&eof), Some(Misfit::SpeaksNoTls));
        // The same later on says nothing: a connection may end.
        assert_eq!(Misfit::of_tls(&eof), None);
        assert_eq!(Misfit::of_handshake(&io::ErrorKind::ConnectionRefused.into()), None);
    }
}

//! The listeners as the file gives them: a table, `[[listen]]`, or one address, its short form; and
//! which of them may be reached from other machines.

use super::Settings;
use super::list::Setting;
use super::values::{BadValue, Listen};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// What is served at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Vouchers, and what operators ask for.
    Grpc,
    /// Webhooks.
    Http,
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Where it listens.
    pub address: Listen,
    /// What it serves.
    pub kind: Kind,
    /// Its certificate; without one it speaks plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
}

/// Where a listener's certificate is: names of files, never what is in them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate and those between it and its authority (PEM).
    pub cert: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
    /// The authorities of clients' certificates (PEM): with it, every client must have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
}

/// The certificates of all listeners. They stay when a flag names another address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenTls {
    /// Of that for gRPC.
    pub grpc: Option<TlsFiles>,
    /// Of that for webhooks.
    pub http: Option<TlsFiles>,
}

/// Where the engine listens, as one source says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listeners {
    /// An address for gRPC.
    Short(Listen),
    /// Every listener, one of a kind.
    Table(Vec<Listener>),
}

/// Why a listener may not be where it was put; `None` if it may. The one place that decides who can
/// be reached from other machines: never in plain text. That it is known who calls there is the
/// gate's to see to (`api/access`), and that there are operators the start's (`serve`).
pub(super) fn why_not(address: SocketAddr, tls: Option<&TlsFiles>) -> Option<String> {
    if address.ip().is_loopback() || tls.is_some() {
        return None;
    }
    let port = address.port();
    Some(format!(
        "{address} can be reached from other machines, and this listener speaks plain text: give it a certificate \
         ([[listen]] with tls = {{ cert, key, client_ca }}; `tallystick cert dev` makes one to try out), or use a \
         loopback address like 127.0.0.1:{port} (docs/DEPLOY.md, \"TLS\")"
    ))
}

impl Listeners {
    /// What is wrong with it: what it is, and what is expected.
    pub fn check(&self, has_short_http: bool) -> Result<(), (String, String)> {
        let Self::Table(all) = self else { return Ok(()) };
        let count = |kind: Kind| all.iter().filter(|one| one.kind == kind).count();
        let (grpc, http) = (count(Kind::Grpc), count(Kind::Http));
        if grpc != 1 || http > 1 {
            let expected = "one of kind \"grpc\", and at most one of kind \"http\"".to_owned();
            return Err((format!("{grpc} of kind \"grpc\" and {http} of kind \"http\""), expected));
        }
        if http == 1 && has_short_http {
            let expected = "listen_http or a [[listen]] of kind \"http\", not both".to_owned();
            return Err(("given twice".to_owned(), expected));
        }
        Ok(())
    }

    /// The table that says the same as the short forms and the certificates.
    pub fn table(grpc: Listen, http: Option<Listen>, tls: ListenTls) -> Self {
        let grpc = Listener { address: grpc, kind: Kind::Grpc, tls: tls.grpc };
        let http = http.map(|address| Listener { address, kind: Kind::Http, tls: tls.http });
        Self::Table([grpc].into_iter().chain(http).collect())
    }
}

impl Settings {
    /// The same listeners as a table says, in the short forms.
    pub(super) fn with_short_listeners(mut self) -> Self {
        if let Some(Listeners::Table(all)) = &self.listen {
            let of = |kind| all.iter().find(|one| one.kind == kind).cloned();
            let (grpc, http) = (of(Kind::Grpc), of(Kind::Http));
            let tls = |one: &Option<Listener>| one.as_ref().and_then(|one| one.tls.clone());
            self.listen_tls = Some(ListenTls { grpc: tls(&grpc), http: tls(&http) });
            self.listen_http = http.map(|one| one.address).or(self.listen_http);
            self.listen = grpc.map(|one| Listeners::Short(one.address));
        }
        self
    }

    /// The same settings as a file says them: certificates stand in the table of their listener.
    pub(super) fn in_tables(mut self) -> Self {
        let tls = self.listen_tls.take().filter(|tls| *tls != ListenTls::default());
        if let (Some(tls), Some(Listeners::Short(grpc))) = (tls, &self.listen) {
            self.listen = Some(Listeners::table(grpc.clone(), self.listen_http.take(), tls));
        }
        self
    }
}

impl Setting for Listeners {
    type Value = SocketAddr;

    /// The address for gRPC. A table is split up when the file is read.
    fn value(self) -> SocketAddr {
        match self {
            Self::Short(address) => address.0,
            Self::Table(all) => {
                let grpc = all.into_iter().find(|one| one.kind == Kind::Grpc);
                grpc.expect("the table was checked").address.0
            }
        }
    }

    fn of(address: &SocketAddr) -> Self {
        Self::Short(Listen(*address))
    }
}

impl FromStr for Listeners {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        text.parse().map(Self::Short)
    }
}

impl Serialize for Listeners {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Short(address) => address.serialize(to),
            Self::Table(all) => all.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Listeners {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Listeners;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address like \"127.0.0.1:7450\", or tables [[listen]]")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Listeners, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Listeners, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = seq.next_element()? {
                    all.push(one);
                    if all.len() > 2 {
                        return Err(A::Error::custom("at most one listener of each kind"));
                    }
                }
                Ok(Listeners::Table(all))
            }
        }
        from.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn file(text: &str) -> Result<Settings, String> {
        Settings::from_toml(text, Path::new("t.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn nobody_else_reaches_plain_text() {
        let away: SocketAddr = "0.0.0.0:7450".parse().unwrap();
        let here: SocketAddr = "[::1]:7450".parse().unwrap();
        let files = |client_ca: Option<&str>| TlsFiles {
            cert: "c".into(),
            key: "k".into(),
            client_ca: client_ca.map(PathBuf::from),
        };
        let (one_way, mutual) = (files(None), files(Some("ca")));
        for tls in [None, Some(&one_way), Some(&mutual)] {
            assert_eq!(why_not(here, tls), None);
            let why = why_not(away, tls);
            assert_eq!(why.is_none(), tls.is_some(), "{tls:?}: {why:?}");
        }
        let why = why_not(away, None).unwrap();
        assert!(why.contains("speaks plain text: give it a certificate"), "{why}");
    }

    #[test]
    fn listeners_are_a_table_and_flags_are_its_short_forms() {
        let table = "[[listen]]\naddress = \"127.0.0.1:1\"\nkind = \"grpc\"\n\
                     [[listen]]\naddress = \"127.0.0.1:2\"\nkind = \"http\"\n";
        let addresses = |flags: Settings, text: &str| {
            let config = flags.or(file(text).unwrap()).resolve(1);
            (config.listen.port(), config.listen_http.map(|http| http.port()))
        };
        assert_eq!(addresses(Settings::default(), table), (1, Some(2)));
        let grpc = Settings { listen: "127.0.0.1:3".parse().ok(), ..Settings::default() };
        assert_eq!(addresses(grpc, table), (3, Some(2)), "the flag says nothing of webhooks");
        let http = Settings { listen_http: "127.0.0.1:4".parse().ok(), ..Settings::default() };
        assert_eq!(addresses(http, table), (1, Some(4)));
        let short = "listen = \"127.0.0.1:5\"\nlisten_http = \"127.0.0.1:6\"\n";
        assert_eq!(addresses(Settings::default(), short), (5, Some(6)));
    }

    #[test]
    fn certificates_stay_with_their_listener_and_are_printed_as_names_of_files() {
        let table = "[[listen]]\naddress = \"127.0.0.1:1\"\nkind = \"grpc\"\n\
                     tls = { cert = \"c.pem\", key = \"k.pem\", client_ca = \"ca.pem\" }\n\
                     [[listen]]\naddress = \"127.0.0.1:2\"\nkind = \"http\"\n";
        let config = file(table).unwrap().resolve(1);
        let grpc = config.listen_tls.grpc.clone().unwrap();
        assert_eq!((grpc.cert, grpc.client_ca), ("c.pem".into(), Some("ca.pem".into())));
        assert_eq!(config.listen_tls.http, None);
        let again = file(&config.to_toml()).unwrap().resolve(1);
        assert_eq!(again, config, "{}", config.to_toml());
        // A flag names another address, and takes nobody's certificate away.
        let flag = Settings { listen: "127.0.0.1:3".parse().ok(), ..Settings::default() };
        let moved = flag.or(file(table).unwrap()).resolve(1);
        assert_eq!((moved.listen.port(), moved.listen_tls), (3, config.listen_tls));
    }
}

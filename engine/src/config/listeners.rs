//! The listeners as the file gives them: a table, `[[listen]]`, or one address, its short form.

use super::list::Setting;
use super::values::{BadValue, Listen};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::SocketAddr;
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
}

/// Where the engine listens, as one source says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listeners {
    /// An address for gRPC.
    Short(Listen),
    /// Every listener, one of a kind.
    Table(Vec<Listener>),
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

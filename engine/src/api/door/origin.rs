//! From where a connection comes, as far as one can tell clients apart by it, and how many
//! connections may come from there.

use crate::limits::ORIGIN_PART;
use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address, or the first half of an IPv6 one: whoever has one of its addresses has all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin(IpAddr);

impl Origin {
    /// That of an address.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) if address.is_loopback() => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        })
    }
}

/// How many connections may come from one origin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerOrigin {
    /// What the configuration says.
    pub configured: Option<u32>,
}

impl PerOrigin {
    /// From this one, of so many in all. This machine is many clients, and so is a proxy on it:
    /// it is bounded only where the configuration says so.
    pub(super) fn of(self, origin: Origin, all: usize) -> usize {
        match self.configured {
            Some(most) => usize::try_from(most).unwrap_or(usize::MAX),
            None if origin.0.is_loopback() => usize::MAX,
            None => (all / ORIGIN_PART).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        Origin::of(text.parse().unwrap())
    }

    #[test]
    fn half_of_an_ipv6_address_is_one_client() {
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:0:0:9"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_eq!(origin("::ffff:192.0.2.7"), origin("192.0.2.7"));
        assert_ne!(origin("192.0.2.7"), origin("192.0.2.8"));
    }

    #[test]
    fn this_machine_has_all_places_unless_the_configuration_says_otherwise() {
        let (usual, two) = (PerOrigin::default(), PerOrigin { configured: Some(2) });
        assert_eq!(usual.of(origin("192.0.2.7"), 1_024), 128);
        assert_eq!(usual.of(origin("192.0.2.7"), 3), 1);
        for here in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(usual.of(origin(here), 1_024), usize::MAX, "{here}");
            assert_eq!(two.of(origin(here), 1_024), 2, "{here}");
        }
    }
}

//! Which addresses a webhook may be sent to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where webhooks may go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reach {
    /// Also to addresses that are not public, and to this machine without TLS: for a try-out, or
    /// where all receivers are inside.
    pub allow_private: bool,
}

impl Reach {
    /// Whether a request may go to an address that a name has led to.
    #[must_use]
    pub fn may_go_to(self, at: IpAddr, is_plain: bool) -> bool {
        match is_plain {
            // Without TLS to this machine alone.
            true => self.allow_private && at.to_canonical().is_loopback(),
            false => self.allow_private || is_public(at),
        }
    }

    /// Whether it may go to all addresses that a name has: one that has others, too, may lead there
    /// with the next look-up.
    #[must_use]
    pub fn may_go_to_all(self, all: &[SocketAddr], is_plain: bool) -> bool {
        !all.is_empty() && all.iter().all(|at| self.may_go_to(at.ip(), is_plain))
    }
}

/// Whether an address is one on the public Internet: not private, of this machine or link, shared,
/// for documentation or tests, multicast, reserved, or a way to any of these.
#[must_use]
pub fn is_public(at: IpAddr) -> bool {
    match at {
        IpAddr::V4(at) => is_public_v4(at),
        IpAddr::V6(at) => match at.to_ipv4_mapped() {
            Some(at) => is_public_v4(at),
            None => is_public_v6(at),
        },
    }
}

/// First address and length of the blocks that are not public (IANA's registry of special-purpose
/// addresses, multicast, and what is reserved).
const NOT_PUBLIC_V4: [([u8; 4], u32); 16] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    // Link-local; where clouds answer questions about the machine itself.
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 31, 196, 0], 24),
    ([192, 52, 193, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    // Multicast, reserved, broadcast.
    ([224, 0, 0, 0], 3),
];

fn is_public_v4(at: Ipv4Addr) -> bool {
    let within = |(first, length): &([u8; 4], u32)| {
        (at.to_bits() ^ u32::from_be_bytes(*first)).leading_zeros() >= *length
    };
    // A cloud's own services, in an address that is public by itself.
    !NOT_PUBLIC_V4.iter().any(within) && at != Ipv4Addr::new(168, 63, 129, 16)
}

/// The same of IPv6, within what is given out at all (2000::/3).
const NOT_PUBLIC_V6: [([u16; 8], u32); 5] = [
    // Protocols: Teredo and others that lead elsewhere.
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    // 6to4: holds an IPv4 address.
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    ([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];

fn is_public_v6(at: Ipv6Addr) -> bool {
    let within = |first: [u16; 8], length: u32| {
        (at.to_bits() ^ Ipv6Addr::from(first).to_bits()).leading_zeros() >= length
    };
    within([0x2000, 0, 0, 0, 0, 0, 0, 0], 3)
        && !NOT_PUBLIC_V6.iter().any(|(first, length)| within(*first, *length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_inside_is_not_public_in_whatever_form() {
        for inside in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.168.1.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "100::1",
            "2001::1",
            "2001:1ff:ffff::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(at(inside)), "{inside}");
            assert!(!Reach::default().may_go_to(at(inside), false), "{inside}");
        }
    }

    #[test]
    fn what_lies_just_beside_is_public() {
        for outside in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "::ffff:1.1.1.1",
            "2001:200::1",
            "2606:4700::1111",
            "2a00:1450:4001::1",
        ] {
            assert!(is_public(at(outside)), "{outside}");
            assert!(Reach::default().may_go_to(at(outside), false), "{outside}");
        }
    }

    #[test]
    fn without_tls_only_this_machine_and_only_where_that_is_allowed() {
        let all = Reach { allow_private: true };
        for (text, by_tls, plain) in [
            ("127.0.0.1", true, true),
            ("::1", true, true),
            ("::ffff:127.0.0.1", true, true),
            ("10.0.0.1", true, false),
            ("1.1.1.1", true, false),
        ] {
            assert_eq!(all.may_go_to(at(text), false), by_tls, "{text}");
            assert_eq!(all.may_go_to(at(text), true), plain, "{text}");
            assert!(!Reach::default().may_go_to(at(text), true), "{text}");
        }
    }

    #[test]
    fn one_address_inside_spoils_a_name_and_so_does_none() {
        let sockets = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| (at(text), 443).into()).collect()
        };
        let may = |texts| Reach::default().may_go_to_all(&sockets(texts), false);
        assert!(may(&["1.1.1.1", "2606:4700::1111"]));
        assert!(!may(&["1.1.1.1", "127.0.0.1"]) && !may(&["::1", "1.1.1.1"]) && !may(&[]));
    }
}

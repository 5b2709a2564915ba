//! What a certificate says: how long it is valid, and whose it is. Reads its bytes (DER, RFC 5280)
//! only as far as that; whether it is genuine is for rustls, before anybody asks for the name.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// What is known of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// From when it is valid, and until when: unix seconds.
    pub begins_at: i64,
    pub ends_at: i64,
    /// Whose it is: the first URI among its alternative names, else the first DNS name, else the
    /// common name of its subject. One whose names are none of ours has none.
    pub name: Option<String>,
}

/// Longest name.
const NAME_BYTES: usize = 255;

// Tags.
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const BOOLEAN: u8 = 0x01;
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;

/// 2.5.29.17, the alternative names; 2.5.4.3, the common name.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Reads a certificate; `None` if it has not the form of one.
pub(super) fn read(der: &[u8]) -> Option<Known> {
    let mut signed = Reader(Reader(der).take(SEQUENCE)?);
    let mut body = Reader(signed.take(SEQUENCE)?);
    body.skip_if(VERSION);
    body.take(INTEGER)?;
    // Algorithm and issuer.
    body.take(SEQUENCE)?;
    body.take(SEQUENCE)?;
    let mut validity = Reader(body.take(SEQUENCE)?);
    let (begins_at, ends_at) = (validity.time()?, validity.time()?);
    let subject = body.take(SEQUENCE)?;
    // The public key; unique ids, which nobody has.
    body.take(SEQUENCE)?;
    let mut extensions = None;
    while let Some((tag, value)) = body.next() {
        if tag == EXTENSIONS {
            extensions = Some(value);
        }
    }
    let alternative = match extensions {
        None => None,
        Some(extensions) => alternative_names(Reader(extensions).take(SEQUENCE)?)?,
    };
    let name = match alternative {
        Some(names) => first(names, URI).or_else(|| first(names, DNS_NAME)),
        None => None,
    };
    let name = name.or_else(|| common_name(subject));
    Some(Known { begins_at, ends_at, name })
}

/// The alternative names among extensions, if they are there; `None` for what cannot be read.
fn alternative_names(extensions: &[u8]) -> Option<Option<&[u8]>> {
    let mut all = Reader(extensions);
    while !all.0.is_empty() {
        let mut extension = Reader(all.take(SEQUENCE)?);
        let id = extension.take(OID)?;
        extension.skip_if(BOOLEAN);
        let value = extension.take(OCTETS)?;
        if id == ALTERNATIVE_NAMES {
            return Some(Some(Reader(value).take(SEQUENCE)?));
        }
    }
    Some(None)
}

/// The first name of a kind that can be one.
fn first(names: &[u8], kind: u8) -> Option<String> {
    let mut names = Reader(names);
    while let Some((tag, value)) = names.next() {
        if tag == kind
            && let Some(name) = text(value)
        {
            return Some(name);
        }
    }
    None
}

fn common_name(subject: &[u8]) -> Option<String> {
    let mut parts = Reader(subject);
    while !parts.0.is_empty() {
        let mut of = Reader(parts.take(SET)?);
        while !of.0.is_empty() {
            let mut pair = Reader(of.take(SEQUENCE)?);
            let id = pair.take(OID)?;
            let (_, value) = pair.next()?;
            if id == COMMON_NAME {
                // A URI among the alternative names is another kind of name, and none may pass for
                // one.
                return text(value).filter(|name| !name.contains("://"));
            }
        }
    }
    None
}

/// A name as text: short, and of letters that look the same to everybody.
fn text(bytes: &[u8]) -> Option<String> {
    let is_plain = bytes.iter().all(|byte| (b' '..=b'~').contains(byte));
    let fits = (1..=NAME_BYTES).contains(&bytes.len()) && is_plain;
    let name = fits.then(|| str::from_utf8(bytes).ok()).flatten()?;
    Some(name.to_owned()).filter(|name| name.trim() == name)
}

/// Values one behind the other, each with its tag and its length.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next value, whatever its tag.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&length, rest) = rest.split_first()?;
        let (length, rest) = match length {
            0..0x80 => (usize::from(length), rest),
            // How many bytes of length follow: four are 4 GiB.
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
                let length = bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                (length, rest)
            }
            0x80 | 0x85..=0xff => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    /// The next value, which must have this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, value)| value)
    }

    fn skip_if(&mut self, tag: u8) {
        if self.0.first() == Some(&tag) {
            self.next();
        }
    }

    /// A time: `YYMMDDHHMMSSZ`, where 50 is 1950, or `YYYYMMDDHHMMSSZ`.
    fn time(&mut self) -> Option<i64> {
        let (tag, value) = self.next()?;
        let digits = value.strip_suffix(b"Z")?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let number = |digits: &[u8]| {
            digits.iter().fold(0i16, |sum, digit| sum * 10 + i16::from(digit - b'0'))
        };
        let (year, rest) = match (tag, digits.len()) {
            (UTC_TIME, 12) => {
                let year = number(&digits[..2]);
                (if year < 50 { 2_000 + year } else { 1_900 + year }, &digits[2..])
            }
            (GENERALIZED_TIME, 14) => (number(&digits[..4]), &digits[4..]),
            (_, _) => return None,
        };
        let part = |at: usize| i8::try_from(number(&rest[at..at + 2])).ok();
        let (month, day, hour) = (part(0)?, part(2)?, part(4)?);
        let at = DateTime::new(year, month, day, hour, part(6)?, part(8)?, 0).ok()?;
        Some(TimeZone::UTC.to_timestamp(at).ok()?.as_second())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};

    fn certificate(common_name: &str, names: &[SanType]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Example AG");
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names = names.to_vec();
        (params.not_before, params.not_after) =
            (date_time_ymd(2026, 11, 29), date_time_ymd(2051, 2, 28));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().unwrap())
    }

    fn uri(name: &str) -> SanType {
        SanType::URI(name.try_into().unwrap())
    }

    #[test]
    fn a_name_is_the_first_uri_else_the_first_dns_name_else_the_common_name() {
        let name =
            |common: &str, names: &[SanType]| read(&certificate(common, names)).unwrap().name;
        let id = "spiffe://example.org/facilitator";
        let ip = SanType::IpAddress([127, 0, 0, 1].into());
        assert_eq!(name("acme", &[dns("a.example"), uri(id)]).as_deref(), Some(id));
        assert_eq!(
            name("acme", &[ip.clone(), dns("a.example"), dns("b.example")]).as_deref(),
            Some("a.example")
        );
        assert_eq!(name("acme", &[]).as_deref(), Some("acme"));
        assert_eq!(name("acme", &[ip]).as_deref(), Some("acme"));
        // What one authority would not have signed as a URI is none as a common name.
        for bad in [id, "", " acme", "acm\u{e9}", "ac\u{7}me", &"a".repeat(256)] {
            assert_eq!(name(bad, &[]), None, "{bad:?}");
        }
    }

    #[test]
    fn times_are_read_in_both_forms() {
        let known = read(&certificate("acme", &[])).unwrap();
        // 2026-11-29 as UTCTime, 2051-02-28 as GeneralizedTime.
        assert_eq!((known.begins_at, known.ends_at), (1_795_910_400, 2_561_155_200));
    }

    #[test]
    fn bytes_that_are_no_certificate_are_none_and_never_more() {
        let good = certificate("acme", &[dns("a.example")]);
        for length in 0..good.len() {
            assert_eq!(read(&good[..length]), None, "cut at {length}");
        }
        // Whatever is wrong inside, nothing worse comes of it than no answer or another name.
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let _ = read(&bad);
            }
        }
        assert_eq!(read(&[0x30, 0x80]), None);
        assert_eq!(read(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}

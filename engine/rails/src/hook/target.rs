//! Where a webhook is sent: an address as its owner writes it.

use super::reach::Reach;
use std::net::IpAddr;
use tallystick_ledger::limits::HOOK_URL_BYTES_MAX;
use ureq::http::Uri;

/// An address that a webhook may be sent to, as far as that can be told without looking it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub(super) uri: Uri,
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum TargetMisfit {
    #[error("url is not one: expected https://HOST/PATH, of letters, digits and signs")]
    NotOne,
    #[error("url has {length} bytes, the limit is {limit}")]
    TooLong { length: usize, limit: usize },
    #[error("url must begin with https://, so that nobody on the way reads what is sent")]
    Plain,
    #[error(
        "url must not hold a name or a password before the host, or a #: put what the receiver needs into the path"
    )]
    Parts,
    #[error(
        "url leads to an address that is not public: nothing is sent to what is inside, unless the engine's \
         configuration says so ([webhooks] allow_private)"
    )]
    Inside,
}

impl Target {
    /// Reads an address.
    ///
    /// # Errors
    /// `TargetMisfit`.
    pub fn read(text: &str, reach: Reach) -> Result<Self, TargetMisfit> {
        let (length, limit) = (text.len(), HOOK_URL_BYTES_MAX);
        if length > limit {
            return Err(TargetMisfit::TooLong { length, limit });
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TargetMisfit::NotOne);
        }
        let uri: Uri = text.parse().map_err(|_| TargetMisfit::NotOne)?;
        let is_plain = match uri.scheme_str() {
            Some("https") => false,
            Some("http") if reach.allow_private => true,
            Some("http") => return Err(TargetMisfit::Plain),
            Some(_) | None => return Err(TargetMisfit::NotOne),
        };
        let authority = uri.authority().ok_or(TargetMisfit::NotOne)?;
        if text.contains('#') || authority.as_str().contains('@') {
            return Err(TargetMisfit::Parts);
        }
        let host = authority.host();
        if host.is_empty() || uri.port().is_some() && uri.port_u16().is_none_or(|port| port == 0) {
            return Err(TargetMisfit::NotOne);
        }
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(at) = bare.parse::<IpAddr>()
            && !reach.may_go_to(at, is_plain)
        {
            return Err(TargetMisfit::Inside);
        }
        if bare.eq_ignore_ascii_case("localhost") && !reach.allow_private {
            return Err(TargetMisfit::Inside);
        }
        Ok(Self { uri })
    }

    /// Whether it is reached without TLS.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.uri.scheme_str() == Some("http")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_to_a_host_and_nothing_hidden() {
        let read = |text: &str| Target::read(text, Reach::default()).map(|target| target.uri);
        for good in [
            "https://shop.example/hooks",
            "https://shop.example",
            "https://shop.example:8443/a?b=c",
            "https://1.1.1.1/x",
            "https://[2606:4700::1111]/x",
        ] {
            assert!(read(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("", TargetMisfit::NotOne),
            ("shop.example/hooks", TargetMisfit::NotOne),
            ("ftp://shop.example", TargetMisfit::NotOne),
            ("https:///x", TargetMisfit::NotOne),
            ("https://shop.example/a b", TargetMisfit::NotOne),
            ("https://shop.example/ä", TargetMisfit::NotOne),
            ("https://shop.example:0/", TargetMisfit::NotOne),
            ("http://shop.example/", TargetMisfit::Plain),
            ("https://ann:pw@shop.example/", TargetMisfit::Parts),
            ("https://shop.example/#x", TargetMisfit::Parts),
            ("https://127.0.0.1/", TargetMisfit::Inside),
            ("https://localhost/", TargetMisfit::Inside),
            ("https://[::1]/", TargetMisfit::Inside),
            ("https://[::ffff:169.254.169.254]/latest", TargetMisfit::Inside),
            ("https://10.1.2.3:8443/", TargetMisfit::Inside),
        ] {
            assert_eq!(read(bad), Err(why), "{bad}");
        }
        let long = format!("https://shop.example/{}", "a".repeat(HOOK_URL_BYTES_MAX));
        assert!(matches!(read(&long), Err(TargetMisfit::TooLong { .. })));
    }

    #[test]
    fn for_a_try_out_this_machine_needs_no_tls() {
        let read = |text: &str| Target::read(text, Reach { allow_private: true });
        assert!(read("http://127.0.0.1:8080/x").unwrap().is_plain());
        assert!(!read("https://10.1.2.3/x").unwrap().is_plain());
        assert_eq!(read("http://10.1.2.3/x"), Err(TargetMisfit::Inside));
    }
}

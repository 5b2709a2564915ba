//! What a request must carry before it is looked at: that it comes from a page of this listener,
//! and from no other, whatever a browser was talked into.

use super::answers::Told;
use crate::config::ConsoleName;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use std::net::SocketAddr;
use tonic::Code;

/// Who sends it is a page: no form of another site can.
const OURS: &str = "x-tallystick-console";
/// Nobody asked for this: the page did by itself.
const BY_ITSELF: &str = "x-tallystick-auto";

/// The login that a page is of, which no other listener of this host is told: a cookie is sent to
/// all of them.
pub(super) const OF_PAGE: &str = "x-tallystick-login";
/// Where a browser that asks for events sends no headers.
const LIVE: &str = "/api/live";
/// Whose page has a browser ask, where that browser says so.
const WHOSE: &str = "sec-fetch-site";

/// Where the console is.
pub(super) struct Place {
    address: SocketAddr,
    tls: bool,
    cookie: String,
    /// What those from elsewhere call it.
    name: Option<ConsoleName>,
}

impl Place {
    pub fn new(address: SocketAddr, tls: bool, name: Option<ConsoleName>) -> Self {
        // Browsers keep cookies by host, and there may be two engines on one.
        let own = format!("tallystick_{}", address.port());
        let cookie = if tls { format!("__Host-{own}") } else { own };
        Self { address, tls, cookie, name }
    }

    /// Where a browser finds it: by its name, or on this machine.
    pub fn address(&self) -> String {
        let scheme = self.scheme();
        if let Some(name) = &self.name {
            return format!("{scheme}://{}", name.with_port(self.address.port()));
        }
        match self.address.ip().is_unspecified() {
            true => format!("{scheme}://localhost:{}", self.address.port()),
            false => format!("{scheme}://{}", self.address),
        }
    }

    fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// What a browser is told to send from now on for so many seconds; 0: no more.
    pub fn set_cookie(&self, text: &str, seconds: i64) -> String {
        let secure = if self.tls { "; Secure" } else { "" };
        let name = &self.cookie;
        format!("{name}={text}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
    }

    /// What it sends: there may be several of this name, since whatever listens on this host sets
    /// cookies for all of it.
    pub fn cookies<'a>(&self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
        let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = all.flat_map(|all| all.split(';')).filter_map(|pair| pair.split_once('='));
        let own = pairs.filter(move |(name, _)| name.trim() == self.cookie);
        own.map(|(_, value)| value.trim())
    }

    /// Whether this is a name of this listener. In plain text it is this machine only: another name
    /// that leads here is a stranger's, whose page reads what its own host answers. With TLS the
    /// certificate says who this is.
    fn is_host(&self, host: &str) -> bool {
        if self.tls {
            return !host.is_empty();
        }
        let port = format!(":{}", self.address.port());
        let name = host.strip_suffix(&port).unwrap_or(host);
        name.eq_ignore_ascii_case("localhost")
            || name == "[::1]"
            || name.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// Whether somebody asked for this themselves, and is there. What is only read, a page reads by
/// itself.
pub(super) fn is_by_a_person(head: &Parts) -> bool {
    head.method == Method::POST && !head.headers.contains_key(BY_ITSELF)
}

/// What a page sends beside the cookie: a header, or, where it can send none, in the query.
pub(super) fn of_page(head: &Parts) -> Option<&str> {
    if let Some(value) = head.headers.get(OF_PAGE) {
        return Some(value.to_str().unwrap_or_default());
    }
    let is_live = head.uri.path() == LIVE;
    let query = head.uri.query().filter(|_| is_live)?;
    query.split('&').find_map(|pair| pair.strip_prefix("login="))
}

/// Whether a request is one of a page of this listener.
///
/// # Errors
/// What is told otherwise.
pub(super) fn check(head: &Parts, place: &Place) -> Result<(), Told> {
    let text = |name: header::HeaderName| {
        head.headers.get(name).map(|value| value.to_str().unwrap_or_default())
    };
    let refused = |why: String| Err(Told::of(Code::PermissionDenied, why));
    let host = text(header::HOST).unwrap_or_default();
    if !place.is_host(host) {
        return refused(format!(
            "the console is not called {host:?} here: use {}",
            place.address()
        ));
    }
    if let Some(origin) = text(header::ORIGIN)
        && origin != format!("{}://{host}", place.scheme())
    {
        return refused(format!("a page of {origin:?} may not ask here"));
    }
    // A browser sends no origin with what it only reads. Another port of this host is of the same
    // site.
    let whose = head.headers.get(WHOSE).map(|value| value.to_str().unwrap_or_default());
    if let Some(whose) = whose.filter(|whose| !["same-origin", "none"].contains(whose)) {
        return refused(format!("a page of another place ({WHOSE}: {whose:?}) may not ask here"));
    }
    if head.method != Method::POST {
        return Ok(());
    }
    let kind = text(header::CONTENT_TYPE).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        return refused("send content-type: application/json".to_owned());
    }
    if head.headers.get(OURS).is_none_or(|value| value != "1") {
        return refused(format!("send {OURS}: 1, which only a page of the console does"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn place(tls: bool) -> Place {
        Place::new("127.0.0.1:7480".parse().unwrap(), tls, None)
    }

    fn checked(place: &Place, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::post("/api/login");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap().into_parts().0, place).is_ok()
    }

    #[test]
    fn only_pages_of_this_listener_ask() {
        let (json, ours) = (("content-type", "application/json"), ("x-tallystick-console", "1"));
        let plain = place(false);
        for host in ["127.0.0.1:7480", "localhost:7480", "[::1]:7480"] {
            let origin = format!("http://{host}");
            assert!(checked(&plain, &[json, ours, ("host", host)]), "{host}");
            assert!(checked(&plain, &[json, ours, ("host", host), ("origin", &origin)]));
        }
        let here = ("host", "127.0.0.1:7480");
        for wrong in [
            &[json, ours][..],
            &[json, ours, ("host", "evil.example:7480")],
            &[json, ours, ("host", "127.0.0.1.evil.example:7480")],
            &[json, ours, here, ("origin", "http://evil.example")],
            &[json, ours, here, ("origin", "https://127.0.0.1:7480")],
            &[json, ours, here, ("origin", "http://127.0.0.1:7481")],
            &[json, ours, here, ("origin", "null")],
            &[json, ours, here, ("sec-fetch-site", "same-site")],
            &[json, here],
            &[ours, here],
            &[("content-type", "text/plain"), ours, here],
        ] {
            assert!(!checked(&plain, wrong), "{wrong:?}");
        }
        let secure = place(true);
        let host = ("host", "desk.example");
        assert!(checked(&secure, &[json, ours, host, ("origin", "https://desk.example")]));
        assert!(!checked(&secure, &[json, ours, host, ("origin", "http://desk.example")]));
    }

    #[test]
    fn a_cookie_is_for_this_listener_and_no_script() {
        let (plain, secure) = (place(false), place(true));
        let set = plain.set_cookie("ab", 60);
        assert_eq!(set, "tallystick_7480=ab; Path=/; Max-Age=60; HttpOnly; SameSite=Strict");
        assert!(secure.set_cookie("ab", 60).starts_with("__Host-tallystick_7480=ab; Path=/;"));
        assert!(secure.set_cookie("ab", 60).ends_with("; Secure"));
        let mut headers = HeaderMap::new();
        headers.append("cookie", "a=b; tallystick_7481=no".parse().unwrap());
        assert_eq!(plain.cookies(&headers).next(), None);
        let set = "xtallystick_7480=no; tallystick_7480=yes; tallystick_7480=another's";
        headers.append("cookie", set.parse().unwrap());
        assert_eq!(plain.cookies(&headers).collect::<Vec<_>>(), ["yes", "another's"]);
    }
}

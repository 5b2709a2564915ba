//! The pages: files of the crate that embeds them, packed where the browser takes that.

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tallystick_console::{File, file};

/// In a debug build: a folder whose files are served in place of those that are embedded.
#[cfg(debug_assertions)]
const FOLDER: &str = "TALLYSTICK_CONSOLE_DIR";

/// A page, or whatever belongs to it.
pub(super) fn answer(head: &Parts) -> Response {
    if head.method != Method::GET && head.method != Method::HEAD {
        return (StatusCode::METHOD_NOT_ALLOWED, "pages are only read\n").into_response();
    }
    let Some(file) = file(head.uri.path()) else {
        return from_folder(head.uri.path(), None);
    };
    #[cfg(debug_assertions)]
    if std::env::var_os(FOLDER).is_some() {
        return from_folder(head.uri.path(), Some(file.kind));
    }
    let known = head.headers.get_all(header::IF_NONE_MATCH).iter();
    let mut known = known.filter_map(|value| value.to_str().ok()).flat_map(|all| all.split(','));
    let is_known = known.any(|tag| tag.trim().trim_start_matches("W/") == file.etag);
    let (bytes, packed) = packed(file, &head.headers);
    let mut answer = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Response::new(Body::from(bytes)),
    };
    let headers = answer.headers_mut();
    let mut say = |name, value| headers.insert(name, HeaderValue::from_static(value));
    say(header::ETAG, file.etag);
    say(header::CACHE_CONTROL, "no-cache");
    say(header::VARY, "accept-encoding");
    if !is_known {
        say(header::CONTENT_TYPE, file.kind);
        if let Some(packed) = packed {
            say(header::CONTENT_ENCODING, packed);
        }
    }
    answer
}

fn packed(file: &File, headers: &HeaderMap) -> (&'static [u8], Option<&'static str>) {
    let all = headers.get_all(header::ACCEPT_ENCODING).iter();
    let all: Vec<&str> = all.filter_map(|value| value.to_str().ok()).collect();
    let takes = |name: &str| {
        all.iter().flat_map(|all| all.split(',')).any(|one| {
            let (of, quality) = one.split_once(';').unwrap_or((one, ""));
            let refused = ["q=0", "q=0.0", "q=0.00", "q=0.000"].contains(&quality.trim());
            of.trim().eq_ignore_ascii_case(name) && !refused
        })
    };
    match (file.brotli.filter(|_| takes("br")), file.gzip.filter(|_| takes("gzip"))) {
        (Some(bytes), _) => (bytes, Some("br")),
        (None, Some(bytes)) => (bytes, Some("gzip")),
        (None, None) => (file.plain, None),
    }
}

fn nothing() -> Response {
    (StatusCode::NOT_FOUND, "there is no such page\n").into_response()
}

#[cfg(not(debug_assertions))]
fn from_folder(_: &str, _: Option<&'static str>) -> Response {
    nothing()
}

/// For whoever writes pages: no build between a change and a look.
#[cfg(debug_assertions)]
fn from_folder(path: &str, kind: Option<&'static str>) -> Response {
    let path = if path == "/" { "/index.html" } else { path };
    let end = path.rsplit('.').next().unwrap_or_default();
    let of_end = |file: &&File| file.path.rsplit('.').next() == Some(end);
    let known = tallystick_console::FILES.iter().find(of_end).map(|file| file.kind);
    let kind = kind.or(known).unwrap_or(match end {
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        _ => "text/plain; charset=utf-8",
    });
    let is_plain = path.split('/').skip(1).all(|part| !part.is_empty() && !part.starts_with('.'));
    let folder = std::env::var_os(FOLDER).filter(|_| is_plain);
    let bytes = folder.map(|folder| std::path::Path::new(&folder).join(&path[1..]));
    match bytes.and_then(|path| std::fs::read(path).ok()) {
        Some(bytes) => {
            ([("content-type", kind), ("cache-control", "no-store")], bytes).into_response()
        }
        None => nothing(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;
    use http_body_util::BodyExt as _;

    fn asked(headers: &[(&str, &str)]) -> Response {
        let mut request = Request::get("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(&request.body(()).unwrap().into_parts().0)
    }

    #[tokio::test]
    async fn a_page_is_packed_as_the_browser_takes_it_and_not_sent_twice() {
        let of = file("/").unwrap();
        for (takes, packed, bytes) in [
            ("gzip, deflate, br", Some("br"), of.brotli),
            ("gzip, br;q=0", Some("gzip"), of.gzip),
            ("identity", None, Some(of.plain)),
        ] {
            let answer = asked(&[("accept-encoding", takes)]);
            let said =
                answer.headers().get("content-encoding").map(|value| value.to_str().unwrap());
            assert_eq!(said, packed, "{takes}");
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(Some(&body[..]), bytes, "{takes}");
        }
        let again = asked(&[("if-none-match", &format!("\"other\", {}", of.etag))]);
        assert_eq!(again.status(), 304);
        assert_eq!(again.headers()["etag"], of.etag);
        assert!(again.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
}

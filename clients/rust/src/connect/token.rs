//! The caller's token: from a file or the environment, put on every call. It travels as it is, so
//! it goes nowhere where others could read it on the way; one that is signed for the call lives for
//! minutes, and goes nowhere else either.

use super::ConnectError;
use super::address::Address;
use super::signed::IdentityKey;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use tonic::metadata::errors::InvalidMetadataValue;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// The token, when it is not in a file.
pub const VARIABLE: &str = "TALLYSTICK_TOKEN";

/// Puts the caller's token on every call, if there is one.
#[derive(Clone, Default)]
pub struct Token(Is);

#[derive(Clone, Default)]
enum Is {
    #[default]
    Absent,
    Fixed(MetadataValue<Ascii>),
    /// A new one is signed for each call.
    Signed(Arc<IdentityKey>),
}

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = self.now() {
            request.metadata_mut().insert("authorization", token);
        }
        Ok(request)
    }
}

impl Token {
    /// What stands in `authorization` of a call that is made now.
    pub(crate) fn now(&self) -> Option<MetadataValue<Ascii>> {
        match &self.0 {
            Is::Absent => None,
            Is::Fixed(token) => Some(token.clone()),
            Is::Signed(key) => Some(header(&key.token()).expect("a signed token is plain text")),
        }
    }

    /// The token given, or from the file named, or the environment.
    pub(crate) fn load(given: Option<&str>, file: Option<&Path>) -> Result<Self, ConnectError> {
        if let Some(given) = given {
            return Ok(Self::of(given)?.unwrap_or_default());
        }
        let Some(path) = file else {
            return Ok(Self::of(&std::env::var(VARIABLE).unwrap_or_default())?.unwrap_or_default());
        };
        let text = read_private(path)?;
        if IdentityKey::looks_like_one(&text) {
            let key = Arc::new(IdentityKey::read(&text, path)?);
            return Ok(Self(Is::Signed(key)));
        }
        Self::of(&text)?.ok_or_else(|| {
            ConnectError::Input(format!(
                "{} is empty; `tallystick access add` makes a key, `tallystick operator token` a token",
                path.display()
            ))
        })
    }

    fn of(text: &str) -> Result<Option<Self>, ConnectError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let bad = |_| ConnectError::Input("the token is no line of plain text".to_owned());
        Ok(Some(Self(Is::Fixed(header(text).map_err(bad)?))))
    }

    /// A token goes to another machine only under TLS.
    pub(crate) fn check_way(&self, address: &Address) -> Result<(), ConnectError> {
        if matches!(self.0, Is::Absent) || address.is_tls() || address.is_here() {
            return Ok(());
        }
        let (host, port) = (address.host(), address.port());
        Err(ConnectError::Input(format!(
            "your token would be sent to {host} where anybody on the way can read it; if the engine speaks \
             TLS, write --server https://{host}:{port}, else reach it through a tunnel (ssh -L \
             7450:127.0.0.1:7450 {host}) and --server 127.0.0.1:7450"
        )))
    }
}

fn header(token: &str) -> Result<MetadataValue<Ascii>, InvalidMetadataValue> {
    let mut header: MetadataValue<Ascii> = format!("Bearer {token}").parse()?;
    header.set_sensitive(true);
    Ok(header)
}

/// A file's text. That others may read it is said, not refused: the secret is what the command is
/// for.
pub(crate) fn read_private(path: &Path) -> Result<String, ConnectError> {
    let failed = |source| ConnectError::File { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        eprintln!("warning: others may read {}: chmod 600 it", path.display());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_another_machine_under_tls_only() {
        let token = Token::of("abc\n").unwrap().unwrap();
        let address = |text: &str| Address::read(text, false).unwrap();
        for good in ["127.0.0.1", "127.9.9.9:1", "localhost", "[::1]", "https://clearing.example"] {
            assert!(token.check_way(&address(good)).is_ok(), "{good}");
        }
        for away in ["10.0.0.1", "clearing.example", "[2001:db8::1]", "127.0.0.1.example"] {
            let refused = token.check_way(&address(away));
            let text = refused.unwrap_err().to_string();
            assert!(text.contains("tunnel") && text.contains("https://"), "{away}: {text}");
            assert!(Token::default().check_way(&address(away)).is_ok(), "without a token anybody");
        }
    }

    #[test]
    fn a_token_is_a_line_of_text() {
        assert!(Token::of(" \n").unwrap().is_none());
        let bad = Token::of("a\u{7}b").err().map(|error| error.to_string());
        assert!(bad.is_some_and(|text| text.contains("plain text")));
    }
}

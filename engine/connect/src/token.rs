//! The operator's token: from a file or the environment, put on every operator's call. It travels
//! as it is, so it goes nowhere where others could read it on the way.

use crate::ConnectError;
use crate::address::Address;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// The operator's token, when it is not in a file.
pub const VARIABLE: &str = "TALLYSTICK_TOKEN";

/// Puts the operator's token on every call, if there is one.
#[derive(Clone, Default)]
pub struct Token(Option<MetadataValue<Ascii>>);

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl Token {
    /// From the file named, or the environment.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, ConnectError> {
        let Some(path) = file else {
            return Ok(Self::of(&std::env::var(VARIABLE).unwrap_or_default())?.unwrap_or_default());
        };
        Self::of(&read_private(path)?)?.ok_or_else(|| {
            ConnectError::Input(format!(
                "{} is empty; `tallystick operator token` makes a token",
                path.display()
            ))
        })
    }

    fn of(text: &str) -> Result<Option<Self>, ConnectError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let bad =
            |_| ConnectError::Input("the operator's token is no line of plain text".to_owned());
        let mut header: MetadataValue<Ascii> = format!("Bearer {text}").parse().map_err(bad)?;
        header.set_sensitive(true);
        Ok(Some(Self(Some(header))))
    }

    /// A token goes to another machine only under TLS.
    pub(crate) fn check_way(&self, address: &Address) -> Result<(), ConnectError> {
        if self.0.is_none() || address.is_tls() || address.is_here() {
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
            assert!(Token(None).check_way(&address(away)).is_ok(), "without a token anybody");
        }
    }

    #[test]
    fn a_token_is_a_line_of_text() {
        assert!(Token::of(" \n").unwrap().is_none());
        let bad = Token::of("a\u{7}b").err().map(|error| error.to_string());
        assert!(bad.is_some_and(|text| text.contains("plain text")));
    }
}

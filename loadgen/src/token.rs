//! The operator's token: from a file or the environment, put on every operator call. It travels as
//! it is, so it never leaves this machine.

use crate::error::Error;
use clap::Args;
use std::path::PathBuf;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// The operator's token, when it is not in a file.
const VARIABLE: &str = "TALLYSTICK_TOKEN";

/// Where the token is.
#[derive(Debug, Clone, Default, Args)]
pub struct TokenArgs {
    /// File with an operator's token, where the engine has operators; else TALLYSTICK_TOKEN is
    /// used.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// The token, if there is one.
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
    /// For the engine at `server`.
    ///
    /// # Errors
    /// When the file cannot be read or holds no token, or the engine is on another machine.
    pub fn load(args: &TokenArgs, server: &str) -> Result<Self, Error> {
        let text =
            match &args.token_file {
                Some(path) => Some(std::fs::read_to_string(path).map_err(|source| {
                    Error::File { doing: "cannot read", path: path.clone(), source }
                })?),
                None => std::env::var(VARIABLE).ok(),
            };
        Self::of(text.as_deref(), args.token_file.is_some(), server)
    }

    fn of(text: Option<&str>, from_file: bool, server: &str) -> Result<Self, Error> {
        let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
            return match from_file {
                false => Ok(Self(None)),
                true => Err(Error::Usage(
                    "the token file is empty; `tallystick operator token` makes a token".into(),
                )),
            };
        };
        let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_here = host == "localhost"
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        if !is_here {
            return Err(Error::Usage(format!(
                "your token would be sent to {host} where anybody on the way can read it; reach the \
                 engine through a tunnel (ssh -L 7450:127.0.0.1:7450 {host}) and --server 127.0.0.1:7450"
            )));
        }
        let bad = |_| Error::Usage("the operator's token is no line of plain text".into());
        let mut header: MetadataValue<Ascii> = format!("Bearer {text}").parse().map_err(bad)?;
        header.set_sensitive(true);
        Ok(Self(Some(header)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_line_of_text_and_never_leaves_this_machine() {
        let of = |text, from_file, server| Token::of(text, from_file, server);
        for here in ["127.0.0.1:7450", "localhost:7450", "[::1]:7450"] {
            assert!(of(Some("abc\n"), true, here).unwrap().0.is_some(), "{here}");
        }
        assert!(of(None, false, "10.0.0.1:7450").unwrap().0.is_none());
        for (text, server, why) in [
            (Some("abc"), "10.0.0.1:7450", "tunnel"),
            (Some(" \n"), "127.0.0.1:7450", "is empty"),
            (Some("a\u{7}b"), "127.0.0.1:7450", "plain text"),
        ] {
            let error = of(text, true, server).err().map(|error| error.to_string());
            assert!(error.is_some_and(|error| error.contains(why)), "{why}");
        }
    }
}

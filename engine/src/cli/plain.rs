//! What the parser of the command line says, in plain words.
//!
//! Owns what is added to its texts: which commands there are where one is not known, and what a
//! number looks like. Everything else is the parser's.

use super::Cli;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Error, Parser as _};
use std::error::Error as _;
use std::ffi::OsString;

/// Reads the program's arguments, or ends it with what is wrong with them.
#[must_use]
pub fn parse() -> Cli {
    let words: Vec<OsString> = std::env::args_os().collect();
    Cli::try_parse_from(&words).unwrap_or_else(|error| told(error, &words).exit())
}

/// The same error, told so that it says what to do.
fn told(mut error: Error, words: &[OsString]) -> Error {
    if error.kind() == ErrorKind::InvalidSubcommand {
        let commands = StyledStr::from(commands(words));
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![commands]));
    }
    if error.kind() == ErrorKind::ValueValidation
        && let Some(text) = no_number(&error)
    {
        return Error::raw(ErrorKind::ValueValidation, text);
    }
    error
}

/// What the library says of a number that is none, and what people are told.
const NUMBERS: [(&str, &str); 5] = [
    ("invalid digit found in string", "expected a whole number"),
    ("cannot parse integer from empty string", "expected a whole number"),
    ("number too large to fit in target type", "expected a smaller number"),
    ("invalid float literal", "expected a number"),
    ("cannot parse float from empty string", "expected a number"),
];

/// The commands that there are where the first word stands that is none.
fn commands(words: &[OsString]) -> String {
    let (mut command, mut path) = (Cli::command(), "tallystick".to_owned());
    for word in words.iter().skip(1) {
        let Some(inner) = word.to_str().and_then(|word| command.find_subcommand(word)) else {
            continue;
        };
        path = format!("{path} {}", inner.get_name());
        command = inner.clone();
    }
    let names = command.get_subcommands().map(|inner| inner.get_name().to_owned());
    format!("the commands of '{path}' are {}", names.collect::<Vec<_>>().join(", "))
}

/// What to say where a number is needed and something else was given.
fn no_number(error: &Error) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        Some(_) | None => None,
    };
    let why = error.source()?.to_string();
    let (_, expected) = NUMBERS.iter().find(|(said, _)| *said == why)?;
    let (argument, value) = (text(ContextKind::InvalidArg)?, text(ContextKind::InvalidValue)?);
    Some(format!(
        "invalid value '{value}' for '{argument}': {expected}, got {value:?}\n\nFor more information, try \
         '--help'.\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> String {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        told(Cli::try_parse_from(&words).unwrap_err(), &words).to_string()
    }

    /// `party delete` was answered with "unrecognized subcommand", and nothing of those there are.
    #[test]
    fn where_a_command_is_not_known_those_there_are_are_named() {
        let asset = said("tallystick --server a:1 asset remove 978");
        assert!(asset.contains("the commands of 'tallystick asset' are add, list"), "{asset}");
        let key = said("tallystick operator key rotate");
        let wanted = "the commands of 'tallystick operator key' are new, set, remove, list";
        assert!(key.contains(wanted), "{key}");
        let top = said("tallystick srve");
        assert!(top.contains("'serve'") || top.contains("are serve, party"), "{top}");
    }

    #[test]
    fn where_a_number_is_needed_it_is_said() {
        for line in [
            "tallystick party list --limit x",
            "tallystick trouble ack x --note y",
            "tallystick asset add --number EUR --code EUR --scale 6 --model bilateral",
        ] {
            let text = said(line);
            assert!(text.contains(": expected a whole number, got "), "{text}");
        }
        let text = said("tallystick trouble ack 99999999999999999999 --note y");
        assert!(text.contains("expected a smaller number"), "{text}");
        let others = said("tallystick party show x");
        assert!(others.contains("expected the id of a party"), "{others}");
    }
}

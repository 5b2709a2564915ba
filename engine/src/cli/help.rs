//! `completions` and `man`: what the tree of commands says of itself, for shells and for readers.

use super::output::{Cell, Output, Record};
use super::{Cli, CliError};
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use std::io::Write as _;
use std::path::PathBuf;

/// Name of the program, as it is typed.
const NAME: &str = "tallystick";

/// Shown with `tallystick completions --help`.
pub const COMPLETIONS_HELP: &str = "\
Examples:
  tallystick completions bash > /etc/bash_completion.d/tallystick
  tallystick completions zsh > ~/.zfunc/_tallystick
  tallystick completions fish > ~/.config/fish/completions/tallystick.fish";

/// Shown with `tallystick man --help`.
pub const MAN_HELP: &str = "\
Example:
  tallystick man --out /usr/local/share/man/man1 && man tallystick

One page for each command: `man tallystick-batch-create`.";

/// `tallystick completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Your shell
    shell: Shell,
}

/// `tallystick man`
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder for the pages; created if it does not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Prints the script.
///
/// # Errors
/// When standard output cannot be written.
pub fn completions(args: &CompletionsArgs) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), NAME, &mut script);
    let mut out = std::io::stdout();
    out.write_all(&script).and_then(|()| out.flush()).map_err(CliError::Output)
}

/// Writes the pages, and says where they are.
///
/// # Errors
/// When a file cannot be written.
pub fn man(args: &ManArgs, json: bool) -> Result<(), CliError> {
    std::fs::create_dir_all(&args.out).map_err(CliError::file(&args.out))?;
    clap_mangen::generate_to(Cli::command(), &args.out).map_err(CliError::file(&args.out))?;
    let record = Record(vec![("folder", Cell::Text(args.out.display().to_string()))]);
    let mut out = Output::new(json);
    out.record(&record, &Default::default())?;
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_shells_know_every_command() {
        let dir = tempfile::tempdir().unwrap();
        man(&ManArgs { out: dir.path().join("man1") }, true).unwrap();
        fn walk(command: &clap::Command, path: &str, visit: &mut dyn FnMut(&str)) {
            let path = format!("{path}{}", command.get_name());
            visit(&path);
            let inner = command.get_subcommands().filter(|inner| inner.get_name() != "help");
            inner.for_each(|inner| walk(inner, &format!("{path}-"), visit));
        }
        let mut script = Vec::new();
        clap_complete::generate(Shell::Bash, &mut Cli::command(), NAME, &mut script);
        let script = String::from_utf8(script).unwrap();
        walk(&Cli::command(), "", &mut |path| {
            let page = dir.path().join("man1").join(format!("{path}.1"));
            let text = std::fs::read_to_string(&page).unwrap_or_default();
            assert!(text.contains(".SH"), "{}", page.display());
            assert!(script.contains(path.rsplit('-').next().unwrap()), "{path}");
        });
    }
}

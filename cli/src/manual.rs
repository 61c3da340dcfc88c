//! `ingest completions` and `ingest man`: shell completions and manual pages, generated from the command definitions.

use crate::Outcome;
use crate::output::out;
use clap::Command;
use clap_complete::Shell;
use std::fs;
use std::path::PathBuf;

/// Prints a completion script for a shell.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ingest completions bash > /etc/bash_completion.d/ingest
  ingest completions zsh > ~/.zfunc/_ingest                 with ~/.zfunc in fpath
  ingest completions fish > ~/.config/fish/completions/ingest.fish")]
pub(crate) struct CompletionsArguments {
    /// Shell for which to generate the script
    shell: Shell,
}

/// Writes manual pages for `ingest` and for each command.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ingest man --out /usr/local/share/man/man1
  ingest man --out man && man man/ingest-send.1")]
pub(crate) struct ManArguments {
    /// Folder for the pages; created if it does not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Prints the completion script of `command` for a shell.
pub(crate) fn complete(mut command: Command, arguments: &CompletionsArguments) -> Outcome {
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    out!("{}", String::from_utf8_lossy(&script))?;
    Ok(true)
}

/// Writes the manual pages of `command` and its subcommands.
pub(crate) fn write_pages(command: Command, arguments: &ManArguments) -> Outcome {
    let failed = |error: std::io::Error| format!("cannot write pages into {}: {error}", arguments.out.display());
    fs::create_dir_all(&arguments.out).map_err(failed)?;
    clap_mangen::generate_to(command.disable_help_subcommand(true), &arguments.out).map_err(failed)?;
    Ok(true)
}

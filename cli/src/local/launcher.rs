//! Ensures that the function's process ends when the tool's process ends, however that happens.
//!
//! Only a process itself can request this from the kernel. So the tool starts itself with a hidden command, which makes the
//! request and then replaces itself with the function (`exec`). The request survives the `exec`.
//! <https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html>
//!
//! The kernel sends the signal when the thread that started the process ends, not the process. So the tool starts functions
//! only on threads that live as long as the tool.

use crate::Outcome;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt, parent_id};
use std::path::PathBuf;
use std::process::Command;

/// Name of the hidden command.
pub(crate) const NAME: &str = "execute-with-parent";

/// Executes a program that is killed when its parent ends.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Process id of the parent
    parent: u32,
    /// The program
    program: PathBuf,
}

/// Returns the start of a command line. The program to execute is appended to it.
pub(super) fn command_line() -> io::Result<Vec<OsString>> {
    let tool = std::env::current_exe()?;
    Ok(vec![tool.into(), NAME.into(), std::process::id().to_string().into()])
}

/// Executes the program. Returns only on failure.
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let Arguments { parent, program } = arguments;
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // if the parent ended before the request, no signal will follow
    if parent_id() != *parent {
        return Err("the parent has ended".into());
    }
    Err(format!("cannot execute {}: {}", program.display(), Command::new(program).exec()).into())
}

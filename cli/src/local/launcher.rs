//! The function's process ends with the tool's, however that ends.
//!
//! Only the process itself can ask the kernel for that, so the tool starts itself with a hidden command: it asks, and then executes the function in its
//! own place, which keeps the request. <https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html>
//!
//! The kernel means the thread that started the process. The tool starts functions on threads that live as long as the tool.

use crate::Outcome;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt, parent_id};
use std::path::PathBuf;
use std::process::Command;

/// The hidden command.
pub(crate) const NAME: &str = "execute-with-parent";

/// Executes a program that is killed when its parent ends.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Process id of the parent
    parent: u32,
    /// The program
    program: PathBuf,
}

/// The command line that executes the program that follows it.
pub(super) fn command_line() -> io::Result<Vec<OsString>> {
    let tool = std::env::current_exe()?;
    Ok(vec![tool.into(), NAME.into(), std::process::id().to_string().into()])
}

/// Executes the program. Returns only if that fails.
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let Arguments { parent, program } = arguments;
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // a parent that had ended before the request ends nothing any more
    if parent_id() != *parent {
        return Err("the parent has ended".into());
    }
    Err(format!("cannot execute {}: {}", program.display(), Command::new(program).exec()).into())
}

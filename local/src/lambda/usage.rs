//! The resource usage of a process, as counted by the kernel.

use std::fs;
use std::io;
use std::time::Duration;

/// Unit of CPU times that the kernel reports to user space, fixed by its ABI: a hundredth of a second.
const TICK: Duration = Duration::from_millis(10);

/// Resources that a process has used since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Peak resident set size, in bytes.
    pub peak_resident_bytes: u64,
    /// CPU time of all its threads, in user and kernel mode, with a resolution of 10 ms.
    pub cpu: Duration,
    /// Number of its `write` and `writev` calls: to files, to sockets, and to wake its own runtime.
    pub writes: u64,
}

impl Usage {
    /// Reads the usage of the running process `pid`.
    ///
    /// # Errors
    /// Returns an error if the process has ended.
    pub fn of(pid: u32) -> io::Result<Self> {
        let unreadable =
            || io::Error::new(io::ErrorKind::InvalidData, "the process has ended or /proc has another form");
        Ok(Self {
            peak_resident_bytes: peak_resident_bytes(&fs::read_to_string(format!("/proc/{pid}/status"))?)
                .ok_or_else(unreadable)?,
            cpu: cpu(&fs::read_to_string(format!("/proc/{pid}/stat"))?).ok_or_else(unreadable)?,
            writes: writes(&fs::read_to_string(format!("/proc/{pid}/io"))?).ok_or_else(unreadable)?,
        })
    }
}

fn peak_resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn cpu(stat: &str) -> Option<Duration> {
    // the command name is in parentheses and may contain anything, so fields are counted from the last parenthesis: utime and
    // stime are the 12th and 13th after it
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11).map(str::parse::<u32>);
    Some(TICK * (fields.next()?.ok()? + fields.next()?.ok()?))
}

fn writes(io: &str) -> Option<u64> {
    io.lines().find_map(|line| line.strip_prefix("syscw:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_has_used_something() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.peak_resident_bytes > 1 << 20, "{usage:?}");
    }

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "42 (a) b (c) S 1 1 1 0 -1 4194304 1 2 3 4 250 50 0 0 20 0 1 0 9 9 9";
        assert_eq!(cpu(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu("42 (a) S 1"), None);
        assert_eq!(peak_resident_bytes("VmPeak:\t9 kB\nVmHWM:\t   12 kB\n"), Some(12_288));
        assert_eq!(peak_resident_bytes("Name:\tgone\n"), None);
        assert_eq!(writes("rchar: 1\nsyscr: 2\nsyscw: 3\n"), Some(3));
    }
}

//! The share of a processor and the memory that Lambda gives a function, by a control group of Linux.

use super::share::Share;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::Duration;

/// Where control groups are mounted.
const ROOT: &str = "/sys/fs/cgroup";
/// The file of a group that takes the ids of its processes, in both versions.
const PROCESSES: &str = "cgroup.procs";

/// A group that what is started by its [launcher](Self::launcher) lives in. Dropping it removes it, once it is empty.
#[derive(Debug)]
pub(super) struct Cgroup {
    /// One in version 2, one of each controller in version 1.
    folders: Vec<PathBuf>,
}

impl Cgroup {
    /// A group with this share of the processors and so much memory.
    ///
    /// # Errors
    /// If groups are not mounted or this process may not make one.
    pub(super) fn create(share: Share, memory_mb: u32) -> io::Result<Self> {
        Self::create_below(Path::new(ROOT), &format!("avro-ingest-{}", process::id()), share, memory_mb)
    }

    fn create_below(root: &Path, name: &str, share: Share, memory_mb: u32) -> io::Result<Self> {
        let (quota, period) = (share.quota_us, share.period_us);
        let bytes = u64::from(memory_mb) << 20;
        if root.join("cgroup.controllers").exists() {
            fs::write(root.join("cgroup.subtree_control"), "+cpu +memory")?;
            let group = Self { folders: vec![folder(root.join(name))?] };
            group.set("cpu.max", &format!("{quota} {period}"))?;
            group.set("memory.max", &bytes.to_string())?;
            return Ok(group);
        }
        let mut group = Self { folders: Vec::new() };
        for controller in ["cpu", "memory"] {
            group.folders.push(folder(root.join(controller).join(name))?);
        }
        group.set("cpu.cfs_period_us", &period.to_string())?;
        group.set("cpu.cfs_quota_us", &quota.to_string())?;
        group.set("memory.limit_in_bytes", &bytes.to_string())?;
        Ok(group)
    }

    /// A command that joins the group and becomes the command that follows it.
    pub(super) fn launcher(&self) -> String {
        let join = |folder: &PathBuf| format!("echo $$ > {}/{PROCESSES} && ", folder.display());
        format!("sh -c '{}exec \"$0\"'", self.folders.iter().map(join).collect::<String>())
    }

    /// Sets a value of the controller that `file` is named after.
    fn set(&self, file: &str, value: &str) -> io::Result<()> {
        let controller = file.split('.').next().unwrap_or_default();
        let named = |folder: &&PathBuf| folder.parent().is_some_and(|parent| parent.ends_with(controller));
        let folder = self.folders.iter().find(named).or(self.folders.first()).ok_or(io::ErrorKind::NotFound)?;
        fs::write(folder.join(file), value)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for folder in &self.folders {
            // a process that was killed leaves it a moment later
            for _ in 0..100 {
                match fs::remove_dir(folder) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        thread::sleep(Duration::from_millis(10));
                    }
                    _ => break,
                }
            }
        }
    }
}

fn folder(path: PathBuf) -> io::Result<PathBuf> {
    match fs::create_dir(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(io::Error::new(error.kind(), format!("cannot create {}: {error}", path.display())))
        }
        _ => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own that takes what a mounted one would.
    fn root(name: &str, folders: &[&str]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("{name}-{}", process::id()));
        let _ = fs::remove_dir_all(&root);
        for folder in folders {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        root
    }

    #[test]
    fn version_1_has_a_group_of_each_controller() {
        let root = root("cgroup-1", &["cpu", "memory"]);
        let group = Cgroup::create_below(&root, "tried", Share::of(512, 20_000), 512).unwrap();
        let read = |file: &str| fs::read_to_string(root.join(file)).unwrap();
        assert_eq!(read("cpu/tried/cpu.cfs_period_us"), "20000");
        assert_eq!(read("cpu/tried/cpu.cfs_quota_us"), "5788");
        assert_eq!(read("memory/tried/memory.limit_in_bytes"), "536870912");
        let folder = root.display();
        assert_eq!(
            group.launcher(),
            format!(
                "sh -c 'echo $$ > {folder}/cpu/tried/cgroup.procs && echo $$ > {folder}/memory/tried/cgroup.procs && exec \"$0\"'"
            )
        );
    }

    #[test]
    fn version_2_has_one_group() {
        let root = root("cgroup-2", &[""]);
        fs::write(root.join("cgroup.controllers"), "cpu memory").unwrap();
        let group = Cgroup::create_below(&root, "tried", Share::of(3_008, 20_000), 3_008).unwrap();
        let read = |file: &str| fs::read_to_string(root.join(file)).unwrap();
        assert_eq!(read("cgroup.subtree_control"), "+cpu +memory");
        assert_eq!(read("tried/cpu.max"), "34007 20000");
        assert_eq!(read("tried/memory.max"), "3154116608");
        assert_eq!(group.folders.len(), 1);
    }

    #[test]
    fn where_no_group_can_be_made_the_error_names_the_folder() {
        let root = root("cgroup-0", &[""]);
        let error = Cgroup::create_below(&root, "tried", Share::of(128, 20_000), 128).unwrap_err();
        assert!(error.to_string().contains("/cpu/tried"), "{error}");
    }
}

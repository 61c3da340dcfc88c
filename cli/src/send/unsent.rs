//! The file of unsent records: lines as they were read, or an Avro container file with the input's own schema.
//!
//! Records are collected in a temporary file next to it. When the run ends, they are written in input order to another
//! temporary file, which is flushed to the disk and then renamed. The file therefore contains all its records or does not
//! exist. It replaces another file only with `--overwrite`.

use super::meter::{Prefix, whole};
use crate::journal::{ReservedFile, sync_folder};
use crate::producer::{Content, Raw, datum_of};
use apache_avro::Schema;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Free space required before the first call, in bytes.
const SPACE_BYTES: u64 = 1024 * 1024;
/// Length of the sync marker at the end of each block of a container file, in bytes.
const SYNC_BYTES: usize = 16;

/// Records that were not sent.
pub(super) struct Unsent {
    path: PathBuf,
    /// Whether the file may replace an existing file.
    replaces: bool,
    collected: ReservedFile,
    /// Path of the file of collected records. `None` if that file is unlinked.
    collected_at: Option<PathBuf>,
    temporary: PathBuf,
    records: Vec<Collected>,
    form: Form,
}

struct Collected {
    number: u64,
    offset: u64,
    length: usize,
}

/// Format of the records.
enum Form {
    Lines,
    Container { schema: Box<Schema>, header: Vec<u8>, sync: [u8; SYNC_BYTES] },
}

/// Required lifetime of the collected records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Until the process ends, in an unlinked file. The journal and the input allow another process to collect them again.
    ForTheRun,
    /// Beyond the process, in a named file, which is still there if the process is killed.
    ForGood,
}

impl Unsent {
    /// Prepares the file at `path` for the run `run`, and checks that it can be written.
    ///
    /// # Errors
    /// If the folder cannot be written to, or the disk is full.
    pub(super) fn prepare(
        path: &Path,
        replaces: bool,
        run: &str,
        container: Option<&Schema>,
        keep: Keep,
    ) -> Result<Self, String> {
        let cannot = |error: io::Error| format!("cannot write {}: {error}", path.display());
        let beside = |extension: &str| {
            let mut name: OsString = path.as_os_str().to_owned();
            name.push(format!(".{run}.{extension}"));
            PathBuf::from(name)
        };
        let collected_at = beside("part");
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&collected_at);
        let mut collected = ReservedFile::resumed(options.map_err(cannot)?, 0, 0);
        let form = match container {
            None => Form::Lines,
            Some(schema) => {
                let sync = sync_mark(run);
                let header = header(schema, sync).map_err(|error| cannot(error.into()))?;
                Form::Container { schema: Box::new(schema.clone()), header, sync }
            }
        };
        let prepared = collected.reserve(SPACE_BYTES).and_then(|()| match &form {
            Form::Lines => Ok(()),
            Form::Container { header, .. } => collected.append(header),
        });
        if prepared.is_err() || keep == Keep::ForTheRun {
            fs::remove_file(&collected_at).map_err(cannot)?;
        }
        prepared.map_err(cannot)?;
        collected.release(SPACE_BYTES);
        let collected_at = (keep == Keep::ForGood).then_some(collected_at);
        let temporary = beside("tmp");
        Ok(Self { path: path.to_owned(), replaces, collected, collected_at, temporary, records: Vec::new(), form })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Reserves space for records of `bytes` in total.
    ///
    /// # Errors
    /// If the disk is full.
    pub(super) fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        self.collected.reserve(bytes)
    }

    pub(super) fn release(&mut self, bytes: u64) {
        self.collected.release(bytes);
    }

    /// Adds a record.
    ///
    /// # Errors
    /// If the record cannot be written.
    pub(super) fn add(&mut self, raw: &Raw) -> io::Result<()> {
        let bytes = match (&self.form, &raw.content) {
            (Form::Container { schema, sync, .. }, Content::Value(value)) => {
                let datum = datum_of((**value).clone(), schema).map_err(io::Error::other)?;
                block(&datum, sync)
            }
            (_, Content::Line(line)) => [line, &b"\n"[..]].concat(),
            (Form::Lines, Content::Value(_)) => return Err(io::Error::other("a value is not a line")),
        };
        let record = Collected { number: raw.number, offset: self.collected.end(), length: bytes.len() };
        self.collected.append(&bytes)?;
        self.records.push(record);
        Ok(())
    }

    /// Writes the records in input order to a temporary file, and flushes it to the disk. Returns `None` if there are no
    /// records.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn write(&mut self) -> io::Result<Option<Prefix>> {
        if self.records.is_empty() {
            return Ok(None);
        }
        self.records.sort_by_key(|record| record.number);
        let written = self.write_to(&self.temporary);
        if written.is_err() {
            let _ = fs::remove_file(&self.temporary);
        }
        written.map(Some)
    }

    fn write_to(&self, path: &Path) -> io::Result<Prefix> {
        let mut file = BufWriter::new(OpenOptions::new().write(true).create(true).truncate(true).open(path)?);
        if let Form::Container { header, .. } = &self.form {
            file.write_all(header)?;
        }
        for record in &self.records {
            let mut bytes = vec![0; record.length];
            self.collected.file().read_exact_at(&mut bytes, record.offset)?;
            file.write_all(&bytes)?;
        }
        file.into_inner()?.sync_all()?;
        whole(File::open(path)?)
    }

    /// Renames the temporary file to its final name.
    ///
    /// # Errors
    /// If a file with that name exists and must not be replaced.
    pub(super) fn publish(&mut self) -> io::Result<()> {
        if self.replaces {
            fs::rename(&self.temporary, &self.path)?;
        } else {
            // unlike a rename, a hard link never replaces a file, but not every file system supports hard links
            match fs::hard_link(&self.temporary, &self.path) {
                Ok(()) => fs::remove_file(&self.temporary)?,
                Err(error) if fs::symlink_metadata(&self.path).is_ok() => return Err(error),
                Err(_) => fs::rename(&self.temporary, &self.path)?,
            }
        }
        sync_folder(&self.path)
    }

    /// Removes the collected records, because they were written or can be collected again.
    pub(super) fn discard(&self) {
        let _ = fs::remove_file(&self.temporary);
        if let Some(path) = &self.collected_at {
            let _ = fs::remove_file(path);
        }
    }

    /// Keeps the collected records, and returns the path of their file, if it has a name.
    pub(super) fn abandon(&self) -> Option<PathBuf> {
        let _ = self.collected.file().set_len(self.collected.end());
        let _ = self.collected.sync();
        self.collected_at.clone()
    }
}

/// Returns the sync marker: sixteen bytes of the run's random id.
fn sync_mark(run: &str) -> [u8; SYNC_BYTES] {
    let mut sync = [0; SYNC_BYTES];
    sync.iter_mut().zip(run.bytes().rev()).for_each(|(to, from)| *to = from);
    sync
}

/// Returns the header of an uncompressed container file.
/// <https://avro.apache.org/docs/1.12.0/specification/#object-container-files>
fn header(schema: &Schema, sync: [u8; SYNC_BYTES]) -> Result<Vec<u8>, serde_json::Error> {
    let mut header = b"Obj\x01".to_vec();
    push_long(&mut header, 2);
    for (key, value) in [("avro.schema", serde_json::to_string(schema)?), ("avro.codec", "null".to_owned())] {
        push_bytes(&mut header, key.as_bytes());
        push_bytes(&mut header, value.as_bytes());
    }
    push_long(&mut header, 0);
    header.extend_from_slice(&sync);
    Ok(header)
}

/// Returns a block with one record.
fn block(datum: &[u8], sync: &[u8]) -> Vec<u8> {
    let mut block = Vec::with_capacity(datum.len() + SYNC_BYTES + 8);
    push_long(&mut block, 1);
    push_bytes(&mut block, datum);
    block.extend_from_slice(sync);
    block
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_long(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a non-negative number in Avro's encoding of a long.
fn push_long(out: &mut Vec<u8>, number: u64) {
    let mut rest = number << 1;
    while rest >= 0x80 {
        out.push(u8::try_from(rest & 0x7F).unwrap_or_default() | 0x80);
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use apache_avro::types::Value;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("ingest-unsent-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn line(number: u64, text: &str) -> Raw {
        Raw { number, after: number - 1, content: Content::Line(text.as_bytes().to_vec()) }
    }

    #[test]
    fn the_file_has_the_lines_in_their_order_and_nothing_else_is_left() {
        for keep in [Keep::ForGood, Keep::ForTheRun] {
            let folder = Folder::new("lines");
            let path = folder.0.join("unsent.jsonl");
            let mut unsent = Unsent::prepare(&path, false, "run", None, keep).unwrap();
            for raw in [line(7, "g"), line(2, "b"), line(30, "z")] {
                unsent.add(&raw).unwrap();
            }
            let written = unsent.write().unwrap().unwrap();
            assert!(!path.exists());
            unsent.publish().unwrap();
            unsent.discard();
            assert_eq!(fs::read(&path).unwrap(), b"b\ng\nz\n");
            assert_eq!(written, whole(&b"b\ng\nz\n"[..]).unwrap());
            assert_eq!(folder.names(), ["unsent.jsonl"]);
        }
    }

    #[test]
    fn a_file_that_has_come_meanwhile_is_not_replaced() {
        let folder = Folder::new("meanwhile");
        let path = folder.0.join("unsent.jsonl");
        let mut unsent = Unsent::prepare(&path, false, "run", None, Keep::ForGood).unwrap();
        unsent.add(&line(1, "a")).unwrap();
        unsent.write().unwrap();
        fs::write(&path, "older").unwrap();
        assert_eq!(unsent.publish().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"older");
        assert_eq!(fs::read(unsent.abandon().unwrap()).unwrap(), b"a\n");
    }

    #[test]
    fn a_container_has_the_values_of_its_own_schema() {
        let folder = Folder::new("container");
        let path = folder.0.join("unsent.avro");
        let schema =
            Schema::parse_str(r#"{"type": "record", "name": "R", "fields": [{"name": "f", "type": "string"}]}"#);
        let schema = schema.unwrap();
        let value = |text: &str| Value::Record(vec![("f".to_owned(), Value::String(text.to_owned()))]);
        for keep in [Keep::ForGood, Keep::ForTheRun] {
            let mut unsent = Unsent::prepare(&path, true, "0123456789abcdef", Some(&schema), keep).unwrap();
            let long = "x".repeat(70_000);
            for (number, text) in [(3, "c"), (1, "a"), (2, long.as_str())] {
                let content = Content::Value(Box::new(value(text)));
                unsent.add(&Raw { number, after: number - 1, content }).unwrap();
            }
            unsent.write().unwrap();
            unsent.publish().unwrap();
            let read = apache_avro::Reader::new(File::open(&path).unwrap()).unwrap();
            let read: Vec<Value> = read.map(|value| value.unwrap()).collect();
            assert_eq!(read, [value("a"), value(&long), value("c")]);
            if let Some(collected) = unsent.abandon() {
                let read = apache_avro::Reader::new(File::open(&collected).unwrap()).unwrap();
                assert_eq!(read.map(|value| value.unwrap()).collect::<Vec<_>>()[0], value("c"));
                fs::remove_file(collected).unwrap();
            }
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_found_at_once() {
        let missing = Path::new("/no/such/folder/unsent.jsonl");
        let error = Unsent::prepare(missing, false, "run", None, Keep::ForGood).err().unwrap();
        assert!(error.starts_with("cannot write /no/such/folder/unsent.jsonl: "), "{error}");
    }
}

use super::*;
use serde::Deserialize;
use std::io::Write;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Header {
    run: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    Accepted(Vec<u64>),
    Moved(String),
}

/// A temporary folder, which is removed when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ingest-journal-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn header(run: &str) -> Header {
    Header { run: run.to_owned() }
}

fn open(path: &Path, run: &str) -> Result<(Opened<Header>, Vec<Entry>), JournalError> {
    let mut entries = Vec::new();
    let opened = Journal::open(path, &header(run), |entry| entries.push(entry))?;
    Ok((opened, entries))
}

fn entries() -> Vec<Entry> {
    vec![
        Entry::Accepted(vec![1, 2, 3]),
        Entry::Moved("a\n\"b\"".to_owned()),
        Entry::Accepted(vec![]),
        Entry::Accepted(vec![9]),
    ]
}

#[test]
fn a_second_process_goes_on_where_the_first_ended() {
    let folder = Folder::new("goes-on");
    let (mut first, found) = open(&folder.journal(), "one").unwrap();
    assert_eq!((first.found, found), (None, vec![]));
    for entry in &entries()[..2] {
        first.journal.append(entry).unwrap();
    }
    drop(first.journal);
    let (mut second, found) = open(&folder.journal(), "two").unwrap();
    assert_eq!((second.found, found.as_slice()), (Some(header("one")), &entries()[..2]));
    for entry in &entries()[2..] {
        second.journal.append(entry).unwrap();
    }
    drop(second.journal);
    let (third, found) = open(&folder.journal(), "three").unwrap();
    assert_eq!((third.found, found, third.damaged), (Some(header("one")), entries(), 0));
    third.journal.remove().unwrap();
    assert!(!folder.journal().exists());
}

#[test]
fn a_process_that_is_killed_at_any_byte_leaves_a_journal_of_the_entries_before() {
    let folder = Folder::new("any-byte");
    let (mut whole, _) = open(&folder.journal(), "one").unwrap();
    let mut ends = vec![whole.journal.file.end()];
    for entry in entries() {
        whole.journal.append(&entry).unwrap();
        ends.push(whole.journal.file.end());
    }
    drop(whole);
    let bytes = fs::read(folder.journal()).unwrap();
    for reserved in [0, 70_000] {
        for cut in 0..=bytes.len() {
            let mut left = bytes[..cut].to_vec();
            left.resize(cut + reserved, 0);
            fs::write(folder.journal(), left).unwrap();
            let (mut opened, found) = open(&folder.journal(), "two").unwrap();
            let complete = ends.iter().filter(|end| **end <= cut as u64).count();
            let expected = &entries()[..complete.saturating_sub(1)];
            assert_eq!(found, expected, "cut at {cut}");
            assert_eq!(opened.found, (complete > 0).then(|| header("one")), "cut at {cut}");
            assert_eq!(opened.damaged, 0);
            opened.journal.append(&Entry::Moved("next".to_owned())).unwrap();
            drop(opened);
            let (_, found) = open(&folder.journal(), "three").unwrap();
            assert_eq!(found, [expected, &[Entry::Moved("next".to_owned())]].concat(), "cut at {cut}");
        }
    }
}

#[test]
fn a_line_that_was_changed_states_nothing_and_the_others_stay_true() {
    let folder = Folder::new("damaged");
    let (mut opened, _) = open(&folder.journal(), "one").unwrap();
    let start = opened.journal.file.end();
    entries().iter().for_each(|entry| opened.journal.append(entry).unwrap());
    drop(opened);
    let mut bytes = fs::read(folder.journal()).unwrap();
    bytes[usize::try_from(start).unwrap() + 12] ^= 1;
    fs::write(folder.journal(), bytes).unwrap();
    let (opened, found) = open(&folder.journal(), "two").unwrap();
    assert_eq!((found.as_slice(), opened.damaged), (&entries()[1..], 1));
}

#[test]
fn a_file_that_is_something_else_is_left_as_it_is() {
    let folder = Folder::new("foreign");
    let mut damaged_header = FORMAT.to_vec();
    damaged_header.extend_from_slice(b"00000000 {\"run\":\"one\"}\n");
    let mut other_header = FORMAT.to_vec();
    other_header.extend_from_slice(&line(&"a string").unwrap());
    for content in [&b"{\"order_id\": 1}\n"[..], b"ingest journal 2\n", b"x", &damaged_header, &other_header] {
        fs::write(folder.journal(), content).unwrap();
        assert!(matches!(open(&folder.journal(), "one"), Err(JournalError::Foreign(_))));
        assert_eq!(fs::read(folder.journal()).unwrap(), content);
    }
    fs::remove_file(folder.journal()).unwrap();
    fs::create_dir(folder.journal()).unwrap();
    assert!(open(&folder.journal(), "one").is_err());
}

#[test]
fn one_process_has_a_journal_at_a_time() {
    let folder = Folder::new("locked");
    let (first, _) = open(&folder.journal(), "one").unwrap();
    let second = open(&folder.journal(), "two").unwrap_err();
    assert!(matches!(second, JournalError::Busy(_)), "{second}");
    drop(first);
    assert_eq!(open(&folder.journal(), "two").unwrap().0.found, Some(header("one")));
}

#[test]
fn a_reserved_entry_has_its_space_and_nothing_but_the_entry_is_read() {
    let folder = Folder::new("reserved");
    let (mut opened, _) = open(&folder.journal(), "one").unwrap();
    let long = Entry::Moved("x".repeat(100_000));
    let reservation = opened.journal.reserve(&long).unwrap();
    let other = opened.journal.reserve(&long).unwrap();
    let length = fs::metadata(folder.journal()).unwrap().len();
    assert!(length > 200_000);
    opened.journal.append(&long).unwrap();
    opened.journal.release(reservation);
    opened.journal.append(&long).unwrap();
    opened.journal.release(other);
    assert_eq!(fs::metadata(folder.journal()).unwrap().len(), length);
    drop(opened);
    assert_eq!(open(&folder.journal(), "two").unwrap().1, [long.clone(), long]);
}

#[test]
fn a_journal_that_has_no_space_says_so_before_the_call() {
    let full = OpenOptions::new().read(true).write(true).open("/dev/full").unwrap();
    let mut file = ReservedFile::resumed(full, 0, 0);
    assert_eq!(file.reserve(1).unwrap_err().kind(), io::ErrorKind::StorageFull);
    let folder = Folder::new("no-folder");
    let missing = folder.0.join("nothing").join("journal");
    assert!(open(&missing, "one").unwrap_err().to_string().starts_with("cannot open the journal"));
}

#[test]
fn a_journal_that_is_removed_between_opening_and_lock_is_opened_anew() {
    let folder = Folder::new("removed");
    let (first, _) = open(&folder.journal(), "one").unwrap();
    first.journal.remove().unwrap();
    let mut other = File::create(folder.journal()).unwrap();
    other.write_all(FORMAT).unwrap();
    assert_eq!(open(&folder.journal(), "two").unwrap().0.found, None);
}

#[test]
fn a_journal_behind_a_symbolic_link_is_removed_itself_and_the_link_leads_to_a_new_one() {
    let folder = Folder::new("linked");
    let (link, elsewhere) = (folder.journal(), folder.0.join("elsewhere"));
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(elsewhere.join("target"), &link).unwrap();
    for run in ["one", "two"] {
        let (Opened { mut journal, found, .. }, before) = open(&link, run).unwrap();
        assert_eq!((found.map(|found| found.run), before), (None, vec![]), "{run} is a new run");
        for entry in entries() {
            journal.append(&entry).unwrap();
        }
        assert!(elsewhere.join("target").exists());
        journal.remove().unwrap();
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    }
}

#[test]
fn run_ids_differ() {
    let ids: std::collections::BTreeSet<_> = (0..100).map(|_| run_id().unwrap()).collect();
    assert!(ids.len() == 100 && ids.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
}

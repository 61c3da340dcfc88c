//! Reads the files of a schema directory: `<subject>/<version>.avsc`. The schema set checks their contents.

use crate::avro::SchemaFile;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// Avro's file extensions for schemas, protocols and its interface language.
const SCHEMA_EXTENSIONS: [&str; 3] = ["avsc", "avpr", "avdl"];

/// A file or folder that could not be read.
#[derive(Debug)]
pub struct SchemaDirError {
    path: PathBuf,
    source: io::Error,
}

impl fmt::Display for SchemaDirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read schemas at {}: {}", self.path.display(), self.source)
    }
}

impl std::error::Error for SchemaDirError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Reads all `.avsc` files that are one folder below `directory`, in the order of their paths. Ignores other files.
pub fn read(directory: &Path) -> Result<Vec<SchemaFile>, SchemaDirError> {
    let mut files = Vec::new();
    for (subject, is_folder) in entries(directory)? {
        if !is_folder {
            continue;
        }
        for (path, _) in entries(&subject)? {
            if path.extension().is_none_or(|extension| extension != "avsc") {
                continue;
            }
            let text = fs::read_to_string(&path).map_err(|source| SchemaDirError { path: path.clone(), source })?;
            let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let subject = subject.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push(SchemaFile { subject, version: name(&path), text, path: path.display().to_string() });
        }
    }
    Ok(files)
}

/// Returns the files below `directory` that look like schemas but that [`read`] ignores: files without a folder, files
/// in nested folders, and files with another extension than `.avsc`.
///
/// # Errors
/// Returns an error if a folder cannot be read.
pub fn ignored(directory: &Path) -> Result<Vec<PathBuf>, SchemaDirError> {
    fn walk(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), SchemaDirError> {
        for (path, is_folder) in entries(directory)? {
            if is_folder {
                walk(&path, depth + 1, found)?;
            } else if let Some(extension) = path.extension().and_then(|extension| extension.to_str())
                && SCHEMA_EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
                && (depth != 1 || extension != "avsc")
            {
                found.push(path);
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(directory, 0, &mut found)?;
    Ok(found)
}

/// Returns the paths in `directory`, sorted by name, each with whether it is a folder.
fn entries(directory: &Path) -> Result<Vec<(PathBuf, bool)>, SchemaDirError> {
    let failed = |source| SchemaDirError { path: directory.to_owned(), source };
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // The directory entry contains the file type. Only a symbolic link has to be followed.
        let kind = entry.file_type().map_err(failed)?;
        let is_folder = kind.is_dir() || kind.is_symlink() && entry.path().is_dir();
        entries.push((entry.file_name(), is_folder));
    }
    entries.sort();
    Ok(entries.into_iter().map(|(name, is_folder)| (directory.join(name), is_folder)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let error = read(Path::new("no/such/place")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read schemas at no/such/place: "), "{error}");
    }
}

//! The schema directory: subjects and their versions. All of its problems are found at startup, before the first
//! message.
//!
//! Every version of a subject is accepted as a writer schema. The highest version is the reader schema, and must be
//! able to read all of them. Each schema of a subject is a record, because a record becomes an item.

mod annotations;
mod error;
mod extent;
mod ids;
mod json_field;
mod subject;
mod times;

pub use annotations::{AnnotationProblem, IgnoredAnnotation};
pub use error::{SchemaErrors, SetProblem};
pub use extent::{EndlessRecord, NoFiniteValue};
pub use ids::SchemaId;
pub use subject::{FieldError, RecordJsonError, SchemaVersion, Subject};
pub(crate) use times::FieldUnit;

use super::{
    WireFormat,
    json_encode::{self, JsonEncodeError},
    path::WithPath,
    plan::{self, Purpose, SchemaOrigin, TrackedFields},
    schema::{Schema, Type},
};
use crate::record::SubjectId;
use std::collections::BTreeMap;

/// One file of the schema directory.
#[derive(Debug, Clone)]
pub struct SchemaFile {
    /// Name of the folder that contains the file.
    pub subject: String,
    /// Name of the file without `.avsc`, unchanged.
    pub version: String,
    /// Content of the file.
    pub text: String,
    /// Path of the file, for error messages.
    pub path: String,
}

/// A valid set of schemas, in which the newest version of each subject can read all older ones.
#[derive(Debug)]
pub struct Schemas {
    subjects: Vec<Subject>,
}

impl Schemas {
    /// Parses `files`, in any order, and checks each subject's older versions against its newest.
    ///
    /// # Errors
    /// All problems of all files.
    pub fn parse(files: Vec<SchemaFile>) -> Result<Self, SchemaErrors> {
        let mut problems = Vec::new();
        let mut versions: BTreeMap<String, Vec<SchemaVersion>> = BTreeMap::new();
        let mut broken = Vec::new();
        for file in files {
            let (subject, number) = (file.subject.clone(), file.version.parse::<u32>());
            match SchemaVersion::parse(file) {
                Ok(version) => versions.entry(subject).or_default().push(version),
                Err(problem) => {
                    broken.extend(number.ok().map(|number| (subject, number)));
                    problems.push(problem);
                }
            }
        }
        let mut subjects = Vec::with_capacity(versions.len());
        for (name, mut versions) in versions {
            versions.sort_by_key(SchemaVersion::number);
            let Ok(id) = u16::try_from(subjects.len()) else {
                problems.push(SetProblem::TooManySubjects);
                break;
            };
            if let Some(subject) = Subject::new(SubjectId(id), name, versions, &mut problems) {
                let newest = subject.newest().number();
                // If a newer version is invalid, this one is not the newest, and comparing with it would report false
                // problems.
                if !broken.iter().any(|(name, number)| name == subject.name() && *number > newest) {
                    check(&subject, &mut problems);
                }
                subjects.push(subject);
            }
        }
        if subjects.is_empty() && problems.is_empty() {
            problems.push(SetProblem::Empty);
        }
        if problems.is_empty() { Ok(Self { subjects }) } else { Err(SchemaErrors::new(problems)) }
    }

    /// Returns the subjects in the order of their names. The [`Subject::id`] of each is its position.
    pub fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.subjects.iter()
    }

    /// Returns the wire formats whose messages say by themselves which of these schemas they have: `single-object` and `container`
    /// always, `confluent` and `glue` where a schema has an id for them.
    pub fn wire_formats(&self) -> Vec<WireFormat> {
        let ids = || self.subjects.iter().flat_map(Subject::versions).flat_map(SchemaVersion::ids);
        let mut formats = vec![WireFormat::SingleObject, WireFormat::Container];
        // a number, or the GUID of a schema
        if ids().next().is_some() {
            formats.push(WireFormat::Confluent);
        }
        if ids().any(|id| matches!(id, SchemaId::Uuid(_))) {
            formats.push(WireFormat::Glue);
        }
        formats
    }

    pub(super) fn into_subjects(self) -> Vec<Subject> {
        self.subjects
    }
}

/// Adds the incompatibilities between the newest version and the older ones, and the newest version's invalid defaults.
fn check(subject: &Subject, problems: &mut Vec<SetProblem>) {
    let reader = subject.newest();
    for (path, error) in invalid_defaults(reader.schema()) {
        problems.push(SetProblem::Default { path: reader.path().into(), field: path, error });
    }
    for writer in subject.older() {
        if let Err(mismatches) = plan::compile(
            writer.schema(),
            reader.schema(),
            &TrackedFields::default(),
            Purpose::Store,
            SchemaOrigin::Directory,
        ) {
            problems.extend(subject.incompatible(writer.number(), mismatches));
        }
    }
}

/// Returns the defaults of `schema` that are not valid values of their fields, each with its field as `Record.field`.
fn invalid_defaults(schema: &Schema) -> Vec<(Box<str>, WithPath<JsonEncodeError>)> {
    let mut invalid = Vec::new();
    for ty in schema.types() {
        let Type::Record(record) = ty else { continue };
        for field in &record.fields {
            if let Some(default) = &field.default
                && let Err(error) = json_encode::default_datum(schema, field.ty, default, &mut Vec::new())
            {
                invalid.push((format!("{}.{}", record.named.name, field.name).into(), *error));
            }
        }
    }
    invalid
}

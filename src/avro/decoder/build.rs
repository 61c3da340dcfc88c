//! Makes a decoder of a set of schemas, or says everything that prevents it.

use super::{Decoder, Index, Options, Writer};
use crate::avro::{
    plan::{self, MarkTree, Presence},
    schema_set::{SchemaErrors, SchemaId, SchemaVersion, Schemas, SetProblem, Subject},
    wire_format::WireFormat,
};

impl Schemas {
    /// Compiles a plan for each version of each subject.
    ///
    /// # Errors
    /// All of: marks on fields that are none, a default schema that is none, schemas that a message of the allowed wire
    /// formats could not tell apart.
    pub fn compile(self, options: Options) -> Result<Decoder, SchemaErrors> {
        let subjects = self.into_subjects();
        let mut problems = Vec::new();
        let mut writers = Vec::new();
        for subject in &subjects {
            let marks = marks_of(subject, &options, &mut problems);
            for version in subject.versions() {
                match plan::compile(version.schema(), subject.newest().schema(), &marks, Presence::Full) {
                    Ok(plan) => writers.push(Writer { subject: subject.id(), version: version.number(), plan }),
                    Err(mismatches) => {
                        problems.extend(mismatches.into_iter().map(|mismatch| SetProblem::Incompatible {
                            subject: subject.name().into(),
                            writer: version.number(),
                            reader: subject.newest().number(),
                            mismatch,
                        }))
                    }
                }
            }
        }
        let versions: Vec<_> =
            subjects.iter().flat_map(|subject| subject.versions().map(move |version| (subject, version))).collect();
        let by_name = Index::new(names(&versions));
        let default = options.default_schema.as_deref().and_then(|name| {
            let found = by_name.get(name);
            if found.is_none() {
                problems.push(SetProblem::UnknownDefaultSchema { name: name.into() });
            }
            found
        });
        if options.formats.contains(&WireFormat::SingleObject) {
            check_fingerprints(&versions, &mut problems);
        }
        let by_id = ids(&versions, &mut problems);
        let by_fingerprint = Index::new(versions.iter().map(|(_, version)| version.fingerprint()).zip(0..));
        if !problems.is_empty() {
            return Err(SchemaErrors::new(problems));
        }
        let Options { formats, limits, .. } = options;
        Ok(Decoder { formats, limits, writers, by_fingerprint, by_id, by_name, default, subjects })
    }
}

fn marks_of(subject: &Subject, options: &Options, problems: &mut Vec<SetProblem>) -> MarkTree {
    let mut tree = MarkTree::default();
    for (_, mark, path) in options.marks.iter().filter(|(id, _, _)| *id == subject.id()) {
        match subject.field(path) {
            Ok(_) => tree.add(path, *mark),
            Err(error) => {
                problems.push(SetProblem::Field { subject: subject.name().into(), path: path.as_str().into(), error });
            }
        }
    }
    tree
}

/// `subject/version` for each version, and `subject` for the newest, which is the last of its subject.
fn names(versions: &[(&Subject, &SchemaVersion)]) -> Vec<(Box<str>, usize)> {
    let full = versions.iter().map(|(subject, version)| format!("{}/{}", subject.name(), version.number()).into());
    let short = versions.iter().map(|(subject, _)| subject.name().into());
    full.zip(0..).chain(short.zip(0..)).collect()
}

/// A fingerprint may be that of several versions of a subject, whose datums are the same, but not of two subjects.
fn check_fingerprints(versions: &[(&Subject, &SchemaVersion)], problems: &mut Vec<SetProblem>) {
    let mut owners: Vec<_> = versions.iter().map(|(subject, version)| (version.fingerprint(), subject)).collect();
    owners.sort_by_key(|(fingerprint, subject)| (*fingerprint, subject.id()));
    for pair in owners.windows(2) {
        if let [(fingerprint, first), (other, second)] = pair
            && fingerprint == other
            && first.id() != second.id()
        {
            problems.push(SetProblem::Ambiguous {
                what: format!("fingerprint {fingerprint:016x}").into(),
                first: first.name().into(),
                second: second.name().into(),
            });
        }
    }
}

fn ids(versions: &[(&Subject, &SchemaVersion)], problems: &mut Vec<SetProblem>) -> Index<SchemaId> {
    let mut owners: Vec<_> = versions
        .iter()
        .zip(0..)
        .flat_map(|((_, version), at)| version.ids().iter().map(move |id| (*id, at, version)))
        .collect();
    owners.sort_by_key(|(id, at, _)| (*id, *at));
    for pair in owners.windows(2) {
        if let [(id, _, first), (other, _, second)] = pair
            && id == other
        {
            problems.push(SetProblem::DuplicateId {
                id: *id,
                first: first.path().into(),
                second: second.path().into(),
            });
        }
    }
    Index::new(owners.into_iter().map(|(id, at, _)| (id, at)))
}

//! Builds a decoder from a set of schemas, or returns all problems that prevent it.

use super::{Decoder, KeyIndex, Options, PlanCache, VersionPlans};
use crate::avro::{
    clean::KnownNames,
    plan::{self, Mismatch, Purpose, SchemaOrigin, TrackedFields},
    schema_set::{SchemaErrors, SchemaId, SchemaVersion, Schemas, SetProblem, Subject},
    wire_format::WireFormat,
};
use std::collections::HashSet;

/// Maximum length of a directory schema's text in a container, as a multiple of the length of its file. The text can be
/// longer than the file, because each Avro implementation writes schemas in its own way.
const OWN_SCHEMA_SPELLINGS: usize = 4;

impl Schemas {
    /// Compiles a plan for each version of each subject.
    ///
    /// # Errors
    /// All of these problems: tracked fields that do not exist, a default schema that does not exist, and schemas that
    /// a message of the allowed wire formats could not distinguish.
    pub fn compile(self, mut options: Options) -> Result<Decoder, SchemaErrors> {
        options.tracked.sort_by_key(|(subject, _, _)| *subject);
        let subjects = self.into_subjects();
        let mut problems = Vec::new();
        let mut writers = Vec::new();
        let mut tracked = Vec::with_capacity(subjects.len());
        for subject in &subjects {
            let tree = tracked_fields_of(subject, &options, &mut problems);
            for version in subject.versions() {
                match writer(subject, version, &tree, &options) {
                    Ok(writer) => writers.push(writer),
                    Err(mismatches) => problems.extend(subject.incompatible(version.number(), mismatches)),
                }
            }
            tracked.push(tree);
        }
        let versions: Vec<_> =
            subjects.iter().flat_map(|subject| subject.versions().map(move |version| (subject, version))).collect();
        let by_name = KeyIndex::new(names(&versions));
        let default = options.default_schema.as_deref().and_then(|name| {
            let found = by_name.get(name);
            if found.is_none() {
                problems.push(SetProblem::UnknownDefaultSchema { name: name.into() });
            }
            found
        });
        if options.formats.contains(&WireFormat::SingleObject) {
            check_fingerprints(&versions, &mut problems);
            check_meanings(&versions, &writers, &mut problems);
        }
        let by_id = ids(&versions, &mut problems);
        let by_record_name = if options.formats.contains(&WireFormat::Container) {
            KeyIndex::new(record_names(&subjects, &mut problems))
        } else {
            KeyIndex::new([])
        };
        let by_fingerprint = KeyIndex::new(versions.iter().map(|(_, version)| version.fingerprint()).zip(0..));
        if !problems.is_empty() {
            return Err(SchemaErrors::new(problems));
        }
        let Options { formats, json_encoding, mut limits, units, .. } = options;
        let texts = || versions.iter().map(|(_, version)| version.text().len());
        // A container may bring a schema of the directory in any producer's spelling, so the limit must allow for that.
        let own_texts = texts().max().unwrap_or_default().saturating_mul(OWN_SCHEMA_SPELLINGS);
        limits.max_schema_bytes = limits.max_schema_bytes.max(own_texts);
        let containers = PlanCache::new(texts().sum());
        let names = KnownNames::from_subjects(&subjects);
        Ok(Decoder {
            formats,
            json_encoding,
            limits,
            subjects,
            writers,
            by_fingerprint,
            by_id,
            by_name,
            by_record_name,
            default,
            tracked,
            units,
            names,
            containers,
        })
    }
}

fn writer(
    subject: &Subject,
    version: &SchemaVersion,
    tracked: &TrackedFields,
    options: &Options,
) -> Result<VersionPlans, Vec<Mismatch>> {
    let compile =
        |purpose| plan::compile(version.schema(), subject.newest().schema(), tracked, purpose, SchemaOrigin::Directory);
    let json = options.formats.contains(&WireFormat::Json);
    Ok(VersionPlans {
        subject: subject.id(),
        version: version.number(),
        store: compile(Purpose::Store)?,
        delete: compile(Purpose::Delete)?,
        delete_from_json: json.then(|| compile(Purpose::DeleteFromJson)).transpose()?,
    })
}

/// Returns the tracked fields of `subject`. `options.tracked` must be sorted by subject.
fn tracked_fields_of(subject: &Subject, options: &Options, problems: &mut Vec<SetProblem>) -> TrackedFields {
    let mut tree = TrackedFields::default();
    let first = options.tracked.partition_point(|(id, _, _)| *id < subject.id());
    for (_, field, path) in options.tracked.iter().skip(first).take_while(|(id, _, _)| *id == subject.id()) {
        match subject.field(path) {
            Ok(_) => tree.add(path, *field),
            Err(error) => {
                problems.push(SetProblem::Field { subject: subject.name().into(), path: path.as_str().into(), error });
            }
        }
    }
    tree
}

/// Returns the names of all versions: `subject/version` for each, and also `subject` for the newest, which comes last.
fn names(versions: &[(&Subject, &SchemaVersion)]) -> Vec<(Box<str>, usize)> {
    let full = versions.iter().map(|(subject, version)| format!("{}/{}", subject.name(), version.number()).into());
    let short = versions.iter().map(|(subject, _)| subject.name().into());
    full.zip(0..).chain(short.zip(0..)).collect()
}

/// Reports fingerprints that two subjects share. Several versions of one subject may share one, because their datums
/// are the same.
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

/// Reports versions of one subject that share a fingerprint but are decoded differently. A fingerprint does not include
/// logical types, so a message does not tell which of the two versions its times belong to.
fn check_meanings(versions: &[(&Subject, &SchemaVersion)], writers: &[VersionPlans], problems: &mut Vec<SetProblem>) {
    // A version without a plan was already reported as a problem.
    if versions.len() != writers.len() {
        return;
    }
    let mut owners: Vec<_> = versions.iter().zip(writers).collect();
    owners.sort_by_key(|((subject, version), _)| (subject.id(), version.fingerprint()));
    for pair in owners.windows(2) {
        if let [((subject, first), plans), ((other, second), others)] = pair
            && (subject.id(), first.fingerprint()) == (other.id(), second.fingerprint())
            && plans.store != others.store
        {
            problems.push(SetProblem::SameFingerprint {
                subject: subject.name().into(),
                first: first.number(),
                second: second.number(),
            });
        }
    }
}

fn ids(versions: &[(&Subject, &SchemaVersion)], problems: &mut Vec<SetProblem>) -> KeyIndex<SchemaId> {
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
    KeyIndex::new(owners.into_iter().map(|(id, at, _)| (id, at)))
}

/// Returns the record names by which a container's subject is found: the full names of the reader schemas, their
/// aliases unless an alias is the name of another reader schema, and the names in older versions unless another subject
/// has the same name.
fn record_names(subjects: &[Subject], problems: &mut Vec<SetProblem>) -> Vec<(Box<str>, usize)> {
    let records =
        || subjects.iter().zip(0..).filter_map(|(subject, at)| Some((subject.newest().schema().record()?, at)));
    let own: HashSet<&str> = records().map(|(record, _)| &*record.named.name).collect();
    let aliases = records().flat_map(|(record, at)| record.named.aliases.iter().map(move |alias| (alias, at)));
    let names = records().map(|(record, at)| (&record.named.name, at));
    let mut names: Vec<_> = names.chain(aliases.filter(|(alias, _)| !own.contains(&***alias))).collect();
    let claimed: HashSet<&str> = names.iter().map(|(name, _)| &***name).collect();
    let mut older: Vec<_> = subjects
        .iter()
        .zip(0..)
        .flat_map(|(subject, at)| subject.versions().map(move |version| (version, at)))
        .filter_map(|(version, at)| Some((&version.schema().record()?.named.name, at)))
        .filter(|(name, _)| !claimed.contains(&***name))
        .collect();
    older.sort();
    older.dedup();
    let one_subject_each = older.chunk_by(|one, other| one.0 == other.0).filter(|subjects| subjects.len() == 1);
    names.extend(one_subject_each.flatten().copied());
    names.sort();
    names.dedup();
    for pair in names.windows(2) {
        if let [(name, first), (other, second)] = pair
            && name == other
        {
            let subject = |at: usize| subjects.get(at).map_or("", Subject::name).into();
            let what = format!("record name {name}").into();
            problems.push(SetProblem::Ambiguous { what, first: subject(*first), second: subject(*second) });
        }
    }
    names.into_iter().map(|(name, at)| (name.clone(), at)).collect()
}

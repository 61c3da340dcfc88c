//! Finds schema ids that a deployment cannot read, and wire formats for which no schema has an id. Pure.

use avro_ingest::avro::{SchemaId, SchemaVersion, WireFormat};
use avro_ingest::transcode::Transcoder;

/// Maximum number of versions listed in a problem.
const NAMED: usize = 3;

/// Returns the schema ids and wire formats of `transcoder` that do not match, each with the template parameter that fixes it.
pub(crate) fn misfits(transcoder: &Transcoder) -> Vec<String> {
    let allowed = transcoder.wire_formats();
    let versions: Vec<Version<'_>> = transcoder
        .subjects()
        .flat_map(|(subject, _)| subject.versions().map(|version| Version { subject: subject.name(), version }))
        .collect();
    let missing: Vec<WireFormat> = [WireFormat::Confluent, WireFormat::Glue]
        .into_iter()
        .filter(|format| versions.iter().any(|version| version.misses(allowed) == Some(*format)))
        .collect();
    let useless: Vec<WireFormat> =
        allowed.iter().copied().filter(|format| !versions.iter().any(|version| version.fits(*format))).collect();
    let fitting = allowed.iter().filter(|format| !useless.contains(format)).chain(&missing).copied();
    let line = deploy_line(&fitting.collect::<Vec<_>>());
    let missing = missing.iter().map(|format| {
        let of_format = versions.iter().filter(|version| version.misses(allowed) == Some(*format));
        let of_format: Vec<String> = of_format.map(Version::shown).collect();
        let more = of_format.len().saturating_sub(NAMED);
        let named = of_format.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!(
            "{named}{more}: the wire formats {} do not read the schemaIds, because {format} is not among them: {line}",
            list(allowed)
        )
    });
    let useless = useless.iter().map(|format| {
        format!("no schema has an id for the wire format {format}, so that every message in it is rejected: {line}")
    });
    missing.chain(useless).collect()
}

/// Returns the command that deploys `formats`. Without formats, the command clears the parameter, and the wire formats are
/// derived from the schemas.
pub(crate) fn deploy_line(formats: &[WireFormat]) -> String {
    match formats {
        [] => "sam deploy --parameter-overrides 'WireFormats=\"\"'".to_owned(),
        formats => format!("sam deploy --parameter-overrides WireFormats={}", list(formats)),
    }
}

fn list(formats: &[WireFormat]) -> String {
    formats.iter().map(|format| format.name()).collect::<Vec<_>>().join(",")
}

/// A version of a subject.
struct Version<'a> {
    subject: &'a str,
    version: &'a SchemaVersion,
}

impl Version<'_> {
    fn has(&self, is_wanted: fn(&SchemaId) -> bool) -> bool {
        self.version.ids().iter().any(is_wanted)
    }

    /// Returns whether a message in `format` can refer to this version.
    fn fits(&self, format: WireFormat) -> bool {
        match format {
            WireFormat::Confluent => !self.version.ids().is_empty(),
            WireFormat::Glue => self.has(|id| matches!(id, SchemaId::Uuid(_))),
            WireFormat::SingleObject | WireFormat::Container | WireFormat::Datum | WireFormat::Json => true,
        }
    }

    /// Returns the wire format that an id of the version needs and that is not in `allowed`. A UUID of a version that also has
    /// a number may be a Confluent GUID.
    fn misses(&self, allowed: &[WireFormat]) -> Option<WireFormat> {
        let has_number = self.has(|id| matches!(id, SchemaId::Number(_)));
        if allowed.contains(&WireFormat::Confluent) {
            None
        } else if has_number {
            Some(WireFormat::Confluent)
        } else {
            (self.fits(WireFormat::Glue) && !allowed.contains(&WireFormat::Glue)).then_some(WireFormat::Glue)
        }
    }

    fn shown(&self) -> String {
        format!("{}/{}", self.subject, self.version.number())
    }
}

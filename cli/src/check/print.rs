//! The output of `ingest check`.

use super::create::{OtherTable, other_tables};
use super::table;
use avro_ingest::avro::{SchemaVersion, Subject};
use avro_ingest::dynamodb::mapping::Mapping;
use avro_ingest::transcode::Transcoder;
use serde_json::{Value, json};
use std::fmt;

/// Subjects and problems to print.
pub(super) struct CheckReport<'a> {
    /// `None` if the function would not start.
    pub(super) transcoder: Option<&'a Transcoder>,
    pub(super) problems: &'a [String],
}

/// Returns the bytes that precede a datum in single-object encoding.
/// <https://avro.apache.org/docs/1.12.0/specification/#single-object-encoding>
fn header(version: &SchemaVersion) -> String {
    let bytes = [[0xC3, 0x01].as_slice(), &version.fingerprint().to_le_bytes()].concat();
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ")
}

impl CheckReport<'_> {
    fn subjects(&self) -> impl Iterator<Item = (&Subject, &Mapping)> {
        self.transcoder.into_iter().flat_map(Transcoder::subjects)
    }

    /// Returns the allowed wire formats in the order in which they are tried.
    fn wire_formats(&self) -> Option<impl Iterator<Item = &'static str>> {
        let formats = self.transcoder?.wire_formats();
        Some(formats.iter().map(|format| format.name()))
    }

    /// Returns the command that deploys a matching table.
    fn deploy(&self) -> Option<String> {
        let parameters = table::parameters(self.transcoder?);
        let overrides: String = parameters.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        Some(match overrides.is_empty() {
            true => "sam deploy".to_owned(),
            false => format!("sam deploy --parameter-overrides{overrides}"),
        })
    }

    pub(super) fn json(&self) -> Value {
        let subjects = self.subjects().map(|(subject, mapping)| {
            let versions = subject.versions().map(|version| {
                json!({
                    "version": version.number(),
                    "path": version.path(),
                    "reader": version.number() == subject.newest().number(),
                    "fingerprint": format!("{:016x}", version.fingerprint()),
                    "header": header(version),
                    "ids": version.ids().iter().map(ToString::to_string).collect::<Vec<_>>(),
                })
            });
            let keys = mapping
                .key_schema()
                .map(|(name, key_type)| json!({"attribute": name, "type": format!("{key_type:?}")}));
            json!({
                "subject": subject.name(),
                "versions": versions.collect::<Vec<_>>(),
                "table": mapping.table.as_str(),
                "keys": keys.collect::<Vec<_>>(),
                "layout": mapping.layout(),
                "ttl": mapping.ttl_attribute(),
                "version": mapping.version(),
            })
        });
        let subjects: Vec<_> = subjects.collect();
        let tables = self.transcoder.map(other_tables).unwrap_or_default();
        let tables: Vec<Value> =
            tables.iter().map(|table| json!({"table": table.table, "commands": table.commands})).collect();
        let formats: Option<Vec<&str>> = self.wire_formats().map(Iterator::collect);
        json!({"subjects": subjects, "wire_formats": formats, "problems": self.problems, "deploy": self.deploy(), "tables": tables})
    }
}

impl fmt::Display for CheckReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (subject, mapping) in self.subjects() {
            writeln!(f, "{}", subject.name())?;
            for version in subject.versions() {
                let role = if version.number() == subject.newest().number() { "read as" } else { "accepted" };
                let ids: Vec<String> = version.ids().iter().map(ToString::to_string).collect();
                let ids = if ids.is_empty() { String::new() } else { format!("  ids {}", ids.join(", ")) };
                let (number, fingerprint) = (version.number(), version.fingerprint());
                writeln!(
                    f,
                    "  version {number:<4} {role:<9} fingerprint {fingerprint:016x}, on the wire {}{ids}",
                    header(version)
                )?;
            }
            writeln!(f, "  table {}, layout {}", mapping.table, mapping.layout())?;
            for ((name, key_type), role) in mapping.key_schema().zip(["partition key", "sort key"]) {
                writeln!(f, "  {role} {name} ({key_type:?})")?;
            }
            if let Some(attribute) = mapping.ttl_attribute() {
                writeln!(f, "  expires by {attribute}")?;
            }
            if let Some(version) = mapping.version() {
                writeln!(f, "  never overwritten by an older {version}")?;
            }
            if !self.transcoder.is_some_and(|transcoder| transcoder.writes_default_table(subject)) {
                writeln!(f, "  not the stack's table: give its ARN in AdditionalTableArns")?;
            }
        }
        if let Some(formats) = self.wire_formats() {
            writeln!(f, "\nwire formats {}", formats.collect::<Vec<_>>().join(", "))?;
        }
        let Some(transcoder) = self.transcoder else { return Ok(()) };
        for OtherTable { table, commands } in other_tables(transcoder) {
            writeln!(f, "\nThe table {table}, if it is not there yet:")?;
            commands.iter().try_for_each(|command| writeln!(f, "{command}"))?;
        }
        match self.deploy() {
            Some(line) if self.subjects().any(|(subject, _)| transcoder.writes_default_table(subject)) => {
                writeln!(f, "\nA table for them: {line}")
            }
            _ => Ok(()),
        }
    }
}

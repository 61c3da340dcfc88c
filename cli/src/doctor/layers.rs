//! Reads the deployed schema files from the function's layers.

use super::facts::{text, unknown};
use super::unknown::Fact;
use crate::aws::{Aws, LAMBDA};
use avro_ingest::avro::SchemaFile;
use serde_json::Value;
use std::io::{Cursor, Read};
use zip::ZipArchive;

/// Path at which Lambda mounts layers, and the function's default schema directory.
/// <https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html>
const LAYERS: &str = "/opt/";
const SCHEMA_DIR: &str = "/opt/schemas";
/// Maximum size of a schema file, in bytes. Larger files are not schemas.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Returns the schema files in the layers of `function`. The list is empty if no layer contains a schema.
pub(super) async fn schemas(aws: &Aws, function: &Value) -> Fact<Vec<SchemaFile>> {
    let directory = function.pointer("/Environment/Variables/SCHEMA_DIR").and_then(Value::as_str).unwrap_or(SCHEMA_DIR);
    let Some(folder) = directory.strip_prefix(LAYERS) else {
        return Err(format!("the schemas are in {directory}, which is no layer").into());
    };
    let layers = function.get("Layers").and_then(Value::as_array).filter(|layers| !layers.is_empty());
    let layers = layers.ok_or("the function has no layer, and its own files are not looked at")?;
    let mut files = Vec::new();
    for layer in layers {
        let arn: String = form_urlencoded::byte_serialize(text(layer, "Arn").as_bytes()).collect();
        let answer = unknown(aws.get(LAMBDA, &format!("/2018-10-31/layers?find=LayerVersion&Arn={arn}")).await)?;
        let location = answer.pointer("/Content/Location").and_then(Value::as_str).unwrap_or_default();
        let archive = unknown(aws.download(location).await)?;
        files.extend(of_archive(&archive, folder).map_err(|error| format!("the layer is no archive: {error}"))?);
    }
    Ok(files)
}

/// Returns the files `<folder>/<subject>/<version>.avsc` in a zip archive.
fn of_archive(archive: &[u8], folder: &str) -> zip::result::ZipResult<Vec<SchemaFile>> {
    let mut archive = ZipArchive::new(Cursor::new(archive))?;
    let mut files = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index(index)?;
        let path = entry.name()?.into_owned();
        let Some(rest) = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')) else { continue };
        let Some((subject, file)) = rest.split_once('/') else { continue };
        let Some(version) = file.strip_suffix(".avsc").filter(|version| !version.contains('/')) else { continue };
        let mut text = String::new();
        entry.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
        files.push(SchemaFile { subject: subject.to_owned(), version: version.to_owned(), text, path });
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (path, text) in files {
            writer.start_file(*path, SimpleFileOptions::default()).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn schemas_are_found_where_the_function_looks_for_them() {
        let archive = archive(&[
            ("schemas/order/1.avsc", "one"),
            ("schemas/order/2.avsc", "two"),
            ("schemas/README.md", "no"),
            ("schemas/order/old/1.avsc", "no"),
            ("other/order/1.avsc", "no"),
            ("schemas-old/order/1.avsc", "no"),
        ]);
        let files = of_archive(&archive, "schemas").unwrap();
        let found: Vec<_> =
            files.iter().map(|file| (file.subject.as_str(), file.version.as_str(), file.text.as_str())).collect();
        assert_eq!(found, [("order", "1", "one"), ("order", "2", "two")]);
    }

    #[test]
    fn what_is_no_archive_is_an_error() {
        assert!(of_archive(b"not a zip", "schemas").is_err());
    }
}

//! The producer's side: a record as JSON becomes the body of a message.
//!
//! The function decodes only. This is for the tool beside it, for benches and for tests, and for a producer in Rust that
//! has the same schema directory.

use crate::avro::{
    CONFLUENT_MARKER, CONTAINER_MAGIC, GLUE_MARKER, GlueCompression, RecordJsonError, SINGLE_OBJECT_MARKER, SYNC_LEN,
    SchemaErrors, SchemaId, SchemaVersion, Schemas, WireFormat, push_bytes, push_len,
};
use crate::schema_dir::{self, SchemaDirError};
use serde_json::Value;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;

/// Writes records of one version of a schema.
#[derive(Debug, Clone)]
pub struct Encoder {
    version: SchemaVersion,
}

/// How the blocks of a container are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    Null,
    /// By RFC 1951.
    Deflate,
}

impl Codec {
    fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Deflate => "deflate",
        }
    }

    fn compress(self, data: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Self::Null => Ok(data),
            Self::Deflate => {
                let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(&data)?;
                encoder.finish()
            }
        }
    }
}

impl Encoder {
    /// An encoder for `version`.
    pub fn new(version: &SchemaVersion) -> Self {
        Self { version: version.clone() }
    }

    /// An encoder for `name`, which is `subject/version`, or `subject` for its newest, of a schema directory.
    ///
    /// # Errors
    /// If the directory cannot be read, is not valid, or has no such schema.
    pub fn of_subject(directory: &Path, name: &str) -> Result<Self, EncodeError> {
        let files = schema_dir::read(directory).map_err(EncodeError::Directory)?;
        let schemas = Schemas::parse(files).map_err(EncodeError::Schemas)?;
        let (subject, version) =
            name.split_once('/').map_or((name, None), |(subject, version)| (subject, Some(version)));
        let subject = schemas.subjects().find(|candidate| candidate.name() == subject);
        let version = subject.and_then(|subject| match version {
            None => Some(subject.newest()),
            Some(number) => subject.version(number.parse().ok()?),
        });
        version.map(Self::new).ok_or_else(|| EncodeError::UnknownSchema(name.into()))
    }

    /// `record` as the bytes of a message in `format`. A container has this one record.
    ///
    /// # Errors
    /// See [`frame_text`](Self::frame_text).
    pub fn frame(&self, format: WireFormat, record: &Value) -> Result<Vec<u8>, EncodeError> {
        self.frame_text(format, &record.to_string())
    }

    /// As [`frame`](Self::frame), of a record as JSON text, whose numbers are taken to the last digit.
    ///
    /// # Errors
    /// If it is not a record of the schema, or the schema has no id of the kind that `format` needs.
    pub fn frame_text(&self, format: WireFormat, record: &str) -> Result<Vec<u8>, EncodeError> {
        let datum = self.version.datum(record).map_err(EncodeError::Datum)?;
        let header = match format {
            WireFormat::Datum => return Ok(datum),
            WireFormat::Json => return Ok(record.as_bytes().to_vec()),
            WireFormat::Container => return self.frame_datums(&[datum], Codec::Null),
            WireFormat::SingleObject => [&SINGLE_OBJECT_MARKER[..], &self.version.fingerprint().to_le_bytes()].concat(),
            WireFormat::Confluent => {
                let id = self.id(format, |id| match id {
                    SchemaId::Number(number) => Some(number.to_be_bytes()),
                    SchemaId::Uuid(_) => None,
                })?;
                [&[CONFLUENT_MARKER][..], &id].concat()
            }
            WireFormat::Glue => {
                let id = self.id(format, |id| match id {
                    SchemaId::Uuid(bytes) => Some(*bytes),
                    SchemaId::Number(_) => None,
                })?;
                [&[GLUE_MARKER, GlueCompression::None.byte()][..], &id].concat()
            }
        };
        Ok([header, datum].concat())
    }

    /// A container of `records`, in one block.
    ///
    /// # Errors
    /// If one of them is not a record of the schema.
    pub fn container(&self, records: &[Value], codec: Codec) -> Result<Vec<u8>, EncodeError> {
        let datums: Result<Vec<_>, _> = records.iter().map(|record| self.version.datum(&record.to_string())).collect();
        self.frame_datums(&datums.map_err(EncodeError::Datum)?, codec)
    }

    fn frame_datums(&self, datums: &[Vec<u8>], codec: Codec) -> Result<Vec<u8>, EncodeError> {
        let data = codec.compress(datums.concat()).map_err(EncodeError::Compression)?;
        // Any sixteen bytes that the data does not happen to hold; these tell one schema's containers from another's.
        let mut sync = [0; SYNC_LEN];
        sync.iter_mut().zip(self.version.fingerprint().to_le_bytes().iter().cycle()).for_each(|(to, from)| *to = *from);
        let mut body = CONTAINER_MAGIC.to_vec();
        push_len(&mut body, 2);
        push_bytes(&mut body, b"avro.schema");
        push_bytes(&mut body, self.version.text().as_bytes());
        push_bytes(&mut body, b"avro.codec");
        push_bytes(&mut body, codec.name().as_bytes());
        push_len(&mut body, 0);
        body.extend_from_slice(&sync);
        if !datums.is_empty() {
            push_len(&mut body, datums.len());
            push_bytes(&mut body, &data);
            body.extend_from_slice(&sync);
        }
        Ok(body)
    }

    /// The first of the schema's ids that is of the kind `format` needs.
    fn id<T>(&self, format: WireFormat, kind: impl FnMut(&SchemaId) -> Option<T>) -> Result<T, EncodeError> {
        self.version.ids().iter().find_map(kind).ok_or(EncodeError::NoId(format))
    }
}

/// The text of a message whose bytes are `framed`: base64 of the standard alphabet, padded.
pub fn body(framed: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(framed)
}

/// Why a record cannot be encoded.
#[derive(Debug)]
pub enum EncodeError {
    /// The schema directory cannot be read.
    Directory(SchemaDirError),
    /// The schema directory is not valid.
    Schemas(SchemaErrors),
    /// The schema directory has no schema of this name.
    UnknownSchema(Box<str>),
    /// The schema carries no id of the kind that this wire format needs.
    NoId(WireFormat),
    /// The record is not one of the schema.
    Datum(RecordJsonError),
    /// The data cannot be compressed.
    Compression(io::Error),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(error) => error.fmt(f),
            Self::Schemas(error) => error.fmt(f),
            Self::UnknownSchema(name) => write!(f, "schema {name} is not in the directory"),
            Self::NoId(format) => write!(f, "the schema's schemaIds have none for {format}"),
            Self::Datum(error) => error.fmt(f),
            Self::Compression(error) => write!(f, "cannot compress: {error}"),
        }
    }
}

impl std::error::Error for EncodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Directory(error) => Some(error),
            Self::Schemas(error) => Some(error),
            Self::Datum(error) => Some(error),
            Self::Compression(error) => Some(error),
            Self::UnknownSchema(_) | Self::NoId(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::SchemaFile;
    use serde_json::json;

    fn encoder(text: &str) -> Encoder {
        let file = SchemaFile {
            subject: "s".to_owned(),
            version: "1".to_owned(),
            text: text.to_owned(),
            path: "s/1.avsc".to_owned(),
        };
        Encoder::new(Schemas::parse(vec![file]).unwrap().subjects().next().unwrap().newest())
    }

    const PLAIN: &str = r#"{"type": "record", "name": "R", "fields": [{"name": "f", "type": "string"}]}"#;
    const WITH_IDS: &str = r#"{"type": "record", "name": "R", "fields": [{"name": "f", "type": "string"}],
        "schemaIds": ["b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63", 258]}"#;

    #[test]
    fn each_wire_format_has_its_header_before_the_datum() {
        let record = json!({"f": "x"});
        let encoder = encoder(WITH_IDS);
        let frame = |format| encoder.frame(format, &record).unwrap();
        assert_eq!(frame(WireFormat::Datum), [2, b'x']);
        assert_eq!(frame(WireFormat::Confluent), [0, 0, 0, 1, 2, 2, b'x']);
        let glue = frame(WireFormat::Glue);
        assert_eq!((&glue[..4], &glue[17..]), (&[3, 0, 0xB7, 0xB4][..], &[0x63, 2, b'x'][..]));
        let single = frame(WireFormat::SingleObject);
        assert_eq!((&single[..2], single.len()), (&[0xC3, 1][..], 12));
        assert_eq!(frame(WireFormat::Json), br#"{"f":"x"}"#);
        assert_eq!(frame(WireFormat::Container)[..4], *b"Obj\x01");
        assert_eq!(body(&[0xFB, 0xFF]), "+/8=");
    }

    #[test]
    fn an_error_names_the_field_or_what_the_schema_lacks() {
        let encoder = encoder(PLAIN);
        let error = |format, record| encoder.frame(format, &record).unwrap_err().to_string();
        assert_eq!(error(WireFormat::Datum, json!({"f": 1})), "f: not the json of a value of type string");
        assert_eq!(error(WireFormat::Json, json!({})), "f: the field is absent and has no default");
        assert_eq!(error(WireFormat::Glue, json!({"f": ""})), "the schema's schemaIds have none for glue");
        assert_eq!(error(WireFormat::Confluent, json!({"f": ""})), "the schema's schemaIds have none for confluent");
    }

    #[test]
    fn a_schema_is_found_in_a_directory_by_its_name() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
        let found = |name| Encoder::of_subject(&directory, name).map(|encoder| encoder.version.number());
        assert_eq!(found("order/1").unwrap(), 1);
        assert!(found("order").unwrap() >= 1);
        for unknown in ["order/0", "order/x", "nothing", "order/1/1", ""] {
            let error = found(unknown).unwrap_err().to_string();
            assert_eq!(error, format!("schema {unknown} is not in the directory"));
        }
        assert!(matches!(Encoder::of_subject(&directory.join("none"), "order"), Err(EncodeError::Directory(_))));
    }

    /// apache-avro reads what is written here.
    #[test]
    fn a_container_is_read_by_another_implementation() {
        let records = [json!({"f": "one"}), json!({"f": "two"})];
        for (codec, records) in [(Codec::Null, &records[..]), (Codec::Deflate, &records), (Codec::Null, &[])] {
            let body = encoder(PLAIN).container(records, codec).unwrap();
            let read: Vec<_> = apache_avro::Reader::new(&body[..]).unwrap().map(|value| value.unwrap()).collect();
            let back: Vec<Value> = read.into_iter().map(|value| value.try_into().unwrap()).collect();
            assert_eq!(back, records, "{codec:?}");
        }
    }
}

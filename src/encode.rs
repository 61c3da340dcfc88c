//! Encodes JSON records as bodies of messages, as a producer does.
//!
//! The Lambda function only decodes. This module is used by the command-line tool, the benchmarks and the tests, and by
//! producers in Rust that have the same schema directory.

use crate::avro::{
    CONFLUENT_MARKER, CONTAINER_MAGIC, GLUE_MARKER, GlueCompression, JsonEncoding, RecordJsonError,
    SINGLE_OBJECT_MARKER, SYNC_LEN, SchemaErrors, SchemaId, SchemaVersion, Schemas, WireFormat, push_bytes, push_len,
};
use crate::schema_dir::{self, SchemaDirError};
use serde::Serialize;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

/// Encodes records of one version of a schema.
#[derive(Debug, Clone)]
pub struct Encoder {
    version: SchemaVersion,
    json_encoding: JsonEncoding,
}

/// Compression of a container's blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// No compression.
    Null,
    /// Raw deflate (RFC 1951).
    Deflate,
    /// Snappy, with a checksum.
    Snappy,
    /// Zstandard.
    Zstandard,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
}

impl Codec {
    /// All codecs of the specification. <https://avro.apache.org/docs/1.12.0/specification/#required-codecs>
    pub const ALL: [Self; 6] = [Self::Null, Self::Deflate, Self::Snappy, Self::Zstandard, Self::Bzip2, Self::Xz];

    /// Returns the name of the codec in a container.
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Deflate => "deflate",
            Self::Snappy => "snappy",
            Self::Zstandard => "zstandard",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
        }
    }

    fn compress(self, data: Vec<u8>) -> io::Result<Vec<u8>> {
        /// Compression level of xz, which is the default of other implementations. The maximum is 9.
        const XZ_LEVEL: u32 = 6;
        match self {
            Self::Null => Ok(data),
            Self::Deflate => {
                let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(&data)?;
                encoder.finish()
            }
            Self::Snappy => {
                let mut compressed = snap::raw::Encoder::new().compress_vec(&data)?;
                compressed.extend_from_slice(&crc32fast::hash(&data).to_be_bytes());
                Ok(compressed)
            }
            Self::Zstandard => zstd::stream::encode_all(&data[..], zstd::DEFAULT_COMPRESSION_LEVEL),
            Self::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
                encoder.write_all(&data)?;
                encoder.finish()
            }
            Self::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), XZ_LEVEL);
                encoder.write_all(&data)?;
                encoder.finish()
            }
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Codec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|codec| codec.name() == text);
        found.ok_or_else(|| format!("not one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

impl Encoder {
    /// Creates an encoder of records of `version` from plain JSON.
    pub fn new(version: &SchemaVersion) -> Self {
        Self { version: version.clone(), json_encoding: JsonEncoding::default() }
    }

    /// Sets the encoding of the JSON records.
    #[must_use]
    pub fn with_json_encoding(self, json_encoding: JsonEncoding) -> Self {
        Self { json_encoding, ..self }
    }

    /// Creates an encoder for a schema in `directory`. `name` is `subject/version`, or `subject` for the newest
    /// version.
    ///
    /// # Errors
    /// Returns an error if the directory cannot be read, is not valid, or has no such schema.
    pub fn for_subject(directory: &Path, name: &str) -> Result<Self, EncodeError> {
        let files = schema_dir::read(directory).map_err(EncodeError::Directory)?;
        let schemas = Schemas::parse(files).map_err(EncodeError::Schemas)?;
        let (subject, version) =
            name.split_once('/').map_or((name, None), |(subject, version)| (subject, Some(version)));
        let subject = schemas.subjects().find(|candidate| candidate.name() == subject);
        let found = subject.and_then(|subject| match version {
            None => Some(subject.newest()),
            Some(number) => subject.version(number.parse().ok()?),
        });
        found.map(Self::new).ok_or_else(|| EncodeError::UnknownSchema {
            name: name.into(),
            known: match subject {
                None => schemas.subjects().map(|subject| subject.name().to_owned()).collect(),
                Some(subject) => {
                    subject.versions().map(|version| format!("{}/{}", subject.name(), version.number())).collect()
                }
            },
        })
    }

    /// Returns the version of the schema with which records are encoded.
    pub fn version(&self) -> &SchemaVersion {
        &self.version
    }

    /// Encodes `record` as the bytes of a message in `format`. A container contains only this record. The record may
    /// have any type that serialises to the JSON of the wire format `json`.
    ///
    /// # Errors
    /// Returns the errors of [`frame_text`](Self::frame_text).
    pub fn frame<T: Serialize + ?Sized>(&self, format: WireFormat, record: &T) -> Result<Vec<u8>, EncodeError> {
        self.frame_text(format, &json(record)?)
    }

    /// Encodes a JSON text like [`frame`](Self::frame). All digits of its numbers are used.
    ///
    /// # Errors
    /// Returns an error if the text is not a record of the schema, or if the schema has no id of the kind that `format`
    /// needs.
    pub fn frame_text(&self, format: WireFormat, record: &str) -> Result<Vec<u8>, EncodeError> {
        let datum = self.datum(record)?;
        if format == WireFormat::Json { Ok(record.as_bytes().to_vec()) } else { self.frame_datum(format, &datum) }
    }

    /// Encodes a JSON text as a datum without a header.
    ///
    /// # Errors
    /// Returns an error if the text is not a record of the schema.
    pub fn datum(&self, record: &str) -> Result<Vec<u8>, EncodeError> {
        self.version.datum(record, self.json_encoding).map_err(EncodeError::Datum)
    }

    /// Returns the value at `path` in a JSON record for this encoder. The path consists of field names joined by dots.
    pub fn json_field<'j>(&self, record: &'j serde_json::Value, path: &str) -> Option<&'j serde_json::Value> {
        self.version.json_field(record, path, self.json_encoding)
    }

    /// Returns a datum of this schema as the bytes of a message in `format`.
    ///
    /// # Errors
    /// Returns an error if the schema has no id of the kind that `format` needs, or if `format` is JSON, which cannot
    /// contain a datum.
    pub fn frame_datum(&self, format: WireFormat, datum: &[u8]) -> Result<Vec<u8>, EncodeError> {
        let header = match format {
            WireFormat::Datum => Vec::new(),
            WireFormat::Json => return Err(EncodeError::NotJson),
            WireFormat::Container => return self.container_of_datums(&[datum], Codec::Null),
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
        Ok([&header, datum].concat())
    }

    /// Encodes `records` as a container with one block.
    ///
    /// # Errors
    /// Returns an error if one of the records is not a record of the schema.
    pub fn container<T: Serialize>(&self, records: &[T], codec: Codec) -> Result<Vec<u8>, EncodeError> {
        let datums = records.iter().map(|record| self.datum(&json(record)?));
        self.container_of_datums(&datums.collect::<Result<Vec<_>, _>>()?, codec)
    }

    /// Returns a container with one block of `datums`, which are datums of this schema.
    ///
    /// # Errors
    /// Returns an error if the datums cannot be compressed.
    pub fn container_of_datums(&self, datums: &[impl AsRef<[u8]>], codec: Codec) -> Result<Vec<u8>, EncodeError> {
        let data = datums.iter().map(AsRef::as_ref).collect::<Vec<_>>().concat();
        let data = codec.compress(data).map_err(EncodeError::Compression)?;
        // The sync marker may be any sixteen bytes that do not occur in the data. The fingerprint makes it differ
        // between schemas.
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

    /// Returns the first id of the schema that is of the kind `format` needs.
    fn id<T>(&self, format: WireFormat, kind: impl FnMut(&SchemaId) -> Option<T>) -> Result<T, EncodeError> {
        self.version.ids().iter().find_map(kind).ok_or(EncodeError::NoId(format))
    }
}

fn json<T: Serialize + ?Sized>(record: &T) -> Result<String, EncodeError> {
    serde_json::to_string(record).map_err(EncodeError::Serialisation)
}

/// Returns the text of a message with the bytes `framed`: base64 in the standard alphabet, with padding.
pub fn body(framed: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(framed)
}

/// A reason why a record cannot be encoded.
#[derive(Debug)]
pub enum EncodeError {
    /// The schema directory cannot be read.
    Directory(SchemaDirError),
    /// The schema directory is not valid.
    Schemas(SchemaErrors),
    /// The schema directory has no schema of this name.
    UnknownSchema {
        /// Name of the schema.
        name: Box<str>,
        /// Names of all versions of the subject, as `subject/version`. If the subject does not exist, names of all
        /// subjects.
        known: Vec<String>,
    },
    /// The schema has no id of the kind that this wire format needs.
    NoId(WireFormat),
    /// The record does not match the schema.
    Datum(RecordJsonError),
    /// The value cannot be serialised to JSON.
    Serialisation(serde_json::Error),
    /// A datum is not JSON.
    NotJson,
    /// The data cannot be compressed.
    Compression(io::Error),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(error) => error.fmt(f),
            Self::Schemas(error) => error.fmt(f),
            Self::UnknownSchema { name, .. } => write!(f, "schema {name} is not in the directory"),
            Self::NoId(format) => write!(f, "the schema's schemaIds have none for {format}"),
            Self::Datum(error) => error.fmt(f),
            Self::Serialisation(error) => write!(f, "cannot serialise: {error}"),
            Self::NotJson => f.write_str("a datum has no place in a body of JSON"),
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
            Self::Serialisation(error) => Some(error),
            Self::Compression(error) => Some(error),
            Self::UnknownSchema { .. } | Self::NoId(_) | Self::NotJson => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::SchemaFile;
    use serde_json::{Value, json};

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
        let found = |name| Encoder::for_subject(&directory, name).map(|encoder| encoder.version.number());
        assert_eq!(found("order/1").unwrap(), 1);
        assert!(found("order").unwrap() >= 1);
        for unknown in ["order/0", "order/x", "nothing", "order/1/1", ""] {
            let error = found(unknown).unwrap_err().to_string();
            assert_eq!(error, format!("schema {unknown} is not in the directory"));
        }
        assert!(matches!(Encoder::for_subject(&directory.join("none"), "order"), Err(EncodeError::Directory(_))));
    }

    /// apache-avro reads the containers that this module writes.
    #[test]
    fn a_container_is_read_by_another_implementation() {
        let records = [json!({"f": "one"}), json!({"f": "two"})];
        for (codec, records) in
            Codec::ALL.map(|codec| (codec, &records[..])).into_iter().chain([(Codec::Null, &[][..])])
        {
            let body = encoder(PLAIN).container(records, codec).unwrap();
            let read: Vec<_> = apache_avro::Reader::new(&body[..]).unwrap().map(|value| value.unwrap()).collect();
            let back: Vec<Value> = read.into_iter().map(|value| value.try_into().unwrap()).collect();
            assert_eq!(back, records, "{codec}");
            assert_eq!(codec.to_string().parse(), Ok(codec));
        }
    }

    #[test]
    fn a_type_of_a_services_own_is_a_record() {
        #[derive(Serialize)]
        struct Record<'a> {
            f: &'a str,
        }
        let frame = |record| encoder(PLAIN).frame(WireFormat::Datum, record);
        assert_eq!(frame(&Record { f: "x" }).unwrap(), [2, b'x']);
    }
}

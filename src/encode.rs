//! The producer's side: a record as JSON becomes the body of a message.
//!
//! The function decodes only. This is for the tool beside it, for benches and for tests, and for a producer in Rust that
//! has the same schema directory.

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

/// Writes records of one version of a schema.
#[derive(Debug, Clone)]
pub struct Encoder {
    version: SchemaVersion,
    json_encoding: JsonEncoding,
}

/// How the blocks of a container are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    Null,
    /// By RFC 1951.
    Deflate,
    /// By Snappy, with a checksum.
    Snappy,
    /// By Zstandard.
    Zstandard,
    /// By bzip2.
    Bzip2,
    /// By xz.
    Xz,
}

impl Codec {
    /// Every codec of the specification.
    /// <https://avro.apache.org/docs/1.12.0/specification/#required-codecs>
    pub const ALL: [Self; 6] = [Self::Null, Self::Deflate, Self::Snappy, Self::Zstandard, Self::Bzip2, Self::Xz];

    /// Its name in a container.
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
        /// The middle of nine levels, as other implementations have it.
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
    /// An encoder for `version` that takes plain JSON.
    pub fn new(version: &SchemaVersion) -> Self {
        Self { version: version.clone(), json_encoding: JsonEncoding::default() }
    }

    /// Sets the encoding of the JSON that it takes.
    #[must_use]
    pub fn with_json_encoding(self, json_encoding: JsonEncoding) -> Self {
        Self { json_encoding, ..self }
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

    /// The version whose records it writes.
    pub fn version(&self) -> &SchemaVersion {
        &self.version
    }

    /// `record` as the bytes of a message in `format`. A container has this one record. Any type of a service's own that
    /// serialises to the JSON of the wire format `json` will do.
    ///
    /// # Errors
    /// See [`frame_text`](Self::frame_text).
    pub fn frame<T: Serialize + ?Sized>(&self, format: WireFormat, record: &T) -> Result<Vec<u8>, EncodeError> {
        self.frame_text(format, &json(record)?)
    }

    /// As [`frame`](Self::frame), of a record as JSON text, whose numbers are taken to the last digit.
    ///
    /// # Errors
    /// If it is not a record of the schema, or the schema has no id of the kind that `format` needs.
    pub fn frame_text(&self, format: WireFormat, record: &str) -> Result<Vec<u8>, EncodeError> {
        let datum = self.datum(record)?;
        if format == WireFormat::Json { Ok(record.as_bytes().to_vec()) } else { self.frame_datum(format, &datum) }
    }

    /// A record as JSON text as a bare datum.
    ///
    /// # Errors
    /// If it is not a record of the schema.
    pub fn datum(&self, record: &str) -> Result<Vec<u8>, EncodeError> {
        self.version.datum(record, self.json_encoding).map_err(EncodeError::Datum)
    }

    /// Returns the value at `path`, names joined by dots, of a record that is JSON for this encoder.
    pub fn json_field<'j>(&self, record: &'j serde_json::Value, path: &str) -> Option<&'j serde_json::Value> {
        self.version.json_field(record, path, self.json_encoding)
    }

    /// A datum of this schema as the bytes of a message in `format`.
    ///
    /// # Errors
    /// If the schema has no id of the kind that `format` needs, or `format` is JSON, which no datum is.
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

    /// A container of `records`, in one block.
    ///
    /// # Errors
    /// If one of them is not a record of the schema.
    pub fn container<T: Serialize>(&self, records: &[T], codec: Codec) -> Result<Vec<u8>, EncodeError> {
        let datums = records.iter().map(|record| self.datum(&json(record)?));
        self.container_of_datums(&datums.collect::<Result<Vec<_>, _>>()?, codec)
    }

    /// A container of records that are datums of this schema already, in one block.
    ///
    /// # Errors
    /// If they cannot be compressed.
    pub fn container_of_datums(&self, datums: &[impl AsRef<[u8]>], codec: Codec) -> Result<Vec<u8>, EncodeError> {
        let data = datums.iter().map(AsRef::as_ref).collect::<Vec<_>>().concat();
        let data = codec.compress(data).map_err(EncodeError::Compression)?;
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

fn json<T: Serialize + ?Sized>(record: &T) -> Result<String, EncodeError> {
    serde_json::to_string(record).map_err(EncodeError::Serialisation)
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
    UnknownSchema {
        /// The name.
        name: Box<str>,
        /// The versions of its subject, as `subject/version`, or else the subjects that there are.
        known: Vec<String>,
    },
    /// The schema carries no id of the kind that this wire format needs.
    NoId(WireFormat),
    /// The record is not one of the schema.
    Datum(RecordJsonError),
    /// The value does not serialise to JSON.
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

//! Conversion of records to messages, shared by `ingest encode` and `ingest send`.

mod input;
mod messages;
mod packing;

pub(crate) use input::{Content, Input, Raw, Record, datum_of, open};
pub(crate) use messages::{KeyFields, Messages, Packer, Produced};
pub(crate) use packing::{MAX_MESSAGE_BYTES, Packed, Packing};

use crate::json_encoding;
use crate::names::{nearest_or_all, one_of};
use crate::numbers::whole;
use avro_ingest::avro::{JsonEncoding, WireFormat};
use avro_ingest::encode::{Codec, EncodeError, Encoder};
use std::error::Error;
use std::path::PathBuf;

/// Options that select the records and their encoding.
#[derive(clap::Args)]
pub(crate) struct RecordOptions {
    /// Records, one JSON object per line, or an Avro container file (.avro); - is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub(crate) file: PathBuf,
    /// Schema directory
    #[arg(long, default_value = "schemas", value_name = "DIR")]
    schemas: PathBuf,
    /// Schema of the records, `subject` or `subject/version`
    #[arg(long, value_name = "NAME")]
    schema: String,
    /// single-object, container, confluent, glue, datum or json [default: single-object, or container if records are packed]
    #[arg(long, value_name = "FORMAT", hide_possible_values = true, value_parser = one_of::<WireFormat>(WireFormat::ALL.iter().map(|format| format.name())))]
    wire_format: Option<WireFormat>,
    /// JSON encoding of the records, plain or avro (Avro's own JSON encoding) [default: JSON_ENCODING]
    #[arg(long, value_name = "ENCODING", hide_possible_values = true, value_parser = one_of::<JsonEncoding>(JsonEncoding::ALL.iter().map(|encoding| encoding.name())))]
    json_encoding: Option<JsonEncoding>,
    /// Compression codec of a container: null, deflate, snappy, zstandard, bzip2 or xz
    #[arg(long, value_name = "CODEC", hide_possible_values = true, value_parser = one_of::<Codec>(Codec::ALL.map(Codec::name)))]
    codec: Option<Codec>,
    /// Maximum number of records per message; a container holds as many as fit
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    records_per_message: u32,
    /// Start at this line, or at this record of a container file
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole(1..=u64::MAX))]
    pub(crate) from_line: u64,
    /// Send nothing if any record is invalid
    #[arg(long)]
    pub(crate) strict: bool,
}

impl RecordOptions {
    /// Returns the messages for the records of the file.
    ///
    /// # Errors
    /// If the file cannot be read, the schema does not exist, or the options contradict each other.
    pub(crate) fn messages(&self) -> Result<Messages, Box<dyn Error>> {
        let packing = self.packing()?;
        let input = Input::new(open(&self.file)?, &self.file, packing.encoder())?;
        Ok(Messages::new(input, packing, self.from_line))
    }

    /// Returns whether a message may hold several records.
    pub(crate) fn packs(&self) -> bool {
        self.records_per_message > 1
    }

    /// Returns how records are packed into messages.
    ///
    /// # Errors
    /// If the schema does not exist, or the options contradict each other.
    pub(crate) fn packing(&self) -> Result<Packing, Box<dyn Error>> {
        let encoder = Encoder::for_subject(&self.schemas, &self.schema).map_err(|error| match &error {
            EncodeError::UnknownSchema { name, known } => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                nearest_or_all(error.to_string(), name, &known).into()
            }
            _ => Box::<dyn Error>::from(error),
        })?;
        let encoder = encoder.with_json_encoding(json_encoding(self.json_encoding)?);
        let is_packed = self.records_per_message > 1 || self.codec.is_some();
        let format = self.wire_format.unwrap_or(match is_packed {
            true => WireFormat::Container,
            false => WireFormat::SingleObject,
        });
        if is_packed && format != WireFormat::Container {
            return Err(format!("--codec and --records-per-message are a container's, not those of {format}").into());
        }
        let name = format!("{}/{}", self.schema.split('/').next().unwrap_or_default(), encoder.version().number());
        let codec = self.codec.unwrap_or(Codec::Null);
        let records = usize::try_from(self.records_per_message)?;
        let packing = Packing::new(encoder, format, codec, records, name);
        // a missing schema id is an error of the command and not of each record
        match packing.frame(&[]) {
            Err(error @ EncodeError::NoId(_)) => Err(error.into()),
            _ => Ok(packing),
        }
    }
}

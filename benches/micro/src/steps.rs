//! The steps from a message to an item, each with its candidates.

use crate::attribute::attribute;
use crate::event;
use crate::sdk::Sdk;
use crate::shape::Shape;
use apache_avro::GenericSingleObjectReader;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use avro_ingest::avro::{Body, Input, SchemaFile, Scratch};
use avro_ingest::settings::Settings;
use avro_ingest::sqs::Event;
use avro_ingest::transcode::Transcoder;
use aws_lambda_events::sqs::SqsEvent;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use serde_avro_fast::ser::SerializerConfig;
use std::collections::HashMap;
use std::error::Error;
use std::hint::black_box;
use std::time::Duration;

/// Number of records that a step processes in one run.
pub const RECORDS: u32 = 1_000;

/// One implementation of a step.
pub struct Candidate {
    /// Name of the implementation.
    pub name: &'static str,
    run: Box<dyn FnMut()>,
}

impl Candidate {
    pub(crate) fn new(name: &'static str, run: impl FnMut() + 'static) -> Self {
        Self { name, run: Box::new(run) }
    }

    /// Runs the step for [`RECORDS`] records.
    pub fn run(&mut self) {
        (self.run)();
    }
}

/// Returns a transcoder for the schema of `S` and the wire formats `single-object` and `json`.
pub fn transcoder<S: Shape>() -> Result<Transcoder, Box<dyn Error>> {
    let config = Settings::parse(|name| match name {
        "TABLE_NAME" => Some("orders".to_owned()),
        "WIRE_FORMATS" => Some("single-object,json".to_owned()),
        "DEFAULT_SCHEMA" => Some(S::SUBJECT.to_owned()),
        _ => None,
    })?;
    let file = SchemaFile {
        subject: S::SUBJECT.to_owned(),
        version: "1".to_owned(),
        text: S::SCHEMA.to_owned(),
        path: S::SUBJECT.to_owned(),
    };
    Ok(Transcoder::new(&config, vec![file])?)
}

/// Returns [`RECORDS`] framed records.
pub fn bodies<S: Shape>() -> Vec<Vec<u8>> {
    let (schema, header) = (S::schema(), S::header());
    (0..RECORDS).map(|number| [header.clone(), S::sample(number).datum(&schema)].concat()).collect()
}

/// Returns [`RECORDS`] records as JSON text.
fn texts<S: Shape>() -> Result<Vec<String>, serde_json::Error> {
    (0..RECORDS).map(|number| serde_json::to_string(&S::sample(number))).collect()
}

/// Transcodes the bodies of [`RECORDS`] records. Returns the size of their items in bytes, or 0 if a body is invalid.
pub fn transcode<'b>(transcoder: &Transcoder, bodies: impl Iterator<Item = Body<'b>>, scratch: &mut Scratch) -> usize {
    let mut encoder = transcoder.encoder(NOW, ROOM);
    for (position, body) in bodies.enumerate() {
        let input = Input { body, schema: None, value_schema_id: None, keys_only: false };
        if transcoder.transcode(&input, (position, "m"), &mut encoder, scratch).is_err() {
            return 0;
        }
    }
    let items = encoder.finish_event();
    items.as_slice().iter().map(|item| items.attributes(item).len()).sum()
}

/// Wraps framed records as message bodies.
pub fn binary(bodies: &[Vec<u8>]) -> impl Iterator<Item = Body<'_>> {
    bodies.iter().map(|body| Body::Binary(body))
}

/// Time passed to the encoder.
const NOW: Duration = Duration::from_secs(1_700_000_000);
/// Capacity for the items of [`RECORDS`] records, in bytes.
const ROOM: usize = 2 << 20;

/// Returns the candidates that transcode framed records to DynamoDB JSON.
pub fn to_items<S: Shape>() -> Result<Vec<Candidate>, Box<dyn Error>> {
    let (ours, mut scratch) = (transcoder::<S>()?, Scratch::default());
    let bodies = bodies::<S>();
    let [of_ours, of_values, of_structs, of_fast] = [(); 4].map(|()| bodies.clone());
    let reader = || GenericSingleObjectReader::builder().schema(S::schema()).header(S::header()).build();
    let (values, structs) = (reader()?, reader()?);
    let (sdk_of_values, sdk_of_structs) = (Sdk::new()?, Sdk::new()?);
    let fast: serde_avro_fast::Schema = S::SCHEMA.parse()?;
    Ok(vec![
        Candidate::new("avro-ingest", move || {
            black_box(transcode(&ours, binary(&of_ours), &mut scratch));
        }),
        Candidate::new("apache-avro value, attribute value, SDK", move || {
            let items = of_values.iter().map(|body| item(attribute(values.read_value(&mut body.as_slice()).ok()?)?));
            black_box(sdk_of_values.serialize(items.flatten()));
        }),
        Candidate::new("apache-avro struct, serde_dynamo, SDK", move || {
            let items = of_structs.iter().map(|body| {
                let record: S = structs.read_deser(&mut body.as_slice()).ok()?;
                serde_dynamo::to_item(Item { message_id: "m", processed_at: 1.7e9, data: record }).ok()
            });
            black_box(sdk_of_structs.serialize(items.flatten()));
        }),
        Candidate::new("serde_avro_fast, struct only", move || {
            for body in &of_fast {
                black_box(serde_avro_fast::from_single_object_slice::<S>(body, &fast).ok());
            }
        }),
    ])
}

#[derive(Serialize)]
struct Item<S> {
    message_id: &'static str,
    processed_at: f64,
    data: S,
}

fn item(data: AttributeValue) -> Option<HashMap<String, AttributeValue>> {
    let [id, at] = [AttributeValue::S("m".into()), AttributeValue::N("1700000000".into())];
    Some(
        [("message_id", id), ("processed_at", at), ("data", data)].map(|(name, value)| (name.to_owned(), value)).into(),
    )
}

/// Returns the candidates that parse an event of [`RECORDS`] orders.
pub fn parse() -> Result<Vec<Candidate>, Box<dyn Error>> {
    let payload = event::of_orders(0, RECORDS).ok_or("the event is too large")?;
    let same = payload.clone();
    Ok(vec![
        Candidate::new("avro-ingest", move || {
            black_box(Event::parse(&payload).ok());
        }),
        Candidate::new("aws_lambda_events, serde_path_to_error", move || {
            // as `lambda_runtime` does
            let mut deserializer = serde_json::Deserializer::from_slice(&same);
            black_box(serde_path_to_error::deserialize::<_, SqsEvent>(&mut deserializer).ok());
        }),
    ])
}

/// Returns the candidates that serialize structs.
pub fn encode<S: Shape>() -> Result<Vec<Candidate>, Box<dyn Error>> {
    let records = || (0..RECORDS).map(S::sample).collect::<Vec<_>>();
    let [of_json, of_avro, of_fast] = [(); 3].map(|()| records());
    // leaked, because the writer borrows from the schema
    let schema = Box::leak(Box::new(S::schema()));
    let writer = GenericDatumWriter::builder(schema).build()?;
    let fast: &serde_avro_fast::Schema = Box::leak(Box::new(S::SCHEMA.parse()?));
    let mut config = SerializerConfig::new(fast);
    Ok(vec![
        Candidate::new("JSON: serde_json", move || {
            for record in &of_json {
                black_box(serde_json::to_vec(record).ok());
            }
        }),
        Candidate::new("Avro: apache-avro", move || {
            for record in &of_avro {
                black_box(writer.write_ser_to_vec(record).ok());
            }
        }),
        Candidate::new("Avro: serde_avro_fast", move || {
            for record in &of_fast {
                black_box(serde_avro_fast::to_datum_vec(record, &mut config).ok());
            }
        }),
    ])
}

/// Returns the candidates that deserialize to structs. The one of avro-ingest transcodes to items.
pub fn decode<S: Shape>() -> Result<Vec<Candidate>, Box<dyn Error>> {
    let schema = Box::leak(Box::new(S::schema()));
    let datums: Vec<_> = (0..RECORDS).map(|number| S::sample(number).datum(schema)).collect();
    let [texts, same_texts] = [texts::<S>()?, texts::<S>()?];
    let (same_datums, bodies) = (datums.clone(), bodies::<S>());
    let reader = GenericDatumReader::builder(schema).build()?;
    let fast: serde_avro_fast::Schema = S::SCHEMA.parse()?;
    let [of_json, of_avro] = [transcoder::<S>()?, transcoder::<S>()?];
    let [mut json_scratch, mut avro_scratch] = [Scratch::default(), Scratch::default()];
    Ok(vec![
        Candidate::new("JSON: serde_json", move || {
            for text in &texts {
                black_box(serde_json::from_str::<S>(text).ok());
            }
        }),
        Candidate::new("Avro: apache-avro", move || {
            for datum in &datums {
                black_box(reader.read_deser::<S>(&mut datum.as_slice()).ok());
            }
        }),
        Candidate::new("Avro: serde_avro_fast", move || {
            for datum in &same_datums {
                black_box(serde_avro_fast::from_datum_slice::<S>(datum, &fast).ok());
            }
        }),
        Candidate::new("JSON: avro-ingest, into items", move || {
            black_box(transcode(&of_json, same_texts.iter().map(|text| Body::Json(text)), &mut json_scratch));
        }),
        Candidate::new("Avro: avro-ingest, into items", move || {
            black_box(transcode(&of_avro, binary(&bodies), &mut avro_scratch));
        }),
    ])
}

/// Mean size of a record in bytes, over [`RECORDS`] records.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sizes {
    /// Size as JSON text.
    pub json: f64,
    /// Size as a datum.
    pub datum: f64,
    /// Size as the body of a message in the wire format `single-object`, including base64.
    pub body: f64,
    /// Size as an item, in DynamoDB JSON.
    pub item: f64,
}

/// Returns the mean sizes of records.
pub fn sizes<S: Shape>() -> Result<Sizes, Box<dyn Error>> {
    let schema = S::schema();
    let bodies = bodies::<S>();
    let mean = |total: usize| total as f64 / bodies.len() as f64;
    let json = texts::<S>()?.iter().map(String::len).sum();
    let datum = (0..RECORDS).map(|number| S::sample(number).datum(&schema).len()).sum();
    let body = bodies.iter().map(|body| body.len().div_ceil(3) * 4).sum();
    let item = transcode(&transcoder::<S>()?, binary(&bodies), &mut Scratch::default());
    Ok(Sizes { json: mean(json), datum: mean(datum), body: mean(body), item: mean(item) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Order;

    #[test]
    fn json_and_avro_become_the_same_items() {
        let transcoder = transcoder::<Order>().unwrap();
        let of_avro = transcode(&transcoder, binary(&bodies::<Order>()), &mut Scratch::default());
        let texts = texts::<Order>().unwrap();
        let of_json = transcode(&transcoder, texts.iter().map(|text| Body::Json(text)), &mut Scratch::default());
        assert!(of_avro > 0);
        assert_eq!(of_avro, of_json);
    }

    #[test]
    fn every_way_reads_and_writes_the_same_order() {
        let order = Order::sample(7);
        let datum = order.datum(&Order::schema());
        let fast: serde_avro_fast::Schema = Order::SCHEMA.parse().unwrap();
        assert_eq!(serde_avro_fast::from_datum_slice::<Order>(&datum, &fast).unwrap(), order);
        assert_eq!(serde_avro_fast::to_datum_vec(&order, &mut SerializerConfig::new(&fast)).unwrap(), datum);
        let body = [Order::header(), datum].concat();
        assert_eq!(serde_avro_fast::from_single_object_slice::<Order>(&body, &fast).unwrap(), order);
        let reader =
            GenericSingleObjectReader::builder().schema(Order::schema()).header(Order::header()).build().unwrap();
        assert_eq!(reader.read_deser::<Order>(&mut body.as_slice()).unwrap(), order);
        let by_hand = attribute(reader.read_value(&mut body.as_slice()).unwrap()).unwrap();
        assert_eq!(by_hand, serde_dynamo::to_attribute_value(&order).unwrap());
    }
}

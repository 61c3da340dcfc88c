//! Records of several shapes, as structs and as schemas. The content of a record depends only on its number.

use apache_avro::{Schema, writer::datum::GenericDatumWriter};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// A kind of record.
pub trait Shape: Serialize + DeserializeOwned + 'static {
    /// Name of the shape in reports.
    const NAME: &'static str;
    /// Subject of its schema.
    const SUBJECT: &'static str;
    /// JSON text of its schema.
    const SCHEMA: &'static str;

    /// Returns record number `number`.
    fn sample(number: u32) -> Self;

    /// Returns the parsed schema.
    ///
    /// # Panics
    /// Never: the schema is a file of this package.
    #[expect(clippy::expect_used, reason = "the schema is a file of this package")]
    fn schema() -> Schema {
        Schema::parse_str(Self::SCHEMA).expect("the schema is valid")
    }

    /// Returns the record's datum.
    ///
    /// # Panics
    /// Never: the struct matches the schema.
    #[expect(clippy::expect_used, reason = "the struct is the schema's")]
    fn datum(&self, schema: &Schema) -> Vec<u8> {
        let writer = GenericDatumWriter::builder(schema).build().expect("the schema is complete");
        writer.write_ser_to_vec(self).expect("the record is one of the schema")
    }

    /// Returns the bytes that precede a datum in the wire format `single-object`.
    ///
    /// # Panics
    /// Never: the schema is a file of this package.
    #[expect(clippy::expect_used, reason = "the schema is a file of this package")]
    fn header() -> Vec<u8> {
        // apache-avro's fingerprint differs from the specification's if the schema has a logical type
        let schema: serde_avro_fast::Schema = Self::SCHEMA.parse().expect("the schema is valid");
        [&[0xC3, 0x01][..], schema.rabin_fingerprint()].concat()
    }
}

/// The example order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    order_id: String,
    customer_id: String,
    items: Vec<OrderItem>,
    total_amount: f64,
    timestamp: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct OrderItem {
    product_id: String,
    quantity: i32,
    price: f64,
}

impl Shape for Order {
    const NAME: &'static str = "order";
    const SUBJECT: &'static str = "order";
    const SCHEMA: &'static str = include_str!("../../../schemas/order/1.avsc");

    fn sample(number: u32) -> Self {
        let items: Vec<_> = (0..1 + number % 4)
            .map(|line| OrderItem {
                product_id: format!("SKU-{:04}", (number * 7 + line * 13) % 1_000),
                quantity: small(1 + (number + line) % 5),
                price: cents(499 + (number * 31 + line * 17) % 9_000),
            })
            .collect();
        Self {
            order_id: format!("order-2024-{number:06}"),
            customer_id: format!("customer-{:04}", number * 37 % 500),
            total_amount: (items.iter().map(|item| item.price * f64::from(item.quantity)).sum::<f64>() * 100.0).round()
                / 100.0,
            timestamp: 1_705_312_800_000 + i64::from(number) * 250,
            items,
        }
    }
}

/// A record of twenty numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flat {
    count_0: i32,
    count_1: i32,
    count_2: i32,
    count_3: i32,
    count_4: i32,
    total_0: i64,
    total_1: i64,
    total_2: i64,
    total_3: i64,
    total_4: i64,
    level_0: f64,
    level_1: f64,
    level_2: f64,
    level_3: f64,
    level_4: f64,
    level_5: f64,
    level_6: f64,
    level_7: f64,
    level_8: f64,
    level_9: f64,
}

impl Shape for Flat {
    const NAME: &'static str = "20 numbers";
    const SUBJECT: &'static str = "flat";
    const SCHEMA: &'static str = include_str!("../schemas/flat/1.avsc");

    fn sample(number: u32) -> Self {
        let count = |place: u32| small((number * 13 + place * 71) % 2_000);
        let total = |place: u32| i64::from(number * 1_009 + place * 7) * 100_003;
        let level = |place: u32| f64::from((number * 31 + place * 1_717) % 100_000) / 128.0;
        Self {
            count_0: count(0),
            count_1: count(1),
            count_2: count(2),
            count_3: count(3),
            count_4: count(4),
            total_0: total(0),
            total_1: total(1),
            total_2: total(2),
            total_3: total(3),
            total_4: total(4),
            level_0: level(0),
            level_1: level(1),
            level_2: level(2),
            level_3: level(3),
            level_4: level(4),
            level_5: level(5),
            level_6: level(6),
            level_7: level(7),
            level_8: level(8),
            level_9: level(9),
        }
    }
}

/// A record of mostly text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Article {
    slug: String,
    title: String,
    author: String,
    body: String,
    tags: Vec<String>,
}

impl Shape for Article {
    const NAME: &'static str = "text";
    const SUBJECT: &'static str = "text";
    const SCHEMA: &'static str = include_str!("../schemas/text/1.avsc");

    fn sample(number: u32) -> Self {
        const SENTENCES: [&str; 4] = [
            "The queue holds what nobody has read yet, and it holds it in order of arrival.\n",
            "\"Write it down\", she said, \"before somebody asks for it\".\n",
            "A number is a number, wherever it stands; a text may be anything at all.\n",
            "Grüße aus Köln: accents and other signs of more than one byte come along as well.\n",
        ];
        let sentences = SENTENCES.iter().cycle().skip(usize::try_from(number % 4).unwrap_or_default());
        Self {
            slug: format!("an-article-about-queues-{number:06}"),
            title: format!("An article about queues, part {number}"),
            author: format!("author-{:03}", number % 300),
            body: sentences.take(12).copied().collect(),
            tags: ["queues", "tables", "schemas"].map(str::to_owned).to_vec(),
        }
    }
}

/// Nested records, a map, and optional fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shipment {
    shipment_id: String,
    express: bool,
    from: Party,
    to: Party,
    parcels: Vec<Parcel>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Party {
    name: String,
    phone: Option<String>,
    address: Address,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Address {
    street: String,
    city: String,
    country: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Parcel {
    grams: i32,
    note: Option<String>,
    labels: BTreeMap<String, String>,
}

impl Shape for Shipment {
    const NAME: &'static str = "nested";
    const SUBJECT: &'static str = "nested";
    const SCHEMA: &'static str = include_str!("../schemas/nested/1.avsc");

    fn sample(number: u32) -> Self {
        let party = |name: &str, number: u32| Party {
            name: format!("{name} {number}"),
            phone: number.is_multiple_of(2).then(|| format!("+49 221 {number:06}")),
            address: Address {
                street: format!("{} Main Street", number % 200),
                city: "Springfield".into(),
                country: "US".into(),
            },
        };
        let parcel = |line: u32| Parcel {
            grams: small(100 + (number * 7 + line * 311) % 20_000),
            note: line.is_multiple_of(2).then(|| "this side up".to_owned()),
            labels: [("hall", format!("H{}", line)), ("route", format!("R{:03}", number % 500))]
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
        };
        Self {
            shipment_id: format!("shipment-{number:08}"),
            express: number.is_multiple_of(3),
            from: party("Sender", number % 90),
            to: party("Receiver", number),
            parcels: (0..2 + number % 2).map(parcel).collect(),
        }
    }
}

/// Converts a number that is far below the maximum of `i32`.
fn small(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn cents(number: u32) -> f64 {
    f64::from(number) / 100.0
}

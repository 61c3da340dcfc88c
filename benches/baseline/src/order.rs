//! The order, as the schema has it and as the table has it.

use apache_avro::headers::{HeaderBuilder, RabinFingerprintHeader};
use apache_avro::{Error, GenericSingleObjectReader, Schema};
use serde::{Deserialize, Serialize};

/// The schema of [`Order`].
const SCHEMA: &str = include_str!("../../../schemas/order/1.avsc");

/// A reader of orders in single-object encoding.
pub(crate) fn reader() -> Result<GenericSingleObjectReader, Error> {
    // apache-avro leaves an object around the base of a logical type in the canonical form, where the specification wants
    // the bare name, so the fingerprint is taken of a schema without one
    let plain = SCHEMA.replace(r#"{"type": "long", "logicalType": "timestamp-millis"}"#, r#""long""#);
    let header = RabinFingerprintHeader::from_schema(&Schema::parse_str(&plain)?).build_header();
    GenericSingleObjectReader::builder().schema(Schema::parse_str(SCHEMA)?).header(header).build()
}

/// A customer's order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) order_id: String,
    customer_id: String,
    items: Vec<OrderItem>,
    total_amount: f64,
    timestamp: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct OrderItem {
    product_id: String,
    quantity: i32,
    price: f64,
}

/// What is stored of an order.
#[derive(Debug, Serialize)]
pub(crate) struct Item {
    pub(crate) message_id: String,
    /// Seconds since the Unix epoch.
    pub(crate) processed_at: f64,
    pub(crate) data: Order,
}

//! The order, as defined by the schema and as stored in the table.

use apache_avro::headers::{HeaderBuilder, RabinFingerprintHeader};
use apache_avro::{Error, GenericSingleObjectReader, Schema};
use serde::{Deserialize, Serialize};

/// The schema of [`Order`].
const SCHEMA: &str = include_str!("../../../schemas/order/1.avsc");

/// Returns a reader of orders in single-object encoding.
pub(crate) fn reader() -> Result<GenericSingleObjectReader, Error> {
    // In the canonical form, apache-avro keeps an object around the underlying type of a logical type, where the specification
    // requires the bare name. The fingerprint is therefore computed from a schema without logical types.
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

/// The item stored for an order.
#[derive(Debug, Serialize)]
pub(crate) struct Item {
    pub(crate) message_id: String,
    /// Seconds since the Unix epoch.
    pub(crate) processed_at: f64,
    pub(crate) data: Order,
}

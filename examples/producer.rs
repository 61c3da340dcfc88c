//! A producer in Rust. It sends a value of its own type as the body of an SQS message, in Avro's single-object encoding.
//!
//! ```sh
//! cargo run --example producer            # prints a body for `aws sqs send-message --message-body`
//! ```

use avro_ingest::avro::WireFormat;
use avro_ingest::encode::{Encoder, body};
use serde::Serialize;
use std::error::Error;
use std::path::Path;

#[derive(Serialize)]
struct Order {
    order_id: String,
    customer_id: String,
    items: Vec<Item>,
    total_amount: f64,
    timestamp: i64,
}

#[derive(Serialize)]
struct Item {
    product_id: String,
    quantity: i32,
    price: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    // the schema directory with which the function is deployed
    let encoder = Encoder::for_subject(Path::new("schemas"), "order")?;
    let order = Order {
        order_id: "o-1001".to_owned(),
        customer_id: "c-7".to_owned(),
        items: vec![Item { product_id: "p-1".to_owned(), quantity: 2, price: 9.99 }],
        total_amount: 19.98,
        timestamp: 1_700_000_000_000,
    };
    println!("{}", body(&encoder.frame(WireFormat::SingleObject, &order)?));
    Ok(())
}

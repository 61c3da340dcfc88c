//! HTTP/1.1 for the emulators: a server on a listener, and a client that reuses its connections.

mod server;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

pub(crate) use server::{Closing, ConnectionNumber, serve};

/// Creates a client that opens connections on demand and reuses them.
pub(crate) fn client() -> Client<HttpConnector, Full<Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

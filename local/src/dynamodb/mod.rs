//! DynamoDB on loopback: an embedded database, and a plain client for it or for any other endpoint.

mod client;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

pub use client::{CallError, Client, Key, KeyKind, Table};

use crate::service_thread::ServiceThread;

/// An empty in-memory database, served over HTTP until it is dropped.
///
/// It enforces DynamoDB's rules (25 items per batch, no duplicate keys, 400 KB per item, key types, 38 digits). It never
/// throttles, never returns unprocessed items and does not check credentials. It processes one call at a time.
#[derive(Debug)]
pub struct Embedded {
    client: Client,
    _thread: ServiceThread,
}

impl Embedded {
    /// Starts a database on loopback `port`. Port 0 picks a free port.
    ///
    /// # Errors
    /// Returns an error if the port is already in use, or if the database cannot be opened.
    pub fn start(port: u16) -> io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, port).into())
    }

    /// Starts a database at `address`, which other machines and containers may be able to reach.
    ///
    /// # Errors
    /// Returns the errors of [`start`](Self::start).
    pub fn start_at(address: SocketAddr) -> io::Result<Self> {
        let database = dynoxide::Database::memory().map_err(|error| io::Error::other(error.to_string()))?;
        let thread = ServiceThread::start("dynamodb")?;
        let (listener, address) = thread.listen_at(address)?;
        thread.runtime().spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
        Ok(Self { client: Client::new(address), _thread: thread })
    }

    /// Returns the address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.client.address()
    }

    /// Returns the endpoint's URL, for `AWS_ENDPOINT_URL_DYNAMODB`: `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Returns a client that connects to the database directly, bypassing any proxy.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

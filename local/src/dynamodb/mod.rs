//! DynamoDB on loopback: the database itself, and a plain client for looking into it or into any other endpoint.

mod client;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

pub use client::{CallError, Client, Key, KeyKind, Table};

use crate::service_thread::ServiceThread;

/// An empty database in memory, served over HTTP until it is dropped.
///
/// It accepts and refuses what DynamoDB does (25 items, duplicate keys, 400 KB, key types, 38 digits), but it never
/// throttles, never leaves items unprocessed and looks at no credentials. One call at a time is worked on.
#[derive(Debug)]
pub struct Embedded {
    client: Client,
    _thread: ServiceThread,
}

impl Embedded {
    /// Starts a database at `port` of loopback; 0 is any free port.
    ///
    /// # Errors
    /// When the port is taken, or the database cannot be opened.
    pub fn start(port: u16) -> io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, port).into())
    }

    /// Starts a database at `address`, which may be one that other machines and containers reach.
    ///
    /// # Errors
    /// As of [`start`](Self::start).
    pub fn start_at(address: SocketAddr) -> io::Result<Self> {
        let database = dynoxide::Database::memory().map_err(|error| io::Error::other(error.to_string()))?;
        let thread = ServiceThread::start("dynamodb")?;
        let (listener, address) = thread.listen_at(address)?;
        thread.runtime().spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
        Ok(Self { client: Client::new(address), _thread: thread })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.client.address()
    }

    /// The endpoint's URL, for `AWS_ENDPOINT_URL_DYNAMODB`: `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// A client that looks straight into the database, past whatever stands in front of it.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

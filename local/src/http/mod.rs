//! As much HTTP/1.1 as one machine needs: a server over a listener and a client with kept connections.

mod client;
mod server;

pub(crate) use client::Client;
pub(crate) use server::{Closing, serve};

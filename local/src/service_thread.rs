//! A thread with a runtime of its own, so that what is served on it neither slows down nor is slowed down by its user.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread::{Builder, JoinHandle};

use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::oneshot;

/// Runs what is spawned on it until it is dropped. Dropping waits until every task on it is gone, and so every process
/// and every connection the tasks held.
#[derive(Debug)]
pub(crate) struct ServiceThread {
    runtime: runtime::Handle,
    thread: Option<JoinHandle<()>>,
    stop: Option<oneshot::Sender<()>>,
}

impl ServiceThread {
    /// Starts a thread called `name`.
    pub(crate) fn start(name: &str) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = Builder::new().name(name.to_owned()).spawn(move || {
            // an error means that the sender is gone, which is a reason to stop as well
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self { runtime: handle, thread: Some(thread), stop: Some(stop) })
    }

    /// The runtime of the thread.
    pub(crate) fn runtime(&self) -> &runtime::Handle {
        &self.runtime
    }

    /// A listener on loopback whose connections this thread serves. Port 0 is any free one.
    pub(crate) fn listen(&self, port: u16) -> io::Result<(TcpListener, SocketAddr)> {
        listen(&self.runtime, port)
    }

    /// A listener at `address`, and where this machine reaches it.
    pub(crate) fn listen_at(&self, address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
        listen_at(&self.runtime, address)
    }
}

/// A listener on loopback that belongs to `runtime`.
pub(crate) fn listen(runtime: &runtime::Handle, port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    listen_at(runtime, (Ipv4Addr::LOCALHOST, port).into())
}

fn listen_at(runtime: &runtime::Handle, address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let mut address = listener.local_addr()?;
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let _context = runtime.enter();
    Ok((TcpListener::from_std(listener)?, address))
}

impl Drop for ServiceThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // a panic on the thread has been reported by the thread
            let _ = thread.join();
        }
    }
}

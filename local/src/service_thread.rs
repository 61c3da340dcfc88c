//! A thread with its own runtime, so that an emulator and its user do not slow each other down.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread::{Builder, JoinHandle};

use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::oneshot;

/// Runs the tasks spawned on it until it is dropped. Dropping waits until every task is dropped, together with the processes
/// and connections it owns.
#[derive(Debug)]
pub(crate) struct ServiceThread {
    runtime: runtime::Handle,
    thread: Option<JoinHandle<()>>,
    stop: Option<oneshot::Sender<()>>,
}

impl ServiceThread {
    /// Starts a thread named `name`.
    pub(crate) fn start(name: &str) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = Builder::new().name(name.to_owned()).spawn(move || {
            // an error means that the sender was dropped, which also stops the thread
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self { runtime: handle, thread: Some(thread), stop: Some(stop) })
    }

    /// Returns the thread's runtime.
    pub(crate) fn runtime(&self) -> &runtime::Handle {
        &self.runtime
    }

    /// Returns a loopback listener whose connections this thread serves, and its address. Port 0 picks a free port.
    pub(crate) fn listen(&self, port: u16) -> io::Result<(TcpListener, SocketAddr)> {
        listen(&self.runtime, port)
    }

    /// Returns a listener at `address`, and the address at which this machine can reach it.
    pub(crate) fn listen_at(&self, address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
        listen_at(&self.runtime, address)
    }
}

/// Returns a loopback listener registered with `runtime`, and its address.
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
            // a panic of the thread has already been reported
            let _ = thread.join();
        }
    }
}

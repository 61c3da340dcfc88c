//! A TLS endpoint with a self-signed certificate that forwards to a plain endpoint.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::CertifiedKey;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::service_thread::ServiceThread;

/// Accepts TLS connections for `localhost` and forwards their data to a plain endpoint.
#[derive(Debug)]
pub struct TlsEndpoint {
    address: SocketAddr,
    certificate: String,
    _thread: ServiceThread,
}

impl TlsEndpoint {
    /// Starts a TLS endpoint for `plain` on a free loopback port. It offers `protocols` (`h2`, `http/1.1`) in this order.
    ///
    /// # Errors
    /// Returns an error if no port is free or the certificate cannot be created.
    pub fn start(plain: SocketAddr, protocols: &[&str]) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let key = PrivateKeyDer::try_from(signing_key.serialize_der())?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)?;
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let thread = ServiceThread::start("tls")?;
        let (listener, address) = thread.listen(0)?;
        thread.runtime().spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), plain));
        Ok(Self { address, certificate: cert.pem(), _thread: thread })
    }

    /// Returns its URL, with the host name that its certificate contains.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Returns its certificate as PEM, the content of a file for `SSL_CERT_FILE`.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, plain: SocketAddr) {
    while let Ok((connection, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // errors of a connection concern its client only
            let _ = connection.set_nodelay(true);
            let mut outer = acceptor.accept(connection).await.ok()?;
            let mut inner = TcpStream::connect(plain).await.ok()?;
            let _ = inner.set_nodelay(true);
            copy_bidirectional(&mut outer, &mut inner).await.ok()
        });
    }
}

//! TLS in front of a plain endpoint, under a certificate of its own.

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

/// Takes TLS connections for `localhost` and hands on what comes in.
#[derive(Debug)]
pub struct TlsEndpoint {
    address: SocketAddr,
    certificate: String,
    _thread: ServiceThread,
}

impl TlsEndpoint {
    /// Starts one at any free port of loopback, in front of `plain`, that offers `protocols` (`h2`, `http/1.1`) in this order.
    ///
    /// # Errors
    /// When there is no port, or no certificate can be made.
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

    /// Its URL, by the name that stands in its certificate.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// The certificate to trust, as PEM: the content of a file for `SSL_CERT_FILE`.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, plain: SocketAddr) {
    while let Ok((connection, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // how a connection ends is its client's business
            let _ = connection.set_nodelay(true);
            let mut outer = acceptor.accept(connection).await.ok()?;
            let mut inner = TcpStream::connect(plain).await.ok()?;
            let _ = inner.set_nodelay(true);
            copy_bidirectional(&mut outer, &mut inner).await.ok()
        });
    }
}

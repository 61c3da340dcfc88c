//! What a bootstrap writes to: a sink that takes everything, behind whatever goes wrong on the way to it.

use local::faults::{Plan, Proxy};
use local::sink::{Latency, Received, Sink};
use local::tls::TlsEndpoint;
use std::error::Error;
use std::fs;
use std::time::Duration;

/// How the endpoint behaves.
#[derive(Debug, Clone)]
pub(crate) struct Behaviour {
    pub(crate) latency: Latency,
    /// What goes wrong.
    pub(crate) faults: Option<Plan>,
    /// Which certificates the bootstrap trusts; none for plain HTTP.
    pub(crate) tls: Option<Trust>,
}

/// The certificates of a bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The endpoint's own alone.
    Endpoint,
    /// Those of this machine too, as on Lambda.
    Machine,
}

/// Where the distributions of Linux keep the certificates they trust.
const MACHINE_CERTIFICATES: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

impl Behaviour {
    /// Every answer takes so long, and nothing goes wrong.
    pub(crate) fn taking(delay: Duration) -> Self {
        Self { latency: Latency::Constant(delay), faults: None, tls: None }
    }
}

/// An endpoint that has started.
pub(crate) struct Endpoint {
    sink: Sink,
    proxy: Option<Proxy>,
    tls: Option<(TlsEndpoint, Trust)>,
}

impl Endpoint {
    pub(crate) fn start(behaviour: &Behaviour) -> Result<Self, Box<dyn Error>> {
        let sink = Sink::start(0, behaviour.latency)?;
        let proxy = behaviour.faults.clone().map(|plan| Proxy::start(0, sink.address(), plan)).transpose()?;
        let plain = proxy.as_ref().map_or(sink.address(), Proxy::address);
        let tls = |trust| {
            TlsEndpoint::start(plain, &["http/1.1"])
                .map(|endpoint| (endpoint, trust))
                .map_err(|error| error.to_string())
        };
        Ok(Self { sink, proxy, tls: behaviour.tls.map(tls).transpose()? })
    }

    pub(crate) fn url(&self) -> String {
        match (&self.tls, &self.proxy) {
            (Some((tls, _)), _) => tls.url(),
            (None, Some(proxy)) => proxy.url(),
            (None, None) => self.sink.url(),
        }
    }

    /// The certificates to trust, as PEM. None for plain HTTP.
    pub(crate) fn certificates(&self) -> Result<Option<String>, Box<dyn Error>> {
        let Some((tls, trust)) = &self.tls else { return Ok(None) };
        let mut certificates = tls.certificate().to_owned();
        if *trust == Trust::Machine {
            let found = MACHINE_CERTIFICATES.iter().find_map(|file| fs::read_to_string(file).ok());
            certificates.push_str(&found.ok_or("this machine has no certificates: install ca-certificates")?);
        }
        Ok(Some(certificates))
    }

    pub(crate) fn received(&self) -> Received {
        self.sink.received()
    }
}

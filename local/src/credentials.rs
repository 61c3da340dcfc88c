//! The endpoint that gives a container its credentials, which expire.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clock;
use crate::http::{Closing, serve};
use crate::service_thread::ServiceThread;

/// Gives other credentials each time it is asked. A [`Proxy`](crate::faults::Proxy) can be told to accept only those that
/// are still good.
#[derive(Debug)]
pub struct CredentialsEndpoint {
    address: SocketAddr,
    issuer: Arc<Issuer>,
    _thread: ServiceThread,
}

impl CredentialsEndpoint {
    /// Starts an endpoint at `port` of loopback, 0 being any free port, whose credentials last for `lifetime`. Its clock is so
    /// many seconds ahead of this machine's, or behind it if negative, as that of the services that take the credentials.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start(port: u16, lifetime: Duration, clock_ahead_seconds: i64) -> io::Result<Self> {
        let thread = ServiceThread::start("credentials")?;
        let (listener, address) = thread.listen(port)?;
        let issuer = Arc::new(Issuer { lifetime, clock_ahead_seconds, state: Mutex::default() });
        let server = issuer.clone();
        thread.runtime().spawn(serve(listener, Closing::Orderly, move |_| {
            let body = server.issue();
            async { Ok::<_, Infallible>(Response::new(Full::new(body))) }
        }));
        Ok(Self { address, issuer, _thread: thread })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, for `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
    pub fn url(&self) -> String {
        format!("http://{}/credentials", self.address)
    }

    /// How many credentials it has given.
    pub fn issued(&self) -> usize {
        self.issuer.state().ends.len()
    }

    /// From now on everything given so far counts as expired, whatever it said of its end.
    pub fn revoke(&self) {
        let mut state = self.issuer.state();
        state.revoked = state.ends.len();
    }

    pub(crate) fn issuer(&self) -> Arc<Issuer> {
        self.issuer.clone()
    }
}

/// What the service knows of the credentials that were given.
#[derive(Debug)]
pub(crate) struct Issuer {
    lifetime: Duration,
    clock_ahead_seconds: i64,
    state: Mutex<CredentialsState>,
}

#[derive(Debug, Default)]
struct CredentialsState {
    /// When each of them ends, since the Unix epoch.
    ends: Vec<Duration>,
    /// How many of them, from the first, no longer count.
    revoked: usize,
}

/// What a session token is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Valid,
    Expired,
    Unknown,
}

impl Issuer {
    fn state(&self) -> std::sync::MutexGuard<'_, CredentialsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time since the Unix epoch by the services' clock.
    fn now(&self) -> Duration {
        let ahead = Duration::from_secs(self.clock_ahead_seconds.unsigned_abs());
        if self.clock_ahead_seconds < 0 { clock::since_epoch() - ahead } else { clock::since_epoch() + ahead }
    }

    fn issue(&self) -> Bytes {
        let mut state = self.state();
        let end = self.now() + self.lifetime;
        let number = state.ends.len();
        state.ends.push(end);
        let expiration = OffsetDateTime::from(SystemTime::UNIX_EPOCH + end).format(&Rfc3339).unwrap_or_default();
        let credentials = json!({
            "AccessKeyId": format!("ASIALOCAL{number}"),
            "SecretAccessKey": "local",
            "Token": format!("{TOKEN_PREFIX}{number}"),
            "Expiration": expiration,
        });
        credentials.to_string().into()
    }

    /// What `token` is worth now.
    pub(crate) fn check(&self, token: &str) -> Token {
        let state = self.state();
        let number = token.strip_prefix(TOKEN_PREFIX).and_then(|number| number.parse::<usize>().ok());
        match number.and_then(|number| Some((number, state.ends.get(number)?))) {
            None => Token::Unknown,
            Some((number, &end)) if number < state.revoked || end <= self.now() => Token::Expired,
            Some(_) => Token::Valid,
        }
    }
}

const TOKEN_PREFIX: &str = "local-token-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_valid_until_its_end_or_until_it_is_revoked() {
        let issuer = |lifetime| Issuer { lifetime, clock_ahead_seconds: 900, state: Mutex::default() };
        let long = issuer(Duration::from_secs(60));
        long.issue();
        assert_eq!(long.check("local-token-0"), Token::Valid);
        assert_eq!(long.check("local-token-1"), Token::Unknown);
        assert_eq!(long.check("local"), Token::Unknown);
        long.state().revoked = 1;
        assert_eq!(long.check("local-token-0"), Token::Expired);

        let short = issuer(Duration::ZERO);
        short.issue();
        assert_eq!(short.check("local-token-0"), Token::Expired);
    }
}

//! An endpoint that issues container credentials that expire.
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

/// Issues new credentials for each request. A [`Proxy`](crate::faults::Proxy) can be configured to accept only those that have
/// not expired.
#[derive(Debug)]
pub struct CredentialsEndpoint {
    address: SocketAddr,
    issuer: Arc<Issuer>,
    _thread: ServiceThread,
}

impl CredentialsEndpoint {
    /// Starts an endpoint on loopback `port` (0 picks a free port) whose credentials are valid for `lifetime`. Its clock is
    /// `clock_ahead_seconds` ahead of this machine's, or behind it if negative. The services that accept the credentials must
    /// have the same clock.
    ///
    /// # Errors
    /// Returns an error if the port is already in use.
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

    /// Returns the address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its URL, for `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
    pub fn url(&self) -> String {
        format!("http://{}/credentials", self.address)
    }

    /// Returns the number of credentials issued so far.
    pub fn issued(&self) -> usize {
        self.issuer.state().ends.len()
    }

    /// Expires all credentials issued so far, whatever their expiration time.
    pub fn revoke(&self) {
        let mut state = self.issuer.state();
        state.revoked = state.ends.len();
    }

    pub(crate) fn issuer(&self) -> Arc<Issuer> {
        self.issuer.clone()
    }
}

/// State shared between the endpoint and the services that check its credentials.
#[derive(Debug)]
pub(crate) struct Issuer {
    lifetime: Duration,
    clock_ahead_seconds: i64,
    state: Mutex<CredentialsState>,
}

#[derive(Debug, Default)]
struct CredentialsState {
    /// Expiration time of each set of credentials, since the Unix epoch.
    ends: Vec<Duration>,
    /// Number of revoked credentials, counted from the first issued.
    revoked: usize,
}

/// Validity of a session token.
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

    /// Returns the time since the Unix epoch by the services' clock.
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

    /// Returns the current validity of `token`.
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

//! A cache of AWS credentials. It loads them for the first call, before they expire, and after a service has refused them.
//! Only one load runs at a time, and a refresh never delays a call whose credentials are still valid.

use crate::clock;
use crate::error_text;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync;
use tokio::time::{Instant, timeout};

/// Remaining lifetime at which credentials are refreshed. Calls continue to use the old credentials meanwhile.
pub(super) const REFRESH_BEFORE: Duration = Duration::from_secs(60);
/// Minimum time between two refreshes, so that a failed refresh is not repeated at once.
const REFRESH_PAUSE: Duration = Duration::from_secs(5);
/// Default timeout of a load. Lambda's own credential sources respond within milliseconds.
const LOAD_TIMEOUT: Duration = Duration::from_millis(1_500);

/// A cache of credentials. Clones share the same cache.
#[derive(Clone)]
pub struct CredentialsCache {
    provider: SharedCredentialsProvider,
    load_timeout: Duration,
    loaded: Arc<Mutex<Option<Arc<Credentials>>>>,
    /// Ensures that only one load runs at a time. Contains the result of the last load, if it failed.
    loading: Arc<sync::Mutex<LastFailure>>,
    /// Start of the last refresh, in seconds since the Unix epoch.
    refreshed: Arc<AtomicU64>,
}

/// Time and error of the last load, or `None` if it succeeded.
type LastFailure = Option<(Instant, NoCredentials)>;

/// The reason why no credentials are available.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoCredentials {
    /// Whether a retry may help, because the source of the credentials could not be reached.
    pub transient: bool,
    /// Error text of the source, without secrets.
    pub cause: Box<str>,
}

impl CredentialsCache {
    /// Creates an empty cache that loads credentials from `provider`.
    pub fn new(provider: SharedCredentialsProvider) -> Self {
        Self {
            provider,
            load_timeout: LOAD_TIMEOUT,
            loaded: Arc::default(),
            loading: Arc::default(),
            refreshed: Arc::default(),
        }
    }

    /// Sets the timeout of a load.
    #[must_use]
    pub fn with_load_timeout(self, load_timeout: Duration) -> Self {
        Self { load_timeout, ..self }
    }

    /// Returns the credentials for a call at `now`, the time since the Unix epoch.
    ///
    /// # Errors
    /// Returns an error if the source provides no credentials before the timeout.
    pub async fn provide(&self, now: Duration) -> Result<Arc<Credentials>, NoCredentials> {
        if let Some(credentials) = self.lasting(now) {
            if ends_by(&credentials, now + REFRESH_BEFORE) {
                self.refresh(now);
            }
            return Ok(credentials);
        }
        let asked = clock::now();
        let mut failed = self.loading.lock().await;
        if let Some(credentials) = self.lasting(now) {
            return Ok(credentials);
        }
        // a caller that waited for a load that failed does not start another, so a source that hangs delays all callers by
        // only one timeout
        if let Some((at, error)) = &*failed
            && *at > asked
        {
            return Err(error.clone());
        }
        self.load(&mut failed).await
    }

    /// Removes credentials that a service has refused from the cache.
    pub fn discard(&self, refused: &Arc<Credentials>) {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.as_ref().is_some_and(|loaded| Arc::ptr_eq(loaded, refused)) {
            *loaded = None;
        }
    }

    fn lasting(&self, now: Duration) -> Option<Arc<Credentials>> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner).clone();
        loaded.filter(|credentials| !ends_by(credentials, now))
    }

    /// Starts a load in the background, unless one is in progress.
    fn refresh(&self, now: Duration) {
        let due = self.refreshed.load(Ordering::Relaxed) + REFRESH_PAUSE.as_secs() <= now.as_secs();
        if due && let Ok(mut failed) = Arc::clone(&self.loading).try_lock_owned() {
            self.refreshed.store(now.as_secs(), Ordering::Relaxed);
            let cache = self.clone();
            tokio::spawn(async move {
                if let Err(NoCredentials { cause, .. }) = cache.load(&mut failed).await {
                    tracing::warn!(%cause, "credentials not refreshed");
                }
            });
        }
    }

    async fn load(&self, failed: &mut LastFailure) -> Result<Arc<Credentials>, NoCredentials> {
        let provided = timeout(self.load_timeout, self.provider.provide_credentials()).await;
        let provided = provided.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(self.load_timeout)));
        let provided = provided.map_err(|error| NoCredentials {
            transient: matches!(error, CredentialsError::ProviderTimedOut(_) | CredentialsError::ProviderError(_)),
            cause: error_text::credentials_error_text(&error).into(),
        });
        *failed = provided.as_ref().err().map(|error| (clock::now(), error.clone()));
        let credentials = Arc::new(provided?);
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&credentials));
        Ok(credentials)
    }
}

fn ends_by(credentials: &Credentials, now: Duration) -> bool {
    credentials.expiry().is_some_and(|end| end <= UNIX_EPOCH + now)
}

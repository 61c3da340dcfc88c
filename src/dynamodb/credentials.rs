//! The credentials in use. They are loaded for the first call, again before they expire, and again when a service has refused
//! them; one load at a time, and none of them holds up a call whose credentials are still good.

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

/// How long before their end credentials are loaded anew, while calls go on with the old ones.
pub(super) const REFRESH_BEFORE: Duration = Duration::from_secs(60);
/// How long a refresh that failed is not tried again.
const REFRESH_PAUSE: Duration = Duration::from_secs(5);
/// Default timeout of a load. Lambda's own sources respond in milliseconds.
const LOAD_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Where a call's credentials come from. Clones share them.
#[derive(Clone)]
pub struct CredentialsCache {
    provider: SharedCredentialsProvider,
    load_timeout: Duration,
    loaded: Arc<Mutex<Option<Arc<Credentials>>>>,
    /// Held while they are loaded.
    loading: Arc<sync::Mutex<LastFailure>>,
    /// When the last refresh began, in seconds since the Unix epoch.
    refreshed: Arc<AtomicU64>,
}

/// When the last load failed, and why. None if it did not.
type LastFailure = Option<(Instant, NoCredentials)>;

/// Why there are no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoCredentials {
    /// Their source could not be asked, and may be the next time.
    pub transient: bool,
    /// Error of the source, without a secret.
    pub cause: Box<str>,
}

impl CredentialsCache {
    /// Creates an empty cache of what `provider` gives.
    pub fn new(provider: SharedCredentialsProvider) -> Self {
        Self {
            provider,
            load_timeout: LOAD_TIMEOUT,
            loaded: Arc::default(),
            loading: Arc::default(),
            refreshed: Arc::default(),
        }
    }

    /// Sets how long a load may take.
    #[must_use]
    pub fn with_load_timeout(self, load_timeout: Duration) -> Self {
        Self { load_timeout, ..self }
    }

    /// Returns the credentials for a call at `now`, the time since the Unix epoch.
    ///
    /// # Errors
    /// If their source gives no credentials in time.
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
        // whoever waited for a load that failed does not wait for another: a source that hangs costs all of them one wait
        if let Some((at, error)) = &*failed
            && *at > asked
        {
            return Err(error.clone());
        }
        self.load(&mut failed).await
    }

    /// Gives up `refused` credentials.
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

    /// Loads new credentials beside the calls, unless that is under way.
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
            cause: error_text::of_credentials(&error).into(),
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

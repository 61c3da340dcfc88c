//! AWS Signature Version 4, for POST requests with a JSON body to the root path of a service. The signing key derived from
//! the credentials is valid for one day, so it is derived once per day. This module builds the canonical request itself,
//! because the SDK's generic code for it would cost more CPU time than all our other work for a call. Pure: no I/O, clock
//! or randomness.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use aws_credential_types::Credentials;
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use ring::digest::{SHA256, digest};
use std::time::{Duration, UNIX_EPOCH};

const SECONDS_A_DAY: u64 = 86_400;

/// Credentials with the signing key for one region, service and day.
pub struct Signer {
    access_key_id: String,
    session_token: Option<String>,
    /// The day, in days since the Unix epoch.
    day: u64,
    /// The day in the format of the signature, such as `20240115`.
    date: String,
    /// The credential scope: day, region and service.
    scope: String,
    key: Vec<u8>,
}

/// The parts of a request that are signed and differ between requests.
pub struct SignableRequest<'a> {
    /// The `host` header.
    pub host: &'a str,
    /// The path of the URL.
    pub path: &'a str,
    /// The `x-amz-target` header, which contains the operation.
    pub target: &'a str,
    /// The complete body.
    pub body: &'a [u8],
}

/// The headers that sign a request.
pub struct Signature {
    /// Value of the `x-amz-date` header.
    pub date: String,
    /// Value of the `authorization` header.
    pub authorization: String,
}

/// Value of the `content-type` header of every request. It is signed.
pub const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

impl Signer {
    /// Derives the signing key. `now` is the time since the Unix epoch.
    pub fn new(credentials: &Credentials, region: &str, service: &str, now: Duration) -> Self {
        let date = date(now);
        Self {
            access_key_id: credentials.access_key_id().to_owned(),
            session_token: credentials.session_token().map(str::to_owned),
            day: now.as_secs() / SECONDS_A_DAY,
            scope: format!("{date}/{region}/{service}/aws4_request"),
            date,
            key: generate_signing_key(credentials.secret_access_key(), UNIX_EPOCH + now, region, service)
                .as_ref()
                .to_vec(),
        }
    }

    /// Returns whether the signing key is valid at `now`.
    pub fn is_valid_at(&self, now: Duration) -> bool {
        self.day == now.as_secs() / SECONDS_A_DAY
    }

    /// Returns the session token, which must be sent with the request if there is one.
    pub fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }

    /// Signs a request at `now`.
    pub fn sign(&self, request: &SignableRequest<'_>, now: Duration) -> Signature {
        let SignableRequest { host, path, target, body } = request;
        let (token, signed_token) = match &self.session_token {
            Some(token) => (format!("x-amz-security-token:{token}\n"), "x-amz-security-token;"),
            None => (String::new(), ""),
        };
        let second = now.as_secs() % SECONDS_A_DAY;
        let date = format!("{}T{:02}{:02}{:02}Z", self.date, second / 3600, second / 60 % 60, second % 60);
        let signed = format!("content-type;host;x-amz-date;{signed_token}x-amz-target");
        let canonical = format!(
            "POST\n{path}\n\ncontent-type:{CONTENT_TYPE}\nhost:{host}\nx-amz-date:{date}\n{token}x-amz-target:{target}\n\n{signed}\n{}",
            hex::encode(digest(&SHA256, body))
        );
        let scope = &self.scope;
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex::encode(digest(&SHA256, canonical.as_bytes())));
        let signature = calculate_signature(&self.key, text.as_bytes());
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed}, Signature={signature}",
            self.access_key_id
        );
        Signature { date, authorization }
    }
}

/// Returns the day of `now` in the format `20240115`.
fn date(now: Duration) -> String {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    // the date part of RFC 3339; formatting fails only for years that do not have four digits
    let text = DateTime::from_secs(seconds).fmt(Format::DateTime).unwrap_or_default();
    text.chars().take_while(|char| *char != 'T').filter(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sigv4::http_request::{self, SignableBody, SigningSettings, sign};
    use aws_sigv4::sign::v4::SigningParams;

    /// Returns the `authorization` header that the SDK's signer generates.
    fn sdk_signature(credentials: &Credentials, url: &str, body: &[u8], now: Duration) -> String {
        let identity = credentials.clone().into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region("eu-central-1")
            .name("dynamodb")
            .time(UNIX_EPOCH + now)
            .settings(SigningSettings::default())
            .build()
            .unwrap();
        let headers = [("content-type", CONTENT_TYPE), ("x-amz-target", "DynamoDB_20120810.PutItem")];
        let request =
            http_request::SignableRequest::new("POST", url, headers.into_iter(), SignableBody::Bytes(body)).unwrap();
        let (instructions, _) = sign(request, &params.into()).unwrap().into_parts();
        let (headers, _) = instructions.into_parts();
        headers.iter().find(|header| header.name() == "authorization").unwrap().value().to_owned()
    }

    proptest::proptest! {
        #[test]
        fn a_signature_is_the_one_of_the_sdk(
            (secret, token) in ("[!-~]{1,50}", proptest::option::of("[!-~]{1,500}")),
            body: Vec<u8>,
            now in 0..4_000_000_000_u64,
        ) {
            let credentials = Credentials::new("AKID", secret, token, None, "test");
            let now = Duration::from_secs(now);
            let signer = Signer::new(&credentials, "eu-central-1", "dynamodb", now);
            for (url, host) in [
                ("https://dynamodb.eu-central-1.amazonaws.com/", "dynamodb.eu-central-1.amazonaws.com"),
                ("http://127.0.0.1:8000/", "127.0.0.1:8000"),
            ] {
                let request = SignableRequest { host, path: "/", target: "DynamoDB_20120810.PutItem", body: &body };
                let signature = signer.sign(&request, now);
                proptest::prop_assert_eq!(signature.authorization, sdk_signature(&credentials, url, &body, now));
            }
        }
    }

    #[test]
    fn a_signer_is_good_for_its_day() {
        let noon = Duration::from_secs(20_000 * SECONDS_A_DAY + SECONDS_A_DAY / 2);
        let signer = Signer::new(&Credentials::new("a", "b", None, None, "test"), "r", "s", noon);
        let day = [SECONDS_A_DAY / 2, SECONDS_A_DAY / 2 - 1].map(Duration::from_secs);
        let [last, next] = [noon + day[1], noon + day[0]];
        assert_eq!([noon - day[0], last, next].map(|now| signer.is_valid_at(now)), [true, true, false]);
    }
}

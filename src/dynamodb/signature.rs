//! AWS Signature Version 4 for the one kind of request there is: a POST of JSON to a service's root. The key that is derived
//! from the credentials is good for a day, so it is derived once a day. Pure.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use super::json;
use aws_credential_types::Credentials;
use ring::digest::{SHA256, digest};
use ring::hmac::{self, HMAC_SHA256};
use std::time::Duration;

const SECONDS_A_DAY: u64 = 86_400;

/// Credentials, made ready for a region, a service and a day.
pub(super) struct Signer {
    access_key_id: String,
    session_token: Option<String>,
    /// Days since the Unix epoch.
    day: u64,
    /// The day, the region and the service, as the signature names them.
    scope: String,
    key: hmac::Key,
}

/// What of a request is signed besides what all have in common.
pub(super) struct SignableRequest<'a> {
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) target: &'a str,
    pub(super) body: &'a [u8],
}

/// The headers that sign a request.
pub(super) struct Signature {
    /// `x-amz-date`
    pub(super) date: String,
    /// `authorization`
    pub(super) authorization: String,
}

/// The media type of every request. Part of what is signed.
pub(super) const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

impl Signer {
    /// `now` is the time since the Unix epoch.
    pub(super) fn new(credentials: &Credentials, region: &str, service: &str, now: Duration) -> Self {
        let day = now.as_secs() / SECONDS_A_DAY;
        let date = date(day);
        let mac = |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(HMAC_SHA256, key), text.as_bytes());
        let secret = format!("AWS4{}", credentials.secret_access_key());
        let steps = [date.as_str(), region, service, "aws4_request"];
        let (first, rest) = (mac(secret.as_bytes(), steps[0]), &steps[1..]);
        let key = rest.iter().fold(first, |key, step| mac(key.as_ref(), step));
        Self {
            access_key_id: credentials.access_key_id().to_owned(),
            session_token: credentials.session_token().map(str::to_owned),
            day,
            scope: steps.join("/"),
            key: hmac::Key::new(HMAC_SHA256, key.as_ref()),
        }
    }

    /// Whether it may sign at `now`.
    pub(super) fn is_valid_at(&self, now: Duration) -> bool {
        self.day == now.as_secs() / SECONDS_A_DAY
    }

    /// The token that must go along.
    pub(super) fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }

    /// Signs a request at `now`.
    pub(super) fn sign(&self, request: &SignableRequest<'_>, now: Duration) -> Signature {
        let SignableRequest { host, path, target, body } = request;
        let (token, signed_token) = match &self.session_token {
            Some(token) => (format!("x-amz-security-token:{token}\n"), "x-amz-security-token;"),
            None => (String::new(), ""),
        };
        let second = now.as_secs() % SECONDS_A_DAY;
        let date = format!("{}T{:02}{:02}{:02}Z", date(self.day), second / 3600, second / 60 % 60, second % 60);
        let signed = format!("content-type;host;x-amz-date;{signed_token}x-amz-target");
        let canonical = format!(
            "POST\n{path}\n\ncontent-type:{CONTENT_TYPE}\nhost:{host}\nx-amz-date:{date}\n{token}x-amz-target:{target}\n\n{signed}\n{}",
            hex(digest(&SHA256, body).as_ref())
        );
        let scope = &self.scope;
        let text =
            format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(digest(&SHA256, canonical.as_bytes()).as_ref()));
        let signature = hex(hmac::sign(&self.key, text.as_bytes()).as_ref());
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed}, Signature={signature}",
            self.access_key_id
        );
        Signature { date, authorization }
    }
}

/// A day as `20240115`.
fn date(day: u64) -> String {
    let mut text = Vec::with_capacity(10);
    json::push_date(&mut text, i32::try_from(day).unwrap_or(i32::MAX));
    text.into_iter().filter(|byte| *byte != b'-').map(char::from).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(json::hex_digit(digit))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sigv4::http_request::{self, SignableBody, SigningSettings, sign};
    use aws_sigv4::sign::v4::SigningParams;
    use std::time::UNIX_EPOCH;

    /// The authorization that the SDK's signer gives.
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

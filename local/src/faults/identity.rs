//! Checks that AWS makes before it processes a call: the date of its signature and its session token.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::header::HeaderMap;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::plan::ErrorCode;
use crate::credentials::{Issuer, Token};

/// Maximum difference between a signature's date and the service's clock.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/signature-v4-troubleshooting.html>
const MAX_SKEW: Duration = Duration::from_secs(5 * 60);

/// Returns the time by the service's clock, which is `ahead_seconds` ahead of this machine's `now`.
pub(super) fn service_time(now: SystemTime, ahead_seconds: i64) -> SystemTime {
    let ahead = Duration::from_secs(ahead_seconds.unsigned_abs());
    if ahead_seconds < 0 { now - ahead } else { now + ahead }
}

/// Returns the error for a request with these headers, or `None` if the request is authenticated.
pub(super) fn refusal(
    headers: &HeaderMap,
    service_time: SystemTime,
    issuer: Option<&Arc<Issuer>>,
) -> Option<ErrorCode> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(signed) = header("x-amz-date").and_then(parse_date) else {
        return Some(ErrorCode::InvalidSignatureException);
    };
    let skew = service_time.duration_since(signed).unwrap_or_else(|error| error.duration());
    if skew > MAX_SKEW {
        return Some(ErrorCode::InvalidSignatureException);
    }
    match issuer?.check(header("x-amz-security-token").unwrap_or_default()) {
        Token::Valid => None,
        Token::Expired => Some(ErrorCode::ExpiredTokenException),
        Token::Unknown => Some(ErrorCode::UnrecognizedClientException),
    }
}

/// Parses a date of the form `20240131T235959Z`.
fn parse_date(text: &str) -> Option<SystemTime> {
    let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
    let part = |text: &str, from: usize, to: usize| text.get(from..to).map(str::to_owned);
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(day, 0, 4)?,
        part(day, 4, 6)?,
        part(day, 6, 8)?,
        part(time, 0, 2)?,
        part(time, 2, 4)?,
        part(time, 4, 6)?
    );
    OffsetDateTime::parse(&text, &Rfc3339).ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn signed_at(date: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-date", date.parse().unwrap());
        headers
    }

    #[test]
    fn a_signature_may_be_five_minutes_off_and_no_more() {
        // from: date -u -d 2024-01-31T23:59:59Z +%s
        let signed = UNIX_EPOCH + Duration::from_secs(1_706_745_599);
        let headers = signed_at("20240131T235959Z");
        for (seconds, error) in [
            (-301, Some(ErrorCode::InvalidSignatureException)),
            (-300, None),
            (0, None),
            (300, None),
            (301, Some(ErrorCode::InvalidSignatureException)),
        ] {
            assert_eq!(refusal(&headers, service_time(signed, seconds), None), error, "{seconds}");
        }
        assert_eq!(refusal(&signed_at("yesterday"), signed, None), Some(ErrorCode::InvalidSignatureException));
    }
}

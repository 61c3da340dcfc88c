//! Detection of bodies that are not base64 because of a known tool or a common mistake. Each mistake has its own error
//! text, because each has a different remedy. Such a body is always rejected, because decoding it would be a guess.

use base64_simd::STANDARD_NO_PAD;
use std::fmt;

/// Class names at the start of a pointer of the SQS extended client library: of version 2 and of version 1.
/// <https://github.com/awslabs/payload-offloading-java-common-lib-for-aws/blob/master/src/main/java/software/amazon/payloadoffloading/PayloadS3Pointer.java>
const POINTER_CLASSES: [&str; 2] =
    ["software.amazon.payloadoffloading.PayloadS3Pointer", "com.amazon.sqs.javamessaging.MessageS3Pointer"];

/// Minimum number of hexadecimal digits for reporting valid base64 as hexadecimal. The probability that 16 characters of
/// base64 are hexadecimal digits by chance is one in 25 million.
const MIN_AMBIGUOUS_DIGITS: usize = 16;

/// A known reason why a body is not base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misencoding {
    /// A pointer of the SQS extended client library to an object in S3.
    ExtendedClientPointer,
    /// A JSON string with its quotes, as sent by an EventBridge rule for a text.
    QuotedString,
    /// Python's text form of bytes, `b'...'`.
    PythonBytes,
    /// Hexadecimal digits.
    Hexadecimal,
    /// None of the above.
    Unknown,
}

impl Misencoding {
    /// Classifies `text`, which is not base64.
    pub(super) fn detect(text: &str) -> Self {
        let is_pointer = || POINTER_CLASSES.iter().any(|class| text.contains(class));
        let is_between = |start: &str, end: &str| text.strip_prefix(start).is_some_and(|rest| rest.ends_with(end));
        if text.starts_with('[') && is_pointer() {
            Self::ExtendedClientPointer
        } else if is_between("\"", "\"") {
            Self::QuotedString
        } else if is_between("b'", "'") || is_between("b\"", "\"") {
            Self::PythonBytes
        } else if is_hexadecimal(text.strip_prefix("0x").or_else(|| text.strip_prefix("\\x")).unwrap_or(text)) {
            Self::Hexadecimal
        } else {
            Self::Unknown
        }
    }

    /// Returns whether the base64 of `bytes` consists of hexadecimal digits, and is too long for that to be a coincidence.
    pub(super) fn is_hexadecimal_base64(bytes: &[u8]) -> bool {
        let text = STANDARD_NO_PAD.encode_to_string(bytes);
        text.len() >= MIN_AMBIGUOUS_DIGITS && is_hexadecimal(&text)
    }
}

/// Returns whether `text` consists of pairs of hexadecimal digits.
fn is_hexadecimal(text: &str) -> bool {
    !text.is_empty() && text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl fmt::Display for Misencoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ExtendedClientPointer => {
                "the body is a pointer of the SQS extended client library to an object in S3, which is not read here; \
                 send the payload itself, compressed or in several messages"
            }
            Self::QuotedString => {
                "the body is a JSON string, as EventBridge sends a text; send the base64 without the quotes"
            }
            Self::PythonBytes => {
                "the body is Python's text of bytes, b'...'; send base64.b64encode(data).decode() instead"
            }
            Self::Hexadecimal => "the body is hexadecimal; send base64 instead",
            Self::Unknown => "the body is neither base64 nor a JSON object",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_common_mistake_is_told_from_the_others() {
        let pointer =
            r#"["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"bucket","s3Key":"key"}]"#;
        for (text, expected, told) in [
            (pointer, Misencoding::ExtendedClientPointer, "S3"),
            (r#"["com.amazon.sqs.javamessaging.MessageS3Pointer", {}]"#, Misencoding::ExtendedClientPointer, "S3"),
            ("\"wwEAAAAAAAAA\"", Misencoding::QuotedString, "EventBridge"),
            ("b'wwEAAAAA'", Misencoding::PythonBytes, "Python"),
            (r#"b"\xc3\x01it's""#, Misencoding::PythonBytes, "Python"),
            ("c30100", Misencoding::Hexadecimal, "hexadecimal"),
            ("0xC301", Misencoding::Hexadecimal, "hexadecimal"),
            ("\\xc301", Misencoding::Hexadecimal, "hexadecimal"),
            ("[]", Misencoding::Unknown, "neither"),
            ("\"", Misencoding::Unknown, "neither"),
            ("b'", Misencoding::Unknown, "neither"),
            ("c30", Misencoding::Unknown, "neither"),
            ("", Misencoding::Unknown, "neither"),
            ("software.amazon.payloadoffloading.PayloadS3Pointer", Misencoding::Unknown, "neither"),
        ] {
            assert_eq!(Misencoding::detect(text), expected, "{text}");
            assert!(expected.to_string().contains(told), "{expected}");
        }
    }

    #[test]
    fn base64_of_few_characters_is_not_called_hexadecimal() {
        let bytes = |text: &str| STANDARD_NO_PAD.decode_to_vec(text).unwrap();
        assert!(Misencoding::is_hexadecimal_base64(&bytes("C301AAAAAAAAAAAA")));
        assert!(!Misencoding::is_hexadecimal_base64(&bytes("C301AAAAAAAAAA")));
        assert!(!Misencoding::is_hexadecimal_base64(&bytes("C301AAAAAAAAAAAw")));
    }
}

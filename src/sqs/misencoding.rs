//! Bodies that a known tool or a common mistake wrote instead of base64. Each has a text of its own, because each has
//! another remedy. Such a body is rejected all the same: nothing is guessed.

use base64_simd::STANDARD_NO_PAD;
use std::fmt;

/// Class names that begin a pointer of the SQS extended client library: the one of version 2, and the one of version 1.
/// <https://github.com/awslabs/payload-offloading-java-common-lib-for-aws/blob/master/src/main/java/software/amazon/payloadoffloading/PayloadS3Pointer.java>
const POINTER_CLASSES: [&str; 2] =
    ["software.amazon.payloadoffloading.PayloadS3Pointer", "com.amazon.sqs.javamessaging.MessageS3Pointer"];

/// Number of hexadecimal digits from which on text that is valid base64, too, is called hexadecimal. Sixteen characters of
/// base64 are all hexadecimal digits by chance once in 25 million times.
const MIN_AMBIGUOUS_DIGITS: usize = 16;

/// A known way in which a body is not base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misencoding {
    /// A pointer of the SQS extended client library, to an object in S3.
    ExtendedClientPointer,
    /// A string of JSON, with its quotes, as a rule of EventBridge sends a text.
    QuotedString,
    /// The text `b'...'` that Python makes of bytes.
    PythonBytes,
    /// Hexadecimal digits.
    Hexadecimal,
    /// None of these.
    Unknown,
}

impl Misencoding {
    /// Classifies `text`, which is not base64.
    pub(super) fn of(text: &str) -> Self {
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

    /// Returns whether the base64 of `bytes` is text of hexadecimal digits, and too long to be that by chance.
    pub(super) fn is_hexadecimal_base64(bytes: &[u8]) -> bool {
        let text = STANDARD_NO_PAD.encode_to_string(bytes);
        text.len() >= MIN_AMBIGUOUS_DIGITS && is_hexadecimal(&text)
    }
}

/// Whether `text` is whole bytes in hexadecimal digits.
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
            assert_eq!(Misencoding::of(text), expected, "{text}");
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

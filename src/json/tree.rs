//! Reads JSON exactly: numbers are stored as text, repeated keys are detected, and the nesting depth is limited.
//!
//! `serde_json::Value` keeps only the last of two equal keys and converts numbers to floats. Both would corrupt a
//! schema's default, or a body that becomes an item.

use super::reader::{JsonReader, Unexpected};
use std::{borrow::Cow, fmt};

/// A JSON value. It borrows from the text unless an escape requires a copy.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Boolean(bool),
    /// The number as it was written. It is valid by JSON's grammar.
    Number(Cow<'a, str>),
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    /// An object without repeated keys.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// Treatment of keys that occur twice in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeated {
    /// A repeated key is an error.
    Refused,
    /// A repeated key is dropped if both values are equal, because apache-avro writes such schemas. Otherwise it is an
    /// error.
    SameDropped,
}

impl<'a> Json<'a> {
    /// Parses `text` as a single value nested at most `max_depth` levels deep. `[[1]]` has two levels.
    pub(crate) fn parse(text: &'a str, max_depth: usize) -> Result<Self, JsonError> {
        Self::parse_with(text, max_depth, Repeated::Refused)
    }

    /// Parses `text` like [`parse`](Self::parse), with the given treatment of repeated keys.
    pub(crate) fn parse_with(text: &'a str, max_depth: usize, repeated: Repeated) -> Result<Self, JsonError> {
        let mut reader = JsonReader::new(text);
        let value = TreeReader { depth_left: max_depth, repeated }.value(&mut reader)?;
        reader.end()?;
        Ok(value)
    }

    /// Returns the value of `key` if this is an object with that key.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Returns the text if this is a string.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the items if this is an array.
    pub(crate) fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the integer if this is a number without a fraction and an exponent that fits into `T`.
    pub(crate) fn as_integer<T: std::str::FromStr>(&self) -> Option<T> {
        match self {
            Self::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// Returns an equal value that does not borrow from the text.
    pub(crate) fn into_owned(self) -> Json<'static> {
        match self {
            Self::Null => Json::Null,
            Self::Boolean(value) => Json::Boolean(value),
            Self::Number(digits) => Json::Number(Cow::Owned(digits.into_owned())),
            Self::Text(text) => Json::Text(Cow::Owned(text.into_owned())),
            Self::Array(items) => Json::Array(items.into_iter().map(Json::into_owned).collect()),
            Self::Object(entries) => Json::Object(
                entries.into_iter().map(|(key, value)| (Cow::Owned(key.into_owned()), value.into_owned())).collect(),
            ),
        }
    }
}

/// Converts a number that `serde_json` cannot represent to a string.
impl From<&Json<'_>> for serde_json::Value {
    fn from(json: &Json<'_>) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Boolean(value) => Self::Bool(*value),
            Json::Number(digits) => digits.parse().map_or_else(|_| Self::from(digits.as_ref()), Self::Number),
            Json::Text(text) => Self::from(text.as_ref()),
            Json::Array(items) => items.iter().map(Self::from).collect(),
            Json::Object(entries) => entries.iter().map(|(key, value)| (key.clone(), Self::from(value))).collect(),
        }
    }
}

/// A reason why a text is not a single JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonError {
    /// The text is not valid JSON.
    Syntax {
        /// Position of the error, in bytes from the start.
        offset: usize,
    },
    /// An object has the same key twice.
    DuplicateKey {
        /// Position of the end of that object, in bytes from the start.
        offset: usize,
    },
    /// The value is nested deeper than allowed.
    TooDeep,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { offset } => write!(f, "not json at byte {offset}"),
            Self::DuplicateKey { offset } => {
                write!(f, "a key occurs twice in the json object that ends at byte {offset}")
            }
            Self::TooDeep => f.write_str("json nested too deep"),
        }
    }
}

impl std::error::Error for JsonError {}

impl From<Unexpected> for JsonError {
    fn from(unexpected: Unexpected) -> Self {
        Self::Syntax { offset: unexpected.at }
    }
}

/// Builds a tree from the values of a reader.
struct TreeReader {
    depth_left: usize,
    repeated: Repeated,
}

impl TreeReader {
    fn value<'a>(&mut self, reader: &mut JsonReader<'a>) -> Result<Json<'a>, JsonError> {
        match reader.peek() {
            Some(b'"') => Ok(Json::Text(reader.string("a string")?)),
            Some(b'[') => self.nested(|tree| tree.array(reader)),
            Some(b'{') => self.nested(|tree| tree.object(reader)),
            _ => Ok(match reader.raw()? {
                "null" => Json::Null,
                "true" => Json::Boolean(true),
                "false" => Json::Boolean(false),
                number => Json::Number(Cow::Borrowed(number)),
            }),
        }
    }

    fn nested<'a>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Json<'a>, JsonError>,
    ) -> Result<Json<'a>, JsonError> {
        self.depth_left = self.depth_left.checked_sub(1).ok_or(JsonError::TooDeep)?;
        let value = read(self)?;
        self.depth_left += 1;
        Ok(value)
    }

    fn array<'a>(&mut self, reader: &mut JsonReader<'a>) -> Result<Json<'a>, JsonError> {
        let mut items = Vec::new();
        reader.array(|reader| {
            items.push(self.value(reader)?);
            Ok::<_, JsonError>(())
        })?;
        Ok(Json::Array(items))
    }

    fn object<'a>(&mut self, reader: &mut JsonReader<'a>) -> Result<Json<'a>, JsonError> {
        let mut entries = Vec::new();
        reader.members(|reader, key| {
            entries.push((key, self.value(reader)?));
            Ok::<_, JsonError>(())
        })?;
        let duplicate = has_duplicate(&entries);
        if duplicate && self.repeated == Repeated::SameDropped {
            // Sorting is stable, so equal keys keep their order.
            entries.sort_by(|(one, _), (other, _)| one.cmp(other));
            entries.dedup();
        }
        if duplicate && has_duplicate(&entries) {
            return Err(JsonError::DuplicateKey { offset: reader.position() });
        }
        Ok(Json::Object(entries))
    }
}

/// Maximum number of keys that are compared pairwise, which is faster than sorting a short list.
const FEW_KEYS: usize = 8;

fn has_duplicate(entries: &[(Cow<'_, str>, Json<'_>)]) -> bool {
    if entries.len() <= FEW_KEYS {
        return entries.iter().enumerate().any(|(i, (key, _))| entries.iter().take(i).any(|(other, _)| other == key));
    }
    let mut keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_ref()).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair.first() == pair.last())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Json<'_>, JsonError> {
        Json::parse(text, 4)
    }

    #[test]
    fn numbers_keep_every_digit() {
        for digits in ["0", "-0", "9007199254740993", "0.10", "1e-7", "-12.50E+3", "123456789012345678901234567890"] {
            assert_eq!(parse(digits), Ok(Json::Number(digits.into())));
        }
        for wrong in ["01", "+1", ".5", "1.", "1e", "-", "0x1", "NaN", "1 2"] {
            assert!(matches!(parse(wrong), Err(JsonError::Syntax { .. })), "{wrong}");
        }
    }

    #[test]
    fn only_strings_with_escapes_are_copied() {
        assert!(matches!(parse("\"größe\""), Ok(Json::Text(Cow::Borrowed("größe")))));
        assert!(matches!(parse("\"\""), Ok(Json::Text(Cow::Borrowed("")))));
        let escaped = parse(r#""a\n\"\\\/\b\f\r\t\u00e9\ud83d\ude00z""#);
        assert_eq!(escaped, Ok(Json::Text("a\n\"\\/\u{8}\u{c}\r\té😀z".into())));
    }

    #[test]
    fn a_key_that_comes_twice_is_an_error() {
        assert!(matches!(parse(r#"{"a":1,"a":1}"#), Err(JsonError::DuplicateKey { .. })));
        assert!(matches!(parse(r#"{"a":1,"\u0061":2}"#), Err(JsonError::DuplicateKey { .. })));
        let many = |last: usize| {
            let keys: Vec<_> = (0..40).chain([last]).map(|i| format!("\"k{i}\":0")).collect();
            format!("{{{}}}", keys.join(","))
        };
        assert!(matches!(parse(&many(7)), Err(JsonError::DuplicateKey { .. })));
        assert!(parse(&many(40)).is_ok());
    }

    #[test]
    fn a_key_that_comes_twice_with_one_value_may_be_dropped() {
        let read = |text| Json::parse_with(text, 4, Repeated::SameDropped);
        assert_eq!(read(r#"{"b": 2, "a": [1], "b": 2}"#), parse(r#"{"a": [1], "b": 2}"#));
        assert!(matches!(read(r#"{"a": 1, "a": 2}"#), Err(JsonError::DuplicateKey { .. })));
        assert!(matches!(read(r#"{"a": 1, "a": 1, "a": 2}"#), Err(JsonError::DuplicateKey { .. })));
        assert_eq!(read(r#"{"b": 1, "a": 1}"#), parse(r#"{"b": 1, "a": 1}"#));
    }

    #[test]
    fn depth_is_bounded() {
        assert!(parse("[[[[1]]]]").is_ok());
        assert!(parse("[[],[],[],[[[]]]]").is_ok());
        assert_eq!(parse("[[[[[1]]]]]"), Err(JsonError::TooDeep));
        assert_eq!(parse(&"[".repeat(100_000)), Err(JsonError::TooDeep));
    }

    #[test]
    fn broken_text_is_rejected() {
        let wrong = [
            "",
            " ",
            "nul",
            "tru",
            "[1,]",
            "[1 2]",
            "{\"a\"}",
            "{a:1}",
            "{\"a\":1,}",
            "\"a",
            "\"\n\"",
            r#""\x""#,
            "[",
            r#""\ud800""#,
            r#""\ud800\u0041""#,
            r#""\udc00""#,
            r#""\u00g0""#,
            r#""\u+123""#,
            "\"\\",
            "{\"a\":1",
            "1]",
        ];
        for text in wrong {
            assert!(matches!(parse(text), Err(JsonError::Syntax { .. })), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn any_text_is_read_as_serde_json_reads_it(text in r#"[\[\]{}:,"\\ a0-9.eEu+\-tfn\x00-\x20é]{0,12}"#) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            match (Json::parse(&text, 16), theirs) {
                (Ok(json), Ok(value)) => prop_assert_eq!(serde_json::Value::from(&json), value),
                (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("out of range"), "{}", error),
                (Err(JsonError::Syntax { .. }), theirs) => prop_assert!(theirs.is_err()),
                (Err(_), _) => {}
            }
        }
    }
}

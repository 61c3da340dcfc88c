//! The kinds of settings: the accepted texts of a variable, and their conversion to values. Pure: no I/O, clock or
//! randomness.

use crate::avro::{JsonEncoding, WireFormat};
use crate::dynamodb::mapping::{self, is_account_id, is_region};
use http::Uri;
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// A kind of setting, which defines how its text is parsed and documented.
pub(super) trait SettingKind {
    type Value;

    /// Parses `text`. An error is the end of a sentence that starts with the name of the variable.
    fn read(&self, text: &str) -> Result<Self::Value, String>;

    /// Returns the accepted range, as stated in the documentation.
    fn range(&self) -> String;

    /// Returns the accepted names, if they are a closed set.
    fn choices(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

/// The source of a setting's value, including the case that its variable is not set.
pub(super) trait Source {
    type Value;

    fn value(&self, text: Option<String>) -> Result<Self::Value, String>;

    fn default(&self) -> &'static str;

    fn range(&self) -> String;

    fn choices(&self) -> Vec<&'static str>;
}

/// A required setting. If it is not set, the function does not start.
pub(super) struct Required<K>(pub(super) K);
/// An optional setting. If it is not set, it has no value.
pub(super) struct Optional<K>(pub(super) K);
/// A setting with a default, which is parsed like the text of the variable.
pub(super) struct Default<K>(pub(super) &'static str, pub(super) K);

impl<K: SettingKind> Source for Required<K> {
    type Value = K::Value;

    fn value(&self, text: Option<String>) -> Result<K::Value, String> {
        self.0.read(&text.ok_or("is required")?)
    }

    fn default(&self) -> &'static str {
        "required"
    }

    fn range(&self) -> String {
        self.0.range()
    }

    fn choices(&self) -> Vec<&'static str> {
        self.0.choices()
    }
}

impl<K: SettingKind> Source for Optional<K> {
    type Value = Option<K::Value>;

    fn value(&self, text: Option<String>) -> Result<Option<K::Value>, String> {
        text.map(|text| self.0.read(&text)).transpose()
    }

    fn default(&self) -> &'static str {
        "none"
    }

    fn range(&self) -> String {
        self.0.range()
    }

    fn choices(&self) -> Vec<&'static str> {
        self.0.choices()
    }
}

impl<K: SettingKind> Source for Default<K> {
    type Value = K::Value;

    fn value(&self, text: Option<String>) -> Result<K::Value, String> {
        self.1.read(text.as_deref().unwrap_or(self.0))
    }

    fn default(&self) -> &'static str {
        self.0
    }

    fn range(&self) -> String {
        self.1.range()
    }

    fn choices(&self) -> Vec<&'static str> {
        self.1.choices()
    }
}

/// Any text.
pub(super) struct AnyText;

impl SettingKind for AnyText {
    type Value = String;

    fn read(&self, text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }

    fn range(&self) -> String {
        "any text".into()
    }
}

/// The path of a directory.
pub(super) struct Directory;

impl SettingKind for Directory {
    type Value = PathBuf;

    fn read(&self, text: &str) -> Result<PathBuf, String> {
        Ok(text.into())
    }

    fn range(&self) -> String {
        "a path".into()
    }
}

/// An integer between two bounds, inclusive.
pub(super) struct Whole<T>(pub(super) T, pub(super) T);

impl<T: FromStr + PartialOrd + fmt::Display> SettingKind for Whole<T> {
    type Value = T;

    fn read(&self, text: &str) -> Result<T, String> {
        let number = text.parse().ok().filter(|number| &self.0 <= number && number <= &self.1);
        number.ok_or_else(|| format!("is {text:?}, but must be a whole number from {} to {}", self.0, self.1))
    }

    fn range(&self) -> String {
        format!("{} to {}", self.0, self.1)
    }
}

/// An integer from 1 to the given maximum.
pub(super) struct Count(pub(super) NonZeroUsize);

impl SettingKind for Count {
    type Value = NonZeroUsize;

    fn read(&self, text: &str) -> Result<NonZeroUsize, String> {
        Whole(NonZeroUsize::MIN, self.0).read(text)
    }

    fn range(&self) -> String {
        Whole(NonZeroUsize::MIN, self.0).range()
    }
}

/// A duration in milliseconds between two bounds, inclusive.
pub(super) struct Milliseconds(pub(super) u64, pub(super) u64);

impl SettingKind for Milliseconds {
    type Value = Duration;

    fn read(&self, text: &str) -> Result<Duration, String> {
        Whole(self.0, self.1).read(text).map(Duration::from_millis)
    }

    fn range(&self) -> String {
        Whole(self.0, self.1).range()
    }
}

/// A duration in seconds between two bounds, inclusive.
pub(super) struct Seconds(pub(super) u64, pub(super) u64);

impl SettingKind for Seconds {
    type Value = Duration;

    fn read(&self, text: &str) -> Result<Duration, String> {
        Whole(self.0, self.1).read(text).map(Duration::from_secs)
    }

    fn range(&self) -> String {
        Whole(self.0, self.1).range()
    }
}

/// `true` or `false`.
pub(super) struct Flag;

impl SettingKind for Flag {
    type Value = bool;

    fn read(&self, text: &str) -> Result<bool, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("is {text:?}, but must be true or false")),
        }
    }

    fn range(&self) -> String {
        self.choices().join(", ")
    }

    fn choices(&self) -> Vec<&'static str> {
        vec!["true", "false"]
    }
}

/// One name of a closed set.
pub(super) struct OneOf<T>(pub(super) PhantomData<T>);

impl SettingKind for OneOf<JsonEncoding> {
    type Value = JsonEncoding;

    fn read(&self, text: &str) -> Result<JsonEncoding, String> {
        text.parse().map_err(|_| format!("is {text:?}, but must be one of {}", self.range()))
    }

    fn range(&self) -> String {
        self.choices().join(", ")
    }

    fn choices(&self) -> Vec<&'static str> {
        JsonEncoding::ALL.iter().map(|encoding| encoding.name()).collect()
    }
}

/// A comma-separated list of distinct names of a closed set.
pub(super) struct ListOf<T>(pub(super) PhantomData<T>);

impl SettingKind for ListOf<WireFormat> {
    type Value = Vec<WireFormat>;

    fn read(&self, text: &str) -> Result<Vec<WireFormat>, String> {
        let (mut formats, mut problems) = (Vec::new(), Vec::new());
        for name in text.split(',').map(str::trim) {
            match name.parse() {
                Ok(format) if formats.contains(&format) => problems.push(format!("names {name} twice")),
                Ok(format) => formats.push(format),
                Err(_) => problems.push(format!("names {name:?}, but must be a list of {}", self.range())),
            }
        }
        if problems.is_empty() { Ok(formats) } else { Err(problems.join(" and ")) }
    }

    fn range(&self) -> String {
        self.choices().join(", ")
    }

    fn choices(&self) -> Vec<&'static str> {
        WireFormat::ALL.iter().map(|format| format.name()).collect()
    }
}

/// The name or the ARN of a table.
pub(super) struct TableName;

impl SettingKind for TableName {
    type Value = String;

    fn read(&self, text: &str) -> Result<String, String> {
        mapping::TableName::parse(text).map(|_| text.to_owned())
    }

    fn range(&self) -> String {
        "a name of 3 to 255 letters, digits, `.`, `-` and `_`, or a table ARN".into()
    }
}

/// The id of an AWS account.
pub(super) struct AccountId;

impl SettingKind for AccountId {
    type Value = String;

    fn read(&self, text: &str) -> Result<String, String> {
        if is_account_id(text) {
            Ok(text.to_owned())
        } else {
            Err(format!("is {text:?}, but must be an account id of 12 digits"))
        }
    }

    fn range(&self) -> String {
        "12 digits".into()
    }
}

/// An AWS region.
pub(super) struct Region;

impl SettingKind for Region {
    type Value = String;

    fn read(&self, text: &str) -> Result<String, String> {
        if is_region(text) {
            Ok(text.to_owned())
        } else {
            Err(format!("is {text:?}, but must be a region such as eu-central-1"))
        }
    }

    fn range(&self) -> String {
        "a region".into()
    }
}

/// The URL of a server, such as `http://host:port` or `https://host`, or of a resource on a server.
pub(super) struct Url {
    /// Whether the URL must have a path.
    pub(super) with_path: bool,
}

impl SettingKind for Url {
    type Value = String;

    /// Parses a URL. Error texts do not contain the URL, because it may include a password.
    fn read(&self, text: &str) -> Result<String, String> {
        let url: Uri = text.parse().map_err(|_| format!("must be {}", self.range()))?;
        let is_http = matches!(url.scheme_str(), Some("http" | "https"));
        let host_only = url.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        // the `http` crate accepts port 99999 without an error
        let port = url
            .authority()
            .and_then(|authority| authority.as_str().rsplit_once(':'))
            .filter(|(_, port)| !port.ends_with(']'));
        let port_fits = port.is_none_or(|(_, port)| port.parse::<u16>().is_ok());
        let path_fits = if self.with_path { url.path().len() > 1 } else { url.path() == "/" };
        if is_http && host_only && port_fits && path_fits && url.query().is_none() {
            Ok(text.to_owned())
        } else {
            Err(format!("must be {}", self.range()))
        }
    }

    fn range(&self) -> String {
        let path = if self.with_path { "/path" } else { "" };
        format!("an `http://` or `https://` URL, `scheme://host:port{path}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_one_that_can_be_called() {
        let (server, queue) = (Url { with_path: false }, Url { with_path: true });
        for good in [
            "http://127.0.0.1:8000",
            "https://dynamodb.eu-central-1.amazonaws.com/",
            "http://[::1]:8000",
            "http://[::1]",
        ] {
            assert_eq!(server.read(good).as_deref(), Ok(good));
        }
        for bad in [
            "localhost:1",
            "127.0.0.1:8000",
            "ftp://host",
            "http://",
            "http://user:secret@host",
            "http://host/path",
            "http://host?a=b",
            "http://host:99999",
            "host",
            "http://a b",
        ] {
            let problem = server.read(bad).unwrap_err();
            assert!(!problem.contains("secret"), "{problem}");
        }
        let good = "https://sqs.eu-central-1.amazonaws.com/123456789012/quarantine.fifo";
        assert_eq!(queue.read(good).as_deref(), Ok(good));
        for bad in
            ["https://sqs.eu-central-1.amazonaws.com", "https://sqs.eu-central-1.amazonaws.com/", "localhost:1/queue"]
        {
            assert!(queue.read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_region_can_be_part_of_a_hosts_name() {
        for (text, fits) in
            [("eu-central-1", true), ("us-gov-west-1", true), ("eu central", false), ("x/y", false), ("-a", false)]
        {
            assert_eq!(Region.read(text).is_ok(), fits, "{text}");
        }
    }
}

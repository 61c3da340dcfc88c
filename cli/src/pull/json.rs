//! JSON values that preserve the order of members and the text of numbers, so that diffs of the written files stay readable.
//! Pure.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Maximum length of a value that is printed on one line, in characters.
const WIDTH: usize = 100;

/// A JSON document as a tree.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Object(Vec<(String, Json)>),
    Array(Vec<Json>),
    /// A string, unescaped.
    Text(String),
    /// A number, a boolean or null, as it appears in the text.
    Scalar(String),
}

/// Members of an object in their original order. Each value is unparsed text.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

impl Json {
    pub(super) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        // parsing to a `RawValue` first validates the whole text, including its nesting depth
        Self::from_raw(serde_json::from_str::<&RawValue>(text)?)
    }

    fn from_raw(raw: &RawValue) -> Result<Self, serde_json::Error> {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'{') => {
                let Members(members) = serde_json::from_str(text)?;
                let parsed = members.into_iter().map(|(name, value)| Ok((name, Self::from_raw(value)?)));
                Ok(Self::Object(parsed.collect::<Result<_, serde_json::Error>>()?))
            }
            Some(b'[') => {
                let values: Vec<&RawValue> = serde_json::from_str(text)?;
                Ok(Self::Array(values.into_iter().map(Self::from_raw).collect::<Result<_, _>>()?))
            }
            Some(b'"') => Ok(Self::Text(serde_json::from_str(text)?)),
            _ => Ok(Self::Scalar(text.to_owned())),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(known, _)| known == name).map(|(_, value)| value),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    /// Sets a member of an object. A new member is inserted before the member `before`, or at the end.
    pub(super) fn set(&mut self, name: &str, value: Self, before: &str) {
        let Self::Object(members) = self else { return };
        if let Some((_, old)) = members.iter_mut().find(|(known, _)| known == name) {
            *old = value;
            return;
        }
        let place = members.iter().position(|(known, _)| known == before).unwrap_or(members.len());
        members.insert(place, (name.to_owned(), value));
    }

    /// Returns whether both values are equal, ignoring the order of members.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Object(one), Self::Object(two)) => {
                one.len() == two.len()
                    && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| value.same(other)))
            }
            (Self::Array(one), Self::Array(two)) => {
                one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.same(two))
            }
            _ => self == other,
        }
    }

    /// Returns the value as indented text with a trailing line feed.
    pub(super) fn pretty(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0, true);
        out.push('\n');
        out
    }

    fn one_line(&self) -> String {
        let joined = |parts: Vec<String>| parts.join(", ");
        match self {
            Self::Object(members) => {
                let member = |(name, value): &(String, Self)| format!("{}: {}", quoted(name), value.one_line());
                format!("{{{}}}", joined(members.iter().map(member).collect()))
            }
            Self::Array(items) => format!("[{}]", joined(items.iter().map(Self::one_line).collect())),
            Self::Text(text) => quoted(text),
            Self::Scalar(text) => text.clone(),
        }
    }

    fn write(&self, out: &mut String, indent: usize, outermost: bool) {
        let line = self.one_line();
        let last_line = out.len() - out.rfind('\n').map_or(0, |at| at + 1);
        let fits = last_line + line.len() <= WIDTH && !outermost;
        let inner = indent + 2;
        let line_feed = |out: &mut String, indent: usize| {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
        };
        match self {
            Self::Object(members) if !fits && !members.is_empty() => {
                out.push('{');
                for (position, (name, value)) in members.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    line_feed(out, inner);
                    out.push_str(&quoted(name));
                    out.push_str(": ");
                    value.write(out, inner, false);
                }
                line_feed(out, indent);
                out.push('}');
            }
            Self::Array(items) if !fits && !items.is_empty() => {
                out.push('[');
                for (position, item) in items.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    line_feed(out, inner);
                    item.write(out, inner, false);
                }
                line_feed(out, indent);
                out.push(']');
            }
            _ => out.push_str(&line),
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn order_and_numbers_stay_as_they_are_written() {
        let text = r#"{"z": 1.50, "a": [1e400, true, null], "e": {}, "s": "é\"\n"}"#;
        let json = Json::parse(text).unwrap();
        assert_eq!(json.one_line(), text);
    }

    #[test]
    fn short_values_stay_on_a_line_and_long_ones_do_not() {
        let text = r#"{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"}]}"#;
        let pretty = Json::parse(text).unwrap().pretty();
        let expected = "{\n  \"type\": \"record\",\n  \"name\": \"Order\",\n  \"fields\": [{\"name\": \"id\", \"type\": \"string\"}]\n}\n";
        assert_eq!(pretty, expected);
    }

    #[test]
    fn what_is_no_json_is_an_error_and_not_a_crash() {
        for text in ["", "{", "[1,]", "{\"a\" 1}", "nul", "1 2", &"[".repeat(100_000)] {
            assert!(Json::parse(text).is_err());
        }
    }

    fn trees() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            ".*".prop_map(Json::Text),
            any::<i64>().prop_map(|number| Json::Scalar(number.to_string())),
            Just(Json::Scalar("null".to_owned())),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Json::Array),
                prop::collection::btree_map("[a-z]{1,30}", inner, 0..6)
                    .prop_map(|members| Json::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(json in trees()) {
            prop_assert_eq!(Json::parse(&json.pretty()).unwrap(), json.clone());
            prop_assert!(json.same(&json));
        }
    }
}

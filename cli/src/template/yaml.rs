//! Converts a CloudFormation template from YAML to JSON. Pure.
//!
//! Scalars stay text, because CloudFormation compares parameters as text. The short form of an intrinsic function is converted
//! to the long form: `!Equals [a, b]` becomes `{"Fn::Equals": ["a", "b"]}`.

use saphyr_parser::{Event, Parser, StrInput, Tag};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Parses the first document in `text`.
///
/// # Errors
/// If `text` is not YAML, or uses a YAML feature that templates do not have, such as an alias.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let mut events = Events(Parser::new_from_str(text));
    loop {
        match events.next()? {
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) => {}
            first => return events.node(first),
        }
    }
}

/// The parser's events.
struct Events<'a>(Parser<'a, StrInput<'a>>);

impl<'a> Events<'a> {
    fn next(&mut self) -> Result<Event<'a>, String> {
        match self.0.next() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("the document ends early".to_owned()),
        }
    }

    /// Parses the node that begins with `event`.
    fn node(&mut self, event: Event<'a>) -> Result<Value, String> {
        match event {
            Event::Scalar(text, _, _, tag) => Ok(long_form(tag, Value::String(text.into_owned()))),
            Event::SequenceStart(_, tag) => {
                let mut list = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => return Ok(long_form(tag, Value::Array(list))),
                        first => list.push(self.node(first)?),
                    }
                }
            }
            Event::MappingStart(_, tag) => {
                let mut map = Map::new();
                loop {
                    match self.next()? {
                        Event::MappingEnd => return Ok(long_form(tag, Value::Object(map))),
                        Event::Scalar(name, ..) => {
                            let first = self.next()?;
                            map.insert(name.into_owned(), self.node(first)?);
                        }
                        _ => return Err("a key is not a text".to_owned()),
                    }
                }
            }
            _ => Err("an alias is not supported".to_owned()),
        }
    }
}

/// Returns the long form of the intrinsic function that `tag` names, or `value` if there is no tag.
fn long_form(tag: Option<Cow<'_, Tag>>, value: Value) -> Value {
    let Some(tag) = tag else { return value };
    let name = match tag.suffix.as_str() {
        name @ ("Ref" | "Condition") => name.to_owned(),
        name => format!("Fn::{name}"),
    };
    Value::Object(Map::from_iter([(name, value)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_short_form_of_a_function_is_the_long_one_and_scalars_stay_text() {
        let text = "# comment\nA: {B: 1, 'C': [x, '2', true]}\nD: !Not [!Equals [!Ref E, '']]\nF: {'Fn::Or': []}\n";
        let tree = json!({
            "A": {"B": "1", "C": ["x", "2", "true"]},
            "D": {"Fn::Not": [{"Fn::Equals": [{"Ref": "E"}, ""]}]},
            "F": {"Fn::Or": []},
        });
        assert_eq!(parse(text), Ok(tree));
        for bad in ["", "A: [1", "A: &x 1\nB: *x", "? [a]\n: b"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}

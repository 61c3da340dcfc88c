//! Key templates such as `TENANT#{tenant}`: text with field names in braces.

use crate::json;
use crate::record::TrackedField;

/// A template that builds a key's value from text and fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Text in JSON-escaped form, and its length in bytes before escaping, which is what DynamoDB counts.
    Text { escaped: Vec<u8>, len: usize },
    /// The value of a field, which is a string or a number.
    Field(TrackedField),
}

impl Template {
    /// Parses a template. Calls `track` with the path of each field, which returns the tracked field for it.
    ///
    /// # Errors
    /// Returns a description of what is wrong with the braces.
    pub(super) fn parse(text: &str, mut track: impl FnMut(&str) -> Option<TrackedField>) -> Result<Self, &'static str> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (literal, placeholder) = rest.split_once('{').map_or((rest, None), |(text, rest)| (text, Some(rest)));
            if literal.contains('}') {
                return Err("has a } without a {");
            }
            if !literal.is_empty() {
                let mut escaped = Vec::with_capacity(literal.len());
                json::push_escaped(&mut escaped, literal);
                parts.push(Part::Text { escaped, len: literal.len() });
            }
            let Some(placeholder) = placeholder else { break };
            let (path, behind) = placeholder.split_once('}').ok_or("has a { without a }")?;
            if path.is_empty() || path.contains('{') {
                return Err("must have the name of a field in each pair of braces");
            }
            parts.extend(track(path).map(Part::Field));
            rest = behind;
        }
        if parts.is_empty() { Err("is empty") } else { Ok(Self(parts)) }
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.0
    }

    /// Returns whether the value is the same for all records.
    pub(super) fn is_constant(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Text { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Result<Template, &'static str>, Vec<String>) {
        let mut paths = Vec::new();
        let template = Template::parse(text, |path| {
            paths.push(path.to_owned());
            Some(TrackedField(u8::try_from(paths.len()).unwrap()))
        });
        (template, paths)
    }

    #[test]
    fn a_template_is_text_and_fields_in_their_order() {
        let (template, paths) = parse("T\"#{tenant}/{customer.id}");
        let text = |escaped: &str, len| Part::Text { escaped: escaped.into(), len };
        let expected = [text("T\\\"#", 3), Part::Field(TrackedField(1)), text("/", 1), Part::Field(TrackedField(2))];
        assert_eq!(template.unwrap().parts(), expected);
        assert_eq!(paths, ["tenant", "customer.id"]);
    }

    #[test]
    fn braces_come_in_pairs_around_a_name() {
        for (text, problem) in [
            ("", "is empty"),
            ("a{", "has a { without a }"),
            ("a}", "has a } without a {"),
            ("{}", "must have the name of a field in each pair of braces"),
            ("{a{b}}", "must have the name of a field in each pair of braces"),
        ] {
            assert_eq!(parse(text).0, Err(problem), "{text}");
        }
    }
}

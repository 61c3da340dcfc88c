//! Names on the command line: `NAME=VALUE` pairs, and suggestions for unknown names. Pure.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::collections::BTreeMap;
use std::error::Error;
use std::str::FromStr;

/// Minimum similarity of a suggestion. It is the same as in clap.
const SIMILAR: f64 = 0.7;

/// Maximum number of names listed in an error.
const LISTED: usize = 10;

/// Parses `NAME=VALUE`.
///
/// # Errors
/// If there is no `=`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text} has no =, it must be NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Returns the error for an unknown `kind` called `name`, with the most similar name in `known`.
pub(crate) fn unknown(kind: &str, name: &str, known: &[&str]) -> String {
    or_nearest(format!("there is no {kind} {name}"), name, known)
}

/// Returns `problem` with a suggestion, if a name in `known` is similar to `name`.
pub(crate) fn or_nearest(problem: String, name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(meant) => format!("{problem}; did you mean {meant}?"),
        None => problem,
    }
}

/// Returns `problem` with the most similar name in `known`, or else with the first few of `known`.
pub(crate) fn nearest_or_all(problem: String, name: &str, known: &[&str]) -> String {
    let few = known.iter().copied().take(LISTED).collect::<Vec<_>>().join(", ");
    match (nearest(name, known), known.len()) {
        (Some(meant), _) => format!("{problem}; did you mean {meant}?"),
        (None, 0) => problem,
        (None, ..=LISTED) => format!("{problem}; it has {few}"),
        (None, all) => format!("{problem}; it has {few} and {} more", all - LISTED),
    }
}

/// Returns the name in `known` that is most similar to `name`, if it is similar enough.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let similar = |known: &str| strsim::jaro_winkler(&known.to_lowercase(), &name.to_lowercase());
    let best = known.iter().copied().max_by(|one, other| similar(one).total_cmp(&similar(other)));
    best.filter(|best| similar(best) > SIMILAR)
}

/// Returns a parser for an option whose value is one of `names`. `clap` suggests similar names, and shell completions include
/// all.
pub(crate) fn one_of<T>(names: impl IntoIterator<Item = &'static str>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: Into<Box<dyn Error + Send + Sync>>> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names.into_iter().collect::<Vec<_>>()).try_map(|text| text.parse())
}

/// Returns `pairs` as a map.
///
/// # Errors
/// If a name has two values.
pub(crate) fn once_each(pairs: &[(String, String)]) -> Result<BTreeMap<String, String>, String> {
    let mut values = BTreeMap::new();
    for (name, value) in pairs {
        if let Some(other) = values.insert(name.clone(), value.clone())
            && other != *value
        {
            return Err(format!("{name} is given twice, as {other} and as {value}"));
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_name_is_suggested_and_a_far_one_is_not() {
        let known = ["TABLE_NAME", "WIRE_FORMATS", "MAX_IN_FLIGHT", "MIN_IN_FLIGHT"];
        assert_eq!(
            unknown("setting", "WIRE_FORMAT", &known),
            "there is no setting WIRE_FORMAT; did you mean WIRE_FORMATS?"
        );
        assert!(unknown("setting", "table", &known).ends_with("did you mean TABLE_NAME?"));
        assert_eq!(unknown("setting", "QQQ", &known), "there is no setting QQQ");
    }

    #[test]
    fn where_nothing_is_similar_the_first_names_are_listed() {
        let of = |known: &[&str]| nearest_or_all("there is no schema xyz".to_owned(), "xyz", known);
        assert_eq!(of(&["order", "ab"]), "there is no schema xyz; it has order, ab");
        assert_eq!(of(&["xy", "ab"]), "there is no schema xyz; did you mean xy?");
        assert_eq!(of(&[]), "there is no schema xyz");
        assert!(of(&["ab"; 12]).ends_with("ab, ab and 2 more"));
    }

    #[test]
    fn two_values_of_one_name_are_a_contradiction_and_one_value_twice_is_not() {
        let pairs = |values: [&str; 2]| values.map(|value| ("A".to_owned(), value.to_owned()));
        assert!(once_each(&pairs(["1", "2"])).unwrap_err().contains("A is given twice"));
        assert_eq!(once_each(&pairs(["1", "1"])).unwrap().len(), 1);
        assert!(pair("A").is_err());
    }
}

//! The function's settings as commands take them: `--set NAME=VALUE`, and then the environment.

use crate::environment;
use crate::names::{once_each, or_nearest, pair, unknown};
use avro_ingest::settings::Settings;

/// Reads a `--set NAME=VALUE`.
///
/// # Errors
/// If the function has no such setting or would refuse the value, or there is no `=`.
pub(crate) fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = pair(text)?;
    let known: Vec<&str> = Settings::all().iter().map(|setting| setting.name).collect();
    if !known.contains(&name.as_str()) {
        return Err(unknown("setting", &name, &known));
    }
    check(&name, &value).map_err(|problem| format!("{name} {problem}"))?;
    Ok((name, value))
}

/// Refuses a value of the setting `name` that the function refuses. An empty value counts as unset.
///
/// # Errors
/// What the value must be: the end of a sentence that begins with its name.
pub(crate) fn check(name: &str, value: &str) -> Result<(), String> {
    let Err(problem) = Settings::check(name, value) else { return Ok(()) };
    let choices = Settings::all().into_iter().find(|setting| setting.name == name).map(|setting| setting.choices);
    let choices = choices.unwrap_or_default();
    // a value may be a list of them
    let unknown = value.split(',').map(str::trim).find(|name| !choices.contains(name));
    Err(unknown.map_or_else(|| problem.clone(), |unknown| or_nearest(problem.clone(), unknown, &choices)))
}

/// Reads a list of wire formats.
///
/// # Errors
/// If it is empty, has an unknown name, or has a name twice.
pub(crate) fn wire_formats(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("a list without a wire format allows none".to_owned());
    }
    check("WIRE_FORMATS", text).map_err(|problem| format!("it {problem}"))?;
    Ok(text.to_owned())
}

/// The settings that a message is decoded by.
const DECODING: [&str; 6] =
    ["WIRE_FORMATS", "DEFAULT_SCHEMA", "JSON_ENCODING", "MAX_DEPTH", "MAX_RECORDS", "MAX_INFLATED_BYTES"];

/// Returns the environment's value of a setting that messages are decoded by, as the function would read it.
pub(crate) fn of_decoding(name: &str) -> Option<String> {
    if DECODING.contains(&name) { environment(name) } else { None }
}

/// Returns a lookup of settings: those of `set` go before the environment. An empty value counts as unset.
///
/// # Errors
/// If a setting has two values.
pub(crate) fn lookup(set: &[(String, String)]) -> Result<impl Fn(&str) -> Option<String> + use<>, String> {
    let set = once_each(set)?;
    Ok(move |name: &str| match set.get(name) {
        Some(value) => Some(value.clone()).filter(|value| !value.is_empty()),
        None => environment(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_the_function_refuses_is_refused_with_what_is_meant() {
        for (text, end) in [
            ("WIRE_FORMATS=container, singel-object", "did you mean single-object?"),
            ("WIRE_FORMATS=datum,datum", "WIRE_FORMATS names datum twice"),
            ("JSON_ENCODING=avo", "did you mean avro?"),
            ("AWS_USE_FIPS_ENDPOINT=tru", "did you mean true?"),
            ("MAX_IN_FLIGHT=0", "must be a whole number from 1 to 1000"),
            ("TABLE_NAMES=orders", "did you mean TABLE_NAME?"),
        ] {
            let problem = setting(text).unwrap_err();
            assert!(problem.ends_with(end), "{problem}");
        }
        for good in
            ["WIRE_FORMATS=container, single-object", "MAX_IN_FLIGHT=60", "TABLE_NAME=", "DEFAULT_SCHEMA=order/1"]
        {
            assert!(setting(good).is_ok(), "{good}");
        }
    }
}

//! The function's settings as commands take them: `--set NAME=VALUE`, and then the environment.

use crate::environment;
use crate::names::{once_each, pair, unknown};
use avro_ingest::settings::Settings;

/// Reads a `--set NAME=VALUE`.
///
/// # Errors
/// If the function has no such setting, or there is no `=`.
pub(crate) fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = pair(text)?;
    let known: Vec<&str> = Settings::all().iter().map(|setting| setting.name).collect();
    if known.contains(&name.as_str()) { Ok((name, value)) } else { Err(unknown("setting", &name, &known)) }
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

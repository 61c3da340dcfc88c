//! The function's settings, as commands read them: from `--set NAME=VALUE`, a profile of samconfig.toml and the environment, in
//! this order.

use crate::environment;
use crate::names::{once_each, or_nearest, pair, unknown};
use crate::profile::Profile;
use crate::template::template;
use avro_ingest::settings::Settings;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

/// Parses `--set NAME=VALUE`.
///
/// # Errors
/// If the function has no such setting or would refuse the value, or if there is no `=`.
pub(crate) fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = pair(text)?;
    let known: Vec<&str> = Settings::all().iter().map(|setting| setting.name).collect();
    if !known.contains(&name.as_str()) {
        return Err(unknown("setting", &name, &known));
    }
    check(&name, &value).map_err(|problem| format!("{name} {problem}"))?;
    Ok((name, value))
}

/// Refuses a value that the function would refuse for the setting `name`. An empty value counts as unset.
///
/// # Errors
/// Returns what the value must be, as the end of a sentence that begins with the value's name.
pub(crate) fn check(name: &str, value: &str) -> Result<(), String> {
    let Err(problem) = Settings::check(name, value) else { return Ok(()) };
    let choices = Settings::all().into_iter().find(|setting| setting.name == name).map(|setting| setting.choices);
    let choices = choices.unwrap_or_default();
    // the value may be a list of choices
    let unknown = value.split(',').map(str::trim).find(|name| !choices.contains(name));
    Err(unknown.map_or_else(|| problem.clone(), |unknown| or_nearest(problem.clone(), unknown, &choices)))
}

/// Parses a list of wire formats.
///
/// # Errors
/// If the list is empty, or contains an unknown name or a duplicate.
pub(crate) fn wire_formats(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("a list without a wire format allows none".to_owned());
    }
    check("WIRE_FORMATS", text).map_err(|problem| format!("it {problem}"))?;
    Ok(text.to_owned())
}

/// Settings that affect the decoding of messages.
const DECODING: [&str; 6] =
    ["WIRE_FORMATS", "DEFAULT_SCHEMA", "JSON_ENCODING", "MAX_DEPTH", "MAX_RECORDS", "MAX_INFLATED_BYTES"];

/// Returns the environment variable of a setting that affects decoding, and `None` for other settings.
pub(crate) fn of_decoding(name: &str) -> Option<String> {
    if DECODING.contains(&name) { environment(name) } else { None }
}

/// Options that select a profile.
#[derive(Debug, clap::Args)]
pub(crate) struct ProfileOptions {
    /// Profile of samconfig.toml whose settings and batch parameters override the environment
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// File that contains the profile
    #[arg(long, value_name = "FILE", default_value = "samconfig.toml", requires = "profile")]
    config: PathBuf,
}

impl ProfileOptions {
    /// Reads the profile. Without one, the result is empty.
    ///
    /// # Errors
    /// If the profile does not exist, or CloudFormation would refuse its parameters.
    pub(crate) fn read(&self) -> Result<Deployed, Box<dyn Error>> {
        let Some(name) = &self.profile else { return Ok(Deployed::default()) };
        let parameters = Profile::read(&self.config, name)?.parameters;
        template()?.check(&parameters).map_err(|error| format!("the profile {name}: {error}"))?;
        Ok(Deployed(parameters))
    }
}

/// Settings for which the template chooses between several values, with the parameter that can name the value.
const CHOSEN: [(&str, &str); 2] = [("TABLE_NAME", "ExistingTableName"), ("SERVICE_NAME", "ServiceName")];

/// Parameters that a profile names. All others are left to the environment.
#[derive(Debug, Default)]
pub(crate) struct Deployed(BTreeMap<String, String>);

impl Deployed {
    /// Returns the profile's value of a setting. An empty value counts as unset.
    pub(crate) fn setting(&self, name: &str) -> Option<String> {
        let chosen = CHOSEN.iter().find(|(setting, _)| *setting == name);
        let value = match chosen {
            Some((_, parameter)) => self.0.get(*parameter).cloned(),
            None => template().ok()?.named_setting(name, &self.0),
        };
        value.filter(|value| !value.is_empty())
    }

    /// Returns the maximum number of messages per invocation.
    pub(crate) fn batch_size(&self) -> Option<u32> {
        self.number("BatchSize")
    }

    /// Returns the batching window.
    pub(crate) fn batching_window(&self) -> Option<Duration> {
        self.number("BatchingWindowSeconds").map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// Returns a numeric parameter. The template has already validated it.
    fn number(&self, parameter: &str) -> Option<u32> {
        self.0.get(parameter)?.parse().ok()
    }
}

/// Returns a lookup of settings. Values in `set` override the profile, and the profile overrides the environment. An empty
/// value counts as unset.
///
/// # Errors
/// If a setting has two values.
pub(crate) fn lookup(
    set: &[(String, String)],
    deployed: &Deployed,
) -> Result<impl Fn(&str) -> Option<String> + use<>, String> {
    let set = once_each(set)?;
    let all = Settings::all();
    let deployed: BTreeMap<&str, String> =
        all.iter().filter_map(|setting| Some((setting.name, deployed.setting(setting.name)?))).collect();
    Ok(move |name: &str| match set.get(name) {
        Some(value) => Some(value.clone()).filter(|value| !value.is_empty()),
        None => deployed.get(name).cloned().or_else(|| environment(name)),
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

    #[test]
    fn a_profile_deploys_the_settings_and_batches_that_it_names_and_set_goes_before_it() {
        let file = std::env::temp_dir().join(format!("ingest-settings-{}.toml", std::process::id()));
        let parameters = "MaxInFlight=60 ExistingTableName=orders BatchSize=20 BatchingWindowSeconds=2 DefaultSchema=";
        std::fs::write(&file, format!("[p.deploy.parameters]\nparameter_overrides = \"{parameters}\"\n")).unwrap();
        let of = |name: &str| ProfileOptions { profile: Some(name.to_owned()), config: file.clone() }.read();
        let deployed = of("p").unwrap();
        assert_eq!((deployed.batch_size(), deployed.batching_window()), (Some(20), Some(Duration::from_secs(2))));
        let lookup = lookup(&[("MAX_IN_FLIGHT".to_owned(), "7".to_owned())], &deployed).unwrap();
        assert_eq!(lookup("MAX_IN_FLIGHT"), Some("7".to_owned()));
        assert_eq!(lookup("TABLE_NAME"), Some("orders".to_owned()));
        // empty values and parameters that the profile does not name are left to the environment
        assert_eq!((deployed.setting("DEFAULT_SCHEMA"), deployed.setting("MIN_IN_FLIGHT")), (None, None));
        assert!(of("q").unwrap_err().to_string().contains("there is no profile q"));
        std::fs::write(&file, "[p.deploy.parameters]\nparameter_overrides = \"MinInFlight=60\"\n").unwrap();
        assert!(of("p").unwrap_err().to_string().contains("MinInFlight is over MaxInFlight"));
        std::fs::remove_file(file).unwrap();
        let none = ProfileOptions { profile: None, config: PathBuf::new() }.read().unwrap();
        assert_eq!((none.setting("TABLE_NAME"), none.batch_size(), none.batching_window()), (None, None, None));
    }
}

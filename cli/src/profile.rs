//! The profiles of samconfig.toml, as `sam deploy` reads them.

use crate::names::{once_each, pair, unknown};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use toml::{Table, Value};

/// A profile of samconfig.toml: what it deploys, and the load that it is for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Profile {
    pub(crate) parameters: BTreeMap<String, String>,
    /// Its section `[NAME.plan.parameters]`: the options of `ingest plan`, with _ for -.
    pub(crate) load: BTreeMap<String, f64>,
}

impl Profile {
    pub(crate) fn read(path: &Path, name: &str) -> Result<Self, Box<dyn Error>> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Self::parse(&text, name).map_err(|error| format!("{}: {error}", path.display()).into())
    }

    pub(crate) fn parse(text: &str, name: &str) -> Result<Self, Box<dyn Error>> {
        let config: Table = text.parse()?;
        let section = |command: &str| config.get(name)?.get(command)?.get("parameters").and_then(Value::as_table);
        let deploy = section("deploy").ok_or_else(|| format!("there is no [{name}.deploy.parameters]"))?;
        let overrides = match deploy.get("parameter_overrides") {
            None => Vec::new(),
            Some(Value::String(line)) => line.split_whitespace().map(str::to_owned).collect(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(_) => return Err(format!("parameter_overrides of {name} are neither a list nor a text").into()),
        };
        let parameters = overrides.iter().map(|text| parameter(text)).collect::<Result<Vec<_>, _>>()?;
        let parameters = once_each(&parameters)?;
        let mut load = BTreeMap::new();
        for (option, value) in section("plan").into_iter().flatten() {
            let number = value.as_float().or_else(|| Some(f64::from(i32::try_from(value.as_integer()?).ok()?)));
            load.insert(option.clone(), number.ok_or_else(|| format!("{option} of {name} is not a number"))?);
        }
        Ok(Self { parameters, load })
    }
}

/// Reads `NAME=VALUE`, where the name is one of the template's parameters.
pub(crate) fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = pair(text)?;
    let parameters = parameters();
    if !parameters.contains(&name.as_str()) {
        return Err(unknown("parameter of template.yaml", &name, &parameters));
    }
    Ok((name, value.trim_matches(['\'', '"']).to_owned()))
}

/// The names of the template's parameters.
fn parameters() -> Vec<&'static str> {
    let template = include_str!("../../template.yaml");
    let lines = template.lines().skip_while(|line| *line != "Parameters:").skip(1);
    let section = lines.take_while(|line| line.is_empty() || line.starts_with([' ', '#']));
    section
        .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':').filter(|name| !name.starts_with([' ', '#'])))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_read_with_the_load_it_is_for() {
        let text = "[p.deploy.parameters]\nparameter_overrides = [\"BatchSize=5\"]\n[p.plan.parameters]\nrate = 1000\n";
        let profile = Profile::parse(text, "p").unwrap();
        assert_eq!(profile.parameters, [("BatchSize".to_owned(), "5".to_owned())].into());
        assert_eq!(profile.load, [("rate".to_owned(), 1_000.0)].into());
        assert!(Profile::parse(text, "q").unwrap_err().to_string().contains("[q.deploy.parameters]"));
    }

    #[test]
    fn the_parameters_are_the_templates() {
        let parameters = parameters();
        assert!(parameters.len() > 40, "{parameters:?}");
        assert!(["BatchSize", "MaximumPollers", "SnsTopicArn"].iter().all(|name| parameters.contains(name)));
        assert!(parameters.iter().all(|name| name.chars().all(char::is_alphanumeric)), "{parameters:?}");
    }

    #[test]
    fn a_parameter_that_the_template_does_not_have_is_refused_with_the_one_that_is_meant() {
        assert_eq!(parameter("BatchSize='5'"), Ok(("BatchSize".to_owned(), "5".to_owned())));
        let error = parameter("BatchSizes=5").unwrap_err();
        assert!(error.contains("BatchSizes") && error.contains("did you mean BatchSize?"), "{error}");
        let text = "[p.deploy.parameters]\nparameter_overrides = [\"Nope=5\"]\n";
        assert!(Profile::parse(text, "p").unwrap_err().to_string().contains("Nope"));
    }

    #[test]
    fn a_parameter_that_is_given_twice_is_refused() {
        let text = "[p.deploy.parameters]\nparameter_overrides = \"BatchSize=5 BatchSize=6\"\n";
        assert!(Profile::parse(text, "p").unwrap_err().to_string().contains("BatchSize"));
    }
}

//! Profiles of samconfig.toml, as `sam deploy` reads them.

use crate::names::nearest_or_all;
use crate::template;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use toml::{Table, Value};

/// A profile of samconfig.toml: the parameters that it deploys, and the load for which it is meant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Profile {
    pub(crate) parameters: BTreeMap<String, String>,
    /// Section `[NAME.plan.parameters]`: options of `ingest plan`, with `_` instead of `-`.
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
        let deploy = section("deploy").ok_or_else(|| {
            let has_deploy =
                |value: &Value| value.get("deploy").is_some_and(|deploy| deploy.get("parameters").is_some());
            let profiles = config.iter().filter(|(_, value)| has_deploy(value)).map(|(name, _)| name.as_str());
            let problem = format!("there is no profile {name}, [{name}.deploy.parameters]");
            nearest_or_all(problem, name, &profiles.collect::<Vec<_>>())
        })?;
        let overrides = match deploy.get("parameter_overrides") {
            None => Vec::new(),
            Some(Value::String(line)) => line.split_whitespace().map(str::to_owned).collect(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(_) => return Err(format!("parameter_overrides of {name} are neither a list nor a text").into()),
        };
        let parameters = template::parameters(overrides.iter().map(String::as_str))?;
        let mut load = BTreeMap::new();
        for (option, value) in section("plan").into_iter().flatten() {
            let number = value.as_float().or_else(|| Some(f64::from(i32::try_from(value.as_integer()?).ok()?)));
            load.insert(option.clone(), number.ok_or_else(|| format!("{option} of {name} is not a number"))?);
        }
        Ok(Self { parameters, load })
    }
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
    fn a_parameter_or_a_value_that_the_template_does_not_have_is_refused() {
        for wrong in ["Nope=5", "BatchSize=0"] {
            let text = format!("[p.deploy.parameters]\nparameter_overrides = [\"{wrong}\"]\n");
            assert!(Profile::parse(&text, "p").unwrap_err().to_string().contains(wrong.trim_end_matches("=5")));
        }
    }

    #[test]
    fn a_parameter_that_is_given_twice_is_refused() {
        let text = "[p.deploy.parameters]\nparameter_overrides = \"BatchSize=5 BatchSize=6\"\n";
        assert!(Profile::parse(text, "p").unwrap_err().to_string().contains("BatchSize"));
    }
}

//! The parameters of the stack's template, their constraints, and the rules that combine them.
//!
//! They are read from `template.yaml` itself, so that the tool accepts exactly what a deployment accepts.

mod parameter;
mod rules;
mod yaml;

use crate::names::{once_each, pair, unknown};
use crate::settings;
use avro_ingest::settings::Settings;
use parameter::Parameter;
use rules::Rule;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;

const TEXT: &str = include_str!("../../../template.yaml");

/// Parameters and rules of a template.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    parameters: BTreeMap<String, Parameter>,
    rules: Vec<Rule>,
    /// Maps environment variables of the function to parameters, for variables whose value is exactly one parameter.
    settings: BTreeMap<String, String>,
}

/// Returns the project's template, which is embedded in the tool.
///
/// # Errors
/// If the template uses a feature that this module does not support. A test ensures that it does not.
pub(crate) fn template() -> Result<&'static Template, String> {
    static TEMPLATE: LazyLock<Result<Template, String>> =
        LazyLock::new(|| Template::parse(TEXT).map_err(|error| format!("template.yaml: {error}")));
    TEMPLATE.as_ref().map_err(Clone::clone)
}

/// Parses `NAME=VALUE`. The name must be one of the template's parameters, and the value must satisfy its constraints.
///
/// # Errors
/// Returns what is wrong with the name or the value, and what is allowed.
pub(crate) fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = pair(text)?;
    let value = value.trim_matches(['\'', '"']).to_owned();
    template()?.check_value(&name, &value)?;
    Ok((name, value))
}

/// Parses the parameters of a deployment, each `NAME=VALUE`.
///
/// # Errors
/// If a parameter is invalid, or has two different values.
pub(crate) fn parameters<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<BTreeMap<String, String>, String> {
    once_each(&texts.into_iter().map(parameter).collect::<Result<Vec<_>, _>>()?)
}

impl Template {
    fn parse(text: &str) -> Result<Self, String> {
        let template = yaml::parse(text)?;
        let section = |name: &str| template.get(name).and_then(Value::as_object).into_iter().flatten();
        let parameters = section("Parameters").map(|(name, properties)| {
            let properties = properties.as_object().ok_or_else(|| format!("{name} is not a parameter"))?;
            Ok((name.clone(), Parameter::parse(name, properties)?))
        });
        let rules = section("Rules")
            .map(|(name, rule)| Rule::parse(rule).ok_or_else(|| format!("the rule {name} is not understood")));
        let parameters = parameters.collect::<Result<BTreeMap<_, _>, String>>()?;
        let variables = template.pointer("/Resources/Function/Properties/Environment/Variables");
        let variables = variables.and_then(Value::as_object).ok_or("there is no environment of the function")?;
        let settings = variables.iter().filter_map(|(variable, value)| {
            let parameter = value.get("Ref")?.as_str()?;
            parameters.contains_key(parameter).then(|| (variable.clone(), parameter.to_owned()))
        });
        Ok(Self { settings: settings.collect(), rules: rules.collect::<Result<_, _>>()?, parameters })
    }

    fn check_value(&self, name: &str, value: &str) -> Result<(), String> {
        let Some(parameter) = self.parameters.get(name) else {
            let known: Vec<&str> = self.parameters.keys().map(String::as_str).collect();
            return Err(unknown("parameter of template.yaml", name, &known));
        };
        parameter.check_range(value)?;
        // the function's error for a list of names is more precise than a pattern mismatch
        if let Some((variable, _)) = self.settings.iter().find(|(_, parameter)| *parameter == name) {
            settings::check(variable, value).map_err(|problem| format!("{name}={value}: it {problem}"))?;
        }
        parameter.check_pattern(value)
    }

    /// Returns the value of a parameter in `parameters`, or its default.
    fn value<'a>(&'a self, name: &str, parameters: &'a BTreeMap<String, String>) -> &'a str {
        let default = || self.parameters.get(name).map_or("", |parameter| parameter.default.as_str());
        parameters.get(name).map_or_else(default, String::as_str)
    }

    /// Returns the function's setting `variable` for `parameters`, if the setting is exactly one parameter.
    pub(crate) fn setting(&self, variable: &str, parameters: &BTreeMap<String, String>) -> Option<String> {
        self.settings.get(variable).map(|parameter| self.value(parameter, parameters).to_owned())
    }

    /// Returns the function's setting `variable`, if it is exactly one parameter and `parameters` contains it. Ignores the
    /// template's defaults.
    pub(crate) fn named_setting(&self, variable: &str, parameters: &BTreeMap<String, String>) -> Option<String> {
        parameters.get(self.settings.get(variable)?).cloned()
    }

    /// Refuses parameters that CloudFormation would refuse, or with which the function would not start. Omitted parameters have
    /// their defaults.
    ///
    /// # Errors
    /// Returns the first problem.
    pub(crate) fn check(&self, parameters: &BTreeMap<String, String>) -> Result<(), String> {
        for (name, value) in parameters {
            self.check_value(name, value)?;
        }
        let value = |name: &str| self.value(name, parameters);
        if let Some(violation) = self.rules.iter().find_map(|rule| rule.violation(&value)) {
            return Err(violation.to_owned());
        }
        let settings = Settings::parse(|variable| match variable {
            // any valid table name will do
            "TABLE_NAME" => Some("processed_messages".to_owned()),
            variable => self.setting(variable, parameters),
        });
        settings.map(drop).map_err(|error| {
            // replace setting names by parameter names, which the user knows
            self.settings
                .iter()
                .fold(error.to_string(), |text, (variable, parameter)| text.replace(variable, parameter))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parameters: &[&str]) -> Result<(), String> {
        template().and_then(|template| template.check(&parameters_of(parameters)?))
    }

    fn parameters_of(texts: &[&str]) -> Result<BTreeMap<String, String>, String> {
        parameters(texts.iter().copied())
    }

    #[test]
    fn the_whole_template_is_understood_and_its_defaults_are_allowed() {
        let template = template().unwrap();
        assert!(
            template.parameters.len() > 50 && template.rules.len() > 7 && template.settings.len() > 14,
            "{template:?}"
        );
        for parameter in template.parameters.values() {
            assert_eq!(parameter.check_range(&parameter.default), Ok(()));
            assert_eq!(parameter.check_pattern(&parameter.default), Ok(()));
        }
        assert_eq!(template.check(&BTreeMap::new()), Ok(()));
        assert_eq!(template.settings["WIRE_FORMATS"], "WireFormats");
    }

    #[test]
    fn a_parameter_that_the_template_does_not_have_is_refused_with_the_one_that_is_meant() {
        assert_eq!(parameter("BatchSize='5'"), Ok(("BatchSize".to_owned(), "5".to_owned())));
        let error = parameter("BatchSizes=5").unwrap_err();
        assert!(error.contains("BatchSizes") && error.contains("did you mean BatchSize?"), "{error}");
    }

    #[test]
    fn a_value_that_is_not_allowed_is_refused_with_the_one_that_is_meant() {
        for (text, meant) in
            [("Stage=prd", "prod"), ("QueueType=fif", "fifo"), ("WireFormats=container,conflunt", "confluent")]
        {
            let error = parameter(text).unwrap_err();
            assert!(error.starts_with(text) && error.ends_with(&format!("did you mean {meant}?")), "{error}");
        }
    }

    #[test]
    fn what_cloudformation_takes_and_the_function_refuses_is_refused_by_the_parameters_name() {
        assert_eq!(of(&["MinInFlight=60"]).unwrap_err(), "invalid settings: MinInFlight is over MaxInFlight");
        assert_eq!(of(&["MinInFlight=60", "MaxInFlight=60"]), Ok(()));
        let error = of(&["MaxDepth=2.5"]).unwrap_err();
        assert_eq!(error, "MaxDepth=2.5: it is \"2.5\", but must be a whole number from 1 to 256");
    }

    #[test]
    fn rules_take_the_defaults_of_what_is_left_out() {
        assert!(of(&["BatchSize=11"]).unwrap_err().contains("set BatchingWindowSeconds"));
        assert_eq!(of(&["BatchSize=11", "BatchingWindowSeconds=1"]), Ok(()));
    }
}

//! A parameter of the template and its constraints. Pure.

use crate::names::or_nearest;
use regex_lite::Regex;
use serde_json::{Map, Value};

/// Parameter types of CloudFormation that the template uses.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ParameterType {
    String,
    Number,
    CommaDelimitedList,
}

/// A parameter with its constraints.
#[derive(Debug, Clone)]
pub(super) struct Parameter {
    name: String,
    /// Default value. Empty if the template has none.
    pub(super) default: String,
    kind: ParameterType,
    minimum: Option<f64>,
    maximum: Option<f64>,
    allowed_values: Vec<String>,
    allowed_pattern: Option<Regex>,
}

impl Parameter {
    /// Parses the properties of the parameter `name`.
    ///
    /// # Errors
    /// If a constraint is unknown, because no constraint may be ignored.
    pub(super) fn parse(name: &str, properties: &Map<String, Value>) -> Result<Self, String> {
        let mut parameter = Self {
            name: name.to_owned(),
            default: String::new(),
            kind: ParameterType::String,
            minimum: None,
            maximum: None,
            allowed_values: Vec::new(),
            allowed_pattern: None,
        };
        for (property, value) in properties {
            parameter.set(property, value).ok_or_else(|| format!("{name}: {property} is not understood"))?;
        }
        Ok(parameter)
    }

    fn set(&mut self, property: &str, value: &Value) -> Option<()> {
        match property {
            "Description" => {}
            "Default" => value.as_str()?.clone_into(&mut self.default),
            "Type" => {
                self.kind = match value.as_str()? {
                    "String" => ParameterType::String,
                    "Number" => ParameterType::Number,
                    "CommaDelimitedList" => ParameterType::CommaDelimitedList,
                    _ => return None,
                };
            }
            "MinValue" => self.minimum = Some(number(value.as_str()?)?),
            "MaxValue" => self.maximum = Some(number(value.as_str()?)?),
            "AllowedValues" => {
                let values = value.as_array()?.iter().map(|value| value.as_str().map(str::to_owned));
                self.allowed_values = values.collect::<Option<_>>()?;
            }
            "AllowedPattern" => self.allowed_pattern = Some(Regex::new(value.as_str()?).ok()?),
            _ => return None,
        }
        Some(())
    }

    /// Refuses a value that is not in the list or range of the parameter.
    ///
    /// # Errors
    /// Returns the parameter's name, the value, and what is allowed.
    pub(super) fn check_range(&self, value: &str) -> Result<(), String> {
        let Self { name, minimum, maximum, .. } = self;
        if !self.allowed_values.is_empty() && !self.allowed_values.iter().any(|allowed| allowed == value) {
            let allowed: Vec<&str> = self.allowed_values.iter().map(String::as_str).collect();
            let listed = allowed.iter().map(|value| if value.is_empty() { "''" } else { *value });
            let problem = format!("{name}={value} is not one of {}", listed.collect::<Vec<_>>().join(", "));
            return Err(or_nearest(problem, value, &allowed));
        }
        if self.kind == ParameterType::Number {
            let number = number(value).ok_or_else(|| format!("{name}={value} is not a number"))?;
            if minimum.is_some_and(|minimum| number < minimum) || maximum.is_some_and(|maximum| number > maximum) {
                return Err(match (minimum, maximum) {
                    (Some(minimum), Some(maximum)) => {
                        format!("{name}={value} is not between {minimum} and {maximum}")
                    }
                    (Some(minimum), None) => format!("{name}={value} is less than {minimum}"),
                    (None, maximum) => format!("{name}={value} is over {}", maximum.unwrap_or(f64::INFINITY)),
                });
            }
        }
        Ok(())
    }

    /// Refuses a value that does not match the parameter's pattern.
    ///
    /// # Errors
    /// Returns the parameter's name, the value, and the pattern.
    pub(super) fn check_pattern(&self, value: &str) -> Result<(), String> {
        match &self.allowed_pattern {
            Some(pattern) if !pattern.is_match(value) => Err(format!("{}={value} does not match {pattern}", self.name)),
            _ => Ok(()),
        }
    }
}

/// Parses a number in CloudFormation's format, an integer or a decimal fraction.
fn number(text: &str) -> Option<f64> {
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.".contains(&byte));
    text.parse().ok().filter(|_| is_plain(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parameter(properties: Value) -> Result<Parameter, String> {
        let Value::Object(properties) = properties else { panic!("no object") };
        Parameter::parse("P", &properties)
    }

    fn check(parameter: &Parameter, value: &str) -> Result<(), String> {
        parameter.check_range(value).and_then(|()| parameter.check_pattern(value))
    }

    #[test]
    fn each_constraint_is_held_at_its_edge() {
        let cases = [
            (
                json!({"Type": "Number", "MinValue": "1", "MaxValue": "3"}),
                &["1", "2.5", "3"][..],
                &["0", "4", "", "x"][..],
            ),
            (json!({"Type": "Number", "MinValue": "0"}), &["0"], &["-1", "inf", "NaN", "1e3"]),
            (json!({"Type": "Number", "MaxValue": "0"}), &["-1"], &["1"]),
            (json!({"Type": "Number", "AllowedValues": ["0", "10"]}), &["0", "10"], &["1", "010"]),
            (json!({"Type": "String", "AllowedValues": ["", "on"]}), &["", "on"], &["ON"]),
            (json!({"Type": "String", "AllowedPattern": "^$|^[a-c]{2}$"}), &["", "ab"], &["a", "abc", "ad"]),
            (json!({"Type": "CommaDelimitedList"}), &["", "a,b"], &[]),
        ];
        for (properties, good, bad) in cases {
            let parameter = parameter(properties).unwrap();
            assert!(good.iter().all(|value| check(&parameter, value).is_ok()), "{parameter:?}");
            for value in bad {
                let problem = check(&parameter, value).unwrap_err();
                assert!(problem.starts_with(&format!("P={value} ")), "{problem}");
            }
        }
    }

    #[test]
    fn a_constraint_that_nobody_holds_is_an_error() {
        for properties in
            [json!({"MaxLength": "3"}), json!({"Type": "AWS::EC2::VPC::Id"}), json!({"AllowedPattern": "("})]
        {
            assert!(parameter(properties.clone()).is_err(), "{properties}");
        }
    }
}

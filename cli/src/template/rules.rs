//! Rules of a template, which constrain combinations of parameters. Pure.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/rules-section-structure.html>

use serde_json::Value;

/// A rule: if the condition holds, all assertions must hold.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    /// `None` if the assertions must always hold.
    condition: Option<Condition>,
    /// Assertions, each with the description of its violation.
    assertions: Vec<(Condition, String)>,
}

/// A literal text, or the value of a parameter.
#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Text(String),
    Parameter(String),
}

#[derive(Debug, Clone, PartialEq)]
enum Condition {
    Equals(Operand, Operand),
    Contains(Vec<Operand>, Operand),
    Not(Box<Condition>),
    And(Vec<Condition>),
    Or(Vec<Condition>),
}

impl Rule {
    /// Parses a rule. Returns `None` if the rule uses an unknown function.
    pub(super) fn parse(rule: &Value) -> Option<Self> {
        let condition = match rule.get("RuleCondition") {
            Some(condition) => Some(Condition::parse(condition)?),
            None => None,
        };
        let assertions = rule.get("Assertions")?.as_array()?.iter().map(|assertion| {
            let description = assertion.get("AssertDescription")?.as_str()?;
            Some((Condition::parse(assertion.get("Assert")?)?, description.to_owned()))
        });
        Some(Self { condition, assertions: assertions.collect::<Option<_>>()? })
    }

    /// Returns the description of the first assertion that is violated by the parameters that `value` looks up.
    pub(super) fn violation<'a>(&'a self, value: &impl Fn(&str) -> &'a str) -> Option<&'a str> {
        let applies = self.condition.as_ref().is_none_or(|condition| condition.holds(value));
        let violated = self.assertions.iter().find(|(assertion, _)| applies && !assertion.holds(value))?;
        Some(&violated.1)
    }
}

impl Operand {
    fn parse(operand: &Value) -> Option<Self> {
        match operand {
            Value::String(text) => Some(Self::Text(text.clone())),
            reference => Some(Self::Parameter(reference.get("Ref")?.as_str()?.to_owned())),
        }
    }

    fn text<'a>(&'a self, value: &impl Fn(&str) -> &'a str) -> &'a str {
        match self {
            Self::Text(text) => text,
            Self::Parameter(name) => value(name),
        }
    }
}

impl Condition {
    fn parse(condition: &Value) -> Option<Self> {
        let (function, operands) = condition.as_object()?.iter().next()?;
        let operands = operands.as_array()?;
        let conditions = || operands.iter().map(Self::parse).collect::<Option<Vec<_>>>();
        match (function.as_str(), operands.as_slice()) {
            ("Fn::Equals", [one, other]) => Some(Self::Equals(Operand::parse(one)?, Operand::parse(other)?)),
            ("Fn::Contains", [list, operand]) => {
                let list = list.as_array()?.iter().map(Operand::parse).collect::<Option<_>>()?;
                Some(Self::Contains(list, Operand::parse(operand)?))
            }
            ("Fn::Not", [condition]) => Some(Self::Not(Box::new(Self::parse(condition)?))),
            ("Fn::And", _) => Some(Self::And(conditions()?)),
            ("Fn::Or", _) => Some(Self::Or(conditions()?)),
            _ => None,
        }
    }

    fn holds<'a>(&'a self, value: &impl Fn(&str) -> &'a str) -> bool {
        match self {
            Self::Equals(one, other) => one.text(value) == other.text(value),
            Self::Contains(list, operand) => list.iter().any(|one| one.text(value) == operand.text(value)),
            Self::Not(condition) => !condition.holds(value),
            Self::And(conditions) => conditions.iter().all(|condition| condition.holds(value)),
            Self::Or(conditions) => conditions.iter().any(|condition| condition.holds(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rule_is_violated_where_its_condition_holds_and_an_assertion_does_not() {
        let rule = json!({
            "RuleCondition": {"Fn::Not": [{"Fn::Equals": [{"Ref": "A"}, ""]}]},
            "Assertions": [
                {"Assert": {"Fn::Contains": [["1", "2"], {"Ref": "B"}]}, "AssertDescription": "B is 1 or 2"},
                {
                    "Assert": {"Fn::Or": [{"Fn::Equals": [{"Ref": "A"}, "x"]}, {"Fn::And": [{"Fn::Equals": [{"Ref": "B"}, "2"]}]}]},
                    "AssertDescription": "A is x, or B is 2",
                },
            ],
        });
        let rule = Rule::parse(&rule).unwrap();
        for (a, b, violation) in [
            ("", "9", None),
            ("x", "9", Some("B is 1 or 2")),
            ("x", "1", None),
            ("y", "2", None),
            ("y", "1", Some("A is x, or B is 2")),
        ] {
            let value = |name: &str| if name == "A" { a } else { b };
            assert_eq!(rule.violation(&value), violation, "A={a} B={b}");
        }
        assert_eq!(
            Rule::parse(&json!({"Assertions": [{"Assert": {"Fn::EachMemberIn": []}, "AssertDescription": ""}]})),
            None
        );
    }
}

//! Detects event source mapping filters that match no message. Lambda deletes the messages that a filter rejects.
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html>
//! Pure.

use super::facts::text;
use serde_json::Value;

/// Message properties that a filter pattern may name.
/// <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>
const PROPERTIES: [&str; 9] = [
    "attributes",
    "awsRegion",
    "body",
    "eventSource",
    "eventSourceARN",
    "md5OfBody",
    "messageAttributes",
    "messageId",
    "receiptHandle",
];
/// Body properties of a message that SNS delivers.
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html>
const ENVELOPE: [&str; 10] = [
    "Type",
    "MessageId",
    "TopicArn",
    "Subject",
    "Message",
    "Timestamp",
    "SignatureVersion",
    "Signature",
    "SigningCertURL",
    "MessageAttributes",
];

/// Returns why no filter of `mapping` can match a message. Returns `None` if there is no filter, or if one may match.
/// `reads_json` is whether message bodies may be JSON.
pub(super) fn drops_everything(mapping: &Value, queue_arn: &str, reads_json: bool) -> Option<String> {
    let filters = mapping.pointer("/FilterCriteria/Filters").and_then(Value::as_array)?;
    let reasons: Option<Vec<String>> =
        filters.iter().map(|filter| drops(text(filter, "Pattern"), queue_arn, reads_json)).collect();
    reasons?.into_iter().next()
}

fn drops(pattern: &str, queue_arn: &str, reads_json: bool) -> Option<String> {
    let Ok(Value::Object(pattern)) = serde_json::from_str(pattern) else {
        return Some("a filter is no JSON object".to_owned());
    };
    pattern.iter().find_map(|(name, rule)| match name.as_str() {
        name if !PROPERTIES.contains(&name) && !allows_absence(rule) => {
            Some(format!("a filter wants {name}, which no message has"))
        }
        "body" => {
            let Value::Object(fields) = rule else { return None };
            let is_envelope = fields.keys().all(|name| ENVELOPE.contains(&name.as_str()));
            let passes = reads_json || is_envelope || fields.values().all(allows_absence);
            (!passes).then(|| "a filter wants a body of JSON, and the bodies are Avro".to_owned())
        }
        "eventSource" => {
            (!may_be(rule, "aws:sqs")).then(|| "a filter wants another eventSource than aws:sqs".to_owned())
        }
        "eventSourceARN" => (!may_be(rule, queue_arn)).then(|| "a filter wants another queue".to_owned()),
        _ => None,
    })
}

/// Returns whether a rule may match `value`: it lists the value, or uses a comparison that this module does not evaluate.
fn may_be(rule: &Value, value: &str) -> bool {
    rule.as_array().is_some_and(|rules| rules.iter().any(|rule| !rule.is_string() || rule == value))
}

/// Returns whether a rule matches if its property is absent.
fn allows_absence(rule: &Value) -> bool {
    rule.as_array().is_some_and(|rules| rules.iter().any(|rule| rule.get("exists") == Some(&Value::Bool(false))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn dropped(patterns: &[&str], reads_json: bool) -> bool {
        let filters: Vec<Value> = patterns.iter().map(|pattern| json!({"Pattern": pattern})).collect();
        let mapping = json!({"FilterCriteria": {"Filters": filters}});
        drops_everything(&mapping, "arn:aws:sqs:us-east-1:1:orders", reads_json).is_some()
    }

    #[test]
    fn a_filter_that_no_message_passes_is_found() {
        for pattern in [
            r#"{"body": {"kind": ["order"]}}"#,
            r#"{"Body": ["x"]}"#,
            r#"{"eventSource": ["aws:kinesis"]}"#,
            r#"{"eventSourceARN": ["arn:aws:sqs:us-east-1:1:other"]}"#,
            "not json",
        ] {
            assert!(dropped(&[pattern], false), "{pattern}");
        }
    }

    #[test]
    fn a_filter_that_something_may_pass_is_left_alone() {
        for pattern in [
            r#"{"messageAttributes": {"kind": {"stringValue": ["order"]}}}"#,
            r#"{"body": {"Type": ["Notification"]}}"#,
            r#"{"body": [{"prefix": "wwE"}]}"#,
            r#"{"other": [{"exists": false}]}"#,
            r#"{"eventSource": ["aws:sqs"]}"#,
        ] {
            assert!(!dropped(&[pattern], false), "{pattern}");
        }
        assert!(!dropped(&[r#"{"body": {"kind": ["order"]}}"#], true));
        assert!(!dropped(&[r#"{"Body": ["x"]}"#, r#"{"eventSource": ["aws:sqs"]}"#], false), "one of two is enough");
        assert!(!dropped(&[], false), "no filter at all");
    }
}

//! Message attributes from the command line. Errors name the attribute, but never its value, which may be a secret.

use std::collections::BTreeMap;

/// Maximum number of attributes per message.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>
const MAX_ATTRIBUTES: usize = 10;
/// Maximum length of an attribute name, in characters.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>
const MAX_NAME_CHARACTERS: usize = 256;
/// Prefixes that AWS reserves, in lower case.
const RESERVED: [&str; 2] = ["aws.", "amazon."];

/// Parses attributes of type String, each `NAME=VALUE`.
///
/// # Errors
/// If SQS or the function would not accept an attribute.
pub(super) fn read(texts: &[String]) -> Result<BTreeMap<String, String>, String> {
    let mut attributes = BTreeMap::new();
    for (place, text) in texts.iter().enumerate() {
        let number = place + 1;
        let (name, value) = text.split_once('=').ok_or_else(|| format!("--attribute {number} is not NAME=VALUE"))?;
        if let Some(problem) = name_problem(name) {
            // do not print the name, because the user may have typed the secret value there
            return Err(format!("--attribute {number}: the name of the attribute {problem}"));
        }
        if let Some(problem) = value_problem(value) {
            return Err(format!("--attribute {name}: the value of the attribute {problem}"));
        }
        match name {
            // `--schema` sets this attribute for the wire formats datum and json
            "schema" => return Err("the attribute schema is given by --schema".to_owned()),
            "avro" => return Err("the attribute avro holds a message's bytes, and cannot be text".to_owned()),
            _ => {}
        }
        if attributes.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(format!("--attribute {name} is given twice, and a message has one attribute of a name"));
        }
    }
    if attributes.len() >= MAX_ATTRIBUTES {
        return Err(format!("a message has at most {MAX_ATTRIBUTES} attributes, one of which may be schema"));
    }
    Ok(attributes)
}

/// Returns the rule that an attribute name violates.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_MessageAttributeValue.html>
fn name_problem(name: &str) -> Option<&'static str> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let small = name.to_ascii_lowercase();
    if name.is_empty() || name.len() > MAX_NAME_CHARACTERS {
        Some("must have 1 to 256 characters")
    } else if !name.bytes().all(is_allowed) {
        Some("may have letters, digits, _, - and . only")
    } else if name.starts_with('.') || name.ends_with('.') || name.contains("..") {
        Some("must not begin or end with a period, or have two in a row")
    } else if RESERVED.iter().any(|reserved| small.starts_with(reserved)) {
        Some("must not begin with AWS. or Amazon., which are reserved")
    } else {
        None
    }
}

/// Returns the rule that an attribute value violates.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>
fn value_problem(value: &str) -> Option<&'static str> {
    let is_allowed = |character: char| matches!(character, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..);
    if value.is_empty() {
        Some("must not be empty")
    } else if !value.chars().all(is_allowed) {
        Some("has a character that SQS does not accept")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Result<BTreeMap<String, String>, String> {
        read(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn an_attribute_has_a_name_and_a_value_that_sqs_accepts() {
        let longest = "a".repeat(MAX_NAME_CHARACTERS);
        for name in ["a", "A-b_c.d", "aws", "AWSx.y", "1", &longest] {
            assert_eq!(of(&[&format!("{name}=x=y")]), Ok([(name.to_owned(), "x=y".to_owned())].into()), "{name}");
        }
        let longer = format!("a{longest}");
        for name in ["", ".a", "a.", "a..b", "a b", "é", "aWs.x", "amazon.", &longer] {
            let problem = of(&[&format!("{name}=secret")]).unwrap_err();
            assert!(problem.starts_with("--attribute 1: the name") && !problem.contains("secret"), "{problem}");
        }
        for (value, is_accepted) in
            [("\t\n\r é\u{1F980}", true), ("", false), ("secret\u{B}", false), ("\u{FFFE}", false)]
        {
            let read = of(&[&format!("a={value}")]);
            assert_eq!(read.is_ok(), is_accepted, "{value:?}");
            assert!(read.is_ok() || !format!("{read:?}").contains("secret"));
        }
        assert_eq!(of(&["a=b", "secret"]), Err("--attribute 2 is not NAME=VALUE".to_owned()));
    }

    #[test]
    fn one_place_stays_free_for_the_schema_and_no_name_is_given_twice() {
        let texts: Vec<String> = (0..MAX_ATTRIBUTES).map(|number| format!("a{number}=x")).collect();
        assert_eq!(read(&texts[1..]).map(|read| read.len()), Ok(MAX_ATTRIBUTES - 1));
        assert!(read(&texts).unwrap_err().contains("at most 10 attributes"));
        assert!(of(&["a=secret", "a=x"]).unwrap_err().starts_with("--attribute a is given twice"));
        assert!(of(&["schema=x"]).is_err() && of(&["avro=x"]).is_err());
    }
}

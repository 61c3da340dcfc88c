//! Names of tables: which names are legal, and whether two names mean the same table.

use std::fmt;
use std::ops::RangeInclusive;

/// Minimum and maximum length of a table's name, in bytes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>
const TABLE_NAME_BYTES: RangeInclusive<usize> = 3..=255;
/// Number of digits of an AWS account id.
/// <https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-identifiers.html>
const ACCOUNT_ID_DIGITS: usize = 12;

/// The table of a schema or a setting, as a name or as an ARN. Requests accept either as their `TableName`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// The original text.
    text: String,
    /// Index of the first byte of the name within the text.
    name_start: usize,
    /// The region and the account. Only an ARN contains them.
    owner: Option<Owner>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    region: String,
    account: String,
}

impl TableName {
    /// Parses a name or an ARN.
    ///
    /// # Errors
    /// Returns a description of the problem, to be used as the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parsed = if text.starts_with("arn:") { Self::from_arn(text) } else { Self::from_name(text) };
        parsed.ok_or_else(|| {
            format!("is {text:?}, but must be a name of 3 to 255 letters, digits, '.', '-' and '_', or a table ARN")
        })
    }

    fn from_name(text: &str) -> Option<Self> {
        is_legal_name(text).then(|| Self { text: text.to_owned(), name_start: 0, owner: None })
    }

    /// Parses `arn:PARTITION:dynamodb:REGION:ACCOUNT:table/NAME`. The ARN of an index, a stream, a backup or a global table
    /// is refused, because no call can write to it.
    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html>
    fn from_arn(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, ':').skip(1);
        let (partition, service) = (parts.next()?, parts.next()?);
        let (region, account) = (parts.next()?, parts.next()?);
        let name = parts.next()?.strip_prefix("table/")?;
        let is_legal = is_partition(partition)
            && service == "dynamodb"
            && is_region(region)
            && is_account_id(account)
            && is_legal_name(name);
        is_legal.then(|| Self {
            text: text.to_owned(),
            name_start: text.len() - name.len(),
            owner: Some(Owner { region: region.to_owned(), account: account.to_owned() }),
        })
    }

    /// Returns the original text, which requests use to identify the table.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the region, which only an ARN has.
    pub fn region(&self) -> Option<&str> {
        self.owner.as_ref().map(|owner| owner.region.as_str())
    }

    /// Returns the table's name without the rest of the ARN.
    pub fn name(&self) -> &str {
        self.text.get(self.name_start..).unwrap_or_default()
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The region and the account that a request addresses if it identifies a table by name only.
#[derive(Debug, Clone, Copy, Default)]
pub struct TableScope<'s> {
    /// The region of the client.
    pub region: Option<&'s str>,
    /// The account of the client's credentials.
    pub account: Option<&'s str>,
}

impl TableScope<'_> {
    /// Returns whether both names mean the same table, or `None` if this cannot be determined because the region or the
    /// account is unknown.
    ///
    /// A table is identified by its region, its account and its name. Partitions need not be compared, because region names
    /// are unique across partitions.
    pub fn is_one_table(&self, one: &TableName, other: &TableName) -> Option<bool> {
        if one.name() != other.name() {
            return Some(false);
        }
        let arn = match (&one.owner, &other.owner) {
            (None, None) => return Some(true),
            (Some(one), Some(other)) => return Some(one == other),
            (Some(arn), None) | (None, Some(arn)) => arn,
        };
        let (region, account) = (self.region.map(|own| own == arn.region), self.account.map(|own| own == arn.account));
        match (region, account) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            (None, _) | (_, None) => None,
        }
    }
}

fn is_legal_name(name: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    TABLE_NAME_BYTES.contains(&name.len()) && name.bytes().all(is_legal)
}

/// Returns whether `text` may be a partition: `aws`, `aws-cn`, `aws-us-gov`, `aws-iso-b`, `aws-eusc`, or a future one.
/// <https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html>
fn is_partition(text: &str) -> bool {
    text.strip_prefix("aws").is_some_and(|rest| rest.is_empty() || rest.starts_with('-')) && is_label(text)
}

/// Returns whether `text` may be a region. A region becomes part of a host name.
pub(crate) fn is_region(text: &str) -> bool {
    is_label(text)
}

/// Returns whether `text` has the format of an account id.
pub(crate) fn is_account_id(text: &str) -> bool {
    text.len() == ACCOUNT_ID_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_label(text: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(is_legal) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:dynamodb:eu-central-1:123456789012:table/orders";

    fn table(text: &str) -> TableName {
        TableName::parse(text).unwrap()
    }

    #[test]
    fn a_table_arn_of_every_partition_is_read() {
        for (partition, region) in [
            ("aws", "eu-central-1"),
            ("aws-cn", "cn-north-1"),
            ("aws-us-gov", "us-gov-west-1"),
            ("aws-iso", "us-iso-east-1"),
            ("aws-iso-b", "us-isob-east-1"),
            ("aws-iso-e", "eu-isoe-west-1"),
            ("aws-iso-f", "us-isof-south-1"),
            ("aws-eusc", "eusc-de-east-1"),
        ] {
            let arn = format!("arn:{partition}:dynamodb:{region}:123456789012:table/a.b-c_D");
            let table = table(&arn);
            assert_eq!((table.as_str(), table.name()), (arn.as_str(), "a.b-c_D"));
            assert_eq!(table.owner, Some(Owner { region: region.to_owned(), account: "123456789012".to_owned() }));
        }
    }

    #[test]
    fn an_arn_that_names_no_table_is_refused() {
        for wrong in [
            &format!("{ARN}/index/by-name"),
            &format!("{ARN}/stream/2024-01-01T00:00:00.000"),
            &format!("{ARN}/backup/01489602797149-73d8d5bc"),
            &format!("{ARN}/export/01234567890123-a1b2c3d4"),
            &format!("{ARN}:replica"),
            &ARN.replace("table/orders", "orders"),
            &ARN.replace("table/orders", "table/"),
            &ARN.replace("table/orders", "table/ab"),
            &ARN.replace("orders", &"t".repeat(256)),
            &ARN.replace("orders", "my table"),
            &ARN.replace("eu-central-1", ""),
            &ARN.replace("eu-central-1", "EU-central-1"),
            &ARN.replace("123456789012", ""),
            &ARN.replace("123456789012", "12345678901"),
            &ARN.replace("123456789012", "1234567890123"),
            &ARN.replace("123456789012", "12345678901x"),
            &ARN.replace("arn:aws:", "arn::"),
            &ARN.replace("arn:aws:", "arn:awsome:"),
            &ARN.replace("arn:aws:", "arn:aws-:"),
            &ARN.replace(":dynamodb:", ":sqs:"),
            "arn:aws:dynamodb::123456789012:global-table/orders",
            "arn:aws:dynamodb:eu-central-1:123456789012",
            "arn:",
        ] {
            let problem = TableName::parse(wrong).unwrap_err();
            assert!(problem.ends_with("or a table ARN"), "{problem}");
        }
    }

    #[test]
    fn a_name_is_one_that_aws_takes() {
        let long = "t".repeat(255);
        for (name, fits) in [("ab", false), ("abc", true), (&long, true), (&format!("{long}t"), false), ("", false)] {
            assert_eq!(TableName::parse(name).is_ok(), fits, "{name}");
        }
    }

    #[test]
    fn a_table_is_its_region_its_account_and_its_name() {
        let full = TableScope { region: Some("eu-central-1"), account: Some("123456789012") };
        let (name, arn) = (table("orders"), table(ARN));
        let [region, account] = [("eu-central-1", "us-east-1"), ("123456789012", "999999999999")]
            .map(|(own, other)| table(&ARN.replace(own, other)));
        let is_one = |one: &TableName, other: &TableName| {
            assert_eq!(full.is_one_table(one, other), full.is_one_table(other, one));
            full.is_one_table(one, other).unwrap()
        };
        assert!(is_one(&name, &name) && is_one(&arn, &arn) && is_one(&name, &arn));
        for other in [&region, &account, &table("others")] {
            assert!(!is_one(&name, other) && !is_one(&arn, other), "{other}");
        }
        // a different partition in the ARN does not mean a different table
        assert!(is_one(&arn, &table(&ARN.replace("arn:aws:", "arn:aws-iso:"))));
    }

    #[test]
    fn what_a_scope_does_not_know_it_does_not_say() {
        let (name, arn) = (table("orders"), table(ARN));
        let scope = |region, account| TableScope { region, account }.is_one_table(&name, &arn);
        assert_eq!(scope(None, None), None);
        assert_eq!(scope(Some("eu-central-1"), None), None);
        assert_eq!(scope(None, Some("123456789012")), None);
        assert_eq!(scope(Some("us-east-1"), None), Some(false));
        assert_eq!(scope(None, Some("999999999999")), Some(false));
        // two names, or two ARNs, can be compared without a scope
        let nothing = TableScope::default();
        assert_eq!(nothing.is_one_table(&name, &name), Some(true));
        assert_eq!(nothing.is_one_table(&arn, &arn), Some(true));
        assert_eq!(nothing.is_one_table(&name, &table(&ARN.replace("orders", "others"))), Some(false));
    }
}

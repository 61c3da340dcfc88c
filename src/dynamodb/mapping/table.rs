//! Names of tables.

use std::ops::RangeInclusive;

/// The shortest and the longest name of a table.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>
const TABLE_NAME_BYTES: RangeInclusive<usize> = 3..=255;

/// What is wrong with a table's name or ARN, as the end of a sentence.
pub(crate) fn table_name_problem(table: &str) -> Option<String> {
    let name = match table.strip_prefix("arn:") {
        None => table,
        Some(arn) => match arn.split(':').collect::<Vec<_>>().as_slice() {
            [partition, "dynamodb", region, account, name] if ![partition, region, account].contains(&&"") => {
                name.strip_prefix("table/").unwrap_or_default()
            }
            _ => "",
        },
    };
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let fits = TABLE_NAME_BYTES.contains(&name.len()) && name.bytes().all(is_legal);
    (!fits).then(|| {
        format!("is {table:?}, but must be a name of 3 to 255 letters, digits, '.', '-' and '_', or a table ARN")
    })
}

//! Detection of names and keys in a mapping that exceed DynamoDB's limits regardless of the record, so that every record
//! would be rejected.

use super::super::item::{MAX_NAME_BYTES, MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES};
use super::{Key, KeySource, Layout, Mapping, PARTITION_KEY, Part, SORT_KEY, Version};

/// Maximum length of the name of a key attribute, in bytes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>
pub const MAX_KEY_NAME_BYTES: usize = 255;

/// Maximum length of a name in an error text, in characters. Longer names are cut.
const SHOWN_CHARS: usize = 64;

impl Mapping {
    /// Returns a description of each limit that the mapping's own names and keys exceed. `fixed_size` returns the size in
    /// bytes of a field whose type is `fixed`.
    pub fn excesses(&self, fixed_size: impl Fn(&str) -> Option<usize>) -> Vec<String> {
        let roles = [
            ("partitionKey", PARTITION_KEY, Some(&self.partition_key), MAX_PARTITION_KEY_BYTES),
            ("sortKey", SORT_KEY, self.sort_key.as_ref(), MAX_SORT_KEY_BYTES),
        ];
        let mut excesses = Vec::new();
        for (role, tracked, key, limit) in roles {
            let Some(Key { attribute, source, .. }) = key else { continue };
            excesses.extend(name_excess(role, attribute.text(), MAX_KEY_NAME_BYTES));
            let field = self.tracked.iter().find(|(field, _)| *field == tracked);
            match (source, field) {
                (KeySource::Template(template), _) => {
                    let texts = template.parts().iter().map(|part| match part {
                        Part::Text { len, .. } => *len,
                        Part::Field(_) => 0,
                    });
                    let bytes: usize = texts.sum();
                    if bytes > limit {
                        excesses.push(format!(
                            "{role}: the template has {bytes} bytes without its fields, and DynamoDB takes {limit}"
                        ));
                    }
                }
                (KeySource::Field { .. }, Some((_, path))) => {
                    if let Some(bytes) = fixed_size(path).filter(|bytes| *bytes > limit) {
                        excesses.push(format!("{role}: field {path} has {bytes} bytes, and DynamoDB takes {limit}"));
                    }
                }
                _ => {}
            }
        }
        let ttl = self.ttl.as_ref().map(|ttl| ("ttl", ttl.attribute.text()));
        let version = match &self.version {
            Some(Version::Message { attribute, .. }) => Some(("version", attribute.text())),
            Some(Version::Field { .. }) | None => None,
        };
        let others = ttl.into_iter().chain(version);
        excesses.extend(others.filter_map(|(role, name)| name_excess(role, name, MAX_NAME_BYTES)));
        excesses
    }

    /// Returns the number of nesting levels of an item, given the number of levels of its record. Both counts include the
    /// outermost level.
    pub fn item_levels(&self, record_levels: usize) -> usize {
        match self.layout {
            Layout::Document => record_levels,
            Layout::Attributes => record_levels.saturating_sub(1),
        }
    }
}

/// Returns a description of the problem if `name`, the attribute of `owner`, is longer than `limit` bytes.
pub fn name_excess(owner: &str, name: &str, limit: usize) -> Option<String> {
    let shown: String = name.chars().take(SHOWN_CHARS).collect();
    let bytes = name.len();
    (bytes > limit)
        .then(|| format!("{owner}: attribute {shown}... has a name of {bytes} bytes, and DynamoDB takes {limit}"))
}

#[cfg(test)]
mod tests {
    use super::super::Fields;
    use super::*;
    use crate::record::{FieldKind, Quantity};
    use serde_json::{Value, json};

    struct Sample;

    impl Fields for Sample {
        fn kind(&self, path: &str) -> Result<FieldKind, String> {
            Ok(match path {
                "n" => FieldKind::Number(Quantity::Plain),
                "raw" => FieldKind::Binary,
                _ => FieldKind::Text,
            })
        }

        fn names(&self) -> Vec<&str> {
            vec!["id", "n", "raw"]
        }
    }

    fn excesses(property: &Value, size: usize) -> Vec<String> {
        Mapping::parse(Some(property), "orders", &Sample).unwrap().excesses(|path| (path == "raw").then_some(size))
    }

    fn is_over(property: &Value, size: usize) -> bool {
        let found = excesses(property, size);
        assert!(found.len() < 2, "{found:?}");
        !found.is_empty()
    }

    #[test]
    fn each_limit_is_exceeded_from_one_byte_over_it_on() {
        let key_name = |bytes: usize| json!({"partitionKey": {"attribute": "k".repeat(bytes), "field": "id"}});
        let sort_name =
            |bytes: usize| json!({"partitionKey": "id", "sortKey": {"attribute": "k".repeat(bytes), "field": "n"}});
        let ttl_name = |bytes: usize| json!({"partitionKey": "id", "ttl": {"attribute": "t".repeat(bytes), "days": 1}});
        let version_name = |bytes: usize| json!({"partitionKey": "id", "version": {"attribute": "v".repeat(bytes), "from": "sent-timestamp"}});
        let template = |bytes: usize| json!({"partitionKey": {"attribute": "pk", "template": format!("{}{{id}}", "#".repeat(bytes))}});
        let sort_template =
            |bytes: usize| json!({"partitionKey": "id", "sortKey": {"attribute": "sk", "template": "#".repeat(bytes)}});
        type Property<'p> = &'p dyn Fn(usize) -> Value;
        let cases: [(Property<'_>, usize); 6] = [
            (&key_name, MAX_KEY_NAME_BYTES),
            (&sort_name, MAX_KEY_NAME_BYTES),
            (&ttl_name, MAX_NAME_BYTES),
            (&version_name, MAX_NAME_BYTES),
            (&template, MAX_PARTITION_KEY_BYTES),
            (&sort_template, MAX_SORT_KEY_BYTES),
        ];
        for (index, (property, limit)) in cases.into_iter().enumerate() {
            let over = [limit - 1, limit, limit + 1].map(|bytes| is_over(&property(bytes), 0));
            assert_eq!(over, [false, false, true], "{index}");
        }
        for (property, limit) in [
            (json!({"partitionKey": "raw"}), MAX_PARTITION_KEY_BYTES),
            (json!({"partitionKey": "id", "sortKey": "raw"}), MAX_SORT_KEY_BYTES),
        ] {
            let over = [limit - 1, limit, limit + 1].map(|bytes| is_over(&property, bytes));
            assert_eq!(over, [false, false, true], "{property}");
        }
    }

    #[test]
    fn a_long_name_is_cut_where_it_is_shown() {
        let found = excesses(&json!({"partitionKey": {"attribute": "k".repeat(256), "field": "id"}}), 0);
        let shown = "k".repeat(SHOWN_CHARS);
        assert_eq!(
            found,
            [format!("partitionKey: attribute {shown}... has a name of 256 bytes, and DynamoDB takes 255")]
        );
    }
}

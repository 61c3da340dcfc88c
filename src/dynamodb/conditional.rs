//! Conditional writes: PutItem and DeleteItem calls that never replace or delete an item with a newer version, and PutItem
//! calls that never replace an existing item. Pure: no I/O, clock or randomness.
//!
//! A deletion leaves no version behind in the table. An older put that arrives after the deletion is therefore written.

use super::batch::PREFIX_ROOM;
use super::item::ItemRef;
use super::mapping::Mapping;
use super::response::{CallError, WriteResponse};
use crate::json;
use crate::write::WriteKind;
use serde_json::Value;

/// Returns the body of a PutItem or DeleteItem whose condition fails if the table has a newer version of the item. For a
/// `Create`, the condition fails if the table has the item at all.
///
/// In a condition, a comparison of values of different types is false. The third clause therefore overwrites a stored
/// version of another type, because otherwise such an item could never be updated. If the condition fails, the response
/// contains the stored item, which [`is_superseded`] examines.
pub(crate) fn conditional_body(item: &ItemRef, mapping: &Mapping) -> Vec<u8> {
    let (attributes, kind) = (item.attributes(), item.item().kind);
    let mut body = Vec::with_capacity(attributes.len() + PREFIX_ROOM);
    body.extend_from_slice(b"{\"TableName\":");
    json::push_string(&mut body, mapping.table.as_str());
    body.extend_from_slice(if kind.is_deletion() { b",\"Key\":" } else { b",\"Item\":" });
    body.extend_from_slice(attributes);
    if kind == WriteKind::Create {
        body.extend_from_slice(b",\"ConditionExpression\":\"attribute_not_exists(#key)\"");
        body.extend_from_slice(b",\"ExpressionAttributeNames\":{\"#key\":");
        json::push_string(&mut body, mapping.partition_key.attribute.text());
        body.push(b'}');
    } else if let (Some(version), Some(path)) = (item.version(), mapping.version_path()) {
        let segments: Vec<&str> = path.collect();
        let names: Vec<String> = (0..segments.len()).map(|at| format!("#v{at}")).collect();
        let path = names.join(".");
        let condition =
            format!("attribute_not_exists({path}) OR {path} <= :version OR NOT attribute_type({path}, :type)");
        body.extend_from_slice(b",\"ConditionExpression\":");
        json::push_string(&mut body, &condition);
        body.extend_from_slice(b",\"ExpressionAttributeNames\":{");
        for (name, segment) in names.iter().zip(&segments) {
            json::push_string(&mut body, name);
            body.push(b':');
            json::push_string(&mut body, segment);
            body.push(b',');
        }
        body.pop();
        body.extend_from_slice(b"},\"ExpressionAttributeValues\":{\":version\":");
        body.extend_from_slice(version);
        body.extend_from_slice(b",\":type\":{\"S\":");
        json::push_string(&mut body, type_of(version).unwrap_or_default());
        body.extend_from_slice(b"}},\"ReturnValuesOnConditionCheckFailure\":\"ALL_OLD\"");
    }
    body.extend_from_slice(b",\"ReturnConsumedCapacity\":\"TOTAL\"}");
    body
}

/// Converts a failed condition to `Superseded` if the stored item proves that the table has a newer version. For a
/// `Create`, the failed condition itself proves that the table has an item.
pub(crate) fn superseded_if_proven(
    result: Result<WriteResponse, CallError>,
    item: &ItemRef,
    mapping: &Mapping,
) -> Result<WriteResponse, CallError> {
    match result {
        Err(CallError::ConditionFailed { .. }) if item.item().kind == WriteKind::Create => Err(CallError::Superseded),
        Err(CallError::ConditionFailed { stored: Some(stored) }) if is_superseded(item, mapping, &stored) => {
            Err(CallError::Superseded)
        }
        other => other,
    }
}

/// Returns whether `stored`, the item that made the condition fail, proves that the table has a newer version. This is the
/// case if its version has the same type as ours and a different value. The failed condition already proves that it is not
/// smaller.
fn is_superseded(item: &ItemRef, mapping: &Mapping, stored: &Value) -> bool {
    let (Some(version), Some(mut path)) = (item.version(), mapping.version_path()) else { return false };
    let (Some(kind), Some(first)) = (type_of(version), path.next()) else { return false };
    let attribute = path.try_fold(stored.get(first), |value, segment| Some(value?.get("M")?.get(segment))).flatten();
    let ours: Option<Value> = serde_json::from_slice(version).ok();
    attribute.is_some_and(|stored| stored.get(kind).is_some() && Some(stored) != ours.as_ref())
}

/// Returns the type of a DynamoDB JSON value, such as `N` for `{"N":"1"}`.
fn type_of(value: &[u8]) -> Option<&str> {
    let name = value.strip_prefix(b"{\"")?.split(|&byte| byte == b'"').next()?;
    std::str::from_utf8(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb::item::{ItemEncoder, Operation};
    use crate::dynamodb::mapping::{PARTITION_KEY, TableId, VERSION};
    use crate::dynamodb::sample_fields::SampleFields;
    use crate::record::{Name, RecordSink, RecordVisitor, SubjectId};
    use serde_json::json;
    use std::sync::Arc;
    use std::time::Duration;

    fn mapping(layout: &str) -> Vec<(TableId, Mapping)> {
        let property = json!({"partitionKey": "id", "version": "at", "layout": layout});
        vec![(TableId::new(0), Mapping::parse(Some(&property), "orders", &SampleFields).unwrap())]
    }

    /// Returns an item of version 7.
    fn item(mappings: &[(TableId, Mapping)]) -> ItemRef {
        let mut encoder = ItemEncoder::new(mappings, Duration::ZERO, 0);
        encoder.start_message(0, "m", Operation::Put);
        let mut record = encoder.begin(SubjectId(0), None).unwrap();
        record.record_start().unwrap();
        record.field(&Name::new("id")).unwrap();
        record.tracked_field(PARTITION_KEY).unwrap();
        record.string("a").unwrap();
        record.field(&Name::new("at")).unwrap();
        record.tracked_field(VERSION).unwrap();
        record.long(7).unwrap();
        record.record_end().unwrap();
        record.finish().unwrap();
        ItemRef::new(&Arc::new(encoder.finish_event()), 0).unwrap()
    }

    #[test]
    fn only_a_newer_version_of_the_same_type_refuses_a_write() {
        let mappings = mapping("document");
        let item = item(&mappings);
        let body = conditional_body(&item, &mappings[0].1);
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["TableName"], "orders");
        assert_eq!(
            body["ConditionExpression"],
            "attribute_not_exists(#v0.#v1) OR #v0.#v1 <= :version OR NOT attribute_type(#v0.#v1, :type)"
        );
        assert_eq!(body["ExpressionAttributeNames"], json!({"#v0": "data", "#v1": "at"}));
        assert_eq!(body["ExpressionAttributeValues"], json!({":version": {"N": "7"}, ":type": {"S": "N"}}));
        assert_eq!(body["ReturnValuesOnConditionCheckFailure"], "ALL_OLD");
        assert_eq!(body["Item"]["id"], json!({"S": "a"}));
    }

    #[test]
    fn an_item_is_created_only_where_none_has_its_key() {
        let property = json!({"partitionKey": "id", "write": "create"});
        let mappings = [(TableId::new(0), Mapping::parse(Some(&property), "orders", &SampleFields).unwrap())];
        let item = item(&mappings);
        let body = conditional_body(&item, &mappings[0].1);
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["ConditionExpression"], "attribute_not_exists(#key)");
        assert_eq!(body["ExpressionAttributeNames"], json!({"#key": "id"}));
        assert_eq!(body.get("ExpressionAttributeValues"), None);
    }

    #[test]
    fn a_failed_condition_is_a_newer_version_only_where_the_stored_item_proves_it() {
        let mappings = mapping("document");
        let item = item(&mappings);
        let after = |stored: Option<Value>| {
            let failed = Err(CallError::ConditionFailed { stored: stored.map(Box::new) });
            superseded_if_proven(failed, &item, &mappings[0].1).unwrap_err()
        };
        let of_version = |version: Value| Some(json!({"data": {"M": {"at": version}}}));
        assert!(matches!(after(of_version(json!({"N": "8"}))), CallError::Superseded));
        for stored in [None, of_version(json!({"N": "7"})), of_version(json!({"S": "8"})), Some(json!({}))] {
            let error = after(stored.clone());
            assert!(matches!(error, CallError::ConditionFailed { .. }), "{stored:?} proves nothing: {error:?}");
        }
    }

    #[test]
    fn an_item_that_is_only_created_needs_no_proof_that_one_is_there() {
        let property = json!({"partitionKey": "id", "write": "create"});
        let mappings = [(TableId::new(0), Mapping::parse(Some(&property), "orders", &SampleFields).unwrap())];
        let item = item(&mappings);
        let failed = Err(CallError::ConditionFailed { stored: None });
        let error = superseded_if_proven(failed, &item, &mappings[0].1).unwrap_err();
        assert!(matches!(error, CallError::Superseded), "{error:?}");
    }

    #[test]
    fn superseded_needs_another_version_of_the_same_type() {
        for (layout, wrap) in [("document", true), ("attributes", false)] {
            let mappings = mapping(layout);
            let item = item(&mappings);
            let is_superseded = |version: Value| {
                let stored = if wrap { json!({"data": {"M": {"at": version}}}) } else { json!({"at": version}) };
                is_superseded(&item, &mappings[0].1, &stored)
            };
            assert!(is_superseded(json!({"N": "8"})), "{layout}");
            for proves_nothing in [json!({"N": "7"}), json!({"S": "8"}), json!({"NULL": true}), json!(null)] {
                assert!(!is_superseded(proves_nothing.clone()), "{layout} {proves_nothing}");
            }
        }
    }
}

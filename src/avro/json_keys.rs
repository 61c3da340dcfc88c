//! Encodes only those fields of a JSON record that a deletion needs: the key and the version.
//!
//! The encoder follows the plan that reads the datum afterwards, so both agree on which fields the datum contains. The
//! values of other fields are ignored, but a member that is not a field is an error. Otherwise a misspelled version
//! field would make the deletion unconditional.

use super::{
    json_encode::{Bounds, JsonEncodeError, JsonEncoder, JsonEncoding, Written, members_of},
    path::WithPath,
    plan::{Action, FieldStep, Node, Plan},
    schema::{Record, Schema, Type, TypeId},
};
use crate::json::Json;
use std::borrow::Cow;

/// Encodes `record`, which has the schema `schema`, as a datum for `plan`.
pub(super) fn datum(
    schema: &Schema,
    plan: &Plan,
    (record, encoding): (&Json<'_>, JsonEncoding),
    bounds: Bounds,
    datum: &mut Vec<u8>,
) -> Written {
    value(plan, &mut JsonEncoder::of_body(schema, encoding, bounds, datum), (schema.root(), plan.root), record)
}

fn value(plan: &Plan, encoder: &mut JsonEncoder<'_, '_>, (ty, node): (TypeId, Node), json: &Json<'_>) -> Written {
    match (encoder.schema.get(ty), node, json) {
        (Type::Record(found), Node::KeyRecord(steps), Json::Object(members)) => {
            encoder.nested(|encoder| record(plan, encoder, (found, plan.steps(steps)), members))
        }
        (expected, Node::KeyRecord(_), _) => Err(WithPath::here(JsonEncodeError::Kind { expected: expected.kind() })),
        (Type::Union(branches), Node::Union(nodes), json) => encoder
            .choose(branches, json, &|encoder, index, branch, json| {
                value(plan, encoder, (branch, plan.branch(nodes, index).unwrap_or(Node::Unresolvable)), json)
            })
            .map(drop),
        _ => encoder.value(ty, json),
    }
}

fn record(
    plan: &Plan,
    encoder: &mut JsonEncoder<'_, '_>,
    (record, steps): (&Record, &[FieldStep]),
    members: &[(Cow<'_, str>, Json<'_>)],
) -> Written {
    let sources = members_of(record, members)?;
    for step in steps {
        let Action::ReadIfPresent(node, number) = step.action else { continue };
        let Some(field) = record.fields.get(number as usize) else { continue };
        let source = sources.get(number as usize).copied().flatten();
        let given = source.and_then(|source| members.get(source)).map(|(_, value)| value);
        encoder.datum.push(u8::from(given.is_some() || field.default.is_some()));
        encoder.field(field, given, |encoder, json| value(plan, encoder, (field.ty, node), json))?;
    }
    Ok(())
}

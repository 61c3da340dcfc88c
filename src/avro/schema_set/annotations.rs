//! Finds annotations of a schema that are ignored.
//!
//! The specification requires that an invalid annotation is ignored and the value is read as its plain type. Nothing
//! fails, so the author of the schema does not notice the mistake without a warning.

use super::{
    super::{
        path::{ENTRIES, ITEMS, WithPath},
        schema::{Schema, digits_of},
    },
    SchemaVersion,
};
use crate::json::Json;
use std::fmt;

/// An annotation that is ignored, with its path.
pub type IgnoredAnnotation = WithPath<AnnotationProblem>;

/// Logical type that is ignored, and the cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnotationProblem {
    logical: Box<str>,
    cause: Cause,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Cause {
    /// The annotation is on the field instead of on the field's type.
    BesideTheType,
    /// The annotated type is not one of these.
    Type { of: &'static str },
    /// The annotated fixed must have another size.
    Size { expected: u64 },
    /// The precision is absent, a string, or not a positive whole number.
    Precision,
    /// The scale is a string, negative, or not a whole number.
    Scale,
    /// The scale is greater than the precision.
    ScaleOverPrecision,
    /// The fixed holds fewer digits than the precision.
    FixedTooSmall { digits: u32 },
}

impl fmt::Display for AnnotationProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "logicalType {} is ignored: ", self.logical)?;
        match &self.cause {
            Cause::BesideTheType => f.write_str(
                "it stands beside the type; write {\"type\": {\"type\": ..., \"logicalType\": ...}} instead",
            ),
            Cause::Type { of } => write!(f, "it is one of {of}"),
            Cause::Size { expected } => write!(f, "the fixed must have {expected} bytes"),
            Cause::Precision => f.write_str("its precision is not a positive whole number"),
            Cause::Scale => f.write_str("its scale is not a whole number"),
            Cause::ScaleOverPrecision => f.write_str("its scale is over its precision"),
            Cause::FixedTooSmall { digits } => {
                write!(f, "the fixed holds {digits} digits, which is less than its precision")
            }
        }
    }
}

impl std::error::Error for AnnotationProblem {}

/// Logical types of the specification, each with the types that it may annotate, as a list and as text for messages.
/// <https://avro.apache.org/docs/1.12.0/specification/#logical-types>
const LOGICAL_TYPES: [(&str, &[&str], &str); 13] = [
    ("decimal", &["bytes", "fixed"], "bytes or fixed"),
    ("big-decimal", &["bytes"], "bytes"),
    ("uuid", &["string", "fixed"], "string or fixed"),
    ("date", &["int"], "int"),
    ("time-millis", &["int"], "int"),
    ("time-micros", &["long"], "long"),
    ("timestamp-millis", &["long"], "long"),
    ("timestamp-micros", &["long"], "long"),
    ("timestamp-nanos", &["long"], "long"),
    ("local-timestamp-millis", &["long"], "long"),
    ("local-timestamp-micros", &["long"], "long"),
    ("local-timestamp-nanos", &["long"], "long"),
    ("duration", &["fixed"], "fixed"),
];
/// Size of a fixed that is a `uuid`, in bytes.
const UUID_BYTES: u64 = 16;
/// Size of a `duration`, in bytes.
const DURATION_BYTES: u64 = 12;

impl SchemaVersion {
    /// Returns the annotations that are ignored, in the order of the schema. Logical types that the specification does
    /// not define are left out, because their meaning is up to their users.
    pub fn ignored_annotations(&self) -> Vec<IgnoredAnnotation> {
        // The text parsed successfully when the set was loaded.
        let Ok(json) = Schema::json(self.text()) else { return Vec::new() };
        let mut finder = Finder { path: Vec::new(), found: Vec::new() };
        finder.schema(&json);
        finder.found
    }
}

struct Finder<'j> {
    path: Vec<&'j str>,
    found: Vec<IgnoredAnnotation>,
}

impl<'j> Finder<'j> {
    fn schema(&mut self, json: &'j Json<'_>) {
        for branch in json.as_array().unwrap_or_default() {
            self.schema(branch);
        }
        match json.get("type") {
            Some(Json::Text(kind)) => {
                for field in json.get("fields").and_then(Json::as_array).unwrap_or_default() {
                    let name = field.get("name").and_then(Json::as_text).unwrap_or_default();
                    self.below(name, |finder| finder.field(field));
                }
                for (member, segment) in [("items", ITEMS), ("values", ENTRIES)] {
                    if let Some(inner) = json.get(member) {
                        self.below(segment, |finder| finder.schema(inner));
                    }
                }
                self.report(json, |logical| problem(kind, logical, json));
            }
            Some(inner @ (Json::Object(_) | Json::Array(_))) => {
                self.schema(inner);
                self.report(json, |_| beside(json, inner));
            }
            _ => {}
        }
    }

    fn field(&mut self, field: &'j Json<'_>) {
        let Some(ty) = field.get("type") else { return };
        self.schema(ty);
        self.report(field, |_| beside(field, ty));
    }

    /// Reports the logical type of `annotated` if it is a known one and `cause` returns a reason why it is ignored.
    fn report(&mut self, annotated: &Json<'_>, cause: impl FnOnce(&str) -> Option<Cause>) {
        let logical = annotated.get("logicalType").and_then(Json::as_text);
        let Some(logical) = logical.filter(|logical| LOGICAL_TYPES.iter().any(|(name, _, _)| name == logical)) else {
            return;
        };
        if let Some(cause) = cause(logical) {
            self.found.push(WithPath::at_types(&self.path, AnnotationProblem { logical: logical.into(), cause }));
        }
    }

    fn below(&mut self, segment: &'j str, find: impl FnOnce(&mut Self)) {
        self.path.push(segment);
        find(self);
        self.path.pop();
    }
}

/// Returns the problem of an annotation outside the type, which has no effect unless the type has the same annotation.
fn beside(outside: &Json<'_>, ty: &Json<'_>) -> Option<Cause> {
    (ty.get("logicalType") != outside.get("logicalType")).then_some(Cause::BesideTheType)
}

/// Returns the reason why `logical`, a logical type of the specification, is ignored on a type of this kind and these
/// attributes.
fn problem(kind: &str, logical: &str, attributes: &Json<'_>) -> Option<Cause> {
    let (_, kinds, of) = LOGICAL_TYPES.iter().find(|(name, _, _)| *name == logical)?;
    if !kinds.contains(&kind) {
        return Some(Cause::Type { of });
    }
    let size = attributes.get("size").and_then(Json::as_integer::<u64>);
    match logical {
        "decimal" => decimal_problem(attributes, size.filter(|_| kind == "fixed")),
        "uuid" if kind == "fixed" && size != Some(UUID_BYTES) => Some(Cause::Size { expected: UUID_BYTES }),
        "duration" if size != Some(DURATION_BYTES) => Some(Cause::Size { expected: DURATION_BYTES }),
        _ => None,
    }
}

fn decimal_problem(attributes: &Json<'_>, fixed_size: Option<u64>) -> Option<Cause> {
    let precision = attributes.get("precision").and_then(Json::as_integer::<u32>).filter(|precision| *precision > 0);
    let Some(precision) = precision else { return Some(Cause::Precision) };
    let Some(scale) = attributes.get("scale").map_or(Some(0), Json::as_integer::<u32>) else {
        return Some(Cause::Scale);
    };
    if scale > precision {
        return Some(Cause::ScaleOverPrecision);
    }
    let digits = fixed_size.map(|size| digits_of(u32::try_from(size).unwrap_or(u32::MAX)));
    digits.filter(|digits| *digits < precision).map(|digits| Cause::FixedTooSmall { digits })
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{record_of, versions};

    fn ignored(fields: &str) -> Vec<String> {
        let schemas = versions(&[&record_of(fields)]).unwrap();
        let found = schemas.subjects().next().unwrap().newest().ignored_annotations();
        found.iter().map(ToString::to_string).collect()
    }

    fn for_type(ty: &str) -> Option<String> {
        let mut found = ignored(&format!(r#"{{"name": "f", "type": {ty}}}"#));
        assert!(found.len() < 2, "{found:?}");
        found.pop()
    }

    #[test]
    fn each_annotation_that_is_ignored_is_named_with_its_path_and_cause() {
        for (ty, cause) in [
            (
                r#"{"type": "bytes", "logicalType": "decimal", "precision": "4", "scale": 2}"#,
                "decimal is ignored: its precision",
            ),
            (r#"{"type": "bytes", "logicalType": "decimal"}"#, "decimal is ignored: its precision"),
            (r#"{"type": "bytes", "logicalType": "decimal", "precision": 0}"#, "decimal is ignored: its precision"),
            (
                r#"{"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": "2"}"#,
                "decimal is ignored: its scale is not",
            ),
            (
                r#"{"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 5}"#,
                "decimal is ignored: its scale is over",
            ),
            (r#"{"type": "long", "logicalType": "date"}"#, "date is ignored: it is one of int"),
            (
                r#"{"type": "string", "logicalType": "decimal", "precision": 4}"#,
                "decimal is ignored: it is one of bytes or fixed",
            ),
            (r#"{"type": "int", "logicalType": "timestamp-millis"}"#, "timestamp-millis is ignored: it is one of long"),
            (
                r#"{"type": "fixed", "name": "U", "size": 8, "logicalType": "uuid"}"#,
                "uuid is ignored: the fixed must have 16 bytes",
            ),
            (
                r#"{"type": "fixed", "name": "D", "size": 16, "logicalType": "duration"}"#,
                "duration is ignored: the fixed must have 12 bytes",
            ),
            (
                r#"{"type": "enum", "name": "E", "symbols": [], "logicalType": "uuid"}"#,
                "uuid is ignored: it is one of string or fixed",
            ),
            (
                r#"{"type": {"type": "bytes"}, "logicalType": "decimal", "precision": 4}"#,
                "decimal is ignored: it stands beside",
            ),
        ] {
            let found = for_type(ty).unwrap_or_else(|| panic!("{ty}"));
            assert!(found.starts_with(&format!("f: logicalType {cause}")), "{found}");
        }
    }

    #[test]
    fn a_fixed_is_too_small_from_the_first_digit_on_that_it_does_not_hold() {
        let decimal = |precision: u32| {
            for_type(&format!(
                r#"{{"type": "fixed", "name": "F", "size": 8, "logicalType": "decimal", "precision": {precision}}}"#
            ))
        };
        assert_eq!((decimal(17), decimal(18)), (None, None));
        assert_eq!(
            decimal(19).as_deref(),
            Some("f: logicalType decimal is ignored: the fixed holds 18 digits, which is less than its precision")
        );
    }

    #[test]
    fn an_annotation_beside_the_type_is_ignored_unless_the_type_has_it_too() {
        let beside =
            |ty: &str| ignored(&format!(r#"{{"name": "f", "type": {ty}, "logicalType": "timestamp-millis"}}"#));
        for ty in ["\"long\"", r#"["null", "long"]"#, r#"{"type": "long"}"#] {
            assert!(beside(ty)[0].starts_with("f: logicalType timestamp-millis is ignored: it stands beside"), "{ty}");
        }
        assert_eq!(beside(r#"{"type": "long", "logicalType": "timestamp-millis"}"#), [""; 0]);
    }

    #[test]
    fn valid_annotations_and_those_of_others_are_not_reported_at_any_depth() {
        let date = |base: &str| format!(r#"{{"type": "{base}", "logicalType": "date"}}"#);
        let nested = |date: &str| {
            format!(
                r#"{{"name": "a", "type": {{"type": "array", "items": {{"type": "map", "values": ["null",
                {{"type": "record", "name": "I", "fields": [{{"name": "day", "type": {date}}}]}}]}}}}}}"#
            )
        };
        assert_eq!(ignored(&nested(&date("int"))), [""; 0]);
        assert_eq!(ignored(&nested(&date("long"))), ["a[]{}.day: logicalType date is ignored: it is one of int"]);
        for ty in [
            r#"{"type": "string", "logicalType": "com.acme.money"}"#,
            r#"{"type": "bytes", "logicalType": "decimal", "precision": 4}"#,
            r#"{"type": "fixed", "name": "D", "size": 12, "logicalType": "duration"}"#,
            r#"{"type": "string", "logicalType": "uuid"}"#,
            r#"{"type": "long", "logicalType": "local-timestamp-nanos"}"#,
        ] {
            assert_eq!(for_type(ty), None, "{ty}");
        }
    }
}

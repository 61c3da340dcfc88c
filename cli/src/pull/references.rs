//! Inlines references. A registry's schema may use named types that other subjects define. Pure.

use super::json::Json;
use std::collections::{BTreeMap, HashSet};

const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// Returns `schema` with each type that `references` define inlined at its first use. Nested definitions in the references are
/// included.
pub(super) fn inline(schema: &Json, references: &[Json]) -> Json {
    let mut definitions = BTreeMap::new();
    references.iter().for_each(|reference| collect(reference, "", &mut definitions));
    Inliner { definitions, defined: HashSet::new(), references_open: 0 }.schema(schema, "")
}

/// A definition in a reference, and its enclosing namespace.
struct Definition<'a> {
    schema: &'a Json,
    enclosing: String,
}

/// Adds every named type that `schema` defines, by its full name. If a name is defined twice, the first definition wins.
fn collect<'a>(schema: &'a Json, enclosing: &str, definitions: &mut BTreeMap<String, Definition<'a>>) {
    schema.items().iter().for_each(|branch| collect(branch, enclosing, definitions));
    let mut inner = enclosing.to_owned();
    if is_named(schema) {
        let (full, own) = full_name(schema, enclosing);
        definitions.entry(full).or_insert(Definition { schema, enclosing: enclosing.to_owned() });
        inner = own;
    }
    let fields = schema.get("fields").map(Json::items).unwrap_or_default();
    let types = fields.iter().filter_map(|field| field.get("type"));
    let parts = ["items", "values", "type"].into_iter().filter_map(|name| schema.get(name));
    types.chain(parts).for_each(|part| collect(part, &inner, definitions));
}

struct Inliner<'a> {
    definitions: BTreeMap<String, Definition<'a>>,
    /// Full names that are defined so far in the output.
    defined: HashSet<String>,
    /// Nesting depth of references that are being inlined. At 0, the text belongs to the schema itself and is not changed.
    references_open: u32,
}

impl Inliner<'_> {
    fn schema(&mut self, schema: &Json, namespace: &str) -> Json {
        match schema {
            Json::Text(name) => self.name(name, namespace),
            Json::Array(branches) => {
                Json::Array(branches.iter().map(|branch| self.schema(branch, namespace)).collect())
            }
            Json::Object(members) => {
                let mut inner = namespace.to_owned();
                if is_named(schema) {
                    let (full, own) = full_name(schema, namespace);
                    let is_new = self.defined.insert(full.clone());
                    if !is_new && self.references_open > 0 {
                        return Json::Text(full);
                    }
                    inner = own;
                }
                let member = |(name, value): &(String, Json)| {
                    let value = match name.as_str() {
                        "fields" => Json::Array(value.items().iter().map(|field| self.field(field, &inner)).collect()),
                        "items" | "values" => self.schema(value, &inner),
                        // a type name, or a nested schema
                        "type" if !is_kind(value) => self.schema(value, &inner),
                        _ => value.clone(),
                    };
                    (name.clone(), value)
                };
                Json::Object(members.iter().map(member).collect())
            }
            Json::Scalar(_) => schema.clone(),
        }
    }

    fn field(&mut self, field: &Json, namespace: &str) -> Json {
        let mut field = field.clone();
        if let Some(ty) = field.get("type").cloned() {
            field.set("type", self.schema(&ty, namespace), "");
        }
        field
    }

    fn name(&mut self, name: &str, namespace: &str) -> Json {
        let full =
            if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") };
        // a name without a namespace may also be in the null namespace
        let known = [full, name.to_owned()].into_iter().find(|full| self.definitions.contains_key(full));
        let known = known.filter(|full| !PRIMITIVES.contains(&name) && !self.defined.contains(full));
        let Some(Definition { schema, enclosing }) = known.and_then(|full| self.definitions.get(&full)) else {
            return Json::Text(name.to_owned());
        };
        let (schema, enclosing) = (*schema, enclosing.clone());
        self.references_open += 1;
        let mut definition = self.schema(schema, &enclosing);
        self.references_open -= 1;
        // at its new position, the definition would inherit a different namespace
        let dotted = schema.get("name").and_then(Json::text).is_some_and(|name| name.contains('.'));
        if namespace != enclosing && !dotted && schema.get("namespace").is_none() {
            definition.set("namespace", Json::Text(enclosing), "fields");
        }
        definition
    }
}

/// Returns whether `schema` defines a named type.
fn is_named(schema: &Json) -> bool {
    let kind = schema.get("type").and_then(Json::text).unwrap_or_default();
    matches!(kind, "record" | "error" | "enum" | "fixed")
}

fn is_kind(ty: &Json) -> bool {
    ty.text().is_some_and(|kind| matches!(kind, "record" | "error" | "enum" | "fixed" | "array" | "map"))
}

/// Returns the full name of a definition, and the namespace that nested definitions inherit.
fn full_name(definition: &Json, enclosing: &str) -> (String, String) {
    let name = definition.get("name").and_then(Json::text).unwrap_or_default();
    if let Some((namespace, _)) = name.rsplit_once('.') {
        return (name.to_owned(), namespace.to_owned());
    }
    let namespace = definition.get("namespace").and_then(Json::text).unwrap_or(enclosing);
    if namespace.is_empty() {
        (name.to_owned(), String::new())
    } else {
        (format!("{namespace}.{name}"), namespace.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inlined(schema: &str, references: &[&str]) -> String {
        let references: Vec<Json> = references.iter().map(|text| Json::parse(text).unwrap()).collect();
        let inlined = inline(&Json::parse(schema).unwrap(), &references);
        let text = inlined.pretty();
        // the output must be valid for an independent implementation
        apache_avro::Schema::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    const ADDRESS: &str =
        r#"{"type":"record","name":"Address","namespace":"a","fields":[{"name":"city","type":"string"}]}"#;

    #[test]
    fn a_type_is_defined_where_it_is_named_first_and_named_afterwards() {
        let schema = r#"{"type":"record","name":"Order","namespace":"o","fields":[
            {"name":"to","type":"a.Address"},{"name":"from","type":["null","a.Address"]}]}"#;
        let text = inlined(schema, &[ADDRESS]);
        assert_eq!(text.matches("\"city\"").count(), 1, "{text}");
        assert!(text.contains(r#"["null", "a.Address"]"#), "{text}");
    }

    #[test]
    fn references_have_references() {
        let country = r#"{"type":"enum","name":"Country","namespace":"a","symbols":["DE","FR"]}"#;
        let address =
            r#"{"type":"record","name":"Address","namespace":"a","fields":[{"name":"country","type":"Country"}]}"#;
        let schema = r#"{"type":"record","name":"Order","fields":[
            {"name":"to","type":{"type":"array","items":"a.Address"}},{"name":"in","type":"a.Country"}]}"#;
        let text = inlined(schema, &[address, country]);
        assert_eq!(text.matches("\"symbols\"").count(), 1, "{text}");
    }

    #[test]
    fn a_type_outside_of_namespaces_stays_outside() {
        let plain = r#"{"type":"fixed","name":"Hash","size":16}"#;
        let schema = r#"{"type":"record","name":"Order","namespace":"o","fields":[{"name":"h","type":"Hash"}]}"#;
        let text = inlined(schema, &[plain]);
        assert!(text.contains(r#""namespace": """#), "{text}");
    }

    #[test]
    fn a_schema_without_references_stays_as_it_is() {
        let schema = r#"{"type":"record","name":"Order","fields":[{"name":"n","type":"long","default":1}]}"#;
        assert_eq!(inline(&Json::parse(schema).unwrap(), &[]), Json::parse(schema).unwrap());
    }

    #[test]
    fn a_type_that_names_itself_is_defined_once() {
        let node =
            r#"{"type":"record","name":"Node","namespace":"a","fields":[{"name":"next","type":["null","Node"]}]}"#;
        let schema = r#"{"type":"record","name":"List","namespace":"a","fields":[{"name":"head","type":"Node"}]}"#;
        assert_eq!(inlined(schema, &[node]).matches("\"next\"").count(), 1);
    }

    const PLACE: &str = r#"{"type":"record","name":"Place","namespace":"taxi","fields":[
        {"name":"zone","type":{"type":"record","name":"Zone","fields":[{"name":"n","type":"int"}]}}]}"#;

    #[test]
    fn a_type_that_only_stands_inside_a_reference_is_defined_under_its_own_namespace() {
        let schema = r#"{"type":"record","name":"Trip","fields":[{"name":"zone","type":"taxi.Zone"}]}"#;
        let text = inlined(schema, &[PLACE]);
        assert!(text.contains(r#""namespace": "taxi""#) && !text.contains("Place"), "{text}");
    }

    #[test]
    fn a_reference_names_what_was_taken_out_of_it_before() {
        let schema = r#"{"type":"record","name":"Trip","fields":[{"name":"zone","type":"taxi.Zone"},
            {"name":"from","type":"taxi.Place"},{"name":"to","type":"taxi.Place"}]}"#;
        let text = inlined(schema, &[PLACE]);
        assert_eq!(text.matches(r#""name": "n""#).count(), 1, "{text}");
        assert!(text.contains(r#"{"name": "zone", "type": "taxi.Zone"}"#), "{text}");
    }

    #[test]
    fn a_schema_that_defines_a_type_twice_stays_wrong() {
        let fixed = r#"{"type":"fixed","name":"Hash","size":16}"#;
        let schema = format!(
            r#"{{"type":"record","name":"Order","fields":[{{"name":"a","type":{fixed}}},{{"name":"b","type":{fixed}}}]}}"#
        );
        let schema = Json::parse(&schema).unwrap();
        assert_eq!(inline(&schema, &[]), schema);
    }
}

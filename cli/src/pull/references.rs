//! One schema from several: a registry's schema may name types that stand in other subjects. Pure.

use super::json::Json;
use std::collections::{BTreeMap, HashSet};

const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// `schema` with the definition of each type of `references` in the place where it is named first.
pub(super) fn inline(schema: &Json, references: &BTreeMap<String, Json>) -> Json {
    Inliner { references, defined: HashSet::new() }.schema(schema, "")
}

struct Inliner<'a> {
    references: &'a BTreeMap<String, Json>,
    /// The full names that have a definition by now.
    defined: HashSet<String>,
}

impl Inliner<'_> {
    fn schema(&mut self, schema: &Json, namespace: &str) -> Json {
        match schema {
            Json::Text(name) => self.name(name, namespace),
            Json::Array(branches) => {
                Json::Array(branches.iter().map(|branch| self.schema(branch, namespace)).collect())
            }
            Json::Object(members) => {
                let kind = schema.get("type").and_then(Json::text).unwrap_or_default();
                let inner = if matches!(kind, "record" | "error" | "enum" | "fixed") {
                    let (full, inner) = full_name(schema, namespace);
                    self.defined.insert(full);
                    inner
                } else {
                    namespace.to_owned()
                };
                let member = |(name, value): &(String, Json)| {
                    let value = match name.as_str() {
                        "fields" => Json::Array(value.items().iter().map(|field| self.field(field, &inner)).collect()),
                        "items" | "values" => self.schema(value, &inner),
                        // a kind, a primitive, a name, or a schema of its own
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
        // a name without a namespace may also be one outside of every namespace
        let known = [full, name.to_owned()].into_iter().find(|full| self.references.contains_key(full));
        let Some(full) = known.filter(|full| !PRIMITIVES.contains(&name) && !self.defined.contains(full)) else {
            return Json::Text(name.to_owned());
        };
        self.defined.insert(full.clone());
        let Some(definition) = self.references.get(&full) else { return Json::Text(name.to_owned()) };
        let mut definition = self.schema(definition, "");
        // in its new place it would inherit a namespace that is not its own
        let dotted = definition.get("name").and_then(Json::text).is_some_and(|name| name.contains('.'));
        if !namespace.is_empty() && !dotted && definition.get("namespace").is_none() {
            definition.set("namespace", Json::Text(String::new()), "fields");
        }
        definition
    }
}

fn is_kind(ty: &Json) -> bool {
    ty.text().is_some_and(|kind| matches!(kind, "record" | "error" | "enum" | "fixed" | "array" | "map"))
}

/// The full name of a definition, and the namespace that what is in it inherits.
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

    fn inlined(schema: &str, references: &[(&str, &str)]) -> String {
        let references =
            references.iter().map(|(name, text)| ((*name).to_owned(), Json::parse(text).unwrap())).collect();
        let inlined = inline(&Json::parse(schema).unwrap(), &references);
        let text = inlined.pretty();
        // whatever comes out is a schema to another implementation
        apache_avro::Schema::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    const ADDRESS: &str =
        r#"{"type":"record","name":"Address","namespace":"a","fields":[{"name":"city","type":"string"}]}"#;

    #[test]
    fn a_type_is_defined_where_it_is_named_first_and_named_afterwards() {
        let schema = r#"{"type":"record","name":"Order","namespace":"o","fields":[
            {"name":"to","type":"a.Address"},{"name":"from","type":["null","a.Address"]}]}"#;
        let text = inlined(schema, &[("a.Address", ADDRESS)]);
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
        let text = inlined(schema, &[("a.Address", address), ("a.Country", country)]);
        assert_eq!(text.matches("\"symbols\"").count(), 1, "{text}");
    }

    #[test]
    fn a_type_outside_of_namespaces_stays_outside() {
        let plain = r#"{"type":"fixed","name":"Hash","size":16}"#;
        let schema = r#"{"type":"record","name":"Order","namespace":"o","fields":[{"name":"h","type":"Hash"}]}"#;
        let text = inlined(schema, &[("Hash", plain)]);
        assert!(text.contains(r#""namespace": """#), "{text}");
    }

    #[test]
    fn a_schema_without_references_stays_as_it_is() {
        let schema = r#"{"type":"record","name":"Order","fields":[{"name":"n","type":"long","default":1}]}"#;
        assert_eq!(inline(&Json::parse(schema).unwrap(), &BTreeMap::new()), Json::parse(schema).unwrap());
    }

    #[test]
    fn a_type_that_names_itself_is_defined_once() {
        let node =
            r#"{"type":"record","name":"Node","namespace":"a","fields":[{"name":"next","type":["null","Node"]}]}"#;
        let schema = r#"{"type":"record","name":"List","namespace":"a","fields":[{"name":"head","type":"Node"}]}"#;
        assert_eq!(inlined(schema, &[("a.Node", node)]).matches("\"next\"").count(), 1);
    }
}

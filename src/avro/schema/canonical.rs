//! Writes Parsing Canonical Form and computes its CRC-64-AVRO, by which single-object encoding identifies a schema.

use super::{Schema, Type, TypeId};
use std::fmt::{self, Write};

/// Fingerprint of the empty text, which is also the polynomial.
const EMPTY: u64 = 0xC15D_213A_A4D7_A795;

/// Lookup table of the CRC, by byte.
const TABLE: [u64; 256] = table();

#[expect(clippy::indexing_slicing, reason = "the compiler computes it, and would say so")]
const fn table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let (mut low, mut bit) = (byte as u64, 0);
        while bit < 8 {
            low = (low >> 1) ^ (EMPTY & (low & 1).wrapping_neg());
            bit += 1;
        }
        table[byte] = low;
        byte += 1;
    }
    table
}

/// Returns the CRC-64-AVRO of `text`.
pub(super) fn fingerprint_of(text: &[u8]) -> u64 {
    text.iter().fold(EMPTY, |crc, byte| {
        let [low, ..] = crc.to_le_bytes();
        // The index is a byte, so it is always within the table.
        (crc >> 8) ^ TABLE.get(usize::from(low ^ byte)).copied().unwrap_or_default()
    })
}

impl Schema {
    /// Returns the schema's Parsing Canonical Form.
    pub(crate) fn canonical_form(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _infallible =
            CanonicalWriter { schema: self, defined: vec![false; self.types.len()], text: &mut text }.ty(self.root);
        text
    }

    /// Returns the CRC-64-AVRO of the schema's Parsing Canonical Form.
    pub(crate) fn fingerprint(&self) -> u64 {
        fingerprint_of(self.canonical_form().as_bytes())
    }
}

struct CanonicalWriter<'a> {
    schema: &'a Schema,
    /// For each type, whether its definition was written already. After that, a named type is written by its name only.
    defined: Vec<bool>,
    text: &'a mut String,
}

impl CanonicalWriter<'_> {
    fn ty(&mut self, id: TypeId) -> fmt::Result {
        let schema = self.schema;
        let ty = schema.get(id);
        if let Some(named) = ty.named() {
            let defined = self.defined.get_mut(id.0 as usize).is_some_and(|defined| std::mem::replace(defined, true));
            if defined {
                return write!(self.text, "\"{}\"", named.name);
            }
            write!(self.text, "{{\"name\":\"{}\",", named.name)?;
        }
        match ty {
            Type::Record(record) => {
                self.text.write_str("\"type\":\"record\",\"fields\":")?;
                self.list(&record.fields, |writer, field| {
                    write!(writer.text, "{{\"name\":\"{}\",\"type\":", field.name)?;
                    writer.ty(field.ty)?;
                    writer.text.write_char('}')
                })?;
            }
            Type::Enum(kind) => {
                self.text.write_str("\"type\":\"enum\",\"symbols\":")?;
                self.list(&kind.symbols, |writer, symbol| write!(writer.text, "\"{symbol}\""))?;
            }
            Type::Fixed(fixed) => write!(self.text, "\"type\":\"fixed\",\"size\":{}", fixed.size)?,
            Type::Array(items) => {
                self.text.write_str("{\"type\":\"array\",\"items\":")?;
                self.ty(*items)?;
            }
            Type::Map(values) => {
                self.text.write_str("{\"type\":\"map\",\"values\":")?;
                self.ty(*values)?;
            }
            Type::Union(branches) => return self.list(branches, |writer, branch| writer.ty(*branch)),
            primitive => return write!(self.text, "\"{}\"", primitive.kind()),
        }
        self.text.write_char('}')
    }

    fn list<T>(&mut self, entries: &[T], mut write: impl FnMut(&mut Self, &T) -> fmt::Result) -> fmt::Result {
        self.text.write_char('[')?;
        for (i, entry) in entries.iter().enumerate() {
            if i > 0 {
                self.text.write_char(',')?;
            }
            write(self, entry)?;
        }
        self.text.write_char(']')
    }
}

#[cfg(test)]
mod tests {
    use super::super::name::is_full_name;
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> String {
        Schema::parse(text).unwrap().canonical_form()
    }

    #[test]
    fn the_empty_text_and_int_have_the_documented_fingerprints() {
        assert_eq!(fingerprint_of(b""), EMPTY);
        assert_eq!(Schema::parse("\"int\"").unwrap().fingerprint(), 0x7275_d51a_3f39_5c8f);
    }

    /// Schema, canonical form and fingerprint of each of the Avro project's own cross-language test cases.
    #[test]
    fn the_avro_projects_cases_have_their_canonical_forms_and_fingerprints() {
        let cases: [(&str, &str, i64); 17] = [
            (r#"{"type":"null"}"#, r#""null""#, 7195948357588979594),
            (r#"{"type":"boolean"}"#, r#""boolean""#, -6970731678124411036),
            (r#"{"type":"long"}"#, r#""long""#, -3434872931120570953),
            (r#"{"type":"float"}"#, r#""float""#, 5583340709985441680),
            (r#""double""#, r#""double""#, -8181574048448539266),
            (r#""bytes""#, r#""bytes""#, 5746618253357095269),
            (r#""string""#, r#""string""#, -8142146995180207161),
            (r#"[ "int"  ]"#, r#"["int"]"#, -5232228896498058493),
            (r#"[ "int" , {"type":"boolean"} ]"#, r#"["int","boolean"]"#, 5392556393470105090),
            (
                r#"{"fields":[], "type":"record", "name":"foo", "doc":"foo", "aliases":["foo","bar"]}"#,
                r#"{"name":"foo","type":"record","fields":[]}"#,
                -4824392279771201922,
            ),
            (
                r#"{"fields":[], "type":"record", "name":"foo", "namespace":"x.y"}"#,
                r#"{"name":"x.y.foo","type":"record","fields":[]}"#,
                5916914534497305771,
            ),
            (
                r#"{"fields":[], "type":"record", "name":"a.b.foo", "namespace":"x.y"}"#,
                r#"{"name":"a.b.foo","type":"record","fields":[]}"#,
                -4616218487480524110,
            ),
            (
                r#"{ "fields":[{"type":"boolean", "aliases":[], "name":"f1", "default":true},
                    {"order":"descending","name":"f2","doc":"Hello","type":"int"}], "type":"record", "name":"foo" }"#,
                r#"{"name":"foo","type":"record","fields":[{"name":"f1","type":"boolean"},{"name":"f2","type":"int"}]}"#,
                -4860222112080293046,
            ),
            (
                r#"{"namespace":"x.y.z", "type":"enum", "name":"foo", "doc":"foo bar", "symbols":["A1", "A2"]}"#,
                r#"{"name":"x.y.z.foo","type":"enum","symbols":["A1","A2"]}"#,
                -4448647247586288245,
            ),
            (
                r#"{"namespace":"x.y.z", "type":"fixed", "name":"foo", "doc":"foo bar", "size":32}"#,
                r#"{"name":"x.y.z.foo","type":"fixed","size":32}"#,
                -3064184465700546786,
            ),
            (
                r#"{ "items":{"type":"null"}, "type":"array"}"#,
                r#"{"type":"array","items":"null"}"#,
                -589620603366471059,
            ),
            (
                r#"{"name":"PigValue","type":"record",
                    "fields":[{"name":"value", "type":["null", "int", "long", "PigValue"]}]}"#,
                r#"{"name":"PigValue","type":"record","fields":[{"name":"value","type":["null","int","long","PigValue"]}]}"#,
                -1759257747318642341,
            ),
        ];
        for (text, form, fingerprint) in cases {
            assert_eq!(canonical(text), form);
            assert_eq!(fingerprint_of(form.as_bytes()).cast_signed(), fingerprint, "{form}");
        }
    }

    /// The Java implementation writes the same form.
    #[test]
    fn a_namespace_stands_in_the_canonical_form_as_it_is() {
        let form = r#"{"name":"fleet-db-7.my $1.E","type":"record","fields":[{"name":"f","type":["null","fleet-db-7.my $1.E"]}]}"#;
        for text in [
            r#"{"type": "record", "name": "E", "namespace": "fleet-db-7.my $1", "fields": [{"name": "f", "type": ["null", "E"]}]}"#,
            r#"{"type": "record", "name": "fleet-db-7.my $1.E", "fields": [{"name": "f", "type": ["null", "fleet-db-7.my $1.E"]}]}"#,
            r#"{"type": "record", "name": "E", "namespace": "fleet\u002ddb-7.my $1", "fields": [{"name": "f", "type": ["null", "E"]}]}"#,
        ] {
            assert_eq!(canonical(text), form);
            assert_eq!(canonical(form), form, "a canonical form is its own canonical form");
        }
    }

    proptest! {
        #[test]
        fn every_full_name_leaves_the_canonical_form_the_json_of_the_same_schema(namespace in any::<String>()) {
            let full = format!("{namespace}.E");
            let schema = serde_json::json!({"type": "fixed", "name": "E", "namespace": namespace, "size": 1}).to_string();
            let parsed = Schema::parse(&schema);
            prop_assert_eq!(parsed.is_ok(), namespace.is_empty() || is_full_name(&full));
            if let Ok(parsed) = parsed {
                let form = parsed.canonical_form();
                prop_assert!(serde_json::from_str::<serde_json::Value>(&form).is_ok());
                prop_assert_eq!(canonical(&form), form);
            }
        }
    }

    /// apache-avro 0.22 instead writes `{"type":"long"}` and keeps `precision`, `scale` and `order`.
    #[test]
    fn annotations_leave_no_trace() {
        assert_eq!(canonical(r#"{"type":"long","logicalType":"timestamp-millis"}"#), r#""long""#);
        assert_eq!(canonical(r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#), r#""bytes""#);
        assert_eq!(
            canonical(r#"{"type":"fixed","name":"d","size":8,"logicalType":"decimal","precision":4,"scale":2}"#),
            r#"{"name":"d","type":"fixed","size":8}"#
        );
        assert_eq!(canonical(r#"{"type":"string","avro.java.string":"String"}"#), r#""string""#);
        assert_eq!(canonical(r#"{"type":{"type":"int"}}"#), r#""int""#);
    }
}

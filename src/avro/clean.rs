//! Ensures that errors show only names of the schema directory.
//!
//! A container brings its own schema, and the message attribute `schema` contains a name. All of these names are
//! content of the message. Errors appear in logs and on quarantined messages, which more people can read than the
//! payload. Therefore an error does not show a name from a message unless the schema directory contains the name.
//!
//! The type [`Clean`] guarantees this: only [`KnownNames::clean`] creates a value of it, and
//! [`DecodeError`](super::DecodeError) accepts no other errors that contain names.

use super::{
    json_encode::JsonEncodeError,
    plan::MismatchProblem,
    schema::{Enum, SchemaProblem, Type},
    schema_set::Subject,
    walk::DatumError,
};
use crate::record::ItemError;
use std::collections::HashSet;
use std::fmt;

/// Maximum length of a name in an error, in characters.
const MAX_NAME_CHARS: usize = 64;

/// Placeholder in an error for a name, or a part of a name, that is not in the schema directory.
const WITHHELD: &str = "…";

/// Words that errors use together with names: the kinds of types and the words that join them.
const OWN_WORDS: [&str; 16] = [
    "null", "boolean", "int", "long", "float", "double", "bytes", "string", "fixed", "enum", "array", "map", "union",
    "record", "of", WITHHELD,
];

/// An error that shows only names of the schema directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clean<E>(E);

impl<E> Clean<E> {
    pub(super) fn get(&self) -> &E {
        &self.0
    }
}

impl<E: fmt::Display> fmt::Display for Clean<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A function that replaces a name.
pub(super) type Rename<'r> = dyn Fn(&mut Box<str>) + 'r;

/// An error that may show names. An implementation lists all variants, so that the compiler reports a missing one.
pub(super) trait HasNames {
    /// Calls `rename` for each name.
    fn rename(&mut self, rename: &Rename<'_>);
}

impl<E: HasNames> HasNames for Box<E> {
    fn rename(&mut self, rename: &Rename<'_>) {
        self.as_mut().rename(rename);
    }
}

impl<E: HasNames> HasNames for Vec<E> {
    fn rename(&mut self, rename: &Rename<'_>) {
        self.iter_mut().for_each(|error| error.rename(rename));
    }
}

impl HasNames for Box<str> {
    fn rename(&mut self, rename: &Rename<'_>) {
        rename(self);
    }
}

impl HasNames for SchemaProblem {
    fn rename(&mut self, rename: &Rename<'_>) {
        match self {
            Self::Name(name) | Self::UnknownType(name) | Self::Duplicate(name) | Self::EnumDefault(name) => {
                rename(name);
            }
            Self::Json { .. } | Self::NotASchema | Self::Attribute(_) | Self::NestedUnion | Self::TooManyTypes => {}
        }
    }
}

impl HasNames for MismatchProblem {
    fn rename(&mut self, rename: &Rename<'_>) {
        match self {
            Self::Kind { writer, reader } | Self::Name { writer, reader } => {
                rename(writer);
                rename(reader);
            }
            Self::NoBranch { writer } => rename(writer),
            Self::Record { name, first } => {
                rename(name);
                first.rename(rename);
            }
            Self::Default(error) => error.rename(rename),
            // These contain only names of the specification's logical types.
            Self::Unit { .. } | Self::Logical { .. } | Self::UnitOfNumber { .. } => {}
            Self::Size { .. }
            | Self::Decimal
            | Self::MissingField
            | Self::NoSymbol
            | Self::TooDeep
            | Self::TooLarge => {}
        }
    }
}

impl HasNames for JsonEncodeError {
    fn rename(&mut self, _: &Rename<'_>) {
        match self {
            Self::Kind { .. }
            | Self::Number { .. }
            | Self::Text { .. }
            | Self::Size { .. }
            | Self::Symbol
            | Self::NoBranch
            | Self::Untagged
            | Self::MissingField
            | Self::UnknownField
            | Self::TooDeep
            | Self::TooLarge => {}
        }
    }
}

impl HasNames for DatumError {
    fn rename(&mut self, rename: &Rename<'_>) {
        match self {
            Self::Incompatible(problem) => problem.rename(rename),
            // The attribute comes from the item mapping, which is part of the schema directory.
            Self::Item(ItemError::Key { attribute, .. } | ItemError::Mapping { attribute, .. }) => rename(attribute),
            Self::Item(
                ItemError::Number(_)
                | ItemError::TooLarge { .. }
                | ItemError::TooDeep { .. }
                | ItemError::Name(_)
                | ItemError::Interrupted(_),
            )
            | Self::Truncated
            | Self::Trailing(_)
            | Self::Boolean
            | Self::Varint
            | Self::Int
            | Self::Unit
            | Self::Length
            | Self::Utf8
            | Self::Symbol
            | Self::Branch
            | Self::Block
            | Self::DuplicateKey
            | Self::UnknownSymbol
            | Self::UnknownBranch
            | Self::Depth(_)
            | Self::Values(_)
            | Self::Expansion(_) => {}
        }
    }
}

/// Names in a schema directory: of subjects, types, fields, symbols and attributes.
#[derive(Debug, Default)]
pub(super) struct KnownNames(HashSet<Box<str>>);

impl KnownNames {
    /// Collects the names from all versions of `subjects`.
    pub(super) fn from_subjects(subjects: &[Subject]) -> Self {
        let mut names = Self::default();
        for subject in subjects {
            names.add(subject.name());
            subject.versions().flat_map(|version| version.schema().types()).for_each(|ty| names.add_type(ty));
            subject.dynamodb().into_iter().for_each(|property| names.add_texts(property));
        }
        names
    }

    fn add_type(&mut self, ty: &Type) {
        if let Some(named) = ty.named() {
            named.aliases.iter().chain([&named.name]).for_each(|name| self.add(name));
        }
        match ty {
            Type::Enum(Enum { symbols, .. }) => symbols.iter().for_each(|symbol| self.add(symbol)),
            Type::Record(record) => {
                for field in &record.fields {
                    field.aliases.iter().chain([&field.name]).for_each(|name| self.add(name));
                    field.item_name().into_iter().for_each(|name| self.add(name));
                }
            }
            _ => {}
        }
    }

    /// Adds all strings of an item mapping, including the names of its attributes.
    fn add_texts(&mut self, json: &serde_json::Value) {
        match json {
            serde_json::Value::String(text) => self.add(text),
            serde_json::Value::Array(items) => items.iter().for_each(|item| self.add_texts(item)),
            serde_json::Value::Object(members) => members.values().for_each(|value| self.add_texts(value)),
            _ => {}
        }
    }

    fn add(&mut self, name: &str) {
        self.0.extend(name.split('.').chain([name]).map(Box::from));
    }

    /// Replaces the names in `error` that are not in the directory.
    pub(super) fn clean<E: HasNames>(&self, mut error: E) -> Clean<E> {
        error.rename(&|name| {
            if !self.0.contains(name) || name.chars().count() > MAX_NAME_CHARS {
                *name = name.split(' ').map(|word| self.known_part(word)).collect::<Vec<_>>().join(" ").into();
            }
        });
        Clean(error)
    }

    /// Returns a full name in which [`WITHHELD`] replaces each part that is not in the directory.
    fn known_part(&self, name: &str) -> String {
        let (name, comma) = name.strip_suffix(',').map_or((name, ""), |name| (name, ","));
        let is_known = |part: &str| part.is_empty() || self.0.contains(part) || OWN_WORDS.contains(&part);
        let shown = if is_known(name) {
            name.to_owned()
        } else {
            let mut parts: Vec<_> = name.split('.').map(|part| if is_known(part) { part } else { WITHHELD }).collect();
            parts.dedup_by(|one, other| one == other && *one == WITHHELD);
            parts.join(".")
        };
        let cut = shown.char_indices().nth(MAX_NAME_CHARS).and_then(|(end, _)| shown.get(..end));
        cut.map_or(format!("{shown}{comma}"), |cut| format!("{cut}{WITHHELD}{comma}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(known: &[&str], name: &str) -> String {
        let mut names = KnownNames::default();
        known.iter().for_each(|name| names.add(name));
        names.clean(Box::<str>::from(name)).to_string()
    }

    #[test]
    fn a_name_is_shown_as_far_as_the_directory_has_it() {
        let known = ["shop.sales.Order", "id", "order-value", "a b.c"];
        for (name, expected) in [
            ("shop.sales.Order", "shop.sales.Order"),
            ("Order", "Order"),
            ("order-value", "order-value"),
            ("a b.c", "a b.c"),
            ("shop.sales.Ordre", "shop.sales.…"),
            ("acme.eu.Order", "….Order"),
            ("acme.eu.de.Ordre", "…"),
            ("record acme.Order", "record ….Order"),
            ("union of null, enum acme.Size, record shop.Order, int", "union of null, enum …, record shop.Order, int"),
            ("4111111111111111", "…"),
            ("the payload", "… …"),
            ("", ""),
        ] {
            assert_eq!(shown(&known, name), expected, "{name}");
        }
    }

    #[test]
    fn a_name_is_cut_to_64_characters() {
        let name = |len: usize| "ä".repeat(len);
        for len in [MAX_NAME_CHARS - 1, MAX_NAME_CHARS] {
            assert_eq!(shown(&[&name(len)], &name(len)), name(len));
        }
        let cut = format!("{}…", name(MAX_NAME_CHARS));
        assert_eq!(shown(&[&name(MAX_NAME_CHARS + 1)], &name(MAX_NAME_CHARS + 1)), cut);
    }
}

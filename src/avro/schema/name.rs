//! Names of types: which are valid, and how a short name is resolved to a full name.

/// Names that always mean a primitive type, in any namespace.
pub(super) const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// Returns whether `text` is a valid name of a field, a symbol, or a type without its namespace.
///
/// Letters and digits of any script are allowed, as in the Java, Python and Rust implementations. The specification
/// allows ASCII only.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
        && text.chars().all(|character| character.is_alphanumeric() || character == '_')
}

/// Returns the full name of `name` within `namespace`, which is empty if there is no namespace. A name whose only dot
/// is its first character has no namespace.
pub(super) fn full(name: &str, namespace: &str) -> Box<str> {
    if let Some(bare) = name.strip_prefix('.').filter(|bare| !bare.contains('.')) {
        return bare.into();
    }
    if namespace.is_empty() || name.contains('.') { name.into() } else { format!("{namespace}.{name}").into() }
}

/// Returns whether `full` is a valid full name of a type.
///
/// Only its last part must be a name. The namespace may be anything that the Java implementation accepts, because Kafka
/// Connect, Debezium and Java reflection derive it from servers, databases and classes, with hyphens, dollar signs and
/// leading digits.
pub(super) fn is_full_name(full: &str) -> bool {
    let name = unqualified(full);
    is_name(name) && !PRIMITIVES.contains(&name) && namespace(full).chars().all(is_safe)
}

/// Returns whether a character can be written without an escape in a JSON string, as canonical form requires, and in a
/// line of text.
fn is_safe(character: char) -> bool {
    let is_blank = character.is_whitespace() && character != ' ';
    !(character.is_control() || is_blank || character == '"' || character == '\\')
}

/// Returns the part of a full name after its namespace.
pub(crate) fn unqualified(full: &str) -> &str {
    full.rsplit_once('.').map_or(full, |(_, name)| name)
}

/// Returns the namespace of a full name, or an empty string if it has no namespace.
pub(super) fn namespace(full: &str) -> &str {
    full.rsplit_once('.').map_or("", |(namespace, _)| namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_takes_the_namespace_around_it_and_a_full_one_does_not() {
        assert_eq!(&*full("X", "org.foo"), "org.foo.X");
        assert_eq!(&*full("a.full.Name", "org.foo"), "a.full.Name");
        assert_eq!(&*full("X", ""), "X");
        assert_eq!(&*full(".X", "org.foo"), "X");
        assert_eq!((unqualified("a.b.C"), namespace("a.b.C")), ("C", "a.b"));
        assert_eq!((unqualified("C"), namespace("C")), ("C", ""));
    }

    #[test]
    fn names_are_letters_digits_and_underscores_and_start_with_no_digit() {
        for good in ["a", "_", "A1", "_1", "snake_case", "größe", "Заказ", "注文", "a٣"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "1a", "٣a", "a-b", "a.b", "a b", "a\"", "\n", "a\u{2028}", "€"] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn only_the_last_part_of_a_full_name_must_be_a_name() {
        for good in [
            "org.foo.X",
            "record",
            ".a.X",
            "fleet-db-7.trips.Envelope",
            "com.acme.Depot$.Inner",
            "v1.2024.trips",
            "a.1.X",
            "a..X",
            "..X",
            "server.db.my table.Value",
            "größe-1.X",
            "string.X",
        ] {
            assert!(is_full_name(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "a.X.",
            "string",
            "org.foo.string",
            "a.1",
            "a.b-c",
            "com.acme.Depot$",
            "a\".X",
            "a\\.X",
            "a\n.X",
            "a\0.X",
            "a\u{7f}.X",
            "a\u{2028}.X",
            "a\u{a0}.X",
            "a\t.X",
        ] {
            assert!(!is_full_name(bad), "{bad}");
        }
    }
}

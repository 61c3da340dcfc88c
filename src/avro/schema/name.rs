//! Names of types: what is one, and what a short one is short for.

/// Names that mean a primitive type everywhere.
pub(super) const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// Whether `text` may name a field, a symbol or, without its namespace, a type. Letters and digits are those of any script,
/// as they are to the implementations in Java, Python and Rust, though the specification has those of ASCII.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
        && text.chars().all(|character| character.is_alphanumeric() || character == '_')
}

/// The full name that `name` stands for inside `namespace`, which is empty for none. A name that begins with its only dot
/// has no namespace.
pub(super) fn full(name: &str, namespace: &str) -> Box<str> {
    if let Some(bare) = name.strip_prefix('.').filter(|bare| !bare.contains('.')) {
        return bare.into();
    }
    if namespace.is_empty() || name.contains('.') { name.into() } else { format!("{namespace}.{name}").into() }
}

/// Whether `full` may be the full name of a type.
///
/// Only its last part must be a name. The namespace is what the implementation in Java takes for one: Kafka Connect, Debezium
/// and reflection write hyphens, dollar signs and leading digits there, after servers, databases and classes.
pub(super) fn is_full_name(full: &str) -> bool {
    let name = unqualified(full);
    is_name(name) && !PRIMITIVES.contains(&name) && namespace(full).chars().all(is_safe)
}

/// Whether a character stands for itself between the quotes of a JSON string, as the canonical form has it, and in a line of
/// text.
fn is_safe(character: char) -> bool {
    let is_blank = character.is_whitespace() && character != ' ';
    !(character.is_control() || is_blank || character == '"' || character == '\\')
}

/// The part of a full name behind its namespace.
pub(crate) fn unqualified(full: &str) -> &str {
    full.rsplit_once('.').map_or(full, |(_, name)| name)
}

/// The namespace of a full name; empty for none.
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

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

/// Whether `full` is a dot-separated sequence of names whose last may be given to a type. Java takes a namespace that begins
/// with a dot, too.
pub(super) fn is_full_name(full: &str) -> bool {
    full.strip_prefix('.').unwrap_or(full).split('.').all(is_name) && !PRIMITIVES.contains(&unqualified(full))
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
        assert!(is_full_name("org.foo.X") && is_full_name("record") && is_full_name(".a.X"));
        for bad in ["", ".", "..X", "a..X", "a.1.X", "a.X.", "string", "org.foo.string"] {
            assert!(!is_full_name(bad), "{bad}");
        }
    }
}

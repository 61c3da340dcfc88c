//! Writes JSON strings. Text that needs no escape is copied in one piece.

use super::scan::first_special;

/// Appends `text` as a JSON string, including the quotes.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push_escaped(out, text);
    out.push(b'"');
}

/// Appends `text` as the content of a JSON string, without the quotes.
pub(crate) fn push_escaped(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(at) = first_special(rest) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        if let Some((&byte, tail)) = tail.split_first() {
            push_escape(out, byte);
            rest = tail;
        }
    }
    out.extend_from_slice(rest);
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex_digit(byte >> 4), hex_digit(byte & 15)]),
    }
}

fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_string_reads_back_as_it_was(value in "\\PC*|[\\x00-\\x7f]{0,40}|.*") {
            let mut out = Vec::new();
            push_string(&mut out, &value);
            let json = String::from_utf8(out).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), value);
        }
    }
}

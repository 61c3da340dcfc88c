//! Finds the end of the plain part of a JSON string, which both reading and writing depend on.

/// Number of bytes that are checked together in a long string. It fits the widest registers of all supported
/// processors.
const WIDE: usize = 32;

/// Returns the position of the first byte that cannot be written directly in a JSON string: a control character, a
/// quote or a backslash.
pub(crate) fn first_special(bytes: &[u8]) -> Option<usize> {
    // Most strings end within the first two words.
    let (head, rest) = bytes.split_at_checked(16).unwrap_or((bytes, &[]));
    if let Some(at) = first_by_words(head) {
        return Some(at);
    }
    let (chunks, _) = rest.as_chunks::<WIDE>();
    let clean = chunks.iter().take_while(|chunk| !has_special(chunk)).count() * WIDE;
    let at = first_by_words(rest.get(clean..)?)?;
    Some(head.len() + clean + at)
}

/// Checks all bytes without an early exit, so that the compiler can use a few wide instructions.
fn has_special(chunk: &[u8; WIDE]) -> bool {
    chunk.iter().fold(false, |found, &byte| found | is_special(byte))
}

fn is_special(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

/// Returns the position of the first special byte, checking eight bytes at a time.
fn first_by_words(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let (words, tail) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        let zeros = (quote.wrapping_sub(ONES) & !quote) | (backslash.wrapping_sub(ONES) & !backslash);
        let marks = (control | zeros) & HIGH;
        if marks != 0 {
            // A borrow can mark only bytes after a correctly marked one, so the first mark is always correct.
            return Some(number * 8 + marks.trailing_zeros() as usize / 8);
        }
    }
    let at = tail.iter().position(|&byte| is_special(byte))?;
    Some(words.len() * 8 + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_found_at_every_place_whatever_stands_behind() {
        for length in 0..100 {
            for at in 0..length {
                for byte in [0, 0x1F, b' ', b'!', b'"', b'#', b'[', b'\\', b']', 0x7F, 0x80, 0xA2, 0xDC, 0xFF] {
                    for rest in [b'a', b'"', b' ', 0xFF] {
                        let mut bytes = vec![0xC3; at];
                        bytes.push(byte);
                        bytes.resize(length, rest);
                        let expected = bytes.iter().position(|&byte| is_special(byte));
                        assert_eq!(first_special(&bytes), expected, "{byte} at {at} of {length}");
                    }
                }
            }
        }
    }
}

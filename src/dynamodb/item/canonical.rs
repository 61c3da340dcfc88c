//! The canonical form of keys. Equal keys have equal bytes.

use crate::dynamodb::number;

/// Appends the canonical form of the key `value`, a DynamoDB JSON value: its type, its length and its value. Two keys have
/// the same bytes if and only if DynamoDB considers them equal.
pub(crate) fn push_canonical(keys: &mut Vec<u8>, value: &[u8]) {
    let number = value.strip_prefix(b"{\"N\":\"").and_then(|rest| rest.strip_suffix(b"\"}"));
    keys.push(if number.is_some() { b'N' } else { b'V' });
    let start = keys.len();
    keys.extend_from_slice(&[0; size_of::<usize>()]);
    match number.and_then(|number| std::str::from_utf8(number).ok()) {
        Some(number) => number::push_canonical_number(keys, number),
        None => keys.extend_from_slice(value),
    }
    let len = keys.len() - start;
    if let Some(place) = keys.get_mut(start..start + size_of::<usize>()) {
        place.copy_from_slice(&len.to_le_bytes());
    }
}

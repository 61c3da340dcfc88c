//! Appends Avro's lengths and integers to a datum. [`DatumReader`](super::walk::DatumReader) reads them.

/// Appends `number` in Avro's encoding of an int or a long.
pub(crate) fn push_long(datum: &mut Vec<u8>, number: i64) {
    let mut rest = (number << 1 ^ number >> 63).cast_unsigned();
    while rest >= 0x80 {
        datum.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    datum.push(rest.to_le_bytes()[0]);
}

/// Appends a length or a count. A length in memory always fits into a long.
pub(crate) fn push_len(datum: &mut Vec<u8>, len: usize) {
    push_long(datum, i64::try_from(len).unwrap_or(i64::MAX));
}

/// Appends `bytes`, preceded by their length.
pub(crate) fn push_bytes(datum: &mut Vec<u8>, bytes: &[u8]) {
    push_len(datum, bytes.len());
    datum.extend_from_slice(bytes);
}

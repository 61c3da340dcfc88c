//! Parses the headers that identify the schema of a datum.

use super::schema_set::SchemaId;

/// Result of parsing a body's header in one wire format.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header<'a, Id> {
    /// The body does not start with the marker of this format.
    None,
    /// The marker is present, but the header is incomplete or not valid.
    Broken(&'static str),
    /// The header is complete. Contains the id and the bytes after the header.
    Complete(Id, &'a [u8]),
}

/// Marker of single-object encoding, version 1.
pub(crate) const SINGLE_OBJECT_MARKER: [u8; 2] = [0xC3, 0x01];

/// Marker of Confluent's wire format.
pub(crate) const CONFLUENT_MARKER: u8 = 0;

/// Marker of Glue's wire format, version 3.
pub(crate) const GLUE_MARKER: u8 = 3;

/// Compression of a Glue payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GlueCompression {
    None,
    Zlib,
}

impl GlueCompression {
    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Zlib => 5,
        }
    }
}

/// Parses the marker and the schema's fingerprint, which is little-endian.
pub(super) fn single_object(body: &[u8]) -> Header<'_, u64> {
    let Some(body) = body.strip_prefix(&SINGLE_OBJECT_MARKER) else { return Header::None };
    match body.split_first_chunk() {
        Some((fingerprint, datum)) => Header::Complete(u64::from_le_bytes(*fingerprint), datum),
        None => Header::Broken("the body ends within the schema's fingerprint"),
    }
}

/// Parses the marker and the schema id, which is big-endian.
pub(super) fn confluent(body: &[u8]) -> Header<'_, SchemaId> {
    let Some(body) = body.strip_prefix(&[CONFLUENT_MARKER]) else { return Header::None };
    match body.split_first_chunk() {
        Some((id, datum)) => Header::Complete(SchemaId::Number(u32::from_be_bytes(*id)), datum),
        None => Header::Broken("the body ends within the schema id"),
    }
}

/// Parses the marker, the compression and the schema version id.
pub(super) fn glue(body: &[u8]) -> Header<'_, (GlueCompression, SchemaId)> {
    const NONE: u8 = GlueCompression::None.byte();
    const ZLIB: u8 = GlueCompression::Zlib.byte();
    let (compression, body) = match body {
        [GLUE_MARKER, NONE, body @ ..] => (GlueCompression::None, body),
        [GLUE_MARKER, ZLIB, body @ ..] => (GlueCompression::Zlib, body),
        [GLUE_MARKER] => return Header::Broken("the body ends within the header"),
        [GLUE_MARKER, ..] => return Header::Broken("the compression is unknown"),
        _ => return Header::None,
    };
    match body.split_first_chunk() {
        Some((id, payload)) => Header::Complete((compression, SchemaId::Uuid(*id)), payload),
        None => Header::Broken("the body ends within the schema version id"),
    }
}

/// Parses the schema id in the message attribute `__value_schema_id`: `00` and four bytes, or `01` and sixteen bytes.
pub(super) fn value_schema_id(attribute: &[u8]) -> Option<SchemaId> {
    match attribute {
        [0, id @ ..] => Some(SchemaId::Number(u32::from_be_bytes(id.try_into().ok()?))),
        [1, id @ ..] => Some(SchemaId::Uuid(id.try_into().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 16] = [7; 16];

    #[test]
    fn a_header_counts_only_if_it_is_complete() {
        let body = [&SINGLE_OBJECT_MARKER[..], &1_u64.to_le_bytes(), &[9]].concat();
        assert_eq!(single_object(&body), Header::Complete(1, &[9][..]));
        assert_eq!(single_object(&body[..10]), Header::Complete(1, &[][..]));
        assert!((2..10).all(|len| matches!(single_object(&body[..len]), Header::Broken(_))));
        assert!((0..2).all(|len| single_object(&body[..len]) == Header::None));

        let body = [0, 0, 0, 1, 2, 9];
        assert_eq!(confluent(&body), Header::Complete(SchemaId::Number(258), &[9][..]));
        assert!((1..5).all(|len| matches!(confluent(&body[..len]), Header::Broken(_))));
        assert_eq!(confluent(&[]), Header::None);
        assert_eq!(confluent(&[1, 0, 0, 0, 0]), Header::None);

        for (byte, compression) in [(0, GlueCompression::None), (5, GlueCompression::Zlib)] {
            let body = [&[3, byte][..], &ID, &[9]].concat();
            assert_eq!(glue(&body), Header::Complete((compression, SchemaId::Uuid(ID)), &[9][..]));
            assert!((1..18).all(|len| matches!(glue(&body[..len]), Header::Broken(_))));
        }
        assert_eq!(glue(&[3, 1, 0]), Header::Broken("the compression is unknown"));
        assert_eq!(glue(&[]), Header::None);
    }

    #[test]
    fn a_schema_id_attribute_is_four_or_sixteen_bytes_behind_its_kind() {
        assert_eq!(value_schema_id(&[0, 0, 0, 0, 7]), Some(SchemaId::Number(7)));
        assert_eq!(value_schema_id(&[&[1][..], &ID].concat()), Some(SchemaId::Uuid(ID)));
        for wrong in [&[][..], &[0], &[0, 1, 2, 3], &[0, 1, 2, 3, 4, 5], &[1, 2, 3], &[2, 0, 0, 0, 7], b"7"] {
            assert_eq!(value_schema_id(wrong), None);
        }
    }
}

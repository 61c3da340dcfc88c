//! Reads Avro's primitive types from a slice.

use super::DatumError;
use crate::avro::path::WithPath;

pub(crate) type Read<T> = Result<T, Box<WithPath<DatumError>>>;

/// The remaining bytes of a datum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DatumReader<'d> {
    rest: &'d [u8],
}

impl<'d> DatumReader<'d> {
    pub(crate) fn new(datum: &'d [u8]) -> Self {
        Self { rest: datum }
    }

    pub(crate) fn rest(&self) -> &'d [u8] {
        self.rest
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    #[inline]
    pub(crate) fn boolean(&mut self) -> Read<bool> {
        match self.rest {
            [value @ (0 | 1), rest @ ..] => {
                self.rest = rest;
                Ok(*value == 1)
            }
            [] => Err(datum_error(DatumError::Truncated)),
            _ => Err(datum_error(DatumError::Boolean)),
        }
    }

    /// Reads a long. It has a fast path for one byte, because almost every length, count and branch takes one byte.
    #[inline]
    pub(crate) fn long(&mut self) -> Read<i64> {
        match self.rest {
            [low @ 0..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(zigzag(u64::from(*low)))
            }
            _ => self.long_of_many_bytes(),
        }
    }

    #[inline(never)]
    fn long_of_many_bytes(&mut self) -> Read<i64> {
        let mut value = 0;
        let mut shift = 0;
        for (index, byte) in self.rest.iter().enumerate() {
            value |= u64::from(byte & 0x7F) << shift;
            if *byte < 0x80 {
                // The tenth byte may only hold the last of the 64 bits.
                if shift == 63 && *byte > 1 {
                    return Err(datum_error(DatumError::Varint));
                }
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(zigzag(value));
            }
            shift += 7;
            if shift > 63 {
                return Err(datum_error(DatumError::Varint));
            }
        }
        Err(datum_error(DatumError::Truncated))
    }

    #[inline]
    pub(crate) fn int(&mut self) -> Read<i32> {
        i32::try_from(self.long()?).map_err(|_| datum_error(DatumError::Int))
    }

    #[inline]
    pub(crate) fn float(&mut self) -> Read<f32> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(|| datum_error(DatumError::Truncated))?;
        self.rest = rest;
        Ok(*bytes)
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Read<&'d [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or_else(|| datum_error(DatumError::Truncated))?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Reads bytes that are preceded by their length.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Read<&'d [u8]> {
        let len = usize::try_from(self.long()?).map_err(|_| datum_error(DatumError::Length))?;
        self.take(len)
    }

    #[inline]
    pub(crate) fn string(&mut self) -> Read<&'d str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| datum_error(DatumError::Utf8))
    }
}

#[inline]
fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cold]
pub(crate) fn datum_error(fault: DatumError) -> Box<WithPath<DatumError>> {
    WithPath::here(fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::binary::push_long;
    use proptest::prelude::*;

    fn long(bytes: &[u8]) -> Result<i64, DatumError> {
        DatumReader::new(bytes).long().map_err(|at| at.error().clone())
    }

    #[test]
    fn longs_are_read_as_the_specification_lists_them() {
        for (bytes, value) in
            [(&[0][..], 0), (&[1], -1), (&[2], 1), (&[3], -2), (&[4], 2), (&[0x7F], -64), (&[0x80, 1], 64)]
        {
            assert_eq!(long(bytes), Ok(value));
        }
        assert_eq!(long(&[0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]), Ok(i64::MAX));
        assert_eq!(long(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]), Ok(i64::MIN));
    }

    #[test]
    fn a_long_of_more_than_64_bits_is_a_fault() {
        assert_eq!(long(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2]), Err(DatumError::Varint));
        assert_eq!(long(&[0x80; 11]), Err(DatumError::Varint));
        assert_eq!(long(&[0x80; 9]), Err(DatumError::Truncated));
        assert_eq!(long(&[]), Err(DatumError::Truncated));
    }

    #[test]
    fn an_int_beyond_32_bits_and_a_negative_length_are_faults() {
        let mut bytes = Vec::new();
        push_long(&mut bytes, i64::from(i32::MAX) + 1);
        assert_eq!(DatumReader::new(&bytes).int().unwrap_err().error(), &DatumError::Int);
        assert_eq!(DatumReader::new(&[1]).bytes().unwrap_err().error(), &DatumError::Length);
        assert_eq!(DatumReader::new(&[4, b'a']).bytes().unwrap_err().error(), &DatumError::Truncated);
        assert_eq!(DatumReader::new(&[2, 0xFF]).string().unwrap_err().error(), &DatumError::Utf8);
        assert_eq!(DatumReader::new(&[2]).boolean().unwrap_err().error(), &DatumError::Boolean);
    }

    proptest! {
        #[test]
        fn every_long_is_read_back(value: i64, shift in 0_u32..64) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            push_long(&mut bytes, value);
            let mut reader = DatumReader::new(&bytes);
            prop_assert_eq!(reader.long().unwrap(), value);
            prop_assert_eq!(reader.remaining(), 0);
        }
    }
}

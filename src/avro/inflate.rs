//! Inflates compressed payloads within limits.
//!
//! A payload of one kilobyte may inflate to gigabytes, declare that it will, or end in the middle. Therefore the size
//! of the output is checked while it is produced, the memory that a header requests is checked before it is allocated,
//! and input that is incomplete is an error.

use super::limits::Limits;
use flate2::{Decompress, FlushDecompress};
use std::fmt;
use zstd::stream::raw::{self, DParameter, Operation};

/// Compression of a container's blocks or of a Glue payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// Raw deflate (RFC 1951), without a header and a checksum.
    Deflate,
    /// Zlib (RFC 1950).
    Zlib,
    /// Snappy's raw format, followed by the big-endian CRC-32 of the inflated data.
    Snappy,
    Zstandard,
    Bzip2,
    Xz,
}

/// A reason why a payload cannot be inflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InflateError {
    Corrupt,
    /// The payload is incomplete.
    Truncated,
    /// Bytes follow the payload.
    Trailing,
    /// The payload would inflate to more than this number of bytes.
    TooLarge(usize),
}

impl fmt::Display for InflateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt => f.write_str("the compressed data is corrupt"),
            Self::Truncated => f.write_str("the compressed data ends before it is complete"),
            Self::Trailing => f.write_str("bytes follow the compressed data"),
            Self::TooLarge(most) => write!(f, "the compressed data inflates to more than {most} bytes"),
        }
    }
}

impl std::error::Error for InflateError {}

/// Maximum window size that a zstandard payload may request, as a power of two. Level 22 requests it whatever the size
/// of its input. The decompressor uses no more of it than the payload inflates to.
const ZSTD_MAX_WINDOW_LOG: u32 = 27;

/// Maximum memory that an xz payload may request, in bytes. Its highest preset needs this much.
const XZ_MAX_MEMORY: u64 = 66 << 20;

/// Size that any payload may inflate to, in bytes, whatever its ratio. A field of zeros or spaces may have any ratio.
const RATIO_ALLOWANCE: usize = 4 << 20;

/// Cost of each frame after the first, in bytes, because each frame requires a new decompressor. A message can contain
/// about sixty thousand empty frames, which would take seconds.
const FRAME_COST: usize = 16 << 10;

/// Inflated data of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inflated<'b> {
    pub(crate) data: &'b [u8],
    /// Number of bytes by which the data reduces the message's budget.
    pub(crate) cost: usize,
}

/// Inflates `payload` into `buffer`, at a cost of at most `left` bytes, which is the remaining budget of the message.
pub(crate) fn inflate<'b>(
    compression: Compression,
    payload: &[u8],
    left: usize,
    limits: &Limits,
    buffer: &'b mut Vec<u8>,
) -> Result<Inflated<'b>, InflateError> {
    let by_ratio = payload.len().saturating_mul(limits.max_inflation_ratio).max(RATIO_ALLOWANCE);
    let most = left.min(by_ratio);
    let mut cost_of_frames = 0;
    let len = match compression {
        Compression::Deflate => raw_deflate(payload, most, buffer),
        Compression::Zlib => {
            let Ended { read, written } = deflate(Decompress::new(true), payload, most, buffer)?;
            if read == payload.len() { Ok(written) } else { Err(InflateError::Trailing) }
        }
        Compression::Snappy => snappy(payload, most, buffer),
        Compression::Zstandard => frames(payload, most, buffer, &mut cost_of_frames, (is_zstandard, zstandard)),
        Compression::Bzip2 => frames(payload, most, buffer, &mut cost_of_frames, (is_bzip2, bzip2)),
        Compression::Xz => frames(payload, most, buffer, &mut cost_of_frames, (is_xz, xz)),
    }?;
    let data = buffer.get(..len).ok_or(InflateError::Corrupt)?;
    Ok(Inflated { data, cost: len + cost_of_frames })
}

/// Progress of one step of a decompressor.
struct InflateProgress {
    read: usize,
    written: usize,
    ended: bool,
}

/// Positions in the payload and in the buffer at which a decompressor has finished.
#[derive(Debug, Clone, Copy, Default)]
struct Ended {
    read: usize,
    written: usize,
}

/// Inflates the frame at `from`. The total output in the buffer may be at most `most` bytes.
type InflateFrame = fn(payload: &[u8], from: Ended, most: usize, buffer: &mut Vec<u8>) -> Result<Ended, InflateError>;

/// Inflates all frames of `payload`, of which there must be at least one, and returns the size of the output. Data
/// after a frame that is not another frame is an error. Each frame after the first adds to `cost`.
fn frames(
    payload: &[u8],
    most: usize,
    buffer: &mut Vec<u8>,
    cost: &mut usize,
    (is_frame, inflate): (fn(&[u8]) -> bool, InflateFrame),
) -> Result<usize, InflateError> {
    let mut ended = inflate(payload, Ended::default(), most, buffer)?;
    while let Some(rest) = payload.get(ended.read..).filter(|rest| !rest.is_empty()) {
        if !is_frame(rest) {
            return Err(InflateError::Trailing);
        }
        *cost += FRAME_COST;
        let left = most.checked_sub(*cost).ok_or(InflateError::TooLarge(most))?;
        ended = inflate(payload, ended, left, buffer).map_err(|error| match error {
            InflateError::TooLarge(_) => InflateError::TooLarge(most),
            error => error,
        })?;
    }
    Ok(ended.written)
}

/// Returns whether `rest` starts with a frame of RFC 8878, which may be a skippable frame.
fn is_zstandard(rest: &[u8]) -> bool {
    matches!(rest, [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..])
}

fn is_bzip2(rest: &[u8]) -> bool {
    rest.starts_with(b"BZh")
}

fn is_xz(rest: &[u8]) -> bool {
    rest.starts_with(b"\xFD7zXZ\0")
}

/// Inflates a deflate block.
///
/// fastavro and Avro's Python implementation remove two bytes from the start of zlib's output but only one from its
/// end. This leaves the first three bytes of the checksum after the block. They are accepted if they are correct.
fn raw_deflate(payload: &[u8], most: usize, buffer: &mut Vec<u8>) -> Result<usize, InflateError> {
    let Ended { read, written } = deflate(Decompress::new(false), payload, most, buffer)?;
    let rest = payload.get(read..).unwrap_or_default();
    let inflated = buffer.get(..written).unwrap_or_default();
    if rest.is_empty() || simd_adler32::adler32(&inflated).to_be_bytes().starts_with(rest) {
        Ok(written)
    } else {
        Err(InflateError::Trailing)
    }
}

/// Runs a decompressor from `from` until it has finished.
fn run(
    payload: &[u8],
    from: Ended,
    most: usize,
    buffer: &mut Vec<u8>,
    mut step: impl FnMut(&[u8], &mut [u8]) -> Result<InflateProgress, InflateError>,
) -> Result<Ended, InflateError> {
    let Ended { mut read, mut written } = from;
    loop {
        if written > most {
            return Err(InflateError::TooLarge(most));
        }
        if written == buffer.len() || buffer.is_empty() {
            // Allowing one byte more than the limit is enough to detect output that exceeds it.
            let wanted = (2 * written).max(4 * payload.len()).max(1024);
            buffer.resize(wanted.min(most.saturating_add(1)).max(written + 1), 0);
        }
        let input = payload.get(read..).unwrap_or_default();
        let output = buffer.get_mut(written..).unwrap_or_default();
        let room = output.len();
        let done = step(input, output)?;
        read += done.read;
        written += done.written;
        if done.ended {
            return if written <= most { Ok(Ended { read, written }) } else { Err(InflateError::TooLarge(most)) };
        }
        // The decompressor may have read all input and still have output. Only a step that neither reads nor writes is
        // the end.
        if room > 0 && done.read + done.written == 0 {
            return Err(InflateError::Truncated);
        }
    }
}

fn deflate(mut inflater: Decompress, payload: &[u8], most: usize, buffer: &mut Vec<u8>) -> Result<Ended, InflateError> {
    run(payload, Ended::default(), most, buffer, |input, output| {
        let before = (inflater.total_in(), inflater.total_out());
        let status = inflater.decompress(input, output, FlushDecompress::None).map_err(|_| InflateError::Corrupt)?;
        Ok(InflateProgress {
            read: difference(before.0, inflater.total_in()),
            written: difference(before.1, inflater.total_out()),
            ended: status == flate2::Status::StreamEnd,
        })
    })
}

fn bzip2(payload: &[u8], from: Ended, most: usize, buffer: &mut Vec<u8>) -> Result<Ended, InflateError> {
    let mut inflater = bzip2::Decompress::new(false);
    run(payload, from, most, buffer, |input, output| {
        let before = (inflater.total_in(), inflater.total_out());
        let status = inflater.decompress(input, output).map_err(|_| InflateError::Corrupt)?;
        Ok(InflateProgress {
            read: difference(before.0, inflater.total_in()),
            written: difference(before.1, inflater.total_out()),
            ended: status == bzip2::Status::StreamEnd,
        })
    })
}

fn xz(payload: &[u8], from: Ended, most: usize, buffer: &mut Vec<u8>) -> Result<Ended, InflateError> {
    let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MAX_MEMORY, 0);
    let mut inflater = stream.map_err(|_| InflateError::Corrupt)?;
    run(payload, from, most, buffer, |input, output| {
        let before = (inflater.total_in(), inflater.total_out());
        let status = inflater.process(input, output, liblzma::stream::Action::Run).map_err(|error| match error {
            liblzma::stream::Error::MemLimit => InflateError::TooLarge(most),
            _ => InflateError::Corrupt,
        })?;
        Ok(InflateProgress {
            read: difference(before.0, inflater.total_in()),
            written: difference(before.1, inflater.total_out()),
            ended: status == liblzma::stream::Status::StreamEnd,
        })
    })
}

fn zstandard(payload: &[u8], from: Ended, most: usize, buffer: &mut Vec<u8>) -> Result<Ended, InflateError> {
    let mut inflater = raw::Decoder::new().map_err(|_| InflateError::Corrupt)?;
    inflater.set_parameter(DParameter::WindowLogMax(ZSTD_MAX_WINDOW_LOG)).map_err(|_| InflateError::Corrupt)?;
    run(payload, from, most, buffer, |input, output| {
        let status = inflater.run_on_buffers(input, output).map_err(|_| InflateError::Corrupt)?;
        Ok(InflateProgress { read: status.bytes_read, written: status.bytes_written, ended: status.remaining == 0 })
    })
}

fn snappy(payload: &[u8], most: usize, buffer: &mut Vec<u8>) -> Result<usize, InflateError> {
    let (compressed, checksum) = payload.split_last_chunk().ok_or(InflateError::Truncated)?;
    let len = snap::raw::decompress_len(compressed).map_err(|_| InflateError::Corrupt)?;
    if len > most {
        return Err(InflateError::TooLarge(most));
    }
    buffer.resize(len.max(buffer.len()), 0);
    let output = buffer.get_mut(..len).unwrap_or_default();
    snap::raw::Decoder::new().decompress(compressed, output).map_err(|_| InflateError::Corrupt)?;
    if crc32fast::hash(output) == u32::from_be_bytes(*checksum) { Ok(len) } else { Err(InflateError::Corrupt) }
}

/// Returns the growth of a counter in one step. It fits into `usize`, because it is at most the length of a slice.
fn difference(before: u64, after: u64) -> usize {
    usize::try_from(after - before).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Write;

    const ALL: [Compression; 6] = [
        Compression::Deflate,
        Compression::Zlib,
        Compression::Snappy,
        Compression::Zstandard,
        Compression::Bzip2,
        Compression::Xz,
    ];

    pub(in crate::avro) fn compress(compression: Compression, data: &[u8]) -> Vec<u8> {
        let best = flate2::Compression::best();
        match compression {
            Compression::Deflate => {
                let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), best);
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Zlib => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), best);
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Snappy => {
                let mut out = snap::raw::Encoder::new().compress_vec(data).unwrap();
                out.extend(crc32fast::hash(data).to_be_bytes());
                out
            }
            Compression::Zstandard => zstd::stream::encode_all(data, 3).unwrap(),
            Compression::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 9);
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    fn read(compression: Compression, payload: &[u8], limits: &Limits) -> Result<Vec<u8>, InflateError> {
        inflate(compression, payload, limits.max_inflated_bytes, limits, &mut Vec::new())
            .map(|inflated| inflated.data.to_vec())
    }

    fn sample() -> Vec<u8> {
        (0..20_000_u32).flat_map(|i| (i % 251).to_le_bytes()).collect()
    }

    #[test]
    fn every_compression_gives_back_what_went_in() {
        let mut buffer = Vec::new();
        for data in [Vec::new(), vec![7], sample()] {
            for compression in ALL {
                let payload = compress(compression, &data);
                let inflated = inflate(compression, &payload, usize::MAX, &Limits::default(), &mut buffer);
                assert!(inflated == Ok(Inflated { data: &data[..], cost: data.len() }), "{compression:?}");
            }
        }
    }

    #[test]
    fn a_payload_that_ends_early_or_goes_on_is_an_error_and_never_a_loop() {
        let limits = Limits::default();
        for compression in ALL {
            let payload = compress(compression, &sample());
            for len in (0..payload.len()).step_by(payload.len() / 50 + 1) {
                assert!(read(compression, &payload[..len], &limits).is_err(), "{compression:?} cut at {len}");
            }
            let longer = [&payload[..], &[0]].concat();
            assert!(read(compression, &longer, &limits).is_err(), "{compression:?}");
            assert!(read(compression, &[0xFF; 40], &limits).is_err(), "{compression:?}");
            assert!(read(compression, &[], &limits).is_err(), "{compression:?}");
        }
        let zlib = compress(Compression::Zlib, &sample());
        assert_eq!(read(Compression::Zlib, &zlib[..zlib.len() - 1], &limits), Err(InflateError::Truncated));
        assert_eq!(read(Compression::Zlib, &[&zlib[..], &[0]].concat(), &limits), Err(InflateError::Trailing));
    }

    /// The compressions whose formats allow several frames or streams one after the other.
    const OF_FRAMES: [Compression; 3] = [Compression::Zstandard, Compression::Bzip2, Compression::Xz];

    #[test]
    fn frames_one_after_the_other_are_inflated_one_after_the_other() {
        let limits = Limits::default();
        let parts = [sample(), Vec::new(), vec![7], sample()];
        for compression in OF_FRAMES {
            let frames = parts.each_ref().map(|part| compress(compression, part));
            assert_eq!(read(compression, &frames.concat(), &limits), Ok(parts.concat()), "{compression:?}");
            let two = frames[..2].concat();
            for garbage in [&[0][..], &[0; 4], b"BZ", &[0x28, 0xB5], &[0xFD, b'7'], b"garbage", &frames[3][1..]] {
                let payload = [&two[..], garbage].concat();
                assert_eq!(read(compression, &payload, &limits), Err(InflateError::Trailing), "{compression:?}");
            }
            let cut = [&two[..], &frames[3][..frames[3].len() - 1]].concat();
            assert_eq!(read(compression, &cut, &limits), Err(InflateError::Truncated), "{compression:?}");
        }
        // A skippable frame contains no data.
        let skipped =
            [&[0x5A, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &compress(Compression::Zstandard, &[7])].concat();
        assert_eq!(read(Compression::Zstandard, &skipped, &limits), Ok(vec![7]));
        assert_eq!(read(Compression::Zstandard, &[&skipped[11..], &skipped[..11]].concat(), &limits), Ok(vec![7]));
    }

    #[test]
    fn all_frames_together_are_bounded_to_the_byte() {
        let half = vec![0; RATIO_ALLOWANCE / 4];
        for compression in OF_FRAMES {
            let two = [compress(compression, &half), compress(compression, &half)].concat();
            let within = |most| {
                let limits = Limits { max_inflated_bytes: most, ..Limits::default() };
                read(compression, &two, &limits).map(|data| data.len())
            };
            let cost = 2 * half.len() + FRAME_COST;
            assert_eq!(within(cost), Ok(2 * half.len()), "{compression:?}");
            for most in [cost - 1, half.len() + FRAME_COST, half.len() + 1, half.len()] {
                assert_eq!(within(most), Err(InflateError::TooLarge(most)), "{compression:?}");
            }
        }
    }

    #[test]
    fn so_many_empty_frames_are_more_than_a_message_may_have() {
        let limits = Limits { max_inflated_bytes: 10 * FRAME_COST, ..Limits::default() };
        for compression in OF_FRAMES {
            let empty = compress(compression, &[]);
            let cost = |frames: usize| {
                let payload = empty.repeat(frames);
                let mut buffer = Vec::new();
                let inflated = inflate(compression, &payload, limits.max_inflated_bytes, &limits, &mut buffer);
                inflated.map(|inflated| inflated.cost)
            };
            assert_eq!(cost(11), Ok(10 * FRAME_COST), "{compression:?}");
            assert_eq!(cost(12), Err(InflateError::TooLarge(10 * FRAME_COST)), "{compression:?}");
        }
    }

    #[test]
    fn output_is_bounded_to_the_byte() {
        let data = vec![0; RATIO_ALLOWANCE + 1];
        for compression in ALL {
            let payload = compress(compression, &data);
            let limits =
                |most| Limits { max_inflated_bytes: most, max_inflation_ratio: usize::MAX, ..Limits::default() };
            let by_ratio = |ratio| Limits { max_inflation_ratio: ratio, ..Limits::default() };
            assert!(read(compression, &compress(compression, &data[1..]), &by_ratio(1)).is_ok(), "{compression:?}");
            let allowed = read(compression, &compress(compression, &data[1..]), &by_ratio(1));
            assert_eq!(allowed.map(|data| data.len()), Ok(RATIO_ALLOWANCE), "{compression:?}");
            let most = data.len() - 1;
            assert_eq!(
                read(compression, &payload, &limits(most)),
                Err(InflateError::TooLarge(most)),
                "{compression:?}"
            );
            let most = RATIO_ALLOWANCE.max(payload.len());
            assert_eq!(read(compression, &payload, &by_ratio(1)), Err(InflateError::TooLarge(most)), "{compression:?}");
        }
    }

    #[test]
    fn what_python_leaves_of_the_checksum_behind_a_deflate_block_must_be_right() {
        let data = sample();
        let (block, checksum) = (compress(Compression::Deflate, &data), simd_adler32::adler32(&&*data).to_be_bytes());
        let zlib = compress(Compression::Zlib, &data);
        assert_eq!(zlib[zlib.len() - 4..], checksum);
        let with = |rest: &[u8]| read(Compression::Deflate, &[&block, rest].concat(), &Limits::default());
        assert_eq!(with(&checksum[..3]), Ok(data));
        let wrong = [checksum[0], checksum[1], !checksum[2]];
        assert_eq!(with(&wrong), Err(InflateError::Trailing));
        assert_eq!(with(&[&checksum[..], &[0]].concat()), Err(InflateError::Trailing));
    }

    #[test]
    fn what_a_message_inflated_to_before_counts() {
        let payload = compress(Compression::Zlib, &[0; 100]);
        let limits = Limits::default();
        assert!(inflate(Compression::Zlib, &payload, 100, &limits, &mut Vec::new()).is_ok());
        let mut buffer = Vec::new();
        let again = inflate(Compression::Zlib, &payload, 99, &limits, &mut buffer);
        assert_eq!(again, Err(InflateError::TooLarge(99)));
    }

    /// Levels 20 to 22 request windows of up to 128 MiB, even if the whole input is small.
    #[test]
    fn zstandard_of_the_highest_level_is_read() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 22).unwrap();
        encoder.set_parameter(raw::CParameter::WindowLog(27)).unwrap();
        encoder.write_all(b"abc").unwrap();
        encoder.flush().unwrap();
        let payload = encoder.finish().unwrap();
        assert_eq!(read(Compression::Zstandard, &payload, &Limits::default()), Ok(b"abc".to_vec()));
    }

    #[test]
    fn a_snappy_block_with_a_wrong_checksum_is_corrupt() {
        let mut payload = compress(Compression::Snappy, b"abc");
        *payload.last_mut().unwrap() ^= 1;
        assert_eq!(read(Compression::Snappy, &payload, &Limits::default()), Err(InflateError::Corrupt));
        // The header declares a length of four gigabytes.
        let huge = [0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0, 0, 0, 0];
        assert!(matches!(read(Compression::Snappy, &huge, &Limits::default()), Err(InflateError::TooLarge(_))));
    }
}

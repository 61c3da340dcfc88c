//! What a message may cost. Each bound is there so that a crafted message costs its own rejection and nothing else.

/// Bounds on a message, each with a default that no sensible message comes near.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Levels of records, arrays and maps within one another; see [`Limits::DEFAULT_MAX_DEPTH`].
    pub max_depth: usize,
    /// Values that are read or skipped; see [`Limits::DEFAULT_MAX_VALUES`].
    pub max_values: usize,
    /// Records of a container; see [`Limits::DEFAULT_MAX_RECORDS`].
    pub max_records: usize,
    /// Bytes that a message may grow by: what all its blocks inflate to, and defaults of the reader schema that stand for
    /// what it lacks; see [`Limits::DEFAULT_MAX_INFLATED_BYTES`]. No buffer grows beyond it.
    pub max_inflated_bytes: usize,
    /// How many times its compressed size a message may inflate to; see [`Limits::DEFAULT_MAX_INFLATION_RATIO`].
    pub max_inflation_ratio: usize,
    /// Bytes of the schema that a container brings; see [`Limits::DEFAULT_MAX_SCHEMA_BYTES`].
    pub max_schema_bytes: usize,
}

impl Limits {
    /// DynamoDB takes 32 levels. A level costs stack: some hundred bytes, or three kilobytes without optimisation.
    pub const DEFAULT_MAX_DEPTH: usize = 64;
    /// A value costs some nanoseconds and need not take a byte: a null, a record without fields, a default. An item of
    /// 400 KB holds a fifth of this at most; the records of a container share it.
    pub const DEFAULT_MAX_VALUES: usize = 2_000_000;
    /// Ten thousand items of a hundred bytes fill a message of 1 MiB.
    pub const DEFAULT_MAX_RECORDS: usize = 10_000;
    /// Sixteen times the largest message.
    pub const DEFAULT_MAX_INFLATED_BYTES: usize = 16 << 20;
    /// Text compresses ten times, records that are almost alike some hundred times, and deflate nothing more than 1,032
    /// times. Whatever its size, a block may inflate to 4 MiB.
    pub const DEFAULT_MAX_INFLATION_RATIO: usize = 1_000;
    /// Generated schemas of hundreds of fields have some tens of kilobytes.
    pub const DEFAULT_MAX_SCHEMA_BYTES: usize = 64 << 10;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_depth: Self::DEFAULT_MAX_DEPTH,
            max_values: Self::DEFAULT_MAX_VALUES,
            max_records: Self::DEFAULT_MAX_RECORDS,
            max_inflated_bytes: Self::DEFAULT_MAX_INFLATED_BYTES,
            max_inflation_ratio: Self::DEFAULT_MAX_INFLATION_RATIO,
            max_schema_bytes: Self::DEFAULT_MAX_SCHEMA_BYTES,
        }
    }
}

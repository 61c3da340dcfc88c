//! Limits on the cost of a message. With them, a crafted message costs no more than its own rejection.

/// Limits on a message. No sensible message comes close to the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum nesting depth of records, arrays and maps; see [`Limits::DEFAULT_MAX_DEPTH`].
    pub max_depth: usize,
    /// Maximum number of values that are read or skipped; see [`Limits::DEFAULT_MAX_VALUES`].
    pub max_values: usize,
    /// Maximum number of records in a container; see [`Limits::DEFAULT_MAX_RECORDS`].
    pub max_records: usize,
    /// Maximum number of bytes by which a message may grow; see [`Limits::DEFAULT_MAX_INFLATED_BYTES`]. Inflated blocks
    /// and the reader schema's defaults for absent fields count. No buffer grows beyond this size.
    pub max_inflated_bytes: usize,
    /// Maximum ratio of a message's inflated size to its compressed size; see [`Limits::DEFAULT_MAX_INFLATION_RATIO`].
    pub max_inflation_ratio: usize,
    /// Maximum size of the schema in a container, in bytes; see [`Limits::DEFAULT_MAX_SCHEMA_BYTES`].
    pub max_schema_bytes: usize,
}

impl Limits {
    /// Default of `max_depth`. DynamoDB allows 32 levels. A level takes some hundred bytes of stack, or three kilobytes
    /// in an unoptimized build.
    pub const DEFAULT_MAX_DEPTH: usize = 64;
    /// Default of `max_values`. A value takes some nanoseconds to read, and may take no bytes at all: a null, a record
    /// without fields, a default. An item of 400 KB contains at most a fifth of this number. All records of a container
    /// share the limit.
    pub const DEFAULT_MAX_VALUES: usize = 2_000_000;
    /// Default of `max_records`. Ten thousand items of a hundred bytes fill a message of 1 MiB.
    pub const DEFAULT_MAX_RECORDS: usize = 10_000;
    /// Default of `max_inflated_bytes`, which is sixteen times the size of the largest message.
    pub const DEFAULT_MAX_INFLATED_BYTES: usize = 16 << 20;
    /// Default of `max_inflation_ratio`. Text compresses about ten times, records that are almost alike some hundred
    /// times, and deflate reaches at most 1,032 times. Every block may inflate to 4 MiB, whatever its ratio.
    pub const DEFAULT_MAX_INFLATION_RATIO: usize = 1_000;
    /// Default of `max_schema_bytes`. Generated schemas with hundreds of fields take some tens of kilobytes.
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

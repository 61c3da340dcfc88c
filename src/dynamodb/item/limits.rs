//! The database's limits of an item, and the sizes by which it counts values.

/// The largest item, in bytes as the database counts them.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html#limits-items>
pub const MAX_ITEM_BYTES: usize = 400 * 1024;
/// The longest partition key, in bytes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html#limits-partition-sort-keys>
pub const MAX_PARTITION_KEY_BYTES: usize = 2048;
/// The longest sort key, in bytes. Same source.
pub const MAX_SORT_KEY_BYTES: usize = 1024;
/// How deep values may be nested, an attribute's own value being the first level.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html#limits-attributes>
pub const MAX_DEPTH: usize = 32;
/// The longest attribute name, in bytes. Same source.
pub const MAX_NAME_BYTES: usize = 65_535;

/// Size of a list or map without its contents, and the size that each element adds to its own.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>
pub(super) const COLLECTION_OVERHEAD: usize = 3;
pub(super) const ELEMENT_OVERHEAD: usize = 1;
/// The least a number costs. The exact size is only given approximately, so what is refused here is too large for certain.
pub(super) const LEAST_NUMBER_BYTES: usize = 2;

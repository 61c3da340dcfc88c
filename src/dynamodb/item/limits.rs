//! DynamoDB's limits for an item, and the sizes that it counts for values.

/// Maximum size of an item, in bytes as DynamoDB counts them.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html#limits-items>
pub const MAX_ITEM_BYTES: usize = 400 * 1024;
/// Maximum length of a partition key, in bytes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html#limits-partition-sort-keys>
pub const MAX_PARTITION_KEY_BYTES: usize = 2048;
/// Maximum length of a sort key, in bytes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html#limits-partition-sort-keys>
pub const MAX_SORT_KEY_BYTES: usize = 1024;
/// Maximum number of nesting levels of a value. The value of an attribute is the first level.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html#limits-attributes>
pub const MAX_DEPTH: usize = 32;
/// Maximum length of an attribute name, in bytes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html#limits-attributes>
pub const MAX_NAME_BYTES: usize = 65_535;

/// Size of an empty list or map, in bytes. Each element adds [`ELEMENT_OVERHEAD`] to its own size.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>
pub(super) const COLLECTION_OVERHEAD: usize = 3;
pub(super) const ELEMENT_OVERHEAD: usize = 1;
/// Minimum size of a number, in bytes. AWS documents the exact size only approximately. With the minimum, every item that
/// is refused here is certainly too large.
pub(super) const LEAST_NUMBER_BYTES: usize = 2;

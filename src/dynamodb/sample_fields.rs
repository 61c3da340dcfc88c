//! The fields that the tests of this module map.

use super::mapping::Fields;
use crate::record::{FieldKind, Quantity};

/// The fields `id` (text) and `at` (number).
pub(super) struct SampleFields;

impl Fields for SampleFields {
    fn kind(&self, path: &str) -> Result<FieldKind, String> {
        match path {
            "id" => Ok(FieldKind::Text),
            "at" => Ok(FieldKind::Number(Quantity::Plain)),
            _ => Err("no such field".into()),
        }
    }

    fn names(&self) -> Vec<&str> {
        vec!["id", "at"]
    }
}

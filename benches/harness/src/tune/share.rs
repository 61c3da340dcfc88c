//! What processor time a function's memory buys. Pure.

use crate::process::MEMORY_OF_A_PROCESSOR_MB;

/// Processor time within a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) quota_us: u32,
    pub(super) period_us: u32,
}

impl Share {
    /// What `memory_mb` buys of each `period_us`.
    pub(super) fn of(memory_mb: u32, period_us: u32) -> Self {
        let quota = u64::from(memory_mb) * u64::from(period_us) / u64::from(MEMORY_OF_A_PROCESSOR_MB);
        Self { quota_us: u32::try_from(quota).unwrap_or(u32::MAX), period_us }
    }

    /// How many processors that is.
    pub(super) fn processors(self) -> f64 {
        f64::from(self.quota_us) / f64::from(self.period_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_bought_by_1769_mb_and_a_share_of_one_by_less() {
        let quotas = [128, 256, 512, 1_024, 1_769, 3_008].map(|memory| Share::of(memory, 20_000).quota_us);
        assert_eq!(quotas, [1_447, 2_894, 5_788, 11_577, 20_000, 34_007]);
        assert!((Share::of(1_769, 20_000).processors() - 1.0).abs() < 1e-9);
    }
}

//! The table: a fixed number of write units per second, without burst capacity.

/// The write units that are available.
pub(crate) struct Table {
    per_second: f64,
    left: f64,
    /// Time to which `left` refers, in microseconds.
    at_us: u64,
}

impl Table {
    pub(crate) fn new(per_second: f64) -> Self {
        Self { per_second, left: per_second, at_us: 0 }
    }

    /// Consumes up to `wanted` whole units, as far as they are available at `now`. Returns their number.
    pub(crate) fn take(&mut self, wanted: f64, now: u64) -> f64 {
        let refill = now.saturating_sub(self.at_us) as f64 / crate::SECOND_US as f64 * self.per_second;
        self.left = (self.left + refill).min(self.per_second);
        self.at_us = self.at_us.max(now);
        let taken = wanted.min(self.left.floor());
        self.left -= taken;
        taken
    }
}

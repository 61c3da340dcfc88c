//! Instances of the function, and the invocations that run in them.

use crate::queue::Group;

/// Time for which an idle instance is retained, in seconds.
const KEPT_SECONDS: u64 = 600;

/// Counts instances. An invocation uses an idle instance or starts a new one, which is a cold start.
pub(crate) struct Instances {
    count: u64,
    /// Number of instances retained without load.
    minimum: u64,
    running: u64,
    /// Maximum of `running` since instances were last counted.
    most_running: u64,
}

impl Instances {
    pub(crate) fn new(minimum: u32) -> Self {
        Self { count: minimum.into(), minimum: minimum.into(), running: 0, most_running: 0 }
    }

    /// Starts an invocation. Returns whether it is a cold start.
    pub(crate) fn begin(&mut self) -> bool {
        self.running += 1;
        self.most_running = self.most_running.max(self.running);
        let is_cold = self.running > self.count;
        self.count += u64::from(is_cold);
        is_cold
    }

    pub(crate) fn end(&mut self) {
        self.running -= 1;
    }

    /// Removes the instances that have been idle for the whole retention time.
    pub(crate) fn second_ends(&mut self, second: u64) {
        if (second + 1).is_multiple_of(KEPT_SECONDS) {
            self.count = std::mem::replace(&mut self.most_running, self.running).max(self.minimum);
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn running(&self) -> u64 {
        self.running
    }
}

/// An invocation that has not ended yet.
pub(crate) struct RunningInvocation {
    pub(crate) poller: usize,
    pub(crate) groups: Vec<Group>,
    pub(crate) messages: u32,
    pub(crate) started_us: u64,
    pub(crate) deadline_us: u64,
    pub(crate) throttled: i32,
    pub(crate) units_left: f64,
}

/// The running invocations, each in a slot.
#[derive(Default)]
pub(crate) struct Invocations {
    slots: Vec<RunningInvocation>,
    free: Vec<usize>,
}

impl Invocations {
    /// Adds an invocation and returns its slot.
    pub(crate) fn add(&mut self, invocation: RunningInvocation) -> usize {
        if let Some(slot) = self.free.pop()
            && let Some(free) = self.slots.get_mut(slot)
        {
            *free = invocation;
            return slot;
        }
        self.slots.push(invocation);
        self.slots.len() - 1
    }

    pub(crate) fn get_mut(&mut self, slot: usize) -> Option<&mut RunningInvocation> {
        self.slots.get_mut(slot)
    }

    /// Releases a slot for reuse.
    pub(crate) fn free(&mut self, slot: usize) {
        self.free.push(slot);
    }
}

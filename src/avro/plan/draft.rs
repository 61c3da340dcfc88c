//! A plan that is being compiled.

use super::{FieldStep, Mismatch, MismatchId, Node, NodeId, Plan, Skip, SkipId, Span, matching};

/// Maximum number of steps, nodes, symbols and skips in a plan. Two schemas of 64 KiB can require millions.
const MAX_PLAN_PARTS: usize = 1 << 16;

/// Maximum total size of the names and paths in a plan's mismatches, in bytes. A crafted schema may have thousands of
/// mismatches, each with a long path.
const MAX_INCOMPATIBLE_BYTES: usize = 64 << 10;

/// A plan under construction. The index of a part can be reserved before the part is compiled.
pub(super) struct Draft {
    plan: Plan,
    /// Total size of the names and paths in the plan's mismatches, in bytes.
    incompatible_bytes: usize,
}

impl Draft {
    pub(super) fn new() -> Self {
        let plan = Plan {
            root: Node::Null,
            nodes: Vec::new(),
            steps: Vec::new(),
            symbols: Vec::new(),
            skips: Vec::new(),
            defaults: Vec::new(),
            incompatible: Vec::new(),
        };
        Self { plan, incompatible_bytes: 0 }
    }

    /// Returns the finished plan, which starts at `root`.
    pub(super) fn finish(self, root: Node) -> Plan {
        Plan { root, ..self.plan }
    }

    /// Returns whether the plan exceeds the maximum size, which no sensible schema does.
    pub(super) fn is_too_large(&self) -> bool {
        let plan = &self.plan;
        let parts = plan.nodes.len() + plan.steps.len() + plan.symbols.len() + plan.skips.len();
        parts > MAX_PLAN_PARTS || self.incompatible_bytes > MAX_INCOMPATIBLE_BYTES
    }

    pub(super) fn push_node(&mut self, node: Node) -> NodeId {
        NodeId(append(&mut self.plan.nodes, vec![node]).start)
    }

    pub(super) fn push_nodes(&mut self, nodes: Vec<Node>) -> Span {
        append(&mut self.plan.nodes, nodes)
    }

    pub(super) fn set_node(&mut self, id: NodeId, node: Node) {
        if let Some(reserved) = self.plan.nodes.get_mut(id.0 as usize) {
            *reserved = node;
        }
    }

    pub(super) fn push_steps(&mut self, steps: Vec<FieldStep>) -> Span {
        append(&mut self.plan.steps, steps)
    }

    pub(super) fn push_symbols(&mut self, symbols: Vec<Option<Box<str>>>) -> Span {
        append(&mut self.plan.symbols, symbols)
    }

    /// Appends the datum of a default value.
    pub(super) fn push_default(&mut self, datum: Vec<u8>) -> Span {
        append(&mut self.plan.defaults, datum)
    }

    pub(super) fn push_skip(&mut self, skip: Skip) -> SkipId {
        SkipId(append(&mut self.plan.skips, vec![skip]).start)
    }

    pub(super) fn push_skips(&mut self, skips: Vec<Skip>) -> Span {
        append(&mut self.plan.skips, skips)
    }

    pub(super) fn set_skip(&mut self, id: SkipId, skip: Skip) {
        if let Some(reserved) = self.plan.skips.get_mut(id.0 as usize) {
            *reserved = skip;
        }
    }

    /// Appends the reason why a part of the writer's schema cannot be read.
    pub(super) fn push_incompatible(&mut self, mismatch: Mismatch) -> MismatchId {
        self.incompatible_bytes += matching::text_bytes(&mismatch);
        MismatchId(append(&mut self.plan.incompatible, vec![mismatch]).start)
    }
}

/// Appends `more` and returns its position. The length always fits into `u32`: the number of parts is limited, and so
/// is the size of the defaults.
fn append<T>(all: &mut Vec<T>, more: Vec<T>) -> Span {
    let span = Span {
        start: u32::try_from(all.len()).unwrap_or(u32::MAX),
        len: u32::try_from(more.len()).unwrap_or_default(),
    };
    all.extend(more);
    span
}

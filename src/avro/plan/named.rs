//! Remembers compiled records and enums, so that each pair is compiled only once and recursion terminates.

use super::{Mismatch, Node, compile::DatumSource};
use crate::avro::schema::TypeId;
use std::collections::HashMap;

/// A named type of the writer, paired with the named type of the reader as which it is read.
pub(super) type Pair = (DatumSource, TypeId, TypeId);

/// Nodes of pairs of named types. Records with tracked fields are not included, because their nodes depend on the path.
#[derive(Default)]
pub(super) struct NamedNodes {
    nodes: HashMap<Pair, Node>,
    /// The keys of `nodes`, in the order of insertion.
    in_order: Vec<Pair>,
    /// Pairs that cannot be read, each with its first mismatch.
    unreadable: HashMap<Pair, Box<Mismatch>>,
}

impl NamedNodes {
    pub(super) fn get(&self, pair: Pair) -> Option<Node> {
        self.nodes.get(&pair).copied()
    }

    /// Remembers the node of a pair. While the pair is still being compiled, `node` is a reference to the future node.
    pub(super) fn remember(&mut self, pair: Pair, node: Node) {
        if self.nodes.insert(pair, node).is_none() {
            self.in_order.push(pair);
        }
    }

    /// Returns the reason why a pair cannot be read, if it was found before.
    pub(super) fn unreadable(&self, pair: Pair) -> Option<Box<Mismatch>> {
        self.unreadable.get(&pair).cloned()
    }

    /// Forgets `pair` and all pairs added after it, because they may contain it. Remembers `first` as the reason why
    /// `pair` cannot be read.
    pub(super) fn forget_from(&mut self, pair: Pair, first: Option<&Mismatch>) {
        let start = self.in_order.iter().rposition(|known| *known == pair).unwrap_or(self.in_order.len());
        for pair in self.in_order.drain(start..) {
            self.nodes.remove(&pair);
        }
        if let Some(first) = first {
            self.unreadable.insert(pair, Box::new(first.clone()));
        }
    }
}

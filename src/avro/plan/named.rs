//! The records and enums that were compiled before, so that each pair is compiled once and recursion ends.

use super::{Mismatch, Node, compile::DatumSource};
use crate::avro::schema::TypeId;
use std::collections::HashMap;

/// A writer's named type as one of the reader's.
pub(super) type Pair = (DatumSource, TypeId, TypeId);

/// Nodes of named types. Not those with tracked fields, which hold for one path and not for a type.
#[derive(Default)]
pub(super) struct NamedNodes {
    nodes: HashMap<Pair, Node>,
    /// The keys of `nodes` as they came.
    in_order: Vec<Pair>,
    /// Pairs that cannot be read, each with the first reason.
    unreadable: HashMap<Pair, Box<Mismatch>>,
}

impl NamedNodes {
    pub(super) fn get(&self, pair: Pair) -> Option<Node> {
        self.nodes.get(&pair).copied()
    }

    /// Remembers the node of a pair. While the pair is compiled, that is a node that stands for the one to come.
    pub(super) fn remember(&mut self, pair: Pair, node: Node) {
        if self.nodes.insert(pair, node).is_none() {
            self.in_order.push(pair);
        }
    }

    /// Returns why a pair cannot be read, if that is known.
    pub(super) fn unreadable(&self, pair: Pair) -> Option<Box<Mismatch>> {
        self.unreadable.get(&pair).cloned()
    }

    /// Forgets `pair` and what was remembered after it, because that may hold it, and remembers why it cannot be read.
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

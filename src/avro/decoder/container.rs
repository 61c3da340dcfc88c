//! Decodes containers, which bring their own schema.

use super::{Decoded, Decoder, FormatFailure, Scratch, recognized};
use crate::{
    avro::{
        container::Container,
        error::{Problem, SchemaReference},
        inflate::inflate,
        path::WithPath,
        plan::{self, Plan, Purpose, SchemaOrigin, TrackedFields},
        schema::Schema,
        walk::{self, Budget, Ending},
        wire_format::WireFormat,
    },
    record::{RecordSink, SubjectId},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// Minimum capacity of the cache for the plans of container schemas, in bytes.
const MIN_CACHED_BYTES: usize = 16 << 20;

/// Capacity of the plan cache, in bytes for each byte of the directory's schemas. A plan takes about ten times the size
/// of its schema's text, and one schema may arrive in several spellings, one for each Avro implementation among the
/// producers.
const CACHED_BYTES_PER_SCHEMA_BYTE: usize = 64;

/// A least-recently-used cache of the plans of container schemas, by the text of the schema.
///
/// The key is the text and not a fingerprint. The fingerprint of the canonical form leaves out logical types and
/// aliases, which schema resolution needs. A short fingerprint of the text would allow crafted collisions.
#[derive(Debug)]
pub(super) struct PlanCache {
    capacity: usize,
    cached: Mutex<Cached>,
}

#[derive(Debug, Default)]
struct Cached {
    /// The most recently used is at the front.
    plans: VecDeque<(Box<str>, Arc<ContainerPlan>)>,
    /// Total size of the plans, in bytes.
    size: usize,
}

#[derive(Debug)]
struct ContainerPlan {
    subject: SubjectId,
    store: Plan,
    delete: Plan,
}

impl PlanCache {
    /// Creates a cache for a directory whose schemas have this number of bytes.
    pub(super) fn new(schema_bytes: usize) -> Self {
        let capacity = schema_bytes.saturating_mul(CACHED_BYTES_PER_SCHEMA_BYTE).max(MIN_CACHED_BYTES);
        Self { capacity, cached: Mutex::default() }
    }

    fn get(&self, text: &str) -> Option<Arc<ContainerPlan>> {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let position = cached.plans.iter().position(|(known, _)| **known == *text)?;
        // Usually the plan is at the front already.
        if position > 0 {
            let used = cached.plans.remove(position)?;
            cached.plans.push_front(used);
        }
        cached.plans.front().map(|(_, plan)| Arc::clone(plan))
    }

    /// Adds a plan, and evicts the least recently used plans while the cache exceeds its capacity.
    fn put(&self, text: &str, plan: Arc<ContainerPlan>) {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        cached.size += plan.size(text);
        cached.plans.push_front((text.into(), plan));
        while cached.size > self.capacity
            && let Some((text, forgotten)) = cached.plans.pop_back()
        {
            cached.size -= forgotten.size(&text);
        }
    }
}

impl ContainerPlan {
    /// Returns the size of the plan and its key `text`, in bytes.
    fn size(&self, text: &str) -> usize {
        text.len() + self.store.size() + self.delete.size()
    }
}

const FORMAT: WireFormat = WireFormat::Container;

const NOTHING_TRACKED: &TrackedFields = &TrackedFields::new();

impl Decoder {
    pub(super) fn container<S: RecordSink>(
        &self,
        body: &[u8],
        keys_only: bool,
        scratch: &mut Scratch,
        sink: &mut S,
    ) -> Result<Option<Decoded>, FormatFailure> {
        let Some(opened) = Container::open(body) else { return Ok(None) };
        let mut container = opened.map_err(|problem| recognized(FORMAT, Problem::Container(problem)))?;
        let plans = self.container_plan(container.schema)?;
        let plan = if keys_only { &plans.delete } else { &plans.store };
        let limits = self.limits_of(scratch);
        let mut budget = Budget::new(limits);
        let mut records = 0_usize;
        while let Some(block) =
            container.next_block().map_err(|problem| recognized(FORMAT, Problem::Container(problem)))?
        {
            let first = records;
            records = records.saturating_add(block.records);
            if records > limits.max_records {
                let problem = Problem::Limit { what: "records", limit: limits.max_records };
                return Err(recognized(FORMAT, problem));
            }
            let Scratch { keys, buffer, .. } = &mut *scratch;
            let mut data = match container.compression {
                None => block.data,
                Some(compression) => {
                    let inflated = inflate(compression, block.data, budget.expansion(), &limits, buffer)
                        .map_err(|error| recognized(FORMAT, Problem::InflateBlock(error)))?;
                    let expanded = budget.expand(inflated.cost);
                    expanded.map_err(|error| self.unread(FORMAT, first, WithPath::here(error)))?;
                    inflated.data
                }
            };
            if block.records == 0 && !data.is_empty() {
                return Err(recognized(FORMAT, Problem::Container("a block without records has data".into())));
            }
            for record in first..records {
                let ending = if record + 1 == records { Ending::Last } else { Ending::More };
                let place = (plans.subject, Some(record));
                data = walk::read_record(plan, place, (data, ending), &mut budget, keys, sink)
                    .map_err(|error| self.unread(FORMAT, record, error))?;
            }
        }
        Ok(Some(Decoded { format: FORMAT, subject: plans.subject, version: None, records }))
    }

    /// Returns the plan for the schema in `text`, whose name must be a record name of one of the subjects.
    fn container_plan(&self, text: &str) -> Result<Arc<ContainerPlan>, FormatFailure> {
        if let Some(plan) = self.containers.get(text) {
            return Ok(plan);
        }
        if text.len() > self.limits.max_schema_bytes {
            let problem = Problem::Limit { what: "bytes of schema", limit: self.limits.max_schema_bytes };
            return Err(recognized(FORMAT, problem));
        }
        let writer = Schema::parse(text)
            .map_err(|error| recognized(FORMAT, Problem::ContainerSchema(self.names.clean(error))))?;
        let record = writer.record().ok_or_else(|| recognized(FORMAT, Problem::ContainerOfNoRecords))?;
        let name = &record.named.name;
        let subject = self.by_record_name.get(&**name).and_then(|subject| self.subjects.get(subject));
        let subject = subject.ok_or_else(|| {
            recognized(FORMAT, Problem::UnknownSchema(self.names.clean(SchemaReference::Name(name.clone()))))
        })?;
        let tracked = self.tracked.get(usize::from(subject.id().0)).unwrap_or(NOTHING_TRACKED);
        let reader = subject.newest().schema();
        let incompatible = |mismatches| recognized(FORMAT, Problem::Incompatible(self.names.clean(mismatches)));
        let units = self.units.iter().filter(|(of, _)| *of == subject.id());
        let other_units: Vec<_> = units.filter_map(|(_, unit)| unit.mismatch(&writer, reader)).collect();
        if !other_units.is_empty() {
            return Err(incompatible(other_units));
        }
        let compile =
            |purpose| plan::compile(&writer, reader, tracked, purpose, SchemaOrigin::Container).map_err(incompatible);
        let (store, delete) = (compile(Purpose::Store)?, compile(Purpose::Delete)?);
        let plan = Arc::new(ContainerPlan { subject: subject.id(), store, delete });
        self.containers.put(text, Arc::clone(&plan));
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Arc<ContainerPlan> {
        let schema =
            Schema::parse(r#"{"type": "record", "name": "R", "fields": [{"name": "f", "type": "int"}]}"#).unwrap();
        let compile =
            |purpose| plan::compile(&schema, &schema, NOTHING_TRACKED, purpose, SchemaOrigin::Container).unwrap();
        let (store, delete) = (compile(Purpose::Store), compile(Purpose::Delete));
        Arc::new(ContainerPlan { subject: SubjectId(0), store, delete })
    }

    #[test]
    fn plans_are_remembered_as_long_as_they_are_used() {
        let size = plan().size("00");
        let cache = PlanCache { capacity: 20 * size, cached: Mutex::default() };
        let known = |text: usize| cache.get(&format!("{text:02}")).is_some();
        for text in 0..17 {
            assert!(!known(text));
            cache.put(&format!("{text:02}"), plan());
        }
        // Using them in turn does not evict any of them.
        assert!((0..3).all(|_| (0..17).all(known)));
        // Unknown schemas are added and evicted, and the schema that is in use remains.
        for text in 20..80 {
            cache.put(&format!("{text:02}"), plan());
            assert!(known(0));
        }
        assert!(!known(1) && known(79) && known(61));
        let cached = cache.cached.lock().unwrap();
        let sizes = cached.plans.iter().map(|(text, plan)| plan.size(text));
        assert_eq!((cached.size, cached.plans.len()), (sizes.sum(), 20));
    }

    #[test]
    fn a_directory_of_many_schemas_has_room_for_the_plans_of_all() {
        let bytes = 1_000_000;
        assert_eq!(PlanCache::new(bytes).capacity, bytes * CACHED_BYTES_PER_SCHEMA_BYTE);
        assert_eq!(PlanCache::new(0).capacity, MIN_CACHED_BYTES);
    }
}

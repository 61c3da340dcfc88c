//! Reads containers, whose schema comes with them.

use super::{Attempt, Decoded, Decoder, Failure, Scratch, recognized, unread};
use crate::{
    avro::{
        container::Container,
        error::Problem,
        inflate::inflate,
        path::WithPath,
        plan::{self, Plan, Presence, TrackedFields},
        schema::Schema,
        walk::{self, Budget, Ending},
        wire_format::WireFormat,
    },
    record::{RecordVisitor, SubjectId},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// How many containers' schemas are remembered with their plans. Each costs its text and at most some megabytes.
const CACHED_PLANS: usize = 16;

/// Plans for schemas that containers brought, by their text.
///
/// Not by a fingerprint: that of the canonical form leaves out names of logical types and aliases, which the resolution
/// needs, and a shorter one of the text could be made to collide.
#[derive(Debug, Default)]
pub(super) struct PlanCache(Mutex<VecDeque<(Box<str>, Arc<ContainerPlan>)>>);

#[derive(Debug)]
struct ContainerPlan {
    subject: SubjectId,
    plan: Plan,
}

impl PlanCache {
    fn get(&self, text: &str) -> Option<Arc<ContainerPlan>> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cached.iter().find(|(known, _)| **known == *text).map(|(_, plan)| Arc::clone(plan))
    }

    /// Remembers a plan, and forgets the oldest if there are too many.
    fn put(&self, text: &str, plan: Arc<ContainerPlan>) {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.len() >= CACHED_PLANS {
            cached.pop_front();
        }
        cached.push_back((text.into(), plan));
    }
}

const FORMAT: WireFormat = WireFormat::Container;

const NOTHING_TRACKED: &TrackedFields = &TrackedFields::new();

impl Decoder {
    pub(super) fn container<V: RecordVisitor>(&self, body: &[u8], scratch: &mut Scratch, visitor: &mut V) -> Attempt {
        let Some(opened) = Container::open(body) else { return Ok(None) };
        let mut container = opened.map_err(|problem| recognized(FORMAT, Problem::Container(problem)))?;
        let plan = self.container_plan(container.schema)?;
        let mut budget = Budget::new(self.limits);
        let mut records = 0_usize;
        while let Some(block) =
            container.next_block().map_err(|problem| recognized(FORMAT, Problem::Container(problem)))?
        {
            let first = records;
            records = records.saturating_add(block.records);
            if records > self.limits.max_records {
                let problem = Problem::Limit { what: "records", limit: self.limits.max_records };
                return Err(recognized(FORMAT, problem));
            }
            let Scratch { keys, buffer } = scratch;
            let mut data = match container.compression {
                None => block.data,
                Some(compression) => {
                    let data = inflate(compression, block.data, budget.expansion(), &self.limits, buffer)
                        .map_err(|error| recognized(FORMAT, Problem::InflateBlock(error)))?;
                    budget.expand(data.len()).map_err(|error| unread(FORMAT, first, WithPath::here(error)))?;
                    data
                }
            };
            if block.records == 0 && !data.is_empty() {
                return Err(recognized(FORMAT, Problem::Container("a block without records has data")));
            }
            for record in first..records {
                let ending = if record + 1 == records { Ending::Last } else { Ending::More };
                let place = (plan.subject, Some(record));
                data = walk::read_record(&plan.plan, place, (data, ending), &mut budget, keys, visitor)
                    .map_err(|error| unread(FORMAT, record, error))?;
            }
        }
        Ok(Some(Decoded { format: FORMAT, subject: plan.subject, version: None, records }))
    }

    /// The plan that reads records of the schema in `text`, whose name must be one of a subject's reader schema.
    fn container_plan(&self, text: &str) -> Result<Arc<ContainerPlan>, Failure> {
        if let Some(plan) = self.containers.get(text) {
            return Ok(plan);
        }
        if text.len() > self.limits.max_schema_bytes {
            let problem = Problem::Limit { what: "bytes of schema", limit: self.limits.max_schema_bytes };
            return Err(recognized(FORMAT, problem));
        }
        let writer = Schema::parse(text).map_err(|error| recognized(FORMAT, Problem::ContainerSchema(error)))?;
        let record = writer.record().ok_or_else(|| recognized(FORMAT, Problem::ContainerOfNoRecords))?;
        let name = &record.named.name;
        let subject = self.by_record_name.get(&**name).and_then(|subject| self.subjects.get(subject));
        let subject = subject.ok_or_else(|| recognized(FORMAT, Problem::UnknownSchema(name.clone())))?;
        let tracked = self.tracked.get(usize::from(subject.id().0)).unwrap_or(NOTHING_TRACKED);
        let plan = plan::compile(&writer, subject.newest().schema(), tracked, Presence::Full)
            .map_err(|mismatches| recognized(FORMAT, Problem::Incompatible(mismatches)))?;
        let plan = Arc::new(ContainerPlan { subject: subject.id(), plan });
        self.containers.put(text, Arc::clone(&plan));
        Ok(plan)
    }
}

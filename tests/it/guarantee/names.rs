//! Tests of one table under two names: one subject uses its name and another its ARN.

use super::messages::{ORDERS, Sent, State, Subject, Write, state_of};
use super::{handler, healthy, invoke};
use crate::support::random::Random;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

#[tokio::test(start_paused = true)]
async fn of_equal_keys_the_last_stays_whichever_name_of_the_table_its_subject_has() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let table = healthy();
        let mut expected: BTreeMap<String, State> = BTreeMap::new();
        let batch: Vec<Sent> = (0..2 + random.below(30))
            .map(|number| {
                let subject = if random.percent(50) { Subject::Plain } else { Subject::Twin };
                let (id, note) = (format!("o{}", random.below(4)), format!("note {number}"));
                let write = Write { subject, id, version: Some(0), note, delete: random.percent(30) };
                expected.insert(write.id.clone(), write.apply(&None));
                Sent::single(&format!("m{number}"), write)
            })
            .collect();
        let (returned, figures) = invoke(&handler(&table, seed), &batch, "standard").await;
        assert_eq!(returned, BTreeSet::new(), "seed {seed}");
        for (id, state) in &expected {
            let there = table.item(ORDERS, &json!({"id": {"S": id}}).to_string());
            assert_eq!(state_of(there.as_ref()), *state, "seed {seed}, {id}");
        }
        assert_eq!(table.calls(), 1, "seed {seed}: one call must hold the items of both subjects");
        assert_eq!(figures["MessagesSuperseded"], batch.len() - expected.len(), "seed {seed}");
    }
}

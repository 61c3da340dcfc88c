//! `make chaos`: three queues processed at once by the real binary under faults. Endpoints throttle, refuse calls, break
//! connections, do not respond and return malformed responses. All connections stop responding at once, credentials expire, one
//! service has a different clock, and processes are killed. No message may be lost, written out of order or missing from the
//! metrics, and each planned fault must have affected an invocation.
//!
//! `CHAOS_MESSAGES` sets the number of messages. `CHAOS_SEED` selects other messages and faults. `CHAOS_RETURN_BACKOFF` sets
//! the function's `RETURN_BACKOFF_SECONDS`. `CHAOS_BOOTSTRAP` is the path of a binary to test instead of the one built with
//! this test. A run waits most of the time, so several runs can share a machine.
mod report;
mod traffic;

use local::credentials::CredentialsEndpoint;
use local::dynamodb::{Embedded, Table};
use local::faults::{Plan, Proxy};
use local::lambda::{Function, Settings};
use local::mapping::Mapping;
use local::sqs::{Attribute, Endpoint};
use report::Report;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;
use traffic::{ORDERS, STATES, STEPS, Traffic};

const DEFAULT_MESSAGES: u64 = 30_000;
/// Timeout of the functions. It is short, so that stuck messages often reach the deadline.
const TIMEOUT: Duration = Duration::from_secs(6);
const DEADLINE_MARGIN: Duration = Duration::from_millis(1_000);
/// Interval at which processes are killed.
const KILL_EVERY: Duration = Duration::from_millis(1_500);
const REVOKE_EVERY: u32 = 3;
/// Number of kills after which all connections to DynamoDB stop responding, as in a failover of a gateway.
const FAIL_OVER_EVERY: u32 = 5;
/// Number of kills between two progress lines.
const PROGRESS_EVERY: u32 = 7;
const MEMORY_MB: u32 = 512;

fn environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the environment configures the test")]
    std::env::var(name).ok()
}

fn seed() -> u64 {
    environment("CHAOS_SEED").map_or(0, |number| number.parse().unwrap())
}

/// Returns the plan in the file `name`. If `healed` is set, faults that affect a specific key are removed.
fn plan(name: &str, healed: bool) -> Plan {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/chaos").join(name);
    let mut plan: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    if healed {
        plan["faults"].as_array_mut().unwrap().retain(|fault| fault["when"]["text"].is_null());
    }
    plan["seed"] = (plan["seed"].as_u64().unwrap() + seed()).into();
    serde_json::from_value(plan).unwrap()
}

/// The DynamoDB endpoint of one region: its faults, its clock and the credentials it accepts.
struct Region {
    clock_ahead_seconds: i64,
    dynamodb: Proxy,
    credentials: CredentialsEndpoint,
    credentials_proxy: Proxy,
}

impl Region {
    fn start(database: &Embedded, clock_ahead_seconds: i64) -> Self {
        let credentials = CredentialsEndpoint::start(0, Duration::from_secs(90), clock_ahead_seconds).unwrap();
        let plan_of_calls = plan("plan.json", false).with_clock_ahead(clock_ahead_seconds);
        let dynamodb = Proxy::start(0, database.address(), plan_of_calls).unwrap();
        dynamodb.require_credentials_of(&credentials);
        let plan_of_loads = plan("quarantine.json", false).seeded(8 + seed());
        let credentials_proxy = Proxy::start(0, credentials.address(), plan_of_loads).unwrap();
        Self { clock_ahead_seconds, dynamodb, credentials, credentials_proxy }
    }

    /// Removes the faults that affect a specific key.
    fn heal(&self) {
        self.dynamodb.set_plan(plan("plan.json", true).with_clock_ahead(self.clock_ahead_seconds));
    }
}

struct Scene {
    database: Embedded,
    quarantine: Endpoint,
    sqs: Proxy,
    region: Region,
    /// Another region with the same database. Its clock is 15 minutes ahead of this machine's.
    region_ahead: Region,
    schemas: PathBuf,
}

impl Scene {
    async fn start() -> Self {
        let database = Embedded::start(0).unwrap();
        for table in [ORDERS, STATES, STEPS] {
            database.client().create_table(&Table::keyed_by(table, "id")).await.unwrap();
        }
        let quarantine = Endpoint::start(0, "quarantine").unwrap();
        let sqs = Proxy::start(0, quarantine.address(), plan("quarantine.json", false)).unwrap();
        let (region, region_ahead) = (Region::start(&database, 0), Region::start(&database, 15 * 60));
        let schemas = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-schemas-{}", seed()));
        traffic::write_schemas(&schemas);
        Self { database, quarantine, sqs, region, region_ahead, schemas }
    }

    async fn function(&self, max_concurrency: u32, region: &Region, quarantines: bool) -> Function {
        let bootstrap = environment("CHAOS_BOOTSTRAP").unwrap_or_else(|| env!("CARGO_BIN_EXE_avro-ingest").to_owned());
        let mut settings = Settings { memory_mb: MEMORY_MB, ..Settings::new(bootstrap) };
        settings.max_concurrency = NonZero::new(max_concurrency).unwrap();
        let variables = [
            ("TABLE_NAME", ORDERS.to_owned()),
            ("SCHEMA_DIR", self.schemas.display().to_string()),
            ("DEADLINE_MARGIN_MS", DEADLINE_MARGIN.as_millis().to_string()),
            ("AWS_ENDPOINT_URL_DYNAMODB", region.dynamodb.url()),
            ("AWS_ENDPOINT_URL_SQS", self.sqs.url()),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/credentials", region.credentials_proxy.url())),
            // credentials in environment variables would take precedence
            ("AWS_ACCESS_KEY_ID", String::new()),
            ("AWS_SECRET_ACCESS_KEY", String::new()),
            ("AWS_SESSION_TOKEN", String::new()),
        ];
        settings.environment.extend(variables.map(|(name, value)| (name.to_owned(), value)));
        if let Some(seconds) = environment("CHAOS_RETURN_BACKOFF") {
            settings.environment.insert("RETURN_BACKOFF_SECONDS".to_owned(), seconds);
        }
        if quarantines {
            settings.environment.insert("QUARANTINE_QUEUE_URL".to_owned(), self.quarantine.queue_url());
        }
        Function::start(settings).await.unwrap()
    }

    /// Kills one process after another and revokes credentials, as long as this future is polled.
    async fn disturb(&self, functions: &[Function], report: &RefCell<Report>) {
        for turn in 1.. {
            tokio::time::sleep(KILL_EVERY).await;
            let met = functions[turn as usize % functions.len()].kill();
            report.borrow_mut().killed(met);
            if turn % PROGRESS_EVERY == 0 {
                println!("{}; {:?}", report.borrow().progress(), self.region.dynamodb.injected_with_content());
            }
            if turn % FAIL_OVER_EVERY == 0 {
                self.region.dynamodb.kill_connections_silently();
                self.region_ahead.dynamodb.kill_connections_silently();
            }
            if turn % REVOKE_EVERY == 0 {
                self.region.credentials.revoke();
                self.region_ahead.credentials.revoke();
            }
        }
    }

    /// Returns the ids of the messages in the quarantine queue.
    fn quarantined(&self) -> BTreeSet<String> {
        let id = |sent: &local::sqs::Sent| match &sent.message.attributes["source_message_id"] {
            Attribute::String(id) => id.clone(),
            other => panic!("{other:?}"),
        };
        self.quarantine.sent().iter().map(id).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make chaos"]
async fn nothing_is_lost_misordered_or_unaccounted_for() {
    let messages = environment("CHAOS_MESSAGES").map_or(DEFAULT_MESSAGES, |number| number.parse().unwrap());
    let scene = Scene::start().await;
    let mut orders = traffic::orders(&scene.schemas, messages * 6 / 10);
    let mut states = traffic::states(&scene.schemas, messages / 4);
    let mut steps = traffic::steps(&scene.schemas, messages * 15 / 100);
    for traffic in [&orders, &states, &steps] {
        scene.quarantine.change_visibility_of(&traffic.queue);
    }
    let functions = [
        scene.function(1, &scene.region, true).await,
        scene.function(4, &scene.region, true).await,
        scene.function(2, &scene.region_ahead, false).await,
        scene.function(1, &scene.region, true).await,
    ];

    let report = RefCell::new(Report::default());
    let standard = Mapping { batch_size: 100, timeout: TIMEOUT };
    // each versioned item is written by a separate call
    let versioned = Mapping { batch_size: 20, ..standard };
    let fifo = Mapping { batch_size: 10, timeout: TIMEOUT };
    let ordered = orders.sent;
    let drains = async {
        tokio::join!(
            standard.drain(&mut orders.queue, &functions[..2], |totals, invocation| {
                report.borrow_mut().ended(invocation, &functions[..2]);
                if totals.acknowledged > ordered * 9 / 10 && !report.borrow().is_healed {
                    report.borrow_mut().is_healed = true;
                    scene.region.heal();
                    scene.region_ahead.heal();
                }
            }),
            versioned.drain(&mut states.queue, &functions[2..3], |_, invocation| {
                report.borrow_mut().ended(invocation, &functions[2..3]);
            }),
            fifo.drain(&mut steps.queue, &functions[3..], |_, invocation| {
                report.borrow_mut().ended(invocation, &functions[3..]);
            }),
        )
    };
    let totals = tokio::select! {
        totals = drains => <[_; 3]>::from(totals),
        () = scene.disturb(&functions, &report) => unreachable!("it never completes"),
    };
    let mut report = report.into_inner();
    for function in functions {
        if let Ok(usage) = function.usage() {
            report.used(usage.peak_resident_bytes);
        }
        report.read(&function.stop().await);
    }
    report.print(messages, &totals);
    let injected = scene.region.dynamodb.injected_with_content();
    // a process may learn the service's time before its first invocation, so all calls are counted
    let skewed = scene.region_ahead.dynamodb.injected();
    println!("faults {injected:?}\nwith another clock {skewed:?}\nof the quarantine queue {:?}", scene.sqs.injected());

    for (traffic, totals) in [&orders, &states, &steps].into_iter().zip(&totals) {
        assert_eq!(totals.remaining, 0);
        assert_eq!(totals.acknowledged + totals.dead_lettered, traffic.sent);
    }
    let scan = async |table: &str| scene.database.client().scan(table).await.unwrap();
    orders.check_in_order(scan(ORDERS).await);
    states.check_versions(scan(STATES).await);
    steps.check_in_order(scan(STEPS).await);
    let dead = |traffic: &Traffic| -> BTreeSet<String> {
        traffic.queue.dead_letters().iter().map(|letter| letter.message_id.clone()).collect()
    };
    assert_eq!(dead(&orders), BTreeSet::new());
    assert_eq!(dead(&states), states.poison, "exactly the poison messages are dead-lettered");
    assert_eq!(dead(&steps), BTreeSet::new());
    let poison: BTreeSet<_> = orders.poison.union(&steps.poison).cloned().collect();
    assert_eq!(scene.quarantined(), poison, "exactly the poison messages are quarantined");

    report.check(&totals, u64::from(MEMORY_MB) << 20);
    let planned: Value = serde_json::to_value(plan("plan.json", false)).unwrap();
    for fault in planned["faults"].as_array().unwrap() {
        let name = report::name_of(&fault["fault"]);
        assert!(injected.get(name.as_str()).is_some_and(|count| *count > 0), "{name} met no invocation: {injected:?}");
    }
    assert!(injected.get("ExpiredTokenException").is_some_and(|count| *count > 0), "no revoked credentials were used");
    assert!(
        skewed.get("InvalidSignatureException").is_some_and(|count| *count > 0),
        "no signature was refused for its date"
    );
    assert!(scene.sqs.injected().len() == 3, "a fault of the quarantine queue is missing: {:?}", scene.sqs.injected());
}

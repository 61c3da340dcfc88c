//! Decides which fault a request meets, as a pure function of the plan, its seed and the request's number.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::target::{RequestFacts, Target};
use crate::random;

/// A fault. Plan files spell its name in snake case: `"reset_after"`, `{"stall_before": {"milliseconds": 500}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The call is refused with an error and is not applied.
    Error {
        /// The error's code.
        code: ErrorCode,
        /// Reasons that a throttling error reports. Default: none.
        #[serde(default)]
        reasons: Vec<ThrottlingReason>,
    },
    /// The proxy holds back some items of a `BatchWriteItem` and returns them as unprocessed. The others are applied. Other
    /// operations are unaffected. The endpoint does not see the items held back, so an invalid one is refused only when it is
    /// forwarded.
    Unprocessed {
        /// Probability, 0 to 1, of holding back each item, independently of the others. A call none of whose items is
        /// selected is unaffected.
        share: f64,
    },
    /// The connection is reset before the call is applied.
    ResetBefore,
    /// The connection is reset after the call is applied.
    ResetAfter,
    /// The call waits before it is applied. If the client disconnects first, it is not applied.
    StallBefore {
        /// Length of the wait.
        milliseconds: u64,
    },
    /// The call is applied at once, but its response is delayed.
    StallAfter {
        /// Length of the delay.
        milliseconds: u64,
    },
    /// The connection stays open, but the call is not applied and gets no response.
    Silent,
    /// The call is applied. The first half of its response is sent, then nothing more, and the connection stays open.
    HalfAnswer,
    /// A gateway between client and service refuses the call with an HTML page. The call is not applied.
    GatewayError {
        /// The HTTP status, such as 413 or 502.
        status: u16,
    },
    /// The response is sent slowly, in pieces.
    SlowBytes {
        /// Time from the first piece to the last.
        milliseconds: u64,
    },
    /// The call is applied. Its response is HTTP 200 with the first half of the JSON and a matching content length.
    Truncated,
    /// The call is applied. Its response is HTTP 200 with an HTML page.
    WrongContent,
}

impl Fault {
    /// Returns its name in [`Proxy::injected`](super::Proxy::injected): the error code for [`Fault::Error`], and the name used
    /// in plan files for all others.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Error { code, .. } => code.name(),
            Self::Unprocessed { .. } => "unprocessed",
            Self::ResetBefore => "reset_before",
            Self::ResetAfter => "reset_after",
            Self::StallBefore { .. } => "stall_before",
            Self::StallAfter { .. } => "stall_after",
            Self::Silent => "silent",
            Self::HalfAnswer => "half_answer",
            Self::GatewayError { .. } => "gateway_error",
            Self::SlowBytes { .. } => "slow_bytes",
            Self::Truncated => "truncated",
            Self::WrongContent => "wrong_content",
        }
    }
}

/// Declares the error codes in one table: the HTTP status and the namespace of `__type` for each.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $status:literal $namespace:literal,)+) => {
        /// A DynamoDB error code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum ErrorCode { $($(#[$doc])* $name,)+ }

        impl ErrorCode {
            /// All error codes.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Returns the code, such as `ThrottlingException`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// Returns the HTTP status of the error's response.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }

            /// Returns the value of `__type`: the namespace and the code.
            pub(super) const fn qualified_name(self) -> &'static str {
                match self { $(Self::$name => concat!($namespace, "#", stringify!($name)),)+ }
            }
        }
    };
}

error_codes! {
    /// The throughput of a table, an index or a partition is exceeded.
    ProvisionedThroughputExceededException = 400 "com.amazonaws.dynamodb.v20120810",
    /// A request rate is exceeded. The service does not specify which one.
    ThrottlingException = 400 "com.amazon.coral.availability",
    /// The account's throughput is exceeded.
    RequestLimitExceeded = 400 "com.amazonaws.dynamodb.v20120810",
    /// The service failed.
    InternalServerError = 500 "com.amazonaws.dynamodb.v20120810",
    /// The service is unavailable.
    ServiceUnavailable = 503 "com.amazonaws.dynamodb.v20120810",
    /// The credentials have expired.
    ExpiredTokenException = 400 "com.amazon.coral.service",
    /// The credentials are unknown.
    UnrecognizedClientException = 400 "com.amazon.coral.service",
    /// The signature is wrong or its date is too far from the service's clock.
    InvalidSignatureException = 400 "com.amazon.coral.service",
    /// The call or one of its items is invalid.
    ValidationException = 400 "com.amazon.coral.validate",
    /// The caller lacks the permission.
    AccessDeniedException = 400 "com.amazon.coral.service",
    /// The table does not exist.
    ResourceNotFoundException = 400 "com.amazonaws.dynamodb.v20120810",
}

/// The resource that is throttled, and the limit that it exceeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThrottlingReason {
    /// DynamoDB's name of the reason: `TableWriteProvisionedThroughputExceeded`, `TableWriteKeyRangeThroughputExceeded`,
    /// `TableWriteMaxOnDemandThroughputExceeded` or `TableWriteAccountLimitExceeded`, or one of these names with `IndexWrite`
    /// instead of `TableWrite`.
    pub reason: String,
    /// The ARN of the table or index.
    pub resource: String,
}

/// A fault, the requests it applies to, and its probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chance {
    /// Share of the target's requests that meet the fault, 0 to 1.
    pub probability: f64,
    /// The fault.
    pub fault: Fault,
    /// Requests the fault applies to. Default: all.
    #[serde(default, rename = "when", skip_serializing_if = "Target::is_everything")]
    pub target: Target,
}

impl Chance {
    /// Creates a fault that can affect any request.
    pub fn new(probability: f64, fault: Fault) -> Self {
        Self { probability, fault, target: Target::default() }
    }

    /// Creates a fault that affects every request of `target`.
    pub fn always(target: Target, fault: Fault) -> Self {
        Self { probability: 1.0, fault, target }
    }
}

/// Assigns faults to requests. Faults with a target take precedence over those that apply to any request. Example of a plan
/// file:
///
/// ```json
/// {"seed": 7, "clock_ahead_seconds": 0, "faults": [
///     {"probability": 1, "fault": {"error": {"code": "InternalServerError"}}, "when": {"text": "order-7"}},
///     {"probability": 1, "fault": "silent", "when": {"one_connection_in": 50}},
///     {"probability": 0.05, "fault": {"unprocessed": {"share": 0.5}}},
///     {"probability": 0.01, "fault": "reset_after"},
///     {"probability": 0.01, "fault": {"error": {"code": "ThrottlingException"}}}
/// ]}
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Plan {
    seed: u64,
    /// Number of seconds by which the service's clock is ahead of this machine's.
    clock_ahead_seconds: i64,
    faults: Vec<Chance>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    seed: u64,
    #[serde(default)]
    clock_ahead_seconds: i64,
    faults: Vec<Chance>,
}

impl TryFrom<Unchecked> for Plan {
    type Error = InvalidPlan;

    fn try_from(Unchecked { seed, clock_ahead_seconds, faults }: Unchecked) -> Result<Self, InvalidPlan> {
        Ok(Self::new(seed, faults)?.with_clock_ahead(clock_ahead_seconds))
    }
}

/// Reason why a plan is invalid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum InvalidPlan {
    /// A probability or share is not between 0 and 1.
    NotAShare(f64),
    /// The probabilities of the faults without a target add up to more than 1, but a request meets at most one fault.
    OverOne(f64),
}

impl fmt::Display for InvalidPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAShare(number) => write!(f, "{number} is not from 0 to 1"),
            Self::OverOne(sum) => write!(f, "the probabilities add up to {sum}, over 1"),
        }
    }
}

impl std::error::Error for InvalidPlan {}

impl Plan {
    /// Creates a plan in which each request meets at most one of `faults`.
    ///
    /// # Errors
    /// Returns an error if a probability or share is not between 0 and 1, or if the probabilities of the faults without a
    /// target add up to more than 1.
    pub fn new(seed: u64, faults: Vec<Chance>) -> Result<Self, InvalidPlan> {
        for Chance { probability, fault, .. } in &faults {
            let share = if let Fault::Unprocessed { share } = fault { *share } else { 0.0 };
            if let Some(number) = [*probability, share].into_iter().find(|number| !(0.0..=1.0).contains(number)) {
                return Err(InvalidPlan::NotAShare(number));
            }
        }
        let untargeted = faults.iter().filter(|chance| chance.target.is_everything());
        let sum: f64 = untargeted.map(|chance| chance.probability).sum();
        // tolerates rounding: 0.1 added ten times is not exactly 1
        if sum > 1.0 + 1e-9 {
            return Err(InvalidPlan::OverOne(sum));
        }
        Ok(Self { seed, clock_ahead_seconds: 0, faults })
    }

    /// Creates a plan without faults.
    pub fn none() -> Self {
        Self { seed: 0, clock_ahead_seconds: 0, faults: Vec::new() }
    }

    /// Creates a plan in which every request meets `fault`.
    ///
    /// # Errors
    /// Returns an error if the fault's share is not between 0 and 1.
    pub fn always(fault: Fault) -> Result<Self, InvalidPlan> {
        Self::new(0, vec![Chance::new(1.0, fault)])
    }

    /// Replaces the seed.
    #[must_use]
    pub fn seeded(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Sets by how many seconds the service's clock is ahead of this machine's, or behind it if negative. The service then
    /// refuses signatures that are more than five minutes from its own time, and returns its time in each response.
    #[must_use]
    pub fn with_clock_ahead(self, seconds: i64) -> Self {
        Self { clock_ahead_seconds: seconds, ..self }
    }

    pub(super) fn clock_ahead_seconds(&self) -> i64 {
        self.clock_ahead_seconds
    }

    /// Returns the fault that `request` meets.
    pub(super) fn fault(&self, request: &RequestFacts<'_>) -> Option<&Fault> {
        let mut left = random::share(self.seed, request.number);
        let targeted = self.faults.iter().filter(|chance| !chance.target.is_everything());
        let untargeted = self.faults.iter().filter(|chance| chance.target.is_everything());
        let mut applicable = targeted.chain(untargeted).filter(|chance| chance.target.includes(request));
        let chance = applicable.find(|chance| {
            left -= chance.probability;
            left < 0.0
        });
        chance.map(|chance| &chance.fault)
    }

    /// Returns the positions of the items to hold back, out of `count` items in this request. `held` is the probability for
    /// each item.
    pub(super) fn held_back(&self, request: u64, count: usize, held: f64) -> BTreeSet<usize> {
        let seed = random::number(!self.seed, request);
        (0..count).filter(|position| random::share(seed, *position as u64) < held).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chance(probability: f64, fault: Fault) -> Chance {
        Chance::new(probability, fault)
    }

    fn fault(plan: &Plan, number: u64) -> Option<&Fault> {
        plan.fault(&RequestFacts { number, connection: 1, target: "", body: b"" })
    }

    #[test]
    fn a_fault_with_a_target_meets_its_requests_and_no_others() {
        let faults = vec![chance(1.0, Fault::Truncated), Chance::always(Target::text("bad"), Fault::Silent)];
        let plan = Plan::new(0, faults).unwrap();
        let met = |body| plan.fault(&RequestFacts { number: 3, connection: 1, target: "", body });
        assert_eq!(met(br#"{"S":"bad"}"#), Some(&Fault::Silent));
        assert_eq!(met(br#"{"S":"good"}"#), Some(&Fault::Truncated));
    }

    #[test]
    fn each_fault_comes_as_often_as_its_probability_says_and_always_to_the_same_requests() {
        let faults =
            vec![chance(0.1, Fault::ResetBefore), chance(0.3, Fault::Truncated), chance(0.0, Fault::ResetAfter)];
        let plan = Plan::new(7, faults).unwrap();
        let drawn: Vec<_> = (0..10_000).map(|request| fault(&plan, request)).collect();
        let count = |fault| drawn.iter().filter(|drawn| **drawn == fault).count();
        assert!((900..1100).contains(&count(Some(&Fault::ResetBefore))));
        assert!((2800..3200).contains(&count(Some(&Fault::Truncated))));
        assert_eq!(count(Some(&Fault::ResetAfter)), 0);
        assert!((5700..6300).contains(&count(None)));
        assert_eq!(drawn, (0..10_000).map(|request| fault(&plan, request)).collect::<Vec<_>>());
        let other = plan.clone().seeded(8);
        assert_ne!(drawn, (0..10_000).map(|request| fault(&other, request)).collect::<Vec<_>>());
    }

    #[test]
    fn a_certain_fault_comes_to_every_request_and_no_plan_brings_none() {
        let certain = Plan::always(Fault::WrongContent).unwrap();
        let tenths = Plan::new(0, vec![chance(0.1, Fault::Truncated); 10]).unwrap();
        for request in 0..10_000 {
            assert_eq!(fault(&certain, request), Some(&Fault::WrongContent));
            assert_eq!(fault(&tenths, request), Some(&Fault::Truncated));
            assert_eq!(fault(&Plan::none(), request), None);
        }
    }

    #[test]
    fn the_share_of_items_that_is_held_back_is_the_same_for_small_calls_and_large_ones() {
        let plan = Plan::none();
        for count in [1, 10, 25] {
            let held = |share| (0..10_000).map(|request| plan.held_back(request, count, share).len()).sum::<usize>();
            assert_eq!([held(0.0), held(1.0)], [0, 10_000 * count]);
            let share = held(0.1) as f64 / (10_000 * count) as f64;
            assert!((0.09..0.11).contains(&share), "{share} of calls of {count}");
        }
    }

    #[test]
    fn a_plan_is_read_from_a_file_and_its_mistakes_are_found() {
        let read = |plan: &str| serde_json::from_str::<Plan>(plan);
        let plan = r#"{"seed": 7, "clock_ahead_seconds": -600, "faults": [
            {"probability": 1, "fault": "silent", "when": {"text": "order-7", "operation": "PutItem"}},
            {"probability": 0.25, "fault": {"unprocessed": {"share": 0.5}}},
            {"probability": 0.25, "fault": "reset_after"},
            {"probability": 0.25, "fault": {"error": {"code": "ThrottlingException"}}},
            {"probability": 0.25, "fault": {"error": {"code": "RequestLimitExceeded",
                "reasons": [{"reason": "TableWriteAccountLimitExceeded", "resource": "arn:x"}]}}}]}"#;
        let plan = read(plan).unwrap();
        assert_eq!(read(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
        for (mistake, complaint) in [
            (r#"{"seed": 7, "faults": [{"probability": 1.5, "fault": "truncated"}]}"#, "1.5 is not from 0 to 1"),
            (r#"{"seed": 7, "faults": [{"probability": 1, "fault": {"unprocessed": {"share": -1}}}]}"#, "-1 is not"),
            (
                r#"{"seed": 7, "faults": [{"probability": 0.75, "fault": "truncated"}, {"probability": 0.75, "fault": "truncated"}]}"#,
                "over 1",
            ),
            (r#"{"seed": 7, "faults": [{"probability": 1, "fault": "earthquake"}]}"#, "unknown variant"),
            (
                r#"{"seed": 7, "faults": [{"probability": 1, "fault": {"stall_after": {"seconds": 1}}}]}"#,
                "unknown field",
            ),
            (r#"{"seed": 7, "faults": [], "fault": []}"#, "unknown field"),
        ] {
            let error = read(mistake).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
    }
}

//! The outcome of each message, and the ledger that must balance.

use std::borrow::Cow;
use std::fmt;

/// The final outcome of a message. It starts as [`Outcome::Returned`], so that a message that is forgotten or dropped, or
/// whose processing panics, counts as a failure and is never acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every item of the message is in its table.
    Stored,
    /// A later message of the batch with the same key, or a newer item in the table, replaces the message and is durable.
    Superseded,
    /// The message can never be stored, and the quarantine queue accepted it.
    Quarantined(Rejection),
    /// The message is returned to the queue.
    Returned(Cause),
}

/// The reason why a message is returned to the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The message is not known to be stored. The text is the cause of the last failure.
    Failed(Cow<'static, str>),
    /// A write of the message, or of its predecessor, got no response and may still take effect. The message stays
    /// invisible until it can no longer do so.
    Ambiguous(Cow<'static, str>),
    /// No retry can help, and no quarantine queue accepted the message. It is redelivered until it reaches the dead-letter
    /// queue.
    Rejected(Rejection),
    /// The table refuses the message until an operator fixes a problem.
    Denied(Box<str>),
    /// An earlier message of its FIFO group was not stored.
    Blocked,
}

/// The reason why no retry can help a message: a stable code for programs and a sentence for people. It never contains
/// parts of the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The kind of problem, from a closed list.
    pub reason: Reason,
    /// Details of the problem and its location.
    pub detail: Box<str>,
}

impl Rejection {
    /// Creates a rejection for `reason`, explained by `detail`.
    pub fn new(reason: Reason, detail: &dyn fmt::Display) -> Self {
        Self { reason, detail: detail.to_string().into() }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.code(), self.detail)
    }
}

impl std::error::Error for Rejection {}

/// Declares the reasons, their codes and the list of all reasons in one table, so that they always agree.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)+) => {
        /// The reason why no retry can help a message. The codes are stable, because they appear in logs, metrics and
        /// quarantined messages.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $name,)+ }

        impl Reason {
            /// All reasons, in the order in which a message is checked.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Returns the stable code of this reason, in snake case.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }
        }
    };
}

reasons! {
    /// The body is missing or empty.
    MissingBody = "missing_body",
    /// The body is neither base64 nor in any other accepted format.
    InvalidBase64 = "invalid_base64",
    /// The body is an SNS envelope without a usable message.
    InvalidEnvelope = "invalid_envelope",
    /// A message attribute that the function reads has an invalid value.
    InvalidAttribute = "invalid_attribute",
    /// The bytes match none of the accepted wire formats.
    UnrecognizedFormat = "unrecognized_format",
    /// The header of the wire format is truncated or has an impossible value.
    InvalidHeader = "invalid_header",
    /// The schema that the message specifies is not in the schema directory.
    UnknownSchema = "unknown_schema",
    /// The wire format requires a schema name, and neither the message nor the settings specify one.
    SchemaRequired = "schema_required",
    /// The writer schema of a container cannot be read with the reader schema of the same name.
    IncompatibleSchema = "incompatible_schema",
    /// The container format is broken: magic, metadata, block, sync marker or checksum.
    InvalidContainer = "invalid_container",
    /// The datum ends before the record is complete.
    Truncated = "truncated",
    /// The datum has additional bytes after the end of the record.
    TrailingBytes = "trailing_bytes",
    /// The datum is not valid for its schema.
    MalformedDatum = "malformed_datum",
    /// The value cannot be represented in the reader schema, for example an unknown union branch or enum symbol.
    Unresolvable = "unresolvable",
    /// The body is not a JSON object that matches its schema.
    InvalidJson = "invalid_json",
    /// The message exceeds a limit on depth, length or number.
    LimitExceeded = "limit_exceeded",
    /// A number cannot be represented in DynamoDB.
    NumberOutOfRange = "number_out_of_range",
    /// A key is missing, empty, too long or of the wrong type.
    InvalidKey = "invalid_key",
    /// The item exceeds DynamoDB's size limit.
    ItemTooLarge = "item_too_large",
    /// The record cannot be an item for another reason: nesting, an attribute name, its time to live or its version.
    InvalidItem = "invalid_item",
    /// DynamoDB refused this particular item.
    RefusedByTable = "refused_by_table",
}

/// The numbers of messages of an invocation. Each message counts in exactly one of `stored`, `superseded`, `quarantined`
/// and `returned`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Number of messages in the event.
    pub received: usize,
    /// See [`Outcome::Stored`].
    pub stored: usize,
    /// See [`Outcome::Superseded`].
    pub superseded: usize,
    /// See [`Outcome::Quarantined`].
    pub quarantined: usize,
    /// See [`Outcome::Returned`].
    pub returned: usize,
    /// Number of messages whose outcome was durable although their [`Evidence`] did not confirm it. They are returned.
    pub unproven: usize,
}

impl Ledger {
    /// Checks the outcomes against the evidence and counts them. An outcome that would acknowledge a message without
    /// evidence is first changed to [`Outcome::Returned`].
    pub fn settle(evidence: &Evidence, outcomes: &mut [Outcome]) -> Self {
        let mut ledger = Self { received: evidence.0.len(), ..Self::default() };
        for (outcome, evidence) in outcomes.iter_mut().zip(&evidence.0) {
            if !evidence.proves(outcome) {
                ledger.unproven += 1;
                *outcome = Outcome::Returned(Cause::Failed("it was called durable without evidence".into()));
            }
            *match outcome {
                Outcome::Stored => &mut ledger.stored,
                Outcome::Superseded => &mut ledger.superseded,
                Outcome::Quarantined(_) => &mut ledger.quarantined,
                Outcome::Returned(_) => &mut ledger.returned,
            } += 1;
        }
        ledger
    }

    /// Returns the number of durable messages.
    pub fn durable(&self) -> usize {
        self.stored + self.superseded + self.quarantined
    }

    /// Returns the difference between the two counts. Any value other than 0 is a bug in this program.
    pub fn imbalance(&self) -> usize {
        self.unproven + self.received.abs_diff(self.durable() + self.returned)
    }
}

/// The messages that are proven to be durable. They are counted where the proof arises: when items complete, and when the
/// quarantine queue responds. The evidence is independent of the outcomes, so that the two can be compared.
#[derive(Debug)]
pub struct Evidence(Vec<MessageEvidence>);

#[derive(Debug, Clone, Copy, Default)]
struct MessageEvidence {
    /// Number of decoded records, or `None` if the message could not be decoded.
    records: Option<usize>,
    durable_items: usize,
    quarantined: bool,
}

impl Evidence {
    /// Creates empty evidence for `messages` messages.
    pub fn new(messages: usize) -> Self {
        Self(vec![MessageEvidence::default(); messages])
    }

    /// Records that the message at `position` contains `records` records.
    pub fn decoded(&mut self, position: usize, records: usize) {
        self.at(position, |message| message.records = Some(records));
    }

    /// Sets the number of items of the message at `position` that were written or superseded.
    pub fn items_are_durable(&mut self, position: usize, items: usize) {
        self.at(position, |message| message.durable_items = items);
    }

    /// Records that the quarantine queue accepted the message at `position`.
    pub fn quarantined(&mut self, position: usize) {
        self.at(position, |message| message.quarantined = true);
    }

    fn at(&mut self, position: usize, change: impl FnOnce(&mut MessageEvidence)) {
        if let Some(message) = self.0.get_mut(position) {
            change(message);
        }
    }
}

impl MessageEvidence {
    /// Returns whether the evidence confirms that this outcome loses no data.
    fn proves(self, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Stored | Outcome::Superseded => self.records == Some(self.durable_items),
            Outcome::Quarantined(_) => self.quarantined,
            Outcome::Returned(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection() -> Rejection {
        Rejection { reason: Reason::Truncated, detail: "".into() }
    }

    #[test]
    fn every_outcome_lands_in_its_own_figure() {
        let mut outcomes = [
            Outcome::Stored,
            Outcome::Stored,
            Outcome::Superseded,
            Outcome::Quarantined(rejection()),
            Outcome::Returned(Cause::Rejected(rejection())),
            Outcome::Returned(Cause::Failed("".into())),
            Outcome::Returned(Cause::Blocked),
        ];
        let mut evidence = Evidence::new(7);
        for position in 0..3 {
            evidence.decoded(position, 2);
            evidence.items_are_durable(position, 2);
        }
        evidence.quarantined(3);
        let ledger = Ledger::settle(&evidence, &mut outcomes);
        let figures = Ledger { received: 7, stored: 2, superseded: 1, quarantined: 1, returned: 3, unproven: 0 };
        assert_eq!((ledger, ledger.imbalance(), ledger.durable()), (figures, 0, 4));
        assert_eq!(Ledger::settle(&Evidence::new(8), &mut outcomes[4..7]).imbalance(), 5, "an outcome is missing");
    }

    #[test]
    fn a_message_is_not_acknowledged_without_evidence() {
        for (records, durable, proven) in [
            (None, 0, false),
            (None, 1, false),
            (Some(0), 0, true),
            (Some(1), 0, false),
            (Some(2), 1, false),
            (Some(2), 2, true),
            (Some(2), 3, false),
        ] {
            for claimed in [Outcome::Stored, Outcome::Superseded] {
                let mut evidence = Evidence::new(1);
                if let Some(records) = records {
                    evidence.decoded(0, records);
                }
                evidence.items_are_durable(0, durable);
                let mut outcomes = [claimed.clone()];
                let ledger = Ledger::settle(&evidence, &mut outcomes);
                assert_eq!(outcomes[0] == claimed, proven, "{durable} of {records:?}");
                assert_eq!((ledger.imbalance(), ledger.returned), (usize::from(!proven), usize::from(!proven)));
            }
        }
        let mut outcomes = [Outcome::Quarantined(rejection())];
        assert_eq!(Ledger::settle(&Evidence::new(1), &mut outcomes).unproven, 1);
        assert!(matches!(outcomes[0], Outcome::Returned(_)));
    }

    #[test]
    fn codes_are_distinct_and_in_snake_case() {
        let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert!(
            codes.iter().all(|code| code
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit()))
        );
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
    }
}

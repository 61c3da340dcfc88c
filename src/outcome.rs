//! What became of each message, and the ledger that must balance.

use std::borrow::Cow;
use std::fmt;

/// The one end of a message. A slot starts as [`Outcome::Returned`], so that whatever is forgotten, dropped or panics is
/// a failure and never an acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every item the message holds is in its table.
    Stored,
    /// A later message of the batch with the same key, or a newer item, stands in its place and is durable.
    Superseded,
    /// It can never be stored, and the quarantine queue has it.
    Quarantined(Rejection),
    /// It goes back to the queue.
    Returned(Cause),
}

/// Why a message goes back to the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It is not known to be stored. The text is what stood in its way last.
    Failed(Cow<'static, str>),
    /// A write of it, or of its predecessor, got no response and may still take effect. It stays out of sight until that is over.
    Ambiguous(Cow<'static, str>),
    /// No retry can help, and no quarantine queue has accepted it. It moves to the dead-letter queue in the end.
    Rejected(Rejection),
    /// The table does not accept it until an operator has fixed something.
    Denied(Box<str>),
    /// An earlier message of its FIFO group was not stored.
    Blocked,
}

/// A message that no retry can help: a stable code for machines, a sentence for people. Never a part of the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// What is wrong, from a closed list.
    pub reason: Reason,
    /// What exactly, and where.
    pub detail: Box<str>,
}

impl Rejection {
    /// A rejection for `reason`, explained by `detail`.
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

/// Declares the reasons, their codes and the list of all from one table, so that none can be left out of either.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)+) => {
        /// Why no retry can help a message. The codes are stable: they stand in logs, metrics and quarantined messages.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $name,)+ }

        impl Reason {
            /// Every reason, in the order in which a message is checked.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The stable name of this reason, in snake case.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }
        }
    };
}

reasons! {
    /// The body is absent or empty.
    MissingBody = "missing_body",
    /// The body is neither base64 nor anything else that is allowed.
    InvalidBase64 = "invalid_base64",
    /// An SNS envelope without a usable message.
    InvalidEnvelope = "invalid_envelope",
    /// A message attribute of ours has a value that means nothing.
    InvalidAttribute = "invalid_attribute",
    /// The bytes match none of the allowed wire formats.
    UnrecognizedFormat = "unrecognized_format",
    /// The wire format's header is cut short or says something impossible.
    InvalidHeader = "invalid_header",
    /// The schema the message names is not in the directory.
    UnknownSchema = "unknown_schema",
    /// The wire format needs a schema name and neither the message nor the settings give one.
    SchemaRequired = "schema_required",
    /// A container's own writer schema cannot be read by the reader schema of its name.
    IncompatibleSchema = "incompatible_schema",
    /// A container whose frame is broken: magic, metadata, block, sync marker or checksum.
    InvalidContainer = "invalid_container",
    /// The datum ends before the record does.
    Truncated = "truncated",
    /// The record ends before the datum does.
    TrailingBytes = "trailing_bytes",
    /// The datum is no value of its schema.
    MalformedDatum = "malformed_datum",
    /// The value has no place in the reader schema: a union branch or an enum symbol it does not know.
    Unresolvable = "unresolvable",
    /// The body is no JSON object of its schema.
    InvalidJson = "invalid_json",
    /// Deeper, longer or more than the bounds allow.
    LimitExceeded = "limit_exceeded",
    /// A number the database cannot hold.
    NumberOutOfRange = "number_out_of_range",
    /// A key that is missing, empty, too long or of the wrong type.
    InvalidKey = "invalid_key",
    /// The item is over the database's size limit.
    ItemTooLarge = "item_too_large",
    /// The record cannot be an item for another reason: nesting, an attribute name, its time to live or version.
    InvalidItem = "invalid_item",
    /// The database refused this very item.
    RefusedByTable = "refused_by_table",
}

/// The figures of an invocation. Each message is in exactly one of the last four.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Messages in the event.
    pub received: usize,
    /// See [`Outcome::Stored`].
    pub stored: usize,
    /// See [`Outcome::Superseded`].
    pub superseded: usize,
    /// See [`Outcome::Quarantined`].
    pub quarantined: usize,
    /// See [`Outcome::Returned`].
    pub returned: usize,
    /// Messages whose outcome said that they are durable and whose [`Evidence`] did not. They are returned.
    pub unproven: usize,
}

impl Ledger {
    /// Holds the outcomes against the evidence and counts them. An outcome that acknowledges a message without evidence is
    /// taken back first.
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

    /// Messages that are durable.
    pub fn durable(&self) -> usize {
        self.stored + self.superseded + self.quarantined
    }

    /// By how many messages the two counts differ. Anything but 0 is a mistake of this program.
    pub fn imbalance(&self) -> usize {
        self.unproven + self.received.abs_diff(self.durable() + self.returned)
    }
}

/// What is known to be durable, counted where it became so: by the ends of items and the quarantine queue's answers. It knows
/// nothing of outcomes, so that the one can be held against the other.
#[derive(Debug)]
pub struct Evidence(Vec<MessageEvidence>);

#[derive(Debug, Clone, Copy, Default)]
struct MessageEvidence {
    /// Records decoded, if it could be.
    records: Option<usize>,
    durable_items: usize,
    quarantined: bool,
}

impl Evidence {
    /// Nothing is known yet of so many messages.
    pub fn of(messages: usize) -> Self {
        Self(vec![MessageEvidence::default(); messages])
    }

    /// The message at `position` holds so many records.
    pub fn decoded(&mut self, position: usize, records: usize) {
        self.at(position, |message| message.records = Some(records));
    }

    /// Sets how many items of the message at `position` are written or superseded.
    pub fn items_are_durable(&mut self, position: usize, items: usize) {
        self.at(position, |message| message.durable_items = items);
    }

    /// The quarantine queue has the message at `position`.
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
    /// Whether nothing of the message is lost if this is its outcome.
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
        let mut evidence = Evidence::of(7);
        for position in 0..3 {
            evidence.decoded(position, 2);
            evidence.items_are_durable(position, 2);
        }
        evidence.quarantined(3);
        let ledger = Ledger::settle(&evidence, &mut outcomes);
        let figures = Ledger { received: 7, stored: 2, superseded: 1, quarantined: 1, returned: 3, unproven: 0 };
        assert_eq!((ledger, ledger.imbalance(), ledger.durable()), (figures, 0, 4));
        assert_eq!(Ledger::settle(&Evidence::of(8), &mut outcomes[4..7]).imbalance(), 5, "an outcome is missing");
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
            for said in [Outcome::Stored, Outcome::Superseded] {
                let mut evidence = Evidence::of(1);
                if let Some(records) = records {
                    evidence.decoded(0, records);
                }
                evidence.items_are_durable(0, durable);
                let mut outcomes = [said.clone()];
                let ledger = Ledger::settle(&evidence, &mut outcomes);
                assert_eq!(outcomes[0] == said, proven, "{durable} of {records:?}");
                assert_eq!((ledger.imbalance(), ledger.returned), (usize::from(!proven), usize::from(!proven)));
            }
        }
        let mut outcomes = [Outcome::Quarantined(rejection())];
        assert_eq!(Ledger::settle(&Evidence::of(1), &mut outcomes).unproven, 1);
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

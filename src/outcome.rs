//! What became of each message, and the ledger that must balance.

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
    /// No write of it was finished by the deadline, for whatever reason.
    Unfinished,
    /// No retry can help and no quarantine queue has taken it: it moves to the dead-letter queue in the end.
    Rejected(Rejection),
    /// The database would not take it now.
    Refused(Box<str>),
    /// A message before it in its FIFO group was not stored.
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

/// The four figures of an invocation. Each message is in exactly one.
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
}

impl Ledger {
    /// Counts `outcomes` of an event of `received` messages.
    pub fn of<'a>(received: usize, outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        let mut ledger = Self { received, ..Self::default() };
        for outcome in outcomes {
            *match outcome {
                Outcome::Stored => &mut ledger.stored,
                Outcome::Superseded => &mut ledger.superseded,
                Outcome::Quarantined(_) => &mut ledger.quarantined,
                Outcome::Returned(_) => &mut ledger.returned,
            } += 1;
        }
        ledger
    }

    /// Whether every message received has exactly one end.
    pub fn balances(&self) -> bool {
        self.received == self.stored + self.superseded + self.quarantined + self.returned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_lands_in_its_own_figure() {
        let rejection = Rejection { reason: Reason::Truncated, detail: "".into() };
        let outcomes = [
            Outcome::Stored,
            Outcome::Stored,
            Outcome::Superseded,
            Outcome::Quarantined(rejection.clone()),
            Outcome::Returned(Cause::Rejected(rejection)),
            Outcome::Returned(Cause::Unfinished),
            Outcome::Returned(Cause::Blocked),
        ];
        let ledger = Ledger::of(7, &outcomes);
        assert_eq!(ledger, Ledger { received: 7, stored: 2, superseded: 1, quarantined: 1, returned: 3 });
        assert!(ledger.balances());
        assert!(!Ledger::of(8, &outcomes).balances());
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

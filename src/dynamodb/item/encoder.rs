//! The encoder: a record's values become DynamoDB JSON as they are decoded, appended to one buffer for the whole event.
//!
//! Every value is written with a comma behind it, and what closes a collection takes the last one back: that needs no state
//! a level. A tracked value (a key, a time to live, a version) is remembered as the range it was written to, so taking it
//! out again is a copy of bytes.

use super::super::mapping::{
    self, DATA, Key, KeySource, Layout, Mapping, MessageOrder, Nulls, PARTITION_KEY, PROCESSED_AT, Part, SORT_KEY, TTL,
    TableId, Template, TtlSource, VERSION, Version,
};
use super::super::number;
use super::{
    ITEM_OVERHEAD_BYTES, Item, Items, MAX_ITEM_BYTES, MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES, MessageStamps,
    Operation, push_canonical,
};
use crate::json;
use crate::record::{Interruption, ItemError, Name, SubjectId, TrackedField};
use crate::write::WriteKind;
use std::fmt::Write;
use std::ops::Range;
use std::time::Duration;

/// What a list or map costs besides its contents, and each of its elements.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>
pub(super) const COLLECTION_OVERHEAD: usize = 3;
pub(super) const ELEMENT_OVERHEAD: usize = 1;
/// The least a number costs. The exact size is only given approximately, so what is refused here is too large for certain.
pub(super) const LEAST_NUMBER_BYTES: usize = 2;

const SECONDS_A_DAY: i64 = 86_400;

/// How far an item grows at least until its size is looked at again.
const CHECK_STEP_BYTES: usize = 4 * 1024;

/// What kind of value was written in a tracked field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TrackedKind {
    Text,
    Number(Option<i64>),
    Binary,
    Null,
    Other,
}

#[derive(Debug, Clone)]
pub(super) struct TrackedValue {
    pub(super) kind: TrackedKind,
    /// Bytes of the value itself, before escapes and base64.
    pub(super) len: usize,
    /// Where it was written: in the items' bytes, or in those kept of what is left out of the item.
    pub(super) written: Range<usize>,
    pub(super) is_kept: bool,
}

/// A field that is left out of the item, from where it began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Omission {
    pub(super) start: usize,
    pub(super) size: usize,
    pub(super) depth: usize,
}

/// Writes records as items. Set the message first, then let a decoder drive it.
pub struct ItemEncoder<'a> {
    mappings: &'a [(TableId, Mapping)],
    now: Duration,
    processed_at: String,
    pub(super) out: Items,
    message: usize,
    message_id: &'a str,
    stamps: MessageStamps,
    operation: Operation,
    start: usize,
    record: Option<usize>,
    subject: SubjectId,
    /// Levels of lists and maps that are open. The item itself is none.
    pub(super) depth: usize,
    /// Whether the outermost record's fields are the item's attributes, and whether that record is the innermost now.
    pub(super) layout: Layout,
    pub(super) in_item: bool,
    pub(super) size: usize,
    pub(super) pending: u32,
    pub(super) tracked: Vec<Option<TrackedValue>>,
    /// Whether fields that are null are left out, and where the member began that a value comes for, and its item's size
    /// then.
    pub(super) omits_nulls: bool,
    pub(super) member: Option<(usize, usize)>,
    /// The outermost field under way that is left out, and the bytes of tracked values in such fields.
    pub(super) omission: Option<Omission>,
    pub(super) kept: Vec<u8>,
    /// The last key that was made of a message's id, for its memory.
    id: String,
    /// The most bytes that all items may take, and their overhead.
    budget: usize,
    /// Whether the time is over.
    is_over: Option<&'a dyn Fn() -> bool>,
    /// How many bytes there may be until the limits are looked at again.
    check_at: usize,
}

impl<'a> ItemEncoder<'a> {
    /// `mappings` are those of the decoder's subjects, in their order; `now` is the time since the Unix epoch;
    /// `capacity` is a guess of the bytes to come.
    pub fn new(mappings: &'a [(TableId, Mapping)], now: Duration, capacity: usize) -> Self {
        Self {
            mappings,
            now,
            processed_at: format!("\"{PROCESSED_AT}\":{{\"N\":\"{}.{:03}\"}},", now.as_secs(), now.subsec_millis()),
            out: Items { bytes: Vec::with_capacity(capacity), ..Items::default() },
            message: 0,
            message_id: "",
            stamps: MessageStamps::default(),
            operation: Operation::Put,
            start: 0,
            record: None,
            subject: SubjectId(0),
            depth: 0,
            layout: Layout::Document,
            in_item: false,
            size: 0,
            pending: 0,
            tracked: Vec::new(),
            omits_nulls: false,
            member: None,
            omission: None,
            kept: Vec::new(),
            id: String::new(),
            budget: usize::MAX,
            is_over: None,
            check_at: 0,
        }
    }

    /// The message to start next has these stamps.
    pub fn stamp_message(&mut self, stamps: MessageStamps) {
        self.stamps = stamps;
    }

    /// Interrupts the message with which all items would take more than `bytes`.
    #[must_use]
    pub fn within(self, bytes: usize) -> Self {
        Self { budget: bytes, ..self }
    }

    /// Interrupts a message of several records when `is_over` says so.
    #[must_use]
    pub fn until(self, is_over: &'a dyn Fn() -> bool) -> Self {
        Self { is_over: Some(is_over), ..self }
    }

    /// The records to come are those of the message at `position` in the event.
    pub fn start_message(&mut self, position: usize, id: &'a str, operation: Operation) {
        (self.message, self.message_id, self.operation) = (position, id, operation);
        self.start = self.out.bytes.len();
    }

    /// Takes back whatever the message at `position`, the last one, has written: it is stored only if all its records are.
    pub fn discard_message(&mut self, position: usize) {
        let first = self.out.items.partition_point(|item| item.message < position);
        self.out.items.truncate(first);
        let (bytes, keys) = self.out.items.last().map_or((0, 0), |item| (item.attributes.end, item.key.end));
        self.out.bytes.truncate(bytes);
        self.out.keys.truncate(keys);
        self.start = bytes;
    }

    /// Returns the size of what was written so far.
    pub(crate) fn bytes(&self) -> usize {
        self.out.bytes.len()
    }

    /// All that was written.
    pub fn finish_event(self) -> Items {
        self.out
    }

    fn mapping(&self) -> Result<&'a (TableId, Mapping), ItemError> {
        // the decoder's subjects and the mappings are made from one schema set
        self.mappings.get(usize::from(self.subject.0)).ok_or(ItemError::Name("the record's subject has no mapping"))
    }

    pub(super) fn begin_item(&mut self, subject: SubjectId, index: Option<usize>) -> Result<(), ItemError> {
        match index {
            None | Some(0) => {
                if self.out.items.last().is_some_and(|item| item.message == self.message) {
                    self.discard_message(self.message);
                }
            }
            Some(_) => {
                if self.is_over.is_some_and(|is_over| is_over()) {
                    return Err(ItemError::Interrupted(Interruption::Deadline));
                }
            }
        }
        self.out.bytes.truncate(self.start);
        self.subject = subject;
        self.record = index;
        self.depth = 0;
        self.size = 0;
        self.pending = 0;
        self.tracked.clear();
        self.in_item = false;
        self.omission = None;
        self.kept.clear();
        self.out.bytes.push(b'{');
        self.layout = Layout::Document;
        if let Ok((_, mapping)) = self.mapping() {
            self.layout = mapping.layout;
            self.omits_nulls = mapping.nulls == Nulls::Omit;
            self.tracked.resize(mapping.tracked_places(), None);
        }
        if self.layout == Layout::Document {
            self.size += DATA.len();
            self.out.bytes.extend_from_slice(b"\"data\":");
        }
        self.check_limits(0)
    }

    /// Looks at the limits where `len` more bytes may reach one: while an item grows, so that it never grows far beyond.
    #[inline]
    pub(super) fn reserve(&mut self, len: usize) -> Result<(), ItemError> {
        if self.out.bytes.len() + len <= self.check_at { Ok(()) } else { self.check_limits(len) }
    }

    #[cold]
    fn check_limits(&mut self, len: usize) -> Result<(), ItemError> {
        let overhead = self.out.keys.len() + (self.out.items.len() + 1) * ITEM_OVERHEAD_BYTES;
        let (bytes, budget) = (self.out.bytes.len() + len, self.budget.saturating_sub(overhead));
        if bytes > budget {
            return Err(ItemError::Interrupted(Interruption::Memory));
        }
        // the JSON of a value has at least as many bytes as the database counts
        let left = match self.operation {
            Operation::Delete => usize::MAX,
            Operation::Put => match MAX_ITEM_BYTES.checked_sub(self.size + len) {
                Some(left) => left,
                None => return Err(ItemError::TooLarge { bytes: self.size + len, limit: MAX_ITEM_BYTES }),
            },
        };
        self.check_at = bytes.saturating_add(left.max(CHECK_STEP_BYTES)).min(budget);
        Ok(())
    }

    pub(super) fn finish_item(&mut self) -> Result<(), ItemError> {
        let (table, mapping) = self.mapping()?;
        if let Some(ttl) = &mapping.ttl
            && self.operation == Operation::Put
        {
            self.ttl(ttl)?;
        }
        let keys = self.out.keys.len();
        let mut start = self.start;
        let order = match &mapping.version {
            Some(Version::Message { attribute, order }) => Some((attribute, self.message_order(attribute, *order)?)),
            _ => None,
        };
        let mut version = None;
        match self.operation {
            Operation::Put => {
                self.size += PROCESSED_AT.len() + LEAST_NUMBER_BYTES;
                self.out.bytes.extend_from_slice(self.processed_at.as_bytes());
                if let Some((attribute, order)) = order {
                    let value = self.out.bytes.len() + attribute.member().len();
                    self.attribute(attribute, LEAST_NUMBER_BYTES, |out| push_order(out, order));
                    version = Some(value..self.out.bytes.len() - 1);
                }
            }
            Operation::Delete => {
                if let Some((_, order)) = order {
                    let value = self.out.bytes.len();
                    push_order(&mut self.out.bytes, order);
                    version = Some(value..self.out.bytes.len());
                }
                // the record stays where it is, before the item's range, because the key is copied out of it
                start = self.out.bytes.len();
                self.out.bytes.push(b'{');
            }
        }
        self.key(&mapping.partition_key, PARTITION_KEY, MAX_PARTITION_KEY_BYTES)?;
        if let Some(key) = &mapping.sort_key {
            self.key(key, SORT_KEY, MAX_SORT_KEY_BYTES)?;
        }
        let version = match &mapping.version {
            None | Some(Version::Message { .. }) => version,
            Some(Version::Field { path, .. }) => match self.tracked(VERSION) {
                Some(TrackedValue {
                    kind: TrackedKind::Text | TrackedKind::Number(_) | TrackedKind::Binary,
                    written,
                    ..
                }) => Some(written.clone()),
                // a deletion may carry nothing but the key
                _ if self.operation == Operation::Delete => None,
                _ => {
                    return Err(ItemError::Mapping {
                        attribute: path.as_str().into(),
                        problem: "is the version and is missing",
                    });
                }
            },
        };
        self.take_comma();
        self.out.bytes.push(b'}');
        if self.operation == Operation::Put && self.size > MAX_ITEM_BYTES {
            return Err(ItemError::TooLarge { bytes: self.size, limit: MAX_ITEM_BYTES });
        }
        self.out.items.push(Item {
            message: self.message,
            table: *table,
            kind: kind(self.operation, mapping.write, version.is_some()),
            attributes: start..self.out.bytes.len(),
            key: keys..self.out.keys.len(),
            version,
            order: order.map(|(_, order)| order),
            subject: self.subject,
        });
        self.start = self.out.bytes.len();
        Ok(())
    }

    fn message_order(&self, attribute: &Name, order: MessageOrder) -> Result<u128, ItemError> {
        let (stamp, problem) = match order {
            MessageOrder::SequenceNumber => (
                self.stamps.sequence_number,
                "is the version, and only messages of a FIFO queue have a sequence number",
            ),
            MessageOrder::SentTimestamp => {
                (self.stamps.sent_ms.map(u128::from), "is the version, and the message has no sent timestamp")
            }
        };
        stamp.ok_or_else(|| ItemError::Mapping { attribute: attribute.text().into(), problem })
    }

    fn tracked(&self, field: TrackedField) -> Option<&TrackedValue> {
        self.tracked.get(usize::from(field.0))?.as_ref()
    }

    /// Checks the key in `field`, adds its canonical spelling to the keys and the attribute to the item.
    fn key(&mut self, key: &Key, field: TrackedField, limit: usize) -> Result<(), ItemError> {
        let problem = |problem| ItemError::Key { attribute: key.attribute.text().into(), problem };
        let in_place = match &key.source {
            KeySource::MessageId => return self.message_id_key(key),
            KeySource::Template(template) => return self.template_key(key, template, limit),
            KeySource::Field { in_place } => *in_place,
        };
        let tracked = self.tracked(field).ok_or_else(|| problem("is missing"))?.clone();
        match tracked.kind {
            TrackedKind::Null => return Err(problem("is null")),
            TrackedKind::Other => return Err(problem("is no string, number or binary")),
            TrackedKind::Text | TrackedKind::Binary if tracked.len == 0 => return Err(problem("is empty")),
            TrackedKind::Text | TrackedKind::Binary if tracked.len > limit => {
                return Err(problem("is longer than a key may be"));
            }
            TrackedKind::Text | TrackedKind::Binary | TrackedKind::Number(_) => {}
        }
        let written = if tracked.is_kept { &self.kept } else { &self.out.bytes };
        push_canonical(&mut self.out.keys, written.get(tracked.written.clone()).unwrap_or_default());
        if !in_place || self.operation == Operation::Delete {
            self.size += key.attribute.text().len() + tracked.len;
            self.out.bytes.extend_from_slice(key.attribute.member().as_bytes());
            self.copy_tracked(tracked.written, tracked.is_kept);
            self.out.bytes.push(b',');
        }
        Ok(())
    }

    /// The key that is the message's id, and in a container the record's index.
    fn message_id_key(&mut self, key: &Key) -> Result<(), ItemError> {
        let mut id = std::mem::take(&mut self.id);
        id.clear();
        id.push_str(self.message_id);
        if let Some(index) = self.record {
            // writing to memory does not fail
            let _ = write!(id, "#{index}");
        }
        let start = self.out.bytes.len();
        self.attribute(&key.attribute, id.len(), |out| {
            out.extend_from_slice(b"{\"S\":");
            json::push_string(out, &id);
            out.push(b'}');
        });
        let written = start + key.attribute.member().len()..self.out.bytes.len() - 1;
        push_canonical(&mut self.out.keys, self.out.bytes.get(written).unwrap_or_default());
        self.id = id;
        Ok(())
    }

    /// The key that is put together by a template.
    fn template_key(&mut self, key: &Key, template: &Template, limit: usize) -> Result<(), ItemError> {
        let problem = |problem| Err(ItemError::Key { attribute: key.attribute.text().into(), problem });
        self.out.bytes.extend_from_slice(key.attribute.member().as_bytes());
        let start = self.out.bytes.len();
        self.out.bytes.extend_from_slice(b"{\"S\":\"");
        let mut len = 0;
        for part in template.parts() {
            match part {
                Part::Text { escaped, len: bytes } => {
                    self.out.bytes.extend_from_slice(escaped);
                    len += bytes;
                }
                Part::Field(field) => {
                    let Some(tracked) = self.tracked(*field) else {
                        return problem("has a field in its template that is missing");
                    };
                    // `{"S":"` or `{"N":"` before the text, `"}` behind it
                    let text = tracked.written.start + 6..tracked.written.end.saturating_sub(2);
                    len += match tracked.kind {
                        TrackedKind::Text if tracked.len > 0 => tracked.len,
                        TrackedKind::Text => return problem("has a field in its template that is empty"),
                        TrackedKind::Number(_) => text.len(),
                        TrackedKind::Null => return problem("has a field in its template that is null"),
                        _ => return problem("has a field in its template that is no string or number"),
                    };
                    let is_kept = tracked.is_kept;
                    self.copy_tracked(text, is_kept);
                }
            }
        }
        if len > limit {
            return problem("is longer than a key may be");
        }
        self.out.bytes.extend_from_slice(b"\"}");
        push_canonical(&mut self.out.keys, self.out.bytes.get(start..).unwrap_or_default());
        self.out.bytes.push(b',');
        self.size += key.attribute.text().len() + len;
        Ok(())
    }

    fn copy_tracked(&mut self, written: Range<usize>, is_kept: bool) {
        if is_kept {
            self.out.bytes.extend_from_slice(self.kept.get(written).unwrap_or_default());
        } else {
            self.out.bytes.extend_from_within(written);
        }
    }

    /// The field that is left out, if one is, has its value: takes it back and keeps what is tracked in it.
    pub(super) fn end_omission(&mut self, depth: usize) {
        if let Some(omission) = self.omission
            && omission.depth == depth
        {
            for tracked in self.tracked.iter_mut().flatten() {
                if !tracked.is_kept && tracked.written.start >= omission.start {
                    let start = self.kept.len();
                    self.kept.extend_from_slice(self.out.bytes.get(tracked.written.clone()).unwrap_or_default());
                    (tracked.written, tracked.is_kept) = (start..self.kept.len(), true);
                }
            }
            self.out.bytes.truncate(omission.start);
            self.size = omission.size;
            self.omission = None;
        }
    }

    /// Adds an attribute to the item, whose value has `len` bytes as the database counts them.
    fn attribute(&mut self, name: &Name, len: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.size += name.text().len() + len;
        let out = &mut self.out.bytes;
        out.extend_from_slice(name.member().as_bytes());
        write(out);
        out.push(b',');
    }

    fn ttl(&mut self, ttl: &mapping::Ttl) -> Result<(), ItemError> {
        let seconds = match ttl.source {
            TtlSource::Days(days) => {
                i64::try_from(self.now.as_secs()).unwrap_or(i64::MAX) + i64::from(days) * SECONDS_A_DAY
            }
            TtlSource::Field { per_second } => match self.tracked(TTL).map(|tracked| tracked.kind) {
                // without a time the item does not expire
                None | Some(TrackedKind::Null) => return Ok(()),
                Some(TrackedKind::Number(Some(value))) => value.div_euclid(per_second),
                Some(_) => {
                    let problem = "is no whole number of seconds";
                    return Err(ItemError::Mapping { attribute: ttl.attribute.text().into(), problem });
                }
            },
        };
        let mut text = Vec::with_capacity(32);
        text.extend_from_slice(b"{\"N\":\"");
        number::push_long(&mut text, seconds);
        text.extend_from_slice(b"\"}");
        match self.tracked(TTL) {
            Some(tracked) if ttl.in_place => {
                let written = tracked.written.clone();
                let shift = (written.start, written.end, text.len());
                self.out.bytes.splice(written, text);
                self.move_tracked(shift);
            }
            _ => self.attribute(&ttl.attribute, LEAST_NUMBER_BYTES, |out| out.extend_from_slice(&text)),
        }
        Ok(())
    }

    /// Follows a replacement of `start..end` by `len` bytes in the tracked values behind it.
    fn move_tracked(&mut self, (start, end, len): (usize, usize, usize)) {
        for tracked in self.tracked.iter_mut().flatten().filter(|tracked| !tracked.is_kept) {
            if tracked.written.start >= end {
                tracked.written =
                    (tracked.written.start - end + start + len)..(tracked.written.end - end + start + len);
            } else if tracked.written.start == start {
                tracked.written.end = start + len;
            }
        }
    }
}

fn push_order(out: &mut Vec<u8>, order: u128) {
    out.extend_from_slice(b"{\"N\":\"");
    out.extend_from_slice(itoa::Buffer::new().format(order).as_bytes());
    out.extend_from_slice(b"\"}");
}

/// Returns the kind of a write.
fn kind(operation: Operation, write: mapping::Write, has_version: bool) -> WriteKind {
    match (operation, write) {
        (Operation::Put, mapping::Write::Create) => WriteKind::Create,
        (Operation::Put, mapping::Write::Put) if has_version => WriteKind::PutIfNewer,
        (Operation::Put, mapping::Write::Put) => WriteKind::Put,
        (Operation::Delete, _) if has_version => WriteKind::DeleteIfNewer,
        (Operation::Delete, _) => WriteKind::Delete,
    }
}

#[cfg(test)]
mod tests {
    use super::super::MAX_NAME_BYTES;
    use super::*;
    use crate::record::{Quantity, RecordVisitor, Unit};
    use serde_json::{Value, json};

    /// A record of `id` (text), `at` (milliseconds), `n` (plain number), `note` (text), `tags` (other).
    struct Sample;

    impl mapping::Fields for Sample {
        fn kind(&self, path: &str) -> Result<crate::record::FieldKind, String> {
            use crate::record::FieldKind::{Binary, Number, Other, Text};
            match path {
                "id" | "note" => Ok(Text),
                "at" => Ok(Number(Quantity::Timestamp(Unit::Milliseconds))),
                "n" => Ok(Number(Quantity::Plain)),
                "raw" => Ok(Binary),
                "tags" => Ok(Other),
                _ => Err("no such field".into()),
            }
        }

        fn names(&self) -> Vec<&str> {
            vec!["id", "at", "n", "note", "raw", "tags"]
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "reads better at the many calls")]
    fn mapping(property: Value) -> Vec<(TableId, Mapping)> {
        vec![(TableId::new(0), Mapping::parse(Some(&property), "table", &Sample).unwrap())]
    }

    type Step<'s> = &'s dyn Fn(&mut ItemEncoder<'_>) -> Result<(), ItemError>;

    /// Encodes one record of `fields`, told of the tracked fields of its mapping.
    fn encode(property: Value, operation: Operation, fields: &[(&str, Step<'_>)]) -> Result<Items, ItemError> {
        let mappings = mapping(property);
        let mut encoder = ItemEncoder::new(&mappings, Duration::from_millis(1_700_000_000_123), 0);
        encoder.start_message(0, "m1", operation);
        record(&mut encoder, &mappings[0].1, None, fields)?;
        Ok(encoder.finish_event())
    }

    fn record(
        encoder: &mut ItemEncoder<'_>,
        mapping: &Mapping,
        index: Option<usize>,
        fields: &[(&str, Step<'_>)],
    ) -> Result<(), ItemError> {
        encoder.begin(SubjectId(0), index)?;
        encoder.record_start()?;
        for (name, value) in fields {
            encoder.field(&Name::new(name))?;
            for (field, _) in mapping.tracked_fields().iter().filter(|(_, path)| path == name) {
                encoder.tracked_field(*field)?;
            }
            value(encoder)?;
        }
        encoder.record_end()?;
        encoder.finish()
    }

    fn attributes(items: &Items) -> Value {
        serde_json::from_slice(items.attributes(&items.as_slice()[0])).unwrap()
    }

    fn put(property: Value, fields: &[(&str, Step<'_>)]) -> Value {
        attributes(&encode(property, Operation::Put, fields).unwrap())
    }

    #[test]
    fn a_document_holds_the_record_beside_its_keys() {
        let property = json!({"partitionKey": {"attribute": "pk", "field": "id"}, "sortKey": "n"});
        let item = put(property, &[("n", &|e| e.long(7)), ("id", &|e| e.string("a\"b"))]);
        assert_eq!(
            item,
            json!({"pk": {"S": "a\"b"}, "n": {"N": "7"}, "processed_at": {"N": "1700000000.123"},
                "data": {"M": {"n": {"N": "7"}, "id": {"S": "a\"b"}}}})
        );
    }

    #[test]
    fn without_a_key_the_messages_id_is_it_and_a_containers_records_are_counted() {
        let mappings = mapping(json!({}));
        let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
        encoder.start_message(0, "m1", Operation::Put);
        record(&mut encoder, &mappings[0].1, None, &[]).unwrap();
        encoder.start_message(1, "m2", Operation::Put);
        for index in 0..2 {
            record(&mut encoder, &mappings[0].1, Some(index), &[]).unwrap();
        }
        let items = encoder.finish_event();
        let id = |at: usize| {
            serde_json::from_slice::<Value>(items.attributes(&items.as_slice()[at])).unwrap()["message_id"]["S"].clone()
        };
        assert_eq!([id(0), id(1), id(2)], ["m1", "m2#0", "m2#1"]);
        let mut key = Vec::new();
        push_canonical(&mut key, br#"{"S":"m2#1"}"#);
        assert_eq!(items.key(&items.as_slice()[2]), key, "by which it is known when it comes back unprocessed");
    }

    #[test]
    fn in_the_attributes_layout_each_field_is_an_attribute() {
        let property = json!({"layout": "attributes", "partitionKey": "id"});
        let item = put(property, &[("id", &|e| e.string("x")), ("n", &|e| e.null())]);
        assert_eq!(item, json!({"id": {"S": "x"}, "n": {"NULL": true}, "processed_at": {"N": "1700000000.123"}}));
    }

    #[test]
    fn every_kind_of_value_has_its_type() {
        let list: Step<'_> = &|e| {
            e.array_start()?;
            for step in [
                &(|e: &mut ItemEncoder<'_>| e.boolean(true)) as Step<'_>,
                &|e| e.double(0.5),
                &|e| e.float(0.1),
                &|e| e.bytes(&[1, 2]),
            ] {
                e.array_item()?;
                step(e)?;
            }
            e.array_end()
        };
        let map: Step<'_> = &|e| {
            e.map_start()?;
            e.map_key("k")?;
            e.date(0)?;
            e.map_key("u")?;
            e.uuid(*b"\x12\x34\x56\x78\x9a\xbc\xde\xf0\x12\x34\x56\x78\x9a\xbc\xde\xf0")?;
            e.map_key("d")?;
            e.decimal(&[0x30, 0x39], 2)?;
            e.map_end()
        };
        let item = put(json!({}), &[("tags", list), ("note", map)]);
        assert_eq!(
            item["data"]["M"],
            json!({
                "tags": {"L": [{"BOOL": true}, {"N": "0.5"}, {"N": "0.1"}, {"B": "AQI="}]},
                "note": {"M": {"k": {"S": "1970-01-01"}, "u": {"S": "12345678-9abc-def0-1234-56789abcdef0"}, "d": {"N": "123.45"}}},
            })
        );
    }

    #[test]
    fn empty_collections_stay_empty() {
        let item = put(
            json!({}),
            &[
                ("tags", &|e| e.array_start().and_then(|()| e.array_end())),
                ("n", &|e| e.map_start().and_then(|()| e.map_end())),
            ],
        );
        assert_eq!(item["data"]["M"], json!({"tags": {"L": []}, "n": {"M": {}}}));
    }

    #[test]
    fn a_time_to_live_is_in_seconds_whatever_the_fields_unit() {
        let field = json!({"ttl": {"attribute": "expires", "field": "at"}});
        assert_eq!(put(field.clone(), &[("at", &|e| e.long(1_999))])["expires"], json!({"N": "1"}));
        assert_eq!(put(field.clone(), &[("at", &|e| e.long(-1))])["expires"], json!({"N": "-1"}));
        assert_eq!(put(field, &[("at", &|e| e.null())]).get("expires"), None);
        let plain = json!({"ttl": {"attribute": "expires", "field": "n"}});
        assert_eq!(put(plain.clone(), &[("n", &|e| e.long(5))])["expires"], json!({"N": "5"}));
        assert!(matches!(encode(plain, Operation::Put, &[("n", &|e| e.double(5.5))]), Err(ItemError::Mapping { .. })));
        let days = json!({"ttl": {"attribute": "expires", "days": 2}});
        assert_eq!(put(days, &[])["expires"], json!({"N": (1_700_000_000 + 2 * 86_400).to_string()}));
    }

    #[test]
    fn a_time_to_live_in_place_of_its_field_is_converted_there() {
        let property = json!({"layout": "attributes", "partitionKey": "id", "ttl": {"attribute": "at", "field": "at"}});
        let item = put(property, &[("at", &|e| e.long(2_500)), ("id", &|e| e.string("x"))]);
        assert_eq!(item, json!({"id": {"S": "x"}, "at": {"N": "2"}, "processed_at": {"N": "1700000000.123"}}));
    }

    #[test]
    fn the_keys_and_the_version_beside_a_converted_time_to_live_stay_what_they_are() {
        let property = json!({"layout": "attributes", "partitionKey": {"attribute": "pk", "field": "id"}, "sortKey": "note",
            "version": "n", "ttl": {"attribute": "at", "field": "at"}});
        let fields: [(&str, Step<'_>); 4] = [
            ("id", &|e| e.string("x")),
            ("note", &|e| e.string("y")),
            ("n", &|e| e.long(7)),
            ("at", &|e| e.long(1_700_000_000_000)),
        ];
        for turn in 0..fields.len() {
            let mut fields = fields;
            fields.rotate_left(turn);
            let items = encode(property.clone(), Operation::Put, &fields).unwrap();
            let item = &items.as_slice()[0];
            let mut key = Vec::new();
            push_canonical(&mut key, br#"{"S":"x"}"#);
            push_canonical(&mut key, br#"{"S":"y"}"#);
            assert_eq!((items.key(item), items.version(item)), (&key[..], Some(&br#"{"N":"7"}"#[..])), "turn {turn}");
            let stored = attributes(&items);
            assert_eq!(
                (&stored["pk"], &stored["at"]),
                (&json!({"S": "x"}), &json!({"N": "1700000000"})),
                "turn {turn}"
            );
        }
    }

    #[test]
    fn a_deletion_is_its_key_alone() {
        let property = json!({"partitionKey": "id", "sortKey": "n", "ttl": {"attribute": "expires", "days": 1}});
        let items = encode(
            property,
            Operation::Delete,
            &[("id", &|e| e.string("x")), ("n", &|e| e.long(1)), ("note", &|e| e.string("y"))],
        );
        assert_eq!(attributes(&items.unwrap()), json!({"id": {"S": "x"}, "n": {"N": "1"}}));
        let in_place = json!({"layout": "attributes", "partitionKey": "id"});
        assert_eq!(
            attributes(&encode(in_place, Operation::Delete, &[("id", &|e| e.string("x"))]).unwrap()),
            json!({"id": {"S": "x"}})
        );
    }

    #[test]
    fn a_template_puts_strings_and_numbers_together() {
        let property = json!({"partitionKey": {"attribute": "pk", "template": "T\"#{id}#{n}"},
            "sortKey": {"attribute": "sk", "template": "{note}/{id}"}});
        let fields: [(&str, Step<'_>); 3] =
            [("note", &|e| e.string("a\nb")), ("n", &|e| e.double(1.5)), ("id", &|e| e.string("é\""))];
        let expected = json!({"pk": {"S": "T\"#é\"#1.5"}, "sk": {"S": "a\nb/é\""}});
        let deleted = encode(property.clone(), Operation::Delete, &fields).unwrap();
        assert_eq!(attributes(&deleted), expected);
        let stored = encode(property, Operation::Put, &fields).unwrap();
        let item = attributes(&stored);
        assert_eq!((&item["pk"], &item["sk"]), (&expected["pk"], &expected["sk"]));
        assert_eq!(item["data"]["M"]["id"], json!({"S": "é\""}));
        assert_eq!(stored.key(&stored.as_slice()[0]), deleted.key(&deleted.as_slice()[0]));
    }

    #[test]
    fn every_field_of_a_template_is_needed_and_the_key_is_as_long_as_a_key_may_be() {
        let property = json!({"partitionKey": {"attribute": "pk", "template": "é{id}"}});
        let problem = |value: Option<Step<'_>>| {
            let fields: Vec<_> = value.into_iter().map(|value| ("id", value)).collect();
            match encode(property.clone(), Operation::Put, &fields) {
                Ok(_) => None,
                Err(ItemError::Key { problem, .. }) => Some(problem),
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(problem(None), Some("has a field in its template that is missing"));
        assert_eq!(problem(Some(&|e| e.null())), Some("has a field in its template that is null"));
        assert_eq!(problem(Some(&|e| e.string(""))), Some("has a field in its template that is empty"));
        let with = |len: usize| problem(Some(&|e| e.string(&"k".repeat(len))));
        let limit = MAX_PARTITION_KEY_BYTES - 2;
        assert_eq!([limit - 1, limit, limit + 1].map(with), [None, None, Some("is longer than a key may be")]);
    }

    #[test]
    fn nulls_of_fields_are_left_out_where_that_is_asked() {
        let record_of_nulls: Step<'_> = &|e| {
            e.record_start()?;
            e.field(&Name::new("x"))?;
            e.null()?;
            e.field(&Name::new("list"))?;
            e.array_start()?;
            e.array_item()?;
            e.null()?;
            e.array_end()?;
            e.field(&Name::new("map"))?;
            e.map_start()?;
            e.map_key("k")?;
            e.null()?;
            e.map_end()?;
            e.record_end()
        };
        let fields: [(&str, Step<'_>); 4] =
            [("note", &|e| e.null()), ("id", &|e| e.string("x")), ("tags", record_of_nulls), ("raw", &|e| e.null())];
        for layout in ["document", "attributes"] {
            let ttl = json!({"attribute": "expires", "field": "at"});
            let property = json!({"layout": layout, "partitionKey": "id", "nulls": "omit", "ttl": ttl});
            let item = put(property, &fields);
            let record = if layout == "document" { &item["data"]["M"] } else { &item };
            assert_eq!((record.get("note"), record.get("raw")), (None, None));
            let nested = json!({"M": {"list": {"L": [{"NULL": true}]}, "map": {"M": {"k": {"NULL": true}}}}});
            assert_eq!(record["tags"], nested, "what is no field stays");
        }
        let null_key = encode(json!({"partitionKey": "id", "nulls": "omit"}), Operation::Put, &[("id", &|e| e.null())]);
        assert!(matches!(null_key, Err(ItemError::Key { problem: "is null", .. })));
    }

    #[test]
    fn a_field_that_is_left_out_may_still_be_a_key() {
        let write = |layout: &str, omitted: &[&str], operation| {
            let mappings = mapping(json!({"layout": layout, "partitionKey": {"attribute": "pk", "field": "id"},
                "sortKey": {"attribute": "sk", "template": "N#{n}"}}));
            let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
            encoder.start_message(0, "m1", operation);
            encoder.begin(SubjectId(0), None).unwrap();
            encoder.record_start().unwrap();
            let fields: [(&str, Step<'_>); 4] = [
                ("id", &|e| e.string("é")),
                ("tags", &|e| {
                    e.record_start()?;
                    e.field(&Name::omitted("inner"))?;
                    e.null()?;
                    e.record_end()
                }),
                ("note", &|e| e.string("x")),
                ("n", &|e| e.long(7)),
            ];
            for (name, value) in fields {
                let tracked = mappings[0].1.tracked_fields().iter().filter(|(_, path)| path == name);
                encoder.field(&if omitted.contains(&name) { Name::omitted(name) } else { Name::new(name) }).unwrap();
                tracked.for_each(|(field, _)| encoder.tracked_field(*field).unwrap());
                value(&mut encoder).unwrap();
            }
            encoder.record_end().unwrap();
            encoder.finish().unwrap();
            let size = encoder.size;
            (attributes(&encoder.finish_event()), size)
        };
        let all = json!({"id": {"S": "é"}, "tags": {"M": {}}, "note": {"S": "x"}, "n": {"N": "7"}});
        for layout in ["document", "attributes"] {
            let (_, whole) = write(layout, &[], Operation::Put);
            for omitted in [&["id"][..], &["n"], &["tags"], &["id", "n"], &["id", "tags", "note", "n"]] {
                let (item, size) = write(layout, omitted, Operation::Put);
                let mut expected = all.as_object().unwrap().clone();
                expected.retain(|name, _| !omitted.contains(&name.as_str()));
                let record = if layout == "document" { item["data"]["M"].clone() } else { item.clone() };
                for (name, value) in &all.as_object().unwrap().clone() {
                    assert_eq!(record.get(name), expected.get(name), "{omitted:?}: {value}");
                }
                assert_eq!((&item["pk"], &item["sk"]), (&json!({"S": "é"}), &json!({"S": "N#7"})), "{omitted:?}");
                assert!(size < whole);
                let (key, _) = write(layout, omitted, Operation::Delete);
                assert_eq!(key, json!({"pk": {"S": "é"}, "sk": {"S": "N#7"}}));
            }
        }
    }

    #[test]
    fn an_omitted_null_does_not_count_towards_the_size() {
        let size = |property: Value, fields: &[(&str, Step<'_>)]| {
            let mappings = mapping(property);
            let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
            encoder.start_message(0, "m1", Operation::Put);
            record(&mut encoder, &mappings[0].1, None, fields).unwrap();
            encoder.size
        };
        assert_eq!(size(json!({"nulls": "omit"}), &[("note", &|e| e.null())]), size(json!({}), &[]));
    }

    #[test]
    fn the_messages_order_is_an_attribute_of_its_own_and_the_version() {
        let stamps =
            MessageStamps { sequence_number: Some(18_849_496_460_467_696_128), sent_ms: Some(1_700_000_000_001) };
        let encode = |from: &str, operation, stamps| {
            let mappings = mapping(json!({"partitionKey": "id", "version": {"attribute": "_version", "from": from}}));
            let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
            encoder.stamp_message(stamps);
            encoder.start_message(0, "m1", operation);
            record(&mut encoder, &mappings[0].1, None, &[("id", &|e| e.string("x"))])?;
            Ok::<_, ItemError>(encoder.finish_event())
        };
        for (from, number) in [("sequence-number", "18849496460467696128"), ("sent-timestamp", "1700000000001")] {
            for operation in [Operation::Put, Operation::Delete] {
                let items = encode(from, operation, stamps).unwrap();
                let item = &items.as_slice()[0];
                let version: Value = serde_json::from_slice(items.version(item).unwrap()).unwrap();
                assert_eq!(version, json!({"N": number}));
                assert_eq!(item.order.map(|order| order.to_string()).as_deref(), Some(number));
                let item = attributes(&items);
                assert_eq!(item.get("_version"), (operation == Operation::Put).then_some(&version));
                assert_eq!(item["id"], json!({"S": "x"}));
            }
            let error = encode(from, Operation::Put, MessageStamps::default()).unwrap_err();
            assert!(matches!(error, ItemError::Mapping { .. }), "{error}");
        }
    }

    #[test]
    fn keys_are_checked_before_they_are_sent() {
        let key = |limit_name: &str, length: usize| {
            let (partition, sort) = if limit_name == "sort" { (1, length) } else { (length, 1) };
            let property = json!({"partitionKey": "id", "sortKey": "note"});
            // two bytes each, as far as they fit
            let id = "é".repeat(partition / 2) + &"k".repeat(partition % 2);
            encode(property, Operation::Put, &[("id", &|e| e.string(&id)), ("note", &|e| e.string(&"k".repeat(sort)))])
                .is_ok()
        };
        for (name, limit) in [("partition", MAX_PARTITION_KEY_BYTES), ("sort", MAX_SORT_KEY_BYTES)] {
            assert_eq!(
                [0, 1, limit - 1, limit, limit + 1].map(|length| key(name, length)),
                [false, true, true, true, false],
                "{name}"
            );
        }
        let property = json!({"partitionKey": "id"});
        let list: Step<'_> = &|e| {
            e.array_start()?;
            // what it holds is no key either
            e.string("k")?;
            e.array_end()
        };
        let other = "is no string, number or binary";
        for (value, expected) in [
            (&(|e: &mut ItemEncoder<'_>| e.null()) as Step<'_>, "is null"),
            (&|e| e.boolean(true), other),
            (list, other),
        ] {
            let Err(ItemError::Key { problem, .. }) = encode(property.clone(), Operation::Put, &[("id", value)]) else {
                panic!("{expected}")
            };
            assert_eq!(problem, expected);
        }
        assert!(matches!(encode(property, Operation::Put, &[]), Err(ItemError::Key { problem: "is missing", .. })));
    }

    #[test]
    fn an_item_is_at_most_400_kilobytes() {
        let item = |length: usize| encode(json!({}), Operation::Put, &[("note", &|e| e.string(&"x".repeat(length)))]);
        // message_id + m1, processed_at + a number, data + a map of one element, note
        let rest = (10 + 2) + (12 + LEAST_NUMBER_BYTES) + (4 + COLLECTION_OVERHEAD + ELEMENT_OVERHEAD) + 4;
        assert!(item(MAX_ITEM_BYTES - rest - 1).is_ok());
        assert!(item(MAX_ITEM_BYTES - rest).is_ok());
        let error = item(MAX_ITEM_BYTES - rest + 1).unwrap_err();
        assert_eq!(error, ItemError::TooLarge { bytes: MAX_ITEM_BYTES + 1, limit: MAX_ITEM_BYTES });
    }

    #[test]
    fn attributes_and_a_key_beside_its_field_count_towards_the_size() {
        let property = json!({"partitionKey": {"attribute": "pk", "field": "id"}, "layout": "attributes"});
        let item = |length: usize| {
            let record: Step<'_> = &|e| {
                e.record_start()?;
                e.field(&Name::new("inner"))?;
                e.string(&"x".repeat(length))?;
                e.record_end()
            };
            encode(property.clone(), Operation::Put, &[("id", &|e| e.string("key")), ("note", record)])
        };
        // pk, id, processed_at + a number, note + a map of one element, inner
        let rest = (2 + 3) + (2 + 3) + (12 + LEAST_NUMBER_BYTES) + 4 + (COLLECTION_OVERHEAD + ELEMENT_OVERHEAD) + 5;
        assert!(item(MAX_ITEM_BYTES - rest).is_ok());
        let error = item(MAX_ITEM_BYTES - rest + 1).unwrap_err();
        assert_eq!(error, ItemError::TooLarge { bytes: MAX_ITEM_BYTES + 1, limit: MAX_ITEM_BYTES });
    }

    #[test]
    fn the_keys_of_a_map_count_towards_the_size() {
        let key = "k".repeat(200);
        let item = |length: usize| {
            let map: Step<'_> = &|e| {
                e.map_start()?;
                e.map_key(&key)?;
                e.string(&"x".repeat(length))?;
                e.map_end()
            };
            encode(json!({}), Operation::Put, &[("note", map)])
        };
        let rest = (10 + 2) + (12 + LEAST_NUMBER_BYTES) + (4 + COLLECTION_OVERHEAD + ELEMENT_OVERHEAD) + 4;
        let map = COLLECTION_OVERHEAD + ELEMENT_OVERHEAD + key.len();
        assert!(item(MAX_ITEM_BYTES - rest - map).is_ok());
        let error = item(MAX_ITEM_BYTES - rest - map + 1).unwrap_err();
        assert_eq!(error, ItemError::TooLarge { bytes: MAX_ITEM_BYTES + 1, limit: MAX_ITEM_BYTES });
    }

    #[test]
    fn an_item_without_its_version_is_none_and_a_deletion_needs_none() {
        let encode = |operation, version: Option<Step<'_>>| {
            let mut fields: Vec<(&str, Step<'_>)> = vec![("id", &|e| e.string("x"))];
            fields.extend(version.map(|version| ("n", version)));
            encode(json!({"partitionKey": "id", "version": "n"}), operation, &fields)
        };
        for missing in [None, Some((&|e: &mut ItemEncoder<'_>| e.null()) as Step<'_>)] {
            let error = encode(Operation::Put, missing).unwrap_err().to_string();
            assert!(error.contains("n is the version and is missing"), "{error}");
            assert_eq!(encode(Operation::Delete, missing).unwrap().as_slice()[0].version, None);
        }
        assert!(encode(Operation::Put, Some(&|e| e.long(7))).unwrap().as_slice()[0].version.is_some());
    }

    #[test]
    fn values_are_nested_at_most_32_deep() {
        // the innermost value is a level too, and so is a document's own map
        let nested = |layout: &str, levels: usize| {
            let property = json!({"layout": layout, "partitionKey": "id"});
            let lists: Step<'_> = &|e| {
                for _ in 0..levels {
                    e.array_start()?;
                    e.array_item()?;
                }
                e.null()?;
                (0..levels).try_for_each(|_| e.array_end())
            };
            encode(property, Operation::Put, &[("id", &|e| e.string("x")), ("tags", lists)]).is_ok()
        };
        assert_eq!([30, 31, 32].map(|levels| nested("attributes", levels)), [true, true, false]);
        assert_eq!([29, 30, 31].map(|levels| nested("document", levels)), [true, true, false]);
    }

    #[test]
    fn a_map_key_is_a_legal_attribute_name() {
        let with_key = |length: usize| {
            let map: Step<'_> = &|e| {
                e.map_start()?;
                e.map_key(&"k".repeat(length))?;
                e.null()?;
                e.map_end()
            };
            encode(json!({}), Operation::Put, &[("tags", map)]).is_ok()
        };
        let lengths = [0, 1, MAX_NAME_BYTES - 1, MAX_NAME_BYTES, MAX_NAME_BYTES + 1];
        assert_eq!(lengths.map(with_key), [false, true, true, true, false]);
    }

    #[test]
    fn a_discarded_message_leaves_the_others_as_they_were() {
        let mappings = mapping(json!({"partitionKey": "id"}));
        let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
        let mut write = |message: usize, ids: &[&str], keep: bool| {
            encoder.start_message(message, "m", Operation::Put);
            for (index, id) in ids.iter().enumerate() {
                record(&mut encoder, &mappings[0].1, Some(index), &[("id", &|e| e.string(id))]).unwrap();
            }
            if !keep {
                encoder.begin(SubjectId(0), None).unwrap();
                encoder.record_start().unwrap();
                encoder.discard_message(message);
            }
        };
        write(0, &["a"], true);
        write(1, &["b", "c"], false);
        write(2, &["d"], true);
        let items = encoder.finish_event();
        let ids: Vec<Value> =
            items.as_slice().iter().map(|item| serde_json::from_slice(items.attributes(item)).unwrap()).collect();
        assert_eq!(ids.iter().map(|item| &item["id"]["S"]).collect::<Vec<_>>(), ["a", "d"]);
        assert_eq!(items.as_slice().iter().map(|item| item.message).collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn a_message_read_anew_leaves_nothing_of_the_first_reading() {
        let mappings = mapping(json!({"partitionKey": "id"}));
        let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
        encoder.start_message(0, "m", Operation::Put);
        for (index, id) in [(Some(0), "a"), (Some(1), "b"), (None, "c")] {
            record(&mut encoder, &mappings[0].1, index, &[("id", &|e| e.string(id))]).unwrap();
        }
        let items = encoder.finish_event();
        assert_eq!(items.as_slice().len(), 1);
        assert_eq!(attributes(&items)["id"]["S"], "c");
    }

    #[test]
    fn keys_are_equal_where_the_database_finds_them_equal() {
        let key = |value: Step<'_>| {
            let items = encode(json!({"partitionKey": "n"}), Operation::Put, &[("n", value)]).unwrap();
            items.key(&items.as_slice()[0]).to_vec()
        };
        assert_eq!(key(&|e| e.long(1)), key(&|e| e.double(1.0)));
        assert_eq!(key(&|e| e.long(1)), key(&|e| e.decimal(&[100], 2)));
        assert_ne!(key(&|e| e.long(1)), key(&|e| e.string("1")), "types never mix");
        assert_ne!(key(&|e| e.string("AQI=")), key(&|e| e.bytes(&[1, 2])));
    }

    /// A list of `count` nulls, which is far longer in JSON than the database counts.
    fn nulls(encoder: &mut ItemEncoder<'_>, count: usize) -> Result<(), ItemError> {
        encoder.array_start()?;
        for _ in 0..count {
            encoder.array_item()?;
            encoder.null()?;
        }
        encoder.array_end()
    }

    #[test]
    fn an_item_is_refused_while_it_grows_and_not_when_it_is_finished() {
        let mappings = mapping(json!({"partitionKey": "id"}));
        let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
        encoder.start_message(0, "m", Operation::Put);
        encoder.begin(SubjectId(0), None).unwrap();
        encoder.record_start().unwrap();
        encoder.field(&Name::new("tags")).unwrap();
        assert!(matches!(nulls(&mut encoder, 10_000_000), Err(ItemError::TooLarge { .. })));
        // a null has two bytes in the database and 14 in JSON
        assert!(encoder.out.bytes.len() < 8 * MAX_ITEM_BYTES, "{}", encoder.out.bytes.len());
        encoder.begin(SubjectId(0), None).unwrap();
        encoder.record_start().unwrap();
        let capacity = encoder.out.bytes.capacity();
        assert!(matches!(encoder.string(&"\u{1}".repeat(10_000_000)), Err(ItemError::TooLarge { .. })));
        assert_eq!(encoder.out.bytes.capacity(), capacity, "nothing of it is written");
    }

    #[test]
    fn a_message_is_interrupted_where_the_items_would_take_more_memory_than_there_is() {
        const BUDGET: usize = 100_000;
        let mappings = mapping(json!({"partitionKey": "id"}));
        for operation in [Operation::Put, Operation::Delete] {
            let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0).within(BUDGET);
            let write = |encoder: &mut ItemEncoder<'_>, position, note: &str| {
                encoder.start_message(position, "m", operation);
                record(encoder, &mappings[0].1, None, &[("id", &|e| e.string("x")), ("note", &|e| e.string(note))])
            };
            let mut fit = 0;
            let error = loop {
                match write(&mut encoder, fit, &"n".repeat(1_000)) {
                    Ok(()) => fit += 1,
                    Err(error) => break error,
                }
            };
            assert_eq!(error, ItemError::Interrupted(Interruption::Memory));
            encoder.discard_message(fit);
            assert!((60..100).contains(&fit), "{fit}");
            assert!(encoder.out.bytes.len() <= BUDGET);
        }
    }

    #[test]
    fn records_of_no_size_take_memory_too() {
        let mappings = mapping(json!({}));
        let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0).within(100_000);
        encoder.start_message(0, "m", Operation::Put);
        let fit = (0..).find(|&index| record(&mut encoder, &mappings[0].1, Some(index), &[]).is_err()).unwrap();
        assert!(fit < 100_000 / ITEM_OVERHEAD_BYTES, "{fit}");
    }

    #[test]
    fn a_message_of_many_records_is_interrupted_when_the_time_is_over() {
        let mappings = mapping(json!({}));
        let is_over = || true;
        let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0).until(&is_over);
        encoder.start_message(0, "m", Operation::Put);
        record(&mut encoder, &mappings[0].1, Some(0), &[]).unwrap();
        let error = record(&mut encoder, &mappings[0].1, Some(1), &[]).unwrap_err();
        assert_eq!(error, ItemError::Interrupted(Interruption::Deadline));
    }

    #[test]
    fn a_message_that_has_written_nothing_takes_nothing_back() {
        let mappings = mapping(json!({"partitionKey": "id"}));
        let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
        encoder.start_message(0, "m", Operation::Put);
        record(&mut encoder, &mappings[0].1, None, &[("id", &|e| e.string("x"))]).unwrap();
        // it has failed before it was started
        encoder.discard_message(1);
        assert_eq!(encoder.finish_event().as_slice().len(), 1);
    }
}

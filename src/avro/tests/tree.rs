//! A visitor that builds a tree, so that tests can compare values.

use crate::record::{Interruption, ItemError, Name, RecordSink, RecordVisitor, SubjectId, TrackedField};

/// A value that a visitor has received.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    Null,
    Boolean(bool),
    Long(i64),
    Float(f32),
    Double(f64),
    Decimal(Vec<u8>, u32),
    Date(i32),
    String(String),
    Uuid([u8; 16]),
    Bytes(Vec<u8>),
    Array(Vec<Tree>),
    Map(Vec<(String, Tree)>),
    Record(Vec<(String, Tree)>),
}

/// Collects the records it receives, and panics if one is not well-formed.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) finished: Vec<(SubjectId, Tree)>,
    /// Tracked fields of the current record, each with the name of the field that it was reported for.
    pub(crate) tracked: Vec<(TrackedField, String)>,
    /// Values of the tracked fields, except for collections.
    pub(crate) tracked_values: Vec<(TrackedField, Tree)>,
    /// Number of entries in `tracked` whose value was received.
    answered: usize,
    /// Index of the record at which to interrupt, and the interruption.
    pub(crate) interrupt: Option<(usize, Interruption)>,
    subject: Option<SubjectId>,
    open: Vec<Open>,
    complete: Option<Tree>,
    last_field: String,
}

#[derive(Debug)]
enum Open {
    Array(Vec<Tree>, bool),
    Map(Vec<(String, Tree)>, Option<String>),
    Record(Vec<(String, Tree)>, Option<String>),
}

impl Records {
    fn put(&mut self, tree: Tree) -> Result<(), ItemError> {
        for (tracked, _) in self.tracked.iter().skip(std::mem::replace(&mut self.answered, self.tracked.len())) {
            self.tracked_values.push((*tracked, tree.clone()));
        }
        match self.open.last_mut() {
            None => assert!(self.complete.replace(tree).is_none(), "two values in one record"),
            Some(Open::Array(items, announced)) => {
                assert!(std::mem::take(announced), "an item without array_item");
                items.push(tree);
            }
            Some(Open::Map(entries, key)) => entries.push((key.take().expect("a value without map_key"), tree)),
            Some(Open::Record(fields, name)) => fields.push((name.take().expect("a value without field"), tree)),
        }
        Ok(())
    }
}

impl RecordSink for Records {
    type Record<'r> = &'r mut Self;

    fn begin(&mut self, subject: SubjectId, index: Option<usize>) -> Result<&mut Self, ItemError> {
        if let Some((at, interruption)) = self.interrupt
            && index == Some(at)
        {
            return Err(ItemError::Interrupted(interruption));
        }
        if index.unwrap_or_default() == 0 {
            self.finished.clear();
        }
        assert_eq!(index.unwrap_or_default(), self.finished.len());
        self.subject = Some(subject);
        self.open.clear();
        self.complete = None;
        self.tracked.clear();
        self.tracked_values.clear();
        self.answered = 0;
        Ok(self)
    }
}

impl RecordVisitor for &mut Records {
    fn null(&mut self) -> Result<(), ItemError> {
        self.put(Tree::Null)
    }
    fn boolean(&mut self, value: bool) -> Result<(), ItemError> {
        self.put(Tree::Boolean(value))
    }
    fn long(&mut self, value: i64) -> Result<(), ItemError> {
        self.put(Tree::Long(value))
    }
    fn float(&mut self, value: f32) -> Result<(), ItemError> {
        if value.is_nan() {
            return Err(ItemError::Number("not a number"));
        }
        self.put(Tree::Float(value))
    }
    fn double(&mut self, value: f64) -> Result<(), ItemError> {
        if value.is_nan() {
            return Err(ItemError::Number("not a number"));
        }
        self.put(Tree::Double(value))
    }
    fn decimal(&mut self, unscaled: &[u8], scale: u32) -> Result<(), ItemError> {
        self.put(Tree::Decimal(unscaled.to_vec(), scale))
    }
    fn date(&mut self, days: i32) -> Result<(), ItemError> {
        self.put(Tree::Date(days))
    }
    fn string(&mut self, value: &str) -> Result<(), ItemError> {
        self.put(Tree::String(value.to_owned()))
    }
    fn uuid(&mut self, value: [u8; 16]) -> Result<(), ItemError> {
        self.put(Tree::Uuid(value))
    }
    fn bytes(&mut self, value: &[u8]) -> Result<(), ItemError> {
        self.put(Tree::Bytes(value.to_vec()))
    }

    fn array_start(&mut self) -> Result<(), ItemError> {
        self.open.push(Open::Array(Vec::new(), false));
        Ok(())
    }
    fn array_item(&mut self) -> Result<(), ItemError> {
        let Some(Open::Array(_, announced)) = self.open.last_mut() else { panic!("an item outside of an array") };
        assert!(!std::mem::replace(announced, true), "an item without value");
        Ok(())
    }
    fn array_end(&mut self) -> Result<(), ItemError> {
        let Some(Open::Array(items, false)) = self.open.pop() else { panic!("no array to end") };
        self.put(Tree::Array(items))
    }

    fn map_start(&mut self) -> Result<(), ItemError> {
        self.open.push(Open::Map(Vec::new(), None));
        Ok(())
    }
    fn map_key(&mut self, key: &str) -> Result<(), ItemError> {
        let Some(Open::Map(_, next)) = self.open.last_mut() else { panic!("a key outside of a map") };
        assert!(next.replace(key.to_owned()).is_none(), "a key without value");
        Ok(())
    }
    fn map_end(&mut self) -> Result<(), ItemError> {
        let Some(Open::Map(entries, None)) = self.open.pop() else { panic!("no map to end") };
        self.put(Tree::Map(entries))
    }

    fn record_start(&mut self) -> Result<(), ItemError> {
        self.open.push(Open::Record(Vec::new(), None));
        Ok(())
    }
    fn field(&mut self, name: &Name) -> Result<(), ItemError> {
        let Some(Open::Record(_, next)) = self.open.last_mut() else { panic!("a field outside of a record") };
        assert!(next.replace(name.text().to_owned()).is_none(), "a field without value");
        self.last_field = name.text().to_owned();
        Ok(())
    }
    fn tracked_field(&mut self, field: TrackedField) -> Result<(), ItemError> {
        assert!(matches!(self.open.last(), Some(Open::Record(_, Some(_)))), "a tracked field without its name");
        assert!(self.tracked.iter().all(|(other, _)| *other != field), "a tracked field that occurs twice");
        self.tracked.push((field, self.last_field.clone()));
        Ok(())
    }
    fn record_end(&mut self) -> Result<(), ItemError> {
        let Some(Open::Record(fields, None)) = self.open.pop() else { panic!("no record to end") };
        self.put(Tree::Record(fields))
    }

    fn finish(self) -> Result<(), ItemError> {
        assert!(self.open.is_empty());
        self.finished.push((self.subject.take().unwrap(), self.complete.take().unwrap()));
        Ok(())
    }
}

/// Creates a record, for comparison.
pub(crate) fn record<const N: usize>(fields: [(&str, Tree); N]) -> Tree {
    Tree::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

impl From<&str> for Tree {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

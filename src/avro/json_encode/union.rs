//! Selects the branch of a union that matches a JSON value.

use super::{
    Dialect, JsonEncodeError, JsonEncoder, JsonFailure, Written,
    scalar::{sign_extended, unscaled},
};
use crate::{
    avro::{
        binary::push_len,
        path::WithPath,
        schema::{Fixed, FixedMeaning, Schema, Type, TypeId, unqualified},
        text,
    },
    json::Json,
};

/// The selected branch of a union.
#[derive(Debug, Clone, Copy)]
pub(in crate::avro) struct Choice {
    index: usize,
    /// Whether the value is in an object under the name of the branch.
    is_tagged: bool,
}

/// A function that encodes a value as the branch with this index and type.
type WriteBranch<'w, 's, 'd> = &'w dyn Fn(&mut JsonEncoder<'s, 'd>, usize, TypeId, &Json<'_>) -> Written;

impl<'s, 'd> JsonEncoder<'s, 'd> {
    /// Encodes a value as the branch that matches it; see [`choose`](Self::choose).
    pub(super) fn union(&mut self, branches: &'s [TypeId], json: &Json<'_>) -> Written {
        let write: WriteBranch<'_, 's, 'd> = &|encoder, _, branch, json| encoder.value(branch, json);
        if !self.is_ambiguous(branches, json) {
            return self.choose(branches, json, write).map(drop);
        }
        let key = (branches.as_ptr().addr(), std::ptr::from_ref(json).addr());
        match self.choices.get(&key).cloned() {
            Some(Ok(choice)) => self.chosen(branches, choice, json, write),
            Some(Err(error)) => Err(error),
            None => {
                let choice = self.choose(branches, json, write);
                self.choices.insert(key, choice.clone());
                choice.map(drop)
            }
        }
    }

    /// Returns whether several branches may match a value that contains other values.
    fn is_ambiguous(&self, branches: &[TypeId], json: &Json<'_>) -> bool {
        if self.dialect == Dialect::AVRO {
            return false;
        }
        let takes = |branch: &&TypeId| {
            matches!(
                (self.schema.get(**branch), json),
                (Type::Record(_) | Type::Map(_), Json::Object(_)) | (Type::Array(_), Json::Array(_))
            )
        };
        branches.iter().filter(takes).count() > 1
    }

    /// Encodes a value as the first branch that matches it, and returns that branch. In Avro's own encoding, the value
    /// names its branch. For a number in a plain JSON record, the first branch that holds it exactly has priority, and
    /// then a double.
    pub(in crate::avro) fn choose(
        &mut self,
        branches: &[TypeId],
        json: &Json<'_>,
        write: WriteBranch<'_, 's, 'd>,
    ) -> Result<Choice, JsonFailure> {
        if self.dialect == Dialect::AVRO {
            let choice = self.named(branches, json).ok_or_else(|| WithPath::here(JsonEncodeError::Untagged))?;
            return self.chosen(branches, choice, json, write).map(|()| choice);
        }
        let best = self.best_for_number(branches, json);
        let mut failure = None;
        for index in best.into_iter().chain(0..branches.len()) {
            let choice = Choice { index, is_tagged: false };
            match self.chosen(branches, choice, json, write) {
                Ok(()) => return Ok(choice),
                Err(at) if matches!(at.error(), JsonEncodeError::TooLarge) => return Err(at),
                // An error of the null branch is not reported, because it does not help to find the mistake in an
                // optional value.
                Err(at) if branches.get(index).is_some_and(|id| !matches!(self.schema.get(*id), Type::Null)) => {
                    failure = Some(if failure.is_none() { at } else { WithPath::here(JsonEncodeError::NoBranch) });
                }
                Err(_) => {}
            }
        }
        if let (Dialect::PLAIN, Json::Object(entries)) = (self.dialect, json)
            && let [(name, _)] = entries.as_slice()
            && let Some(index) = branches.iter().position(|branch| goes_by(self.schema.get(*branch), name))
        {
            let choice = Choice { index, is_tagged: true };
            return self.chosen(branches, choice, json, write).map(|()| choice);
        }
        Err(failure.unwrap_or_else(|| WithPath::here(JsonEncodeError::NoBranch)))
    }

    /// Returns the branch that a value names: null directly, and any other branch as the only key of an object.
    fn named(&self, branches: &[TypeId], json: &Json<'_>) -> Option<Choice> {
        match json {
            Json::Null => {
                let index = branches.iter().position(|branch| matches!(self.schema.get(*branch), Type::Null))?;
                Some(Choice { index, is_tagged: false })
            }
            Json::Object(entries) => match entries.as_slice() {
                [(name, _)] => Some(Choice { index: branch_named(self.schema, branches, name)?, is_tagged: true }),
                _ => None,
            },
            _ => None,
        }
    }

    /// Encodes a value as the branch of `choice`. Writes nothing if the value does not match the branch.
    fn chosen(
        &mut self,
        branches: &[TypeId],
        choice: Choice,
        json: &Json<'_>,
        write: WriteBranch<'_, 's, 'd>,
    ) -> Written {
        let no_branch = || WithPath::here(JsonEncodeError::NoBranch);
        let branch = *branches.get(choice.index).ok_or_else(no_branch)?;
        let value = match json {
            Json::Object(entries) if choice.is_tagged => entries.first().map(|(_, value)| value),
            json => Some(json),
        };
        let start = self.datum.len();
        push_len(self.datum, choice.index);
        let written = write(self, choice.index, branch, value.ok_or_else(no_branch)?);
        if written.is_err() {
            self.datum.truncate(start);
        }
        written
    }

    fn best_for_number(&self, branches: &[TypeId], json: &Json<'_>) -> Option<usize> {
        let (Json::Number(digits), Dialect::PLAIN) = (json, self.dialect) else { return None };
        let is_exact = |branch: &TypeId| match self.schema.get(*branch) {
            Type::Int(_) => digits.parse::<i32>().is_ok(),
            Type::Long(_) => digits.parse::<i64>().is_ok(),
            Type::Float => text::is_exact_float(digits),
            Type::Double => text::is_exact_double(digits),
            Type::Bytes(Some(decimal)) => unscaled(digits, *decimal).is_ok(),
            Type::Fixed(Fixed { size, meaning: FixedMeaning::Decimal(decimal), .. }) => {
                unscaled(digits, *decimal).and_then(|unscaled| sign_extended(unscaled, *size)).is_ok()
            }
            _ => false,
        };
        let is_double = |branch: &TypeId| matches!(self.schema.get(*branch), Type::Double);
        branches.iter().position(is_exact).or_else(|| branches.iter().position(is_double))
    }
}

/// Returns the position of the branch that is called `name` in Avro's own JSON encoding. A short name must be unique
/// among the branches; a full name always is. Null has no name, because it is written without an object.
pub(in crate::avro) fn branch_named(schema: &Schema, branches: &[TypeId], name: &str) -> Option<usize> {
    let named = || {
        let types = branches.iter().map(|branch| schema.get(*branch)).enumerate();
        types.filter(|(_, ty)| !matches!(ty, Type::Null))
    };
    let mut short = named().filter(|(_, ty)| goes_by(ty, name));
    let full = named().find(|(_, ty)| tag(ty) == name);
    let (index, _) = full.or_else(|| short.next().filter(|_| short.next().is_none()))?;
    Some(index)
}

/// Returns the name of a union's branch in Avro's own JSON encoding.
pub(in crate::avro) fn tag(ty: &Type) -> &str {
    ty.named().map_or(ty.kind(), |named| &named.name)
}

/// Returns whether `name` is the name of a branch in Avro's own JSON encoding, with or without its namespace.
fn goes_by(ty: &Type, name: &str) -> bool {
    tag(ty) == name || ty.named().is_some_and(|named| unqualified(&named.name) == name)
}

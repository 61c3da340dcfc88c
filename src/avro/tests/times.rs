//! Resolution of times whose unit or kind differs between the writer's and the reader's schema.

use super::{model_values::Dice, tree::record, *};
use crate::avro::schema::Time;
use crate::record::Unit;
use proptest::prelude::*;

/// JSON of a field's type, with its logical type.
type TimeType = (&'static str, Option<Time>);

/// All types that are times or may hold one.
const TYPES: [TimeType; 11] = [
    ("\"int\"", None),
    ("\"long\"", None),
    (r#"{"type": "int", "logicalType": "date"}"#, Some(Time::Date)),
    (r#"{"type": "int", "logicalType": "time-millis"}"#, Some(Time::OfDay(Unit::Milliseconds))),
    (r#"{"type": "long", "logicalType": "time-micros"}"#, Some(Time::OfDay(Unit::Microseconds))),
    (r#"{"type": "long", "logicalType": "timestamp-millis"}"#, Some(Time::Timestamp(Unit::Milliseconds))),
    (r#"{"type": "long", "logicalType": "timestamp-micros"}"#, Some(Time::Timestamp(Unit::Microseconds))),
    (r#"{"type": "long", "logicalType": "timestamp-nanos"}"#, Some(Time::Timestamp(Unit::Nanoseconds))),
    (r#"{"type": "long", "logicalType": "local-timestamp-millis"}"#, Some(Time::LocalTimestamp(Unit::Milliseconds))),
    (r#"{"type": "long", "logicalType": "local-timestamp-micros"}"#, Some(Time::LocalTimestamp(Unit::Microseconds))),
    (r#"{"type": "long", "logicalType": "local-timestamp-nanos"}"#, Some(Time::LocalTimestamp(Unit::Nanoseconds))),
];

/// Conversions that change a value: the names of both types and the factor.
const FACTORS: [(&str, &str, i64); 7] = [
    ("time-millis", "time-micros", 1_000),
    ("timestamp-millis", "timestamp-micros", 1_000),
    ("timestamp-micros", "timestamp-nanos", 1_000),
    ("timestamp-millis", "timestamp-nanos", 1_000_000),
    ("local-timestamp-millis", "local-timestamp-micros", 1_000),
    ("local-timestamp-micros", "local-timestamp-nanos", 1_000),
    ("local-timestamp-millis", "local-timestamp-nanos", 1_000_000),
];

fn is_int((text, _): TimeType) -> bool {
    text.contains("\"int\"")
}

/// Returns the factor that converts a writer's value for a reader, or `None` if the reader cannot read the writer's
/// type.
fn factor(writer: TimeType, reader: TimeType) -> Option<i64> {
    if !is_int(writer) && is_int(reader) {
        return None;
    }
    match (writer.1, reader.1) {
        (Some(from), Some(to)) if from != to => {
            let known = FACTORS
                .iter()
                .find(|(one, other, _)| (from.to_string(), to.to_string()) == ((*one).to_owned(), (*other).to_owned()));
            known.map(|(_, _, factor)| *factor)
        }
        _ => Some(1),
    }
}

/// Returns `value` as a visitor receives it from a field of type `reader`.
fn tree(value: i64, reader: TimeType) -> Tree {
    if reader.1 == Some(Time::Date) { Tree::Date(value.try_into().unwrap()) } else { Tree::Long(value) }
}

#[test]
fn each_type_is_read_as_each_other_exactly_or_not_at_all() {
    for writer in TYPES {
        for reader in TYPES {
            let (from, to) = (field_of(writer.0), field_of(reader.0));
            match (versions(&[&from, &to]), factor(writer, reader)) {
                (Ok(_), Some(factor)) => {
                    let value = record([("f", tree(-7 * factor, reader))]);
                    assert_eq!(evolve(&from, r#"{"f": -7}"#, &to), Ok(value), "{from} {to}");
                }
                (Err(error), None) => {
                    assert!(error.starts_with("subject s: version 1 cannot be read by version 2: f: "), "{error}");
                }
                (read, factor) => panic!("{from} as {to}: {read:?}, {factor:?}"),
            }
        }
    }
}

#[test]
fn what_cannot_be_converted_is_named() {
    let problem = |writer: usize, reader: usize| {
        let error = versions(&[&field_of(TYPES[writer].0), &field_of(TYPES[reader].0)]).unwrap_err();
        error.split_once("2: f: ").unwrap().1.to_owned()
    };
    assert_eq!(
        problem(6, 5),
        "timestamp-micros cannot be read as timestamp-millis, whose unit is coarser: keep the finer unit"
    );
    assert_eq!(
        problem(2, 5),
        "date cannot be read as timestamp-millis, which is another logical type: add a field for it"
    );
    assert_eq!(
        problem(5, 8),
        "timestamp-millis cannot be read as local-timestamp-millis, which is another logical type: add a field for it"
    );
    assert_eq!(problem(3, 2), "time-millis cannot be read as date, which is another logical type: add a field for it");
}

#[test]
fn a_time_that_does_not_fit_the_finer_unit_is_rejected() {
    let [millis, micros, nanos] = [5, 6, 7].map(|at| field_of(TYPES[at].0));
    for (writer, reader, factor) in [(&millis, &micros, 1_000), (&micros, &nanos, 1_000), (&millis, &nanos, 1_000_000)]
    {
        let decoder = of_datums(&[writer, reader]);
        let read_as = |value: i64| {
            let body = write(writer, &format!("{{\"f\": {value}}}"));
            read(&decoder, &datum(&body, "s/1")).map_err(|error| (error.reason(), error.to_string()))
        };
        let (most, least) = (i64::MAX / factor, i64::MIN / factor);
        for value in [most, least] {
            assert_eq!(read_as(value), Ok(record([("f", Tree::Long(value * factor))])));
        }
        let detail = "datum: f: the time does not fit 64 bits in the reader schema's unit, which is finer".to_owned();
        for value in [most + 1, least - 1, i64::MAX, i64::MIN] {
            assert_eq!(read_as(value), Err((Reason::NumberOutOfRange, detail.clone())));
        }
    }
    // An int of milliseconds always fits.
    let time = evolve(&field_of(TYPES[3].0), r#"{"f": -2147483648}"#, &field_of(TYPES[4].0));
    assert_eq!(time, Ok(record([("f", Tree::Long(-2_147_483_648_000))])));
}

#[test]
fn a_branch_of_the_same_kind_of_time_goes_before_one_that_promotes() {
    let [date, time_millis, time_micros, millis, micros] = [2, 3, 4, 5, 6].map(|at| TYPES[at].0);
    let read = |writer: &str, json: &str, reader: &str| {
        evolve(&field_of(writer), &format!("{{\"f\": {json}}}"), &field_of(reader)).map(|tree| match tree {
            Tree::Record(mut fields) => fields.remove(0).1,
            other => other,
        })
    };
    assert_eq!(read(time_millis, "7", &format!(r#"[{date}, {time_micros}]"#)), Ok(Tree::Long(7_000)));
    assert_eq!(read(time_millis, "7", &format!(r#"["double", {time_micros}]"#)), Ok(Tree::Long(7_000)));
    assert_eq!(
        read(&format!(r#"[{time_millis}, {millis}]"#), r#"{"long": 7}"#, &format!(r#"[{micros}, {time_millis}]"#)),
        Ok(Tree::Long(7_000))
    );
    assert_eq!(
        read(&format!(r#"["null", {millis}]"#), "7", &format!(r#"["null", {date}, {micros}]"#)),
        Ok(Tree::Long(7_000))
    );
    assert_eq!(read("\"int\"", "7", &format!(r#"[{date}, {micros}]"#)), Ok(Tree::Date(7)));
    // If the reader has the same type in another unit, no branch without a unit is used instead, because the unit would
    // be lost.
    for (writer, reader) in [
        (micros.to_owned(), format!(r#"[{millis}, "double"]"#)),
        (date.to_owned(), format!(r#"[{time_millis}, "long"]"#)),
        (format!(r#"["null", "string", {micros}]"#), format!(r#"["string", {millis}]"#)),
        (format!(r#"["string", {date}]"#), format!(r#"["string", {time_millis}]"#)),
    ] {
        let error = versions(&[&field_of(&writer), &field_of(&reader)]).unwrap_err();
        assert!(error.contains("cannot be read as time"), "{error}");
    }
}

#[test]
fn a_default_is_in_the_unit_of_the_schema_that_has_it() {
    let [millis, micros] = [5, 6].map(|at| TYPES[at].0);
    let with_default = |ty: &str| record_of(&format!(r#"{{"name": "f", "type": {ty}, "default": 5}}"#));
    assert_eq!(evolve(&record_of(""), "{}", &with_default(micros)), Ok(record([("f", Tree::Long(5))])));
    let decoder = decoder(&[("s/1", &with_default(millis)), ("s/2", &field_of(micros))], &[WireFormat::Json]);
    let of_first = Input { schema: Some("s/1"), ..json_of("{}") };
    assert_eq!(read(&decoder, &of_first), Ok(record([("f", Tree::Long(5_000))])));
}

#[test]
fn a_containers_times_are_converted_or_its_schema_is_refused() {
    let [millis, micros, nanos] = [5, 6, 7].map(|at| field_of(TYPES[at].0));
    let decoder = decoder(&[("s/1", &micros)], &[WireFormat::Container]);
    let body = |schema: &str| container(schema, "null", &[(1, &[14])]);
    assert_eq!(read(&decoder, &binary(&body(&millis))), Ok(record([("f", Tree::Long(7_000))])));
    let (refused, detail) = reason(&decoder, &binary(&body(&nanos)));
    assert_eq!(refused, Reason::IncompatibleSchema);
    assert!(detail.contains("f: timestamp-nanos cannot be read as timestamp-micros"), "{detail}");
}

/// A fingerprint is computed from the canonical form, which does not include logical types.
#[test]
fn versions_that_a_fingerprint_cannot_tell_apart_stop_the_start() {
    let [long, millis, micros] = [1, 5, 6].map(|at| field_of(TYPES[at].0));
    let start = |versions: &[(&str, &str)], format| {
        parse(versions).unwrap().compile(options(&[format])).map_err(|error| error.to_string())
    };
    let error = start(&[("s/1", &millis), ("s/2", &micros)], WireFormat::SingleObject).unwrap_err();
    assert!(
        error.contains("subject s: versions 1 and 2 differ in a logical type and have the same fingerprint"),
        "{error}"
    );
    assert!(start(&[("s/1", &millis), ("s/2", &micros)], WireFormat::Datum).is_ok());
    // All versions are read in the same way, so it does not matter which one the fingerprint means.
    for versions in [[&long, &millis, &millis], [&millis, &micros, &long]] {
        let names = ["s/1", "s/2", "s/3"];
        let versions: Vec<_> = names.into_iter().zip(versions.map(String::as_str)).collect();
        assert!(start(&versions, WireFormat::SingleObject).is_ok());
    }
}

/// A field's structure, with an index into [`TYPES`] for the writer and one for the reader at each leaf.
#[derive(Debug, Clone)]
enum Shape {
    Leaf(usize, usize),
    Array(Box<Shape>),
    Map(Box<Shape>),
    Optional(Box<Shape>),
    Record(Vec<Shape>),
}

fn shape() -> impl Strategy<Value = Shape> {
    // Half of the pairs are convertible.
    let any = (0..TYPES.len(), 0..TYPES.len());
    let convertible = prop::sample::select(vec![
        (3, 4),
        (5, 6),
        (6, 7),
        (5, 7),
        (8, 9),
        (9, 10),
        (8, 10),
        (0, 2),
        (1, 6),
        (7, 1),
        (2, 1),
    ]);
    let leaf = prop_oneof![1 => any, 19 => convertible].prop_map(|(writer, reader)| Shape::Leaf(writer, reader));
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| Shape::Array(Box::new(inner))),
            inner.clone().prop_map(|inner| Shape::Map(Box::new(inner))),
            inner
                .clone()
                .prop_filter("no union in a union", |inner| !matches!(inner, Shape::Optional(_)))
                .prop_map(|inner| Shape::Optional(Box::new(inner))),
            prop::collection::vec(inner, 0..4).prop_map(Shape::Record),
        ]
    })
}

/// Returns the writer's and the reader's schema.
fn schemas(shape: &Shape, names: &mut u32) -> (String, String) {
    let mut around = |inner: &Shape, write: &dyn Fn(String) -> String| {
        let (writer, reader) = schemas(inner, names);
        (write(writer), write(reader))
    };
    match shape {
        Shape::Leaf(writer, reader) => (TYPES[*writer].0.to_owned(), TYPES[*reader].0.to_owned()),
        Shape::Array(inner) => around(inner, &|items| format!(r#"{{"type": "array", "items": {items}}}"#)),
        Shape::Map(inner) => around(inner, &|values| format!(r#"{{"type": "map", "values": {values}}}"#)),
        Shape::Optional(inner) => around(inner, &|ty| format!(r#"["null", {ty}]"#)),
        Shape::Record(fields) => {
            *names += 1;
            let name = format!("N{names}");
            let fields: Vec<_> = fields.iter().map(|field| schemas(field, names)).collect();
            let record = |types: Vec<&String>| {
                let fields: Vec<_> =
                    types.iter().enumerate().map(|(at, ty)| format!(r#"{{"name": "f{at}", "type": {ty}}}"#)).collect();
                format!(r#"{{"type": "record", "name": "{name}", "fields": [{}]}}"#, fields.join(","))
            };
            (
                record(fields.iter().map(|(writer, _)| writer).collect()),
                record(fields.iter().map(|(_, reader)| reader).collect()),
            )
        }
    }
}

/// Returns whether the reader can read every type of the writer.
fn is_readable(shape: &Shape) -> bool {
    match shape {
        Shape::Leaf(writer, reader) => factor(TYPES[*writer], TYPES[*reader]).is_some(),
        Shape::Array(inner) | Shape::Map(inner) | Shape::Optional(inner) => is_readable(inner),
        Shape::Record(fields) => fields.iter().all(is_readable),
    }
}

/// Returns a number close to the limits of 64 bits or of a conversion, or any number.
fn number(dice: &mut Dice, is_int: bool) -> i64 {
    let limits: &[i64] = if is_int {
        &[0, i32::MIN as i64, i32::MAX as i64]
    } else {
        &[0, i64::MAX, i64::MIN, i64::MAX / 1_000, i64::MIN / 1_000, i64::MAX / 1_000_000, i64::MIN / 1_000_000]
    };
    let number = limits[dice.below(limits.len())].saturating_add(i64::try_from(dice.below(5)).unwrap() - 2);
    if is_int { number.clamp(i32::MIN.into(), i32::MAX.into()) } else { number }
}

/// Appends a datum of the writer's type to `body`, and returns the reader's value. Returns `None` if a number exceeds
/// 64 bits.
fn value(shape: &Shape, dice: &mut Dice, body: &mut Vec<u8>) -> Option<Tree> {
    match shape {
        Shape::Leaf(writer, reader) => {
            let (writer, reader) = (TYPES[*writer], TYPES[*reader]);
            let number = number(dice, is_int(writer));
            binary::push_long(body, number);
            let wide = i128::from(number) * i128::from(factor(writer, reader).unwrap());
            i64::try_from(wide).ok().map(|number| tree(number, reader))
        }
        Shape::Array(inner) => {
            let count = dice.below(3);
            if count > 0 {
                binary::push_len(body, count);
            }
            let items: Vec<_> = (0..count).map(|_| value(inner, dice, body)).collect();
            body.push(0);
            Some(Tree::Array(items.into_iter().collect::<Option<_>>()?))
        }
        Shape::Map(inner) => {
            let count = dice.below(3);
            if count > 0 {
                binary::push_len(body, count);
            }
            let mut entries = Vec::new();
            for at in 0..count {
                let key = format!("k{at}");
                binary::push_bytes(body, key.as_bytes());
                entries.push(value(inner, dice, body).map(|value| (key, value)));
            }
            body.push(0);
            Some(Tree::Map(entries.into_iter().collect::<Option<_>>()?))
        }
        Shape::Optional(inner) => {
            if dice.chance(3) {
                body.push(0);
                return Some(Tree::Null);
            }
            body.push(2);
            value(inner, dice, body)
        }
        Shape::Record(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .enumerate()
                .map(|(at, field)| value(field, dice, body).map(|value| (format!("f{at}"), value)))
                .collect();
            Some(Tree::Record(fields.into_iter().collect::<Option<_>>()?))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// This holds for any nesting of the types and any size of the numbers.
    #[test]
    fn times_are_what_a_multiplication_makes_of_them(fields in prop::collection::vec(shape(), 1..4), seed: u64) {
        let shape = Shape::Record(fields);
        let (writer, reader) = schemas(&shape, &mut 0);
        let schemas = versions(&[&writer, &reader]);
        prop_assert_eq!(schemas.is_ok(), is_readable(&shape), "{:?}", schemas.err());
        let Ok(schemas) = versions(&[&writer, &reader]) else { return Ok(()) };
        let decoder = schemas.compile(options(&[WireFormat::Datum])).unwrap();
        let of_containers = super::decoder(&[("s/1", &reader)], &[WireFormat::Container]);
        let mut dice = Dice(seed);
        for _ in 0..4 {
            let mut body = Vec::new();
            let expected = value(&shape, &mut dice, &mut body).ok_or(Reason::NumberOutOfRange);
            let read_datum = read(&decoder, &datum(&body, "s/1")).map_err(|error| error.reason());
            prop_assert_eq!(&read_datum, &expected);
            let packed = container(&writer, "null", &[(1, &body)]);
            let read_container = read(&of_containers, &binary(&packed)).map_err(|error| error.reason());
            prop_assert_eq!(&read_container, &expected);
        }
    }
}

//! Checks the units of a version and a time to live, which must be the same in all versions of a subject.
//!
//! A record is converted to the newest schema's unit when it is read, but an item that is already in the table is not.
//! A time to live without a logical type counts seconds, so an older schema version must not use another unit.

use crate::avro::{self, FieldUnit, Time};
use crate::dynamodb::mapping::{Fields, Mapping, TTL, VERSION};
use crate::record::{FieldKind, Quantity};

/// Number of a schema version, with the logical type that a field has in it.
type InVersion = (u32, Option<Time>);

/// Returns a problem if the version or the time to live of `mapping` has different units in the versions of `subject`.
pub(super) fn problems(subject: &avro::Subject, mapping: &Mapping) -> impl Iterator<Item = String> {
    let path_of = |role| mapping.tracked_fields().iter().find(|(field, _)| *field == role).map(|(_, path)| path);
    let version = path_of(VERSION).and_then(|path| {
        let (first, second) = different_times(&subject.times(path))?;
        Some(format!(
            "version: field {path} is {} and {}, which do not compare, and items in the table keep what they have: \
             add a field in the new unit and order by that",
            in_version(first, "a number"),
            in_version(second, "a number")
        ))
    });
    let ttl =
        path_of(TTL).filter(|path| subject.kind(path) == Ok(FieldKind::Number(Quantity::Plain))).and_then(|path| {
            let time = subject.times(path).into_iter().find(|(_, time)| time.is_some())?;
            let newest = subject.newest().number();
            Some(format!(
                "ttl: field {path} is {} and {}: give both the same logical type",
                in_version(time, "a number"),
                in_version((newest, None), "a number of seconds")
            ))
        });
    version.into_iter().chain(ttl)
}

/// Returns the fields without a logical type whose unit is fixed: a time to live counts seconds, and a version has the
/// unit that older schema versions give it. A container in which such a field has another unit is incompatible.
pub(super) fn fixed(subject: &avro::Subject, mapping: &Mapping) -> impl Iterator<Item = FieldUnit> {
    let plain = mapping.tracked_fields().iter().filter(|(role, path)| {
        [TTL, VERSION].contains(role) && subject.kind(path) == Ok(FieldKind::Number(Quantity::Plain))
    });
    plain.filter_map(|(role, path)| {
        let times: Vec<Time> = subject.times(path).into_iter().filter_map(|(_, time)| time).collect();
        (*role == TTL || !times.is_empty()).then(|| FieldUnit { path: path.clone(), times })
    })
}

/// Returns the first two schema versions in which the values of a field cannot be compared. A number without a logical
/// type may have any unit. It cannot be compared with a date, because a date is stored as text.
fn different_times(times: &[InVersion]) -> Option<(InVersion, InVersion)> {
    let differ = |one: Option<Time>, other: Option<Time>| match (one, other) {
        (Some(one), Some(other)) => one != other,
        (Some(time), None) | (None, Some(time)) => time == Time::Date,
        (None, None) => false,
    };
    times.iter().enumerate().find_map(|(at, first)| {
        let second = times.iter().skip(at + 1).find(|second| differ(first.1, second.1))?;
        Some((*first, *second))
    })
}

fn in_version((number, time): InVersion, plain: &str) -> String {
    let what = time.map_or_else(|| plain.to_owned(), |time| time.to_string());
    format!("{what} in version {number}")
}

#[cfg(test)]
mod tests {
    use crate::avro::{Body, Input, SchemaFile, Scratch};
    use crate::settings::Settings;
    use crate::transcode::Transcoder;
    use serde_json::{Value, json};
    use std::time::Duration;

    const MILLIS: &str = "timestamp-millis";
    const MICROS: &str = "timestamp-micros";

    fn long(logical: &str) -> Value {
        json!({"type": "long", "logicalType": logical})
    }

    /// Returns a schema of the subject `reading` in which the field `at` has the type `at`.
    fn schema(at: &Value, dynamodb: &Value, more: &[&str]) -> String {
        let mut fields = vec![json!({"name": "id", "type": "string"}), json!({"name": "at", "type": at})];
        fields.extend(more.iter().map(|name| json!({"name": name, "type": "string", "default": ""})));
        json!({"type": "record", "name": "Reading", "dynamodb": dynamodb, "fields": fields}).to_string()
    }

    fn start(versions: &[String]) -> Result<Transcoder, String> {
        let file = |(text, number): (&String, u32)| SchemaFile {
            subject: "reading".into(),
            version: number.to_string(),
            text: text.clone(),
            path: format!("reading/{number}.avsc"),
        };
        let settings = Settings::parse(|name| match name {
            "TABLE_NAME" => Some("table".to_owned()),
            "WIRE_FORMATS" => Some("single-object,container,datum,json".to_owned()),
            _ => None,
        });
        let files = versions.iter().zip(1..).map(file).collect();
        Transcoder::new(&settings.unwrap(), files).map_err(|problems| problems.to_string())
    }

    /// Creates a transcoder of versions in which the field `at` has these types. All versions have different fields.
    fn directory(types: &[Value], dynamodb: &Value) -> Result<Transcoder, String> {
        let more = ["a", "b", "c", "d"];
        let versions = types.iter().enumerate().map(|(number, at)| schema(at, dynamodb, &more[..number]));
        start(&versions.collect::<Vec<_>>())
    }

    fn item(transcoder: &Transcoder, input: &Input<'_>) -> Value {
        let mut encoder = transcoder.encoder(Duration::ZERO, 0);
        transcoder.transcode(input, (0, "m"), &mut encoder, &mut Scratch::default()).unwrap();
        let items = encoder.finish_event();
        serde_json::from_slice(items.attributes(&items.as_slice()[0])).unwrap()
    }

    #[test]
    fn a_time_to_live_keeps_its_instant_when_the_unit_of_its_field_becomes_finer() {
        let property =
            json!({"partitionKey": {"attribute": "pk", "field": "id"}, "ttl": {"attribute": "exp", "field": "at"}});
        let versions = [schema(&long(MILLIS), &json!({}), &[]), schema(&long(MICROS), &property, &["unit"])];
        let transcoder = start(&versions).unwrap();
        let body = base64_simd::STANDARD.decode_to_vec("wwG1Hzvv/iIAqQJh9uGZjcxu").unwrap();
        let input = Input { body: Body::Binary(&body), schema: None, value_schema_id: None, keys_only: false };
        let read = item(&transcoder, &input);
        assert_eq!((&read["pk"], &read["exp"]), (&json!({"S": "a"}), &json!({"N": "1900000000"})));
        assert_eq!(read["data"]["M"]["at"], json!({"N": "1900000000123000"}));
        let text = r#"{"id": "a", "at": 1900000000123}"#;
        let of_json = Input { body: Body::Json(text), schema: Some("reading/1"), ..input };
        assert_eq!(item(&transcoder, &of_json)["data"], read["data"]);
    }

    #[test]
    fn a_key_is_in_the_unit_of_the_newest_version() {
        let property = json!({
            "partitionKey": {"attribute": "pk", "field": "at"}, "sortKey": {"attribute": "sk", "template": "AT#{at}"},
        });
        let transcoder = directory(&[long(MILLIS), long(MICROS)], &property).unwrap();
        for keys_only in [false, true] {
            let body = Body::Json(r#"{"id": "a", "at": 7}"#);
            let read = item(&transcoder, &Input { body, schema: Some("reading/1"), value_schema_id: None, keys_only });
            assert_eq!((&read["pk"], &read["sk"]), (&json!({"N": "7000"}), &json!({"S": "AT#7000"})));
        }
    }

    #[test]
    fn a_version_in_several_units_stops_the_start() {
        let version = json!({"partitionKey": {"attribute": "pk", "field": "id"}, "version": "at"});
        let (plain, date) = (json!("long"), json!({"type": "int", "logicalType": "date"}));
        let optional = |ty: Value| json!(["null", ty]);
        let time = |ty: &str, logical: &str| json!({"type": ty, "logicalType": logical});
        for (types, problem) in [
            (vec![long(MILLIS), long(MICROS)], "is timestamp-millis in version 1 and timestamp-micros in version 2"),
            (
                vec![optional(long(MILLIS)), long(MICROS)],
                "is timestamp-millis in version 1 and timestamp-micros in version 2",
            ),
            (
                vec![long(MICROS), long(MICROS), optional(long("timestamp-nanos"))],
                "is timestamp-micros in version 1 and timestamp-nanos in version 3",
            ),
            (
                vec![time("int", "time-millis"), time("long", "time-micros")],
                "is time-millis in version 1 and time-micros in version 2",
            ),
            // The newest version has no unit, so it stores the numbers of both units.
            (
                vec![long(MILLIS), plain.clone(), long(MICROS), plain.clone()],
                "is timestamp-millis in version 1 and timestamp-micros in version 3",
            ),
            (
                vec![date.clone(), time("int", "time-millis"), json!("int")],
                "is date in version 1 and time-millis in version 2",
            ),
            // A date is stored as text.
            (vec![json!("int"), date.clone()], "is a number in version 1 and date in version 2"),
            (
                vec![json!([{"type": "int", "logicalType": "date"}, long(MILLIS)]), plain.clone()],
                "is date in version 1 and timestamp-millis in version 1",
            ),
        ] {
            let error = directory(&types, &version).err().unwrap_or_else(|| panic!("{problem}"));
            assert!(error.contains(&format!("subject reading: version: field at {problem}")), "{error}");
            assert!(directory(&types, &json!({})).is_ok(), "{problem}");
        }
        for types in [
            vec![long(MILLIS), long(MILLIS)],
            vec![plain.clone(), long(MILLIS)],
            vec![long(MICROS), plain, json!("double")],
            vec![date.clone(), date],
        ] {
            assert!(directory(&types, &version).is_ok(), "{types:?}");
        }
    }

    #[test]
    fn a_version_within_other_records_is_found_by_the_names_it_had() {
        let schema = |aliases: &Value, name: &str, logical: &str, more: &str| {
            let inner = json!({"type": "record", "name": "Meta", "fields": [{"name": name, "aliases": aliases, "type": long(logical)}]});
            let property = json!({"partitionKey": "id", "version": "meta.at"});
            let fields = json!([{"name": "id", "type": "string"}, {"name": "meta", "type": ["null", inner]}, {"name": more, "type": "int", "default": 0}]);
            json!({"type": "record", "name": "Reading", "dynamodb": property, "fields": fields}).to_string()
        };
        let newest = |logical| schema(&json!(["time"]), "at", logical, "b");
        let error = start(&[schema(&json!([]), "time", MILLIS, "a"), newest(MICROS)]).err().unwrap();
        assert!(error.contains("version: field meta.at is timestamp-millis in version 1"), "{error}");
        assert!(start(&[schema(&json!([]), "time", MILLIS, "a"), newest(MILLIS)]).is_ok());
    }

    #[test]
    fn a_time_to_live_in_seconds_that_was_a_timestamp_stops_the_start() {
        let ttl =
            json!({"partitionKey": {"attribute": "pk", "field": "id"}, "ttl": {"attribute": "exp", "field": "at"}});
        let error = directory(&[long(MILLIS), json!("long")], &ttl).err().unwrap();
        let expected = "ttl: field at is timestamp-millis in version 1 and a number of seconds in version 2";
        assert!(error.contains(expected), "{error}");
        for types in [[json!("long"), long(MILLIS)], [json!("int"), json!("long")], [long(MILLIS), long(MICROS)]] {
            assert!(directory(&types, &ttl).is_ok(), "{types:?}");
        }
        // A time of day is not an instant.
        let error = directory(&[long("time-micros")], &ttl).err().unwrap();
        assert!(error.contains("ttl: field at must be a number: epoch seconds or a timestamp"), "{error}");
    }

    /// Reads a container with one record, in which the field `at` has the type `at` and the value 7.
    fn read_container(transcoder: &Transcoder, at: &Value) -> Result<Value, String> {
        let schema = schema(at, &json!({}), &[]);
        let mut body = b"Obj\x01\x02\x16avro.schema".to_vec();
        crate::avro::push_bytes(&mut body, schema.as_bytes());
        // The end of the header, and a block with one record of three bytes.
        body.extend([&[0][..], &[7; 16], &[2, 6, 2, b'a', 14], &[7; 16]].concat());
        let input = Input { body: Body::Binary(&body), schema: None, value_schema_id: None, keys_only: false };
        let mut encoder = transcoder.encoder(Duration::ZERO, 0);
        let read = transcoder.transcode(&input, (0, "m"), &mut encoder, &mut Scratch::default());
        read.map_err(|error| error.to_string())?;
        let items = encoder.finish_event();
        Ok(serde_json::from_slice(items.attributes(&items.as_slice()[0])).unwrap())
    }

    #[test]
    fn a_container_whose_time_becomes_a_number_of_another_unit_is_incompatible() {
        let plain = || json!("long");
        let ttl =
            json!({"partitionKey": {"attribute": "pk", "field": "id"}, "ttl": {"attribute": "exp", "field": "at"}});
        let version = json!({"partitionKey": {"attribute": "pk", "field": "id"}, "version": "at"});
        let (in_seconds, in_millis) =
            (directory(&[plain()], &ttl).unwrap(), directory(&[long(MILLIS), plain()], &version).unwrap());
        for (transcoder, at) in [
            (&in_seconds, long(MILLIS)),
            (&in_seconds, json!(["null", long(MICROS)])),
            (&in_millis, long(MICROS)),
            (&in_millis, json!([long(MILLIS), {"type": "int", "logicalType": "date"}])),
        ] {
            let error = read_container(transcoder, &at).unwrap_err();
            assert!(error.contains("at: ") && error.contains("cannot be read as a number that"), "{error}");
        }
        assert_eq!(read_container(&in_seconds, &plain()).unwrap()["exp"], json!({"N": "7"}));
        for at in [plain(), long(MILLIS)] {
            assert_eq!(read_container(&in_millis, &at).unwrap()["data"]["M"]["at"], json!({"N": "7"}), "{at}");
        }
        // Without a logical type in any version, the unit of the numbers is unknown.
        let of_any = directory(&[plain()], &version).unwrap();
        assert!(read_container(&of_any, &long(MICROS)).is_ok());
    }

    #[test]
    fn microseconds_read_as_milliseconds_stop_the_start() {
        let error = directory(&[long(MICROS), long(MILLIS)], &json!({})).err().unwrap();
        let expected = "subject reading: version 1 cannot be read by version 2: at: timestamp-micros cannot be read as timestamp-millis";
        assert!(error.contains(expected), "{error}");
    }
}

//! Compares the decoder with apache-avro on random schemas, evolutions and values.

use super::{
    model::{Model, evolved, model, schema},
    model_times::{finer, in_finer_units},
    model_values::{Dice, sorted, tree, value},
    *,
};
use crate::avro::{
    inflate::{Compression, tests::compress},
    text,
};
use apache_avro::{reader::datum::GenericDatumReader, writer::datum::GenericDatumWriter};
use proptest::prelude::*;

fn read_sorted(decoder: &Decoder, body: &[u8], name: &str) -> Result<Tree, DecodeError> {
    read(decoder, &datum(body, name)).map(sorted)
}

/// Returns a value of `model` as apache-avro writes it, and the tree that a visitor should receive.
fn written(model: &Model, dice: &mut Dice) -> (Vec<u8>, Tree) {
    let value = value(model, dice, &mut Vec::new());
    let tree = tree(&value, model, &mut Vec::new());
    let schema = apache_avro::Schema::parse_str(&schema(model)).unwrap();
    (GenericDatumWriter::builder(&schema).build().unwrap().write_value_to_vec(value).unwrap(), tree)
}

/// Returns `body` with some bits flipped, bytes removed, or bytes inserted.
fn damaged(mut body: Vec<u8>, dice: &mut Dice) -> Vec<u8> {
    for _ in 0..1 + dice.below(3) {
        let at = dice.below(body.len() + 1);
        match (dice.below(3), body.get_mut(at)) {
            (0, Some(byte)) => *byte ^= 1 << dice.below(8),
            (1, Some(_)) => drop(body.remove(at)),
            _ => body.splice(at..at, dice.bytes(1)).for_each(drop),
        }
    }
    body
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_apache_avro_writes_is_read(model in model(), seed: u64) {
        let (body, tree) = written(&model, &mut Dice(seed));
        let decoder = of_datums(&[&schema(&model)]);
        prop_assert_eq!(read_sorted(&decoder, &body, "s"), Ok(tree));
        for len in 0..body.len() {
            prop_assert!(read(&decoder, &datum(&body[..len], "s")).is_err(), "cut at {}", len);
        }
    }

    #[test]
    fn another_schema_reads_it_as_apache_avro_does(model in model(), seed: u64) {
        let mut dice = Dice(seed);
        let (body, _) = written(&model, &mut dice);
        let reader = evolved(&model, &mut dice, &mut 0);
        let (writer_text, reader_text) = (schema(&model), schema(&reader));
        let [writer_schema, reader_schema] = [&writer_text, &reader_text].map(|text| apache_avro::Schema::parse_str(text).unwrap());
        let their_reader = GenericDatumReader::builder(&writer_schema).reader_schema(&reader_schema).build().unwrap();
        let theirs = their_reader.read_value(&mut &body[..]);
        match versions(&[&writer_text, &reader_text]) {
            Ok(schemas) => {
                let decoder = schemas.compile(options(&[WireFormat::Datum])).unwrap();
                match (read_sorted(&decoder, &body, "s/1"), theirs) {
                    (Ok(ours), Ok(value)) => prop_assert_eq!(ours, tree(&value, &reader, &mut Vec::new())),
                    (Err(ours), Err(_)) => prop_assert!(matches!(ours.reason(), Reason::Unresolvable | Reason::MalformedDatum), "{}", ours),
                    (ours, theirs) => prop_assert!(false, "ours: {:?}, theirs: {:?}", ours, theirs),
                }
            }
            Err(error) => prop_assert!(theirs.is_err(), "{} but theirs is {:?}", error, theirs),
        }
    }

    /// apache-avro does not convert units. Therefore it reads in the writer's unit, and the model multiplies the
    /// result.
    #[test]
    fn finer_units_are_read_as_apache_avro_reads_and_the_model_multiplies(model in model(), seed: u64) {
        let mut dice = Dice(seed);
        let (body, _) = written(&model, &mut dice);
        let reader = evolved(&model, &mut dice, &mut 0);
        let in_finer = finer(&reader, &mut dice);
        let [writer_text, reader_text] = [&model, &reader].map(schema);
        let schemas = versions(&[&writer_text, &schema(&in_finer)]);
        prop_assert_eq!(schemas.is_ok(), versions(&[&writer_text, &reader_text]).is_ok());
        let Ok(schemas) = schemas else { return Ok(()) };
        let decoder = schemas.compile(options(&[WireFormat::Datum])).unwrap();
        let [writer_schema, reader_schema] = [&writer_text, &reader_text].map(|text| apache_avro::Schema::parse_str(text).unwrap());
        let their_reader = GenericDatumReader::builder(&writer_schema).reader_schema(&reader_schema).build().unwrap();
        let Ok(theirs) = their_reader.read_value(&mut &body[..]) else { return Ok(()) };
        match (read_sorted(&decoder, &body, "s/1"), in_finer_units(&theirs, &reader, &in_finer, &mut Vec::new())) {
            (Ok(ours), Some(value)) => prop_assert_eq!(ours, tree(&value, &in_finer, &mut Vec::new())),
            (Err(ours), None) => prop_assert_eq!(ours.reason(), Reason::NumberOutOfRange, "{}", ours),
            (ours, theirs) => prop_assert!(false, "ours: {:?}, theirs: {:?}", ours, theirs),
        }
    }

    #[test]
    fn a_container_of_apache_avros_is_read_record_by_record(model in model(), seed: u64, count in 0_usize..5) {
        let mut dice = Dice(seed);
        let text = schema(&model);
        let their_schema = apache_avro::Schema::parse_str(&text).unwrap();
        let codec = [apache_avro::Codec::Null, apache_avro::Codec::Deflate(Default::default())][dice.below(2)];
        let mut writer = apache_avro::Writer::with_codec(&their_schema, Vec::new(), codec).unwrap();
        let mut trees = Vec::new();
        for _ in 0..count {
            let value = value(&model, &mut dice, &mut Vec::new());
            trees.push(tree(&value, &model, &mut Vec::new()));
            writer.append_value(value).unwrap();
        }
        let decoder = decoder(&[("s/1", &text)], &[WireFormat::Container]);
        let read = read_all(&decoder, &binary(&writer.into_inner().unwrap()));
        prop_assert_eq!(read.map(|read| read.into_iter().map(sorted).collect::<Vec<_>>()), Ok(trees));
    }

    /// apache-avro's result is compared only if it reads all bytes, because it reads missing values of a truncated
    /// datum as nulls.
    #[test]
    fn a_damaged_datum_is_rejected_or_is_another_to_apache_avro_too(model in model(), seed: u64) {
        let mut dice = Dice(seed);
        let body = damaged(written(&model, &mut dice).0, &mut dice);
        let text = schema(&model);
        let reader = finer(&evolved(&model, &mut dice, &mut 0), &mut dice);
        if let Ok(evolving) = versions(&[&text, &schema(&reader)]) {
            let evolving = evolving.compile(options(&[WireFormat::Datum])).unwrap();
            let _may_be_rejected = read(&evolving, &datum(&body, "s/1"));
        }
        if let Ok(ours) = read_sorted(&of_datums(&[&text]), &body, "s") {
            let their_schema = apache_avro::Schema::parse_str(&text).unwrap();
            let theirs = GenericDatumReader::builder(&their_schema).build().unwrap().read_value(&mut &body[..]);
            prop_assert_eq!(ours, tree(&theirs.unwrap(), &model, &mut Vec::new()));
        }
    }

    #[test]
    fn no_damage_to_a_framed_body_does_more_than_have_it_rejected(model in model(), seed: u64) {
        let mut dice = Dice(seed);
        let id = "b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63";
        let text = schema(&model).replacen('{', &format!(r#"{{"schemaIds":[7,"{id}"],"#), 1);
        let datum = written(&model, &mut dice).0;
        let schemas = versions(&[&text]).unwrap();
        let fingerprint = schemas.subjects().next().unwrap().newest().fingerprint();
        let decoder = schemas.compile(options(WireFormat::ALL)).unwrap();
        let zlib = compress(Compression::Zlib, &datum);
        let uuid = text::uuid(id).unwrap();
        let bodies = [
            [&[0xC3, 1][..], &fingerprint.to_le_bytes(), &datum].concat(),
            [&[0, 0, 0, 0, 7][..], &datum].concat(),
            [&[3, 0][..], &uuid, &datum].concat(),
            [&[3, 5][..], &uuid, &zlib].concat(),
            container(&text, "null", &[(1, &datum)]),
            container(&text, "deflate", &[(1, &compress(Compression::Deflate, &datum))]),
        ];
        for body in bodies {
            prop_assert!(read(&decoder, &binary(&body)).is_ok());
            let damaged = damaged(body, &mut dice);
            let _may_be_rejected = read_all(&decoder, &Input { schema: Some("s"), ..binary(&damaged) });
        }
    }

    #[test]
    fn schemas_without_annotations_have_apache_avros_canonical_form(model in model(), seed: u64) {
        let text = schema(&evolved(&model, &mut Dice(seed), &mut 0));
        let ours = Schema::parse(&text).unwrap();
        let theirs = apache_avro::Schema::parse_str(&text).unwrap();
        if !text.contains("logicalType") {
            prop_assert_eq!(ours.canonical_form(), theirs.canonical_form());
            let fingerprint = theirs.fingerprint::<apache_avro::rabin::Rabin>();
            prop_assert_eq!(&ours.fingerprint().to_le_bytes()[..], &fingerprint.bytes[..]);
        }
    }

    #[test]
    fn a_damaged_schema_is_a_schema_or_an_error(model in model(), seed: u64) {
        let damaged = damaged(schema(&model).into_bytes(), &mut Dice(seed));
        if let Ok(text) = String::from_utf8(damaged) {
            let _may_be_refused = versions(&[&text]);
            let _as_a_writer = versions(&[&text, &schema(&model)]);
        }
    }
}

use super::*;

#[test]
fn a_single_object_is_read_by_its_fingerprint() {
    let schemas = parse(&[("order/1", ORDER)]).unwrap();
    let fingerprint = schemas.subjects().next().unwrap().newest().fingerprint();
    let decoder = schemas.compile(options(&[WireFormat::SingleObject])).unwrap();
    let order = write(ORDER, ORDER_JSON);
    let body = [&[0xC3, 0x01][..], &fingerprint.to_le_bytes(), &order].concat();
    assert_eq!(read(&decoder, &binary(&body)), Ok(order_tree()));
    let unknown = [&[0xC3, 0x01][..], &7_u64.to_le_bytes(), &order].concat();
    assert_eq!(
        reason(&decoder, &binary(&unknown)),
        (Reason::UnknownSchema, "single-object: schema 0000000000000007 is not in the directory".to_owned())
    );
}

#[test]
fn a_datum_cut_at_any_byte_is_rejected() {
    let decoder = of_datums(&[ORDER]);
    let body = write(ORDER, ORDER_JSON);
    assert_eq!(read(&decoder, &datum(&body, "s")), Ok(order_tree()));
    for len in 0..body.len() {
        assert_eq!(reason(&decoder, &datum(&body[..len], "s")).0, Reason::Truncated, "{len}");
    }
    let longer = [&body[..], &[0]].concat();
    assert_eq!(reason(&decoder, &datum(&longer, "s")).0, Reason::TrailingBytes);
}

#[test]
fn an_error_names_the_path_of_the_field() {
    let decoder = of_datums(&[ORDER]);
    let body = write(ORDER, ORDER_JSON);
    let cut = |bytes: usize| reason(&decoder, &datum(&body[..body.len() - bytes], "s")).1;
    assert_eq!(cut(7), "datum: total_amount: the datum ends before the value does");
    assert_eq!(cut(16), "datum: items[1].price: the datum ends before the value does");
}

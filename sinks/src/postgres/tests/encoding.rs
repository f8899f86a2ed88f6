//! The encoder against a real server: what PostgreSQL itself makes of our bytes.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use arrow_array::builder::StringDictionaryBuilder;
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use schema::Kind;

use super::Cluster;
use crate::postgres::cells::Cells;
use crate::postgres::column::SqlKind;
use crate::postgres::copy::{HEADER, TRAILER};
use crate::postgres::numeric::Room;
use crate::postgres::refusal::Reason;

/// Copies one column into a table of that type: what the server then prints, cell by cell, and
/// what was refused before it was sent.
fn through(
    cluster: &Cluster,
    spelled: &str,
    kind: Kind,
    array: &ArrayRef,
    sql: SqlKind,
) -> (Vec<String>, Vec<(usize, Reason)>) {
    let cells = Cells::new(kind, array, sql, false).expect("the types fit");
    let (mut out, mut refused) = (HEADER.to_vec(), Vec::new());
    for row in 0..array.len() {
        let before = out.len();
        out.extend_from_slice(&1_i16.to_be_bytes());
        if let Err(reason) = cells.encode(row, &mut out) {
            out.truncate(before);
            refused.push((row, reason));
        }
    }
    out.extend_from_slice(TRAILER);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), out).unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let path = file.path().display();
    let _ = cluster.psql("postgres", &format!("CREATE TABLE t (id serial, c {spelled})"));
    let _ = cluster.psql("postgres", &format!("COPY t (c) FROM '{path}' (FORMAT binary)"));
    let printed = cluster.psql("postgres", "SELECT to_json(c::text) FROM t ORDER BY id");
    let _ = cluster.psql("postgres", "DROP TABLE t");
    let text = |line: &str| match line {
        "∅" => line.to_owned(),
        line => serde_json::from_str::<String>(line).unwrap(),
    };
    (printed.lines().map(text).collect(), refused)
}

/// Copies what fits and is refused what does not.
#[track_caller]
fn check(
    cluster: &Cluster,
    spelled: &str,
    (kind, array): (Kind, ArrayRef),
    sql: SqlKind,
    expected: &[Result<&str, Reason>],
) {
    let (printed, refused) = through(cluster, spelled, kind, &array, sql);
    let fine: Vec<&str> = expected.iter().filter_map(|cell| cell.as_ref().ok().copied()).collect();
    assert_eq!(printed, fine, "{spelled}");
    let faults = expected.iter().enumerate();
    let faults: Vec<_> = faults.filter_map(|(row, cell)| Some((row, cell.err()?))).collect();
    assert_eq!(refused, faults, "{spelled}");
}

fn floats(values: &[f64]) -> (Kind, ArrayRef) {
    (Kind::Float, Arc::new(Float64Array::from(values.to_vec())))
}

fn ints(values: &[i64]) -> (Kind, ArrayRef) {
    (Kind::Int, Arc::new(Int64Array::from(values.to_vec())))
}

fn texts(kind: Kind, values: &[&str]) -> (Kind, ArrayRef) {
    (kind, Arc::new(StringArray::from(values.to_vec())))
}

#[test]
fn the_server_reads_what_was_meant() {
    let name = "postgres::tests::encoding::the_server_reads_what_was_meant";
    let Some(cluster) = Cluster::start(name) else { return };
    numbers(&cluster);
    words(&cluster);
    instants(&cluster);
    any_f64(&cluster);
}

fn numbers(cluster: &Cluster) {
    use Reason::{Decimals, Digits, NotFinite, TooLarge};
    let values = floats(&[0.05, 100.0, -99.999_999, 1e-7, f64::NAN, f64::INFINITY, 0.0]);
    let room = Some(Room { precision: 8, scale: 6 });
    let expected = [
        Ok("0.050000"),
        Err(TooLarge),
        Ok("-99.999999"),
        Err(Decimals { needs: 7, scale: 6 }),
        Err(NotFinite),
        Err(NotFinite),
        Ok("0.000000"),
    ];
    check(cluster, "numeric(8,6)", values.clone(), SqlKind::Numeric(room), &expected);
    let (bad, small) = (Err(NotFinite), Ok("1e-07"));
    let expected = [Ok("0.05"), Ok("100"), Ok("-99.999999"), small, bad, bad, Ok("0")];
    check(cluster, "double precision", values, SqlKind::Float8, &expected);
    let expected = [Ok("0.05"), Ok("3"), Err(Digits), Err(TooLarge)];
    check(cluster, "real", floats(&[0.05, 3.0, 0.123_456_789, 1e300]), SqlKind::Float4, &expected);
    let expected = [Ok("3"), Err(Digits), Err(TooLarge), Err(Digits)];
    check(cluster, "integer", floats(&[3.0, 0.5, 3e9, 1e300]), SqlKind::Int(4), &expected);
    let expected = [Ok("-32768"), Ok("32767"), Err(TooLarge), Err(TooLarge)];
    let values = ints(&[-32_768, 32_767, 32_768, -32_769]);
    check(cluster, "smallint", values, SqlKind::Int(2), &expected);
    let ends = ints(&[i64::MIN, i64::MAX, 1 << 53, 0]);
    let exact = ["-9223372036854775808", "9223372036854775807", "9007199254740992", "0"].map(Ok);
    check(cluster, "bigint", ends.clone(), SqlKind::Int(8), &exact);
    check(cluster, "numeric", ends.clone(), SqlKind::Numeric(None), &exact);
    let float = "9.007199254740992e+15";
    let expected = [Ok("-9.223372036854776e+18"), Err(Digits), Ok(float), Ok("0")];
    check(cluster, "double precision", ends, SqlKind::Float8, &expected);
    let bools: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]));
    let expected = ["true", "false", "∅"].map(Ok);
    check(cluster, "boolean", (Kind::Bool, bools), SqlKind::Bool, &expected);
}

fn words(cluster: &Cluster) {
    use Reason::{NotJson, Nul, TooLong};
    let values = texts(Kind::Text, &["", "né💥\n|∅\\", "a\0b"]);
    let expected = [Ok(""), Ok("né💥\n|∅\\"), Err(Nul)];
    check(cluster, "text", values, SqlKind::Text(None), &expected);
    let values = texts(Kind::Text, &["ééé", "éééé"]);
    let expected = [Ok("ééé"), Err(TooLong { has: 4, max: 3 })];
    check(cluster, "varchar(3)", values, SqlKind::Text(Some(3)), &expected);
    let values = texts(Kind::Json, &["{\"a\": [1, null]}", "[1,", ""]);
    let expected = [Ok("{\"a\": [1, null]}"), Err(NotJson), Err(NotJson)];
    check(cluster, "jsonb", values.clone(), SqlKind::Jsonb, &expected);
    check(cluster, "json", values, SqlKind::Json, &expected);
    let mut names = StringDictionaryBuilder::<Int32Type>::new();
    names.extend([Some("BTC-PERPETUAL"), None, Some("x\0"), Some("BTC-PERPETUAL")]);
    let names: ArrayRef = Arc::new(names.finish());
    let expected = [Ok("BTC-PERPETUAL"), Ok("∅"), Err(Nul), Ok("BTC-PERPETUAL")];
    check(cluster, "varchar(50)", (Kind::Name, names), SqlKind::Text(Some(50)), &expected);
}

fn instants(cluster: &Cluster) {
    let _ = cluster.psql("postgres", "ALTER DATABASE postgres SET timezone = 'UTC'");
    let values = vec![0, -1, 1_795_680_000_123_456, i64::MAX, i64::MIN];
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"));
    let expected = [
        Ok("1970-01-01 00:00:00+00"),
        Ok("1969-12-31 23:59:59.999999+00"),
        Ok("2026-11-26 08:00:00.123456+00"),
        Ok("294247-01-10 04:00:54.775807+00"),
        Err(Reason::Time),
    ];
    check(cluster, "timestamptz", (Kind::Time, Arc::clone(&times)), SqlKind::Time, &expected);
    let days = ["1970-01-01", "1969-12-31", "2026-11-26"].map(Ok);
    check(cluster, "date", (Kind::Time, times.slice(0, 3)), SqlKind::Date, &days);
}

/// Ten thousand bit patterns: what the server prints means the same f64, and `float8` agrees.
fn any_f64(cluster: &Cluster) {
    let mut bits = 1_u64;
    let mut next = || {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from_bits(bits)
    };
    let mut values: Vec<f64> =
        std::iter::repeat_with(&mut next).filter(|value| value.is_finite()).take(5_000).collect();
    values.extend((0..5_000).map(|at| f64::from(at * 7919) / 10_f64.powi(at % 9)));
    let (kind, array) = floats(&values);
    let (printed, refused) = through(cluster, "numeric", kind, &array, SqlKind::Numeric(None));
    assert_eq!(refused, []);
    for (value, printed) in values.iter().zip(printed) {
        assert_eq!(printed.parse::<f64>().unwrap().to_bits(), (value + 0.0).to_bits());
        assert_eq!(printed.len(), (value + 0.0).to_string().len(), "{value:e} is {printed}");
    }
}

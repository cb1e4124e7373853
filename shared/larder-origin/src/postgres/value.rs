//! A row as PostgreSQL sends it, in the binary format.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use fallible_iterator::FallibleIterator as _;
use postgres_protocol::message::backend::DataRowBody;

use crate::calendar::{MICROS_A_DAY, date, time};
use crate::engine::Cells;
use crate::record::Value;

/// A column of a result.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// The table that it is of, 0 if it is computed.
    pub(super) relation: u32,
    /// Its type.
    pub(super) kind: u32,
    /// Whether it comes as the text that the server makes of it.
    pub(super) is_text: bool,
}

/// A row of a result.
pub(crate) struct PgRow {
    columns: Arc<[Column]>,
    body: DataRowBody,
    cells: Vec<Option<Range<usize>>>,
}

impl PgRow {
    pub(super) fn read(columns: &Arc<[Column]>, body: DataRowBody) -> sqlx::Result<Self> {
        let cells: Vec<_> = body.ranges().collect()?;
        match cells.len() == columns.len() {
            true => Ok(Self { columns: Arc::clone(columns), body, cells }),
            false => Err(super::session::protocol("a row of another length than it was announced")),
        }
    }
}

impl Cells for PgRow {
    fn len(&self) -> usize {
        self.columns.len()
    }

    fn name(&self, at: usize) -> &str {
        &self.columns[at].name
    }

    fn value(&self, at: usize) -> sqlx::Result<Value<'_>> {
        let out_of_bounds = || sqlx::Error::ColumnIndexOutOfBounds { index: at, len: self.columns.len() };
        let (column, cell) = self.columns.get(at).zip(self.cells.get(at)).ok_or_else(out_of_bounds)?;
        let Some(cell) = cell.clone() else { return Ok(Value::Null) };
        let bytes = self.body.buffer().get(cell).ok_or_else(out_of_bounds)?;
        if column.is_text {
            return Ok(Value::text(bytes));
        }
        let undecoded = || sqlx::Error::ColumnDecode {
            index: at.to_string(),
            source: format!("type {} of {} bytes", column.kind, bytes.len()).into(),
        };
        decode(column.kind, bytes).ok_or_else(undecoded)
    }
}

/// The format in which a column of a list is asked for: types that were made in the database, such as enumerations, by
/// the text that the server makes of them.
pub(super) fn format_of(kind: u32) -> i16 {
    i16::from(kind < FIRST_MADE)
}

/// The value of the type `kind` that `bytes` are in the binary format; `None` if it is not one that is known here.
///
/// Source: `src/include/catalog/pg_type.dat`, and the `send` functions in `src/backend/utils/adt`.
fn decode(kind: u32, bytes: &[u8]) -> Option<Value<'_>> {
    let int = || bytes.try_into().ok().map(i64::from_be_bytes);
    Some(match kind {
        16 => Value::Bool(bytes.first()? != &0),
        21 => Value::Integer(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        23 => Value::Integer(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        20 => Value::Integer(int()?),
        // `oid`
        26 => Value::Integer(u32::from_be_bytes(bytes.try_into().ok()?).into()),
        // By its own digits: as a real of 64 bits it would have more of them than it is exact.
        700 => Value::Real(f32::from_be_bytes(bytes.try_into().ok()?).to_string().parse().ok()?),
        701 => Value::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
        // `"char"`, whose byte 0 is nothing.
        18 => Value::text(bytes.strip_suffix(&[0]).unwrap_or(bytes)),
        // `name`, `text`, `unknown`, `varchar`
        19 | 25 | 705 | 1043 => Value::text(bytes),
        // `char(n)`: its blanks at the end are filling, which no comparison looks at.
        1042 => Value::text(without_filling(bytes)),
        1700 => Value::Text(numeric(bytes)?.into()),
        2950 => Value::Text(uuid(bytes.try_into().ok()?).into()),
        114 => Value::Json(String::from_utf8_lossy(bytes)),
        // `jsonb`, behind its version.
        3802 => Value::Json(String::from_utf8_lossy(bytes.strip_prefix(&[1])?)),
        17 => Value::Blob(bytes.into()),
        1082 => Value::Text(match i32::from_be_bytes(bytes.try_into().ok()?) {
            i32::MAX => "infinity".into(),
            i32::MIN => "-infinity".into(),
            days => date(i64::from(days) + EPOCH_DAYS).into(),
        }),
        1083 => Value::Text(time(int()?).into()),
        1114 => Value::Text(moment(int()?, "")),
        1184 => Value::Text(moment(int()?, "Z")),
        _ => return None,
    })
}

/// `bytes` without the blanks at their end.
fn without_filling(bytes: &[u8]) -> &[u8] {
    let len = bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    &bytes[..len]
}

fn moment(micros: i64, zone: &str) -> Cow<'static, str> {
    match micros {
        i64::MAX => "infinity".into(),
        i64::MIN => "-infinity".into(),
        // Day by day: the last years are too far from 1970 to be counted in microseconds.
        micros => {
            let day = date(micros.div_euclid(MICROS_A_DAY) + EPOCH_DAYS);
            format!("{day}T{}{zone}", time(micros.rem_euclid(MICROS_A_DAY))).into()
        }
    }
}

fn uuid(bytes: [u8; 16]) -> String {
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A `numeric`: digits to the base of 10,000, the place of the first one, a sign, and how many decimals are shown.
fn numeric(bytes: &[u8]) -> Option<String> {
    let words: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let [_, weight, sign, scale, digits @ ..] = words.as_slice() else { return None };
    let sign = match sign {
        0x0000 => "",
        0x4000 => "-",
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    let (weight, scale) = (i32::from(weight.cast_signed()), usize::from(*scale));
    let digit = |place: i32| {
        let at = usize::try_from(weight - place).ok();
        at.and_then(|at| digits.get(at)).copied().unwrap_or_default()
    };
    let whole: String = (0..=weight.max(0)).rev().map(|place| format!("{:04}", digit(place))).collect();
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let mut fraction: String =
        (1..).take(scale.div_ceil(4)).map(|place: i32| format!("{:04}", digit(-place))).collect();
    fraction.truncate(scale);
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

/// Days from 1970-01-01 to 2000-01-01, from which PostgreSQL counts.
const EPOCH_DAYS: i64 = 10_957;

/// From here on types have numbers that were not made with the server. Source: `FirstNormalObjectId`.
const FIRST_MADE: u32 = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numeric_keeps_all_its_digits() {
        for (weight, sign, scale, digits, text) in [
            (0, 0, 2, &[12, 5000][..], "12.50"),
            (0, 0x4000, 0, &[7], "-7"),
            (2, 0, 0, &[1], "100000000"),
            (1, 0, 3, &[1, 2, 3400], "10002.340"),
            (-2, 0, 8, &[12], "0.00000012"),
            (0, 0, 0, &[], "0"),
            (0, 0, 2, &[], "0.00"),
            (0, 0xC000, 0, &[], "NaN"),
        ] {
            let mut words =
                vec![u16::try_from(digits.len()).unwrap(), (weight as i16).cast_unsigned(), sign, scale];
            words.extend(digits);
            let bytes: Vec<u8> = words.into_iter().flat_map(u16::to_be_bytes).collect();
            assert_eq!(numeric(&bytes).as_deref(), Some(text));
        }
        assert_eq!(numeric(&[0, 0]), None);
    }

    #[test]
    fn every_moment_that_the_server_knows_has_a_text() {
        for (micros, text) in [
            (0, "2000-01-01T00:00:00Z"),
            (-1, "1999-12-31T23:59:59.999999Z"),
            (9_223_371_331_199_999_999, "+294276-12-31T23:59:59.999999Z"),
            (-211_813_488_000_000_000, "-4713-11-24T00:00:00Z"),
            (i64::MAX, "infinity"),
            (i64::MIN, "-infinity"),
        ] {
            assert_eq!(moment(micros, "Z"), text, "{micros}");
        }
    }

    #[test]
    fn the_filling_of_a_char_is_no_part_of_it() {
        for (sent, text) in [("ab   ", "ab"), (" ab", " ab"), ("   ", ""), ("", ""), ("a\u{a0} ", "a\u{a0}")]
        {
            assert_eq!(decode(1042, sent.as_bytes()), Some(Value::Text(text.into())), "{sent:?}");
            assert_eq!(decode(25, sent.as_bytes()), Some(Value::Text(sent.into())), "{sent:?}");
        }
    }

    #[test]
    fn a_uuid_is_written_in_small_letters_with_hyphens() {
        assert_eq!(uuid([0xa0; 16]), "a0a0a0a0-a0a0-a0a0-a0a0-a0a0a0a0a0a0");
    }
}

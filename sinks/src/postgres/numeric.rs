//! NUMERIC as the wire carries it: an f64 as the shortest digits that give the same f64 back.

use super::refusal::Reason;

/// A finite number as decimal digits: `±digits × 10^exponent`, without a zero at the end.
///
/// Invariant: `digits` ends in a digit other than 0, or is 0 (then `exponent` is 0 too).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    digits: u64,
    exponent: i32,
}

impl Decimal {
    /// The shortest digits that give `value` back. NUMERIC has one zero: -0.0 becomes 0.
    pub(super) fn of(value: f64) -> Result<Self, Reason> {
        if !value.is_finite() {
            return Err(Reason::NotFinite);
        }
        let (magnitude, negative) = (value.abs(), value < 0.0);
        let scaled = |power, exponent| Some((whole(magnitude, power)?, exponent));
        let quick = scaled(1e4, -4).or_else(|| scaled(1e8, -8));
        let (digits, exponent) = quick.unwrap_or_else(|| shortest(magnitude));
        Ok(Self { negative, digits, exponent }.trimmed())
    }

    /// The integer.
    pub(super) fn of_int(value: i64) -> Self {
        Self { negative: value < 0, digits: value.unsigned_abs(), exponent: 0 }.trimmed()
    }

    fn trimmed(mut self) -> Self {
        if self.digits == 0 {
            return Self { negative: false, digits: 0, exponent: 0 };
        }
        // Scaled numbers end in up to eight zeros.
        for (zeros, power) in [(8, 100_000_000), (4, 10_000), (2, 100), (1, 10)] {
            while self.digits.is_multiple_of(power) {
                self.digits /= power;
                self.exponent += zeros;
            }
        }
        self
    }

    /// Whether a column of so much precision holds every digit.
    pub(super) fn check(self, room: Room) -> Result<(), Reason> {
        if self.digits == 0 {
            return Ok(());
        }
        let Room { precision, scale } = room;
        if -self.exponent > scale {
            return Err(Reason::Decimals { needs: -self.exponent, scale });
        }
        let length = self.digits.ilog10() as i32 + 1;
        if length + self.exponent > precision - scale {
            return Err(Reason::TooLarge);
        }
        Ok(())
    }

    /// The integer that it is, if it is one and fits.
    pub(super) fn integer(self) -> Option<i64> {
        let power = 10_i128.checked_pow(u32::try_from(self.exponent).ok()?)?;
        let magnitude = i128::from(self.digits).checked_mul(power)?;
        i64::try_from(if self.negative { -magnitude } else { magnitude }).ok()
    }

    /// Appends the cell: its length, then `ndigits, weight, sign, dscale` and the digits, base
    /// 10,000, the highest first (`numeric_recv` in PostgreSQL's numeric.c).
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        let exponent = self.exponent.div_euclid(4);
        // The lowest digit takes so many decimal digits that the rest begins at a power of 10,000.
        let shift = self.exponent.rem_euclid(4) as usize;
        let mut groups = [0_u16; GROUPS_MAX];
        let mut first = GROUPS_MAX;
        let mut rest = self.digits;
        let cut = POWERS[4 - shift];
        if rest > 0 {
            first -= 1;
            groups[first] = (rest % cut * POWERS[shift]) as u16;
            rest /= cut;
        }
        while rest > 0 {
            first -= 1;
            groups[first] = (rest % 10_000) as u16;
            rest /= 10_000;
        }
        let groups = &groups[first..];
        let weight = exponent + groups.len() as i32 - 1;
        let mut cell = [0; 12 + 2 * GROUPS_MAX];
        let length = 12 + 2 * groups.len();
        cell[..4].copy_from_slice(&(length as u32 - 4).to_be_bytes());
        cell[4..6].copy_from_slice(&(groups.len() as u16).to_be_bytes());
        let weight = if groups.is_empty() { 0 } else { weight as i16 };
        cell[6..8].copy_from_slice(&weight.to_be_bytes());
        let sign = if self.negative { NEGATIVE } else { 0 };
        cell[8..10].copy_from_slice(&sign.to_be_bytes());
        cell[10..12].copy_from_slice(&(-self.exponent).max(0).to_be_bytes()[2..]);
        for (group, bytes) in groups.iter().zip(cell[12..].chunks_exact_mut(2)) {
            bytes.copy_from_slice(&group.to_be_bytes());
        }
        out.extend_from_slice(&cell[..length]);
    }
}

/// What a column declared `numeric(precision, scale)` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Decimal digits in all.
    pub(super) precision: i32,
    /// Decimal digits behind the point; may be negative since PostgreSQL 15.
    pub(super) scale: i32,
}

/// The numbers of a column whose cells are NUMERIC without bounds.
///
/// Almost all of ours have at most eight digits behind the point and 15 in all. Which ones, and
/// what they are in units of 10^-8, is found for the whole column at once: the loop has no branch.
pub(super) struct Numbers<'a> {
    values: &'a [f64],
    /// With the sign in the highest bit; [`LONG`] where there is more to a number.
    units: Vec<u64>,
}

impl<'a> Numbers<'a> {
    /// The numbers, in the order of their rows.
    pub(super) fn new(values: &'a [f64]) -> Self {
        let units = |value: &f64| match whole(value.abs(), 1e8) {
            Some(units) => units | value.to_bits() & SIGN,
            None => LONG,
        };
        Self { values, units: values.iter().map(units).collect() }
    }

    /// Appends the cell of a row.
    #[inline]
    pub(super) fn encode(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Reason> {
        match self.units[row] {
            LONG => put_long(self.values[row], out),
            units => {
                put_units(units, out);
                Ok(())
            }
        }
    }
}

/// Appends the cell of so many units of 10^-8: four groups of digits stand in one word, as the
/// wire wants them.
#[inline]
fn put_units(units: u64, out: &mut Vec<u8>) {
    let (sign, units) = (units & SIGN, units & !SIGN);
    let (high, low) = ((units / 100_000_000) as u32, (units % 100_000_000) as u32);
    let pair = |word: u32| u64::from(word / 10_000) << 16 | u64::from(word % 10_000);
    let groups = pair(high) << 32 | pair(low);
    if groups == 0 {
        return out.extend_from_slice(&ZERO);
    }
    let (leading, trailing) = (groups.leading_zeros() / 16, groups.trailing_zeros() / 16);
    let head = HEADS[(4 * leading + trailing) as usize % HEADS.len()];
    // The lowest digits that are zero are not shown, where they stand behind the point.
    let lowest = (groups >> (16 * trailing)) as u16;
    let zeros = if trailing < 2 { ZEROS[lowest as usize] } else { 0 };
    let digits = 2 * (4 - leading - trailing);
    let mut cell = [0; 20];
    cell[..4].copy_from_slice(&(8 + digits).to_be_bytes());
    // The sign, from the highest bit to that of NEGATIVE.
    cell[4..12].copy_from_slice(&((head | sign >> 33) - u64::from(zeros)).to_be_bytes());
    cell[12..].copy_from_slice(&(groups << (16 * leading)).to_be_bytes());
    // All of it is copied, which is one move, and what is too much taken back.
    let end = out.len() + 12 + digits as usize;
    out.extend_from_slice(&cell);
    out.truncate(end);
}

/// Apart from the quick way, which it would make slow.
#[cold]
fn put_long(value: f64, out: &mut Vec<u8>) -> Result<(), Reason> {
    Decimal::of(value)?.encode(out);
    Ok(())
}

/// `value × power`, if that is a whole number of at most 15 digits, and `value` not negative.
///
/// `n / 10^k` is correctly rounded when both are exact in an f64. Where that quotient is `value`
/// again, and n has at most 15 digits, no other decimal of at most 15 digits has this f64, so that
/// n without its zeros are the shortest digits.
#[inline]
fn whole(value: f64, power: f64) -> Option<u64> {
    let scaled = value * power;
    // An f64 from 2^52 on has no room behind the point: the sum is rounded to a whole number, which
    // stands in its lower bits. `round` would be a call into libm on a plain x86-64.
    let sum = scaled + WHOLE;
    let is_whole = (scaled < 1e15) & ((sum - WHOLE) / power == value);
    is_whole.then(|| sum.to_bits() - WHOLE.to_bits())
}

/// The digits of any finite number that is not negative.
fn shortest(value: f64) -> (u64, i32) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value).as_bytes();
    let (mut digits, mut exponent, mut behind) = (0_u64, 0_i32, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'.' => behind = true,
            b'e' => {
                let power = text[at + 1..].strip_prefix(b"+").unwrap_or(&text[at + 1..]);
                let power = std::str::from_utf8(power).ok().and_then(|text| text.parse().ok());
                let power: i32 = power.expect("an exponent is an integer");
                exponent += power;
                break;
            }
            // At most 17 digits count; zeros behind them are written out below 1e16 only.
            digit => {
                digits = digits * 10 + u64::from(digit - b'0');
                exponent -= i32::from(behind);
            }
        }
    }
    (digits, exponent)
}

/// The cell of 0.
const ZERO: [u8; 12] = [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
/// 2^52
const WHOLE: f64 = 4_503_599_627_370_496.0;
const NEGATIVE: u16 = 0x4000;
const SIGN: u64 = 1 << 63;
/// No number of units.
const LONG: u64 = u64::MAX;
/// `ndigits, weight, sign, dscale` of four groups, two of them behind the point, by how many groups
/// are zero above and below the others.
const HEADS: [u64; 16] = {
    let mut heads = [0; 16];
    let mut at = 0;
    while at < 16 {
        let (leading, trailing) = (at as u64 / 4, at as u64 % 4);
        if leading + trailing < 4 {
            let weight = 1 - leading as i16;
            let scale = if trailing < 2 { 8 - 4 * trailing } else { 0 };
            heads[at] = (4 - leading - trailing) << 48 | (weight as u16 as u64) << 32 | scale;
        }
        at += 1;
    }
    heads
};
/// How many zeros a group of four digits ends in.
static ZEROS: [u8; 10_000] = {
    let mut zeros = [0; 10_000];
    let mut group = 10;
    while group < zeros.len() {
        zeros[group] =
            (group % 10 == 0) as u8 + (group % 100 == 0) as u8 + (group % 1_000 == 0) as u8;
        group += 10;
    }
    zeros
};
/// 20 digits (u64) lie in at most six groups, whatever the exponent.
const GROUPS_MAX: usize = 6;
const POWERS: [u64; 5] = [1, 10, 100, 1_000, 10_000];

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What PostgreSQL prints for a NUMERIC cell: an oracle that shares nothing with the encoder.
    pub(in crate::postgres) fn text(cell: &[u8]) -> String {
        let word = |at: usize| i16::from_be_bytes([cell[at], cell[at + 1]]);
        let (count, weight, sign, scale) = (word(0), word(2), word(4), word(6));
        assert_eq!(cell.len(), 8 + 2 * count as usize);
        let group = |power: i16| {
            let at = weight - power;
            let group = if (0..count).contains(&at) { word(8 + 2 * at as usize) } else { 0 };
            assert!((0..10_000).contains(&group), "{group} is no digit of base 10,000");
            group
        };
        let whole: String = (0..=weight.max(0)).rev().map(|p| format!("{:04}", group(p))).collect();
        let behind: String =
            (0..=scale / 4).map(|power| format!("{:04}", group(-1 - power))).collect();
        assert!(behind[scale as usize..].bytes().all(|digit| digit == b'0'), "dscale hides digits");
        let whole = whole.trim_start_matches('0');
        let whole = if whole.is_empty() { "0" } else { whole };
        let minus = if sign == 0x4000 { "-" } else { "" };
        match scale {
            0 => format!("{minus}{whole}"),
            scale => format!("{minus}{whole}.{}", &behind[..scale as usize]),
        }
    }

    fn cell(decimal: Decimal) -> Vec<u8> {
        let mut out = Vec::new();
        decimal.encode(&mut out);
        let (length, cell) = out.split_at(4);
        assert_eq!(u32::from_be_bytes(length.try_into().unwrap()) as usize, cell.len());
        cell.to_vec()
    }

    /// As a cell of a column, and by the long way: the same bytes.
    fn float(value: f64) -> String {
        let (mut out, long) = (Vec::new(), cell(Decimal::of(value).unwrap()));
        Numbers::new(&[value]).encode(0, &mut out).unwrap();
        assert_eq!(out[4..], long, "{value}");
        text(&long)
    }

    #[test]
    fn numbers_read_as_they_were_written() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (10_000.0, "10000"),
            (120_000_000.0, "120000000"),
            (0.05, "0.05"),
            (0.0005, "0.0005"),
            (-35.36123, "-35.36123"),
            (85_000.5, "85000.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e-9, "0.000000001"),
            (1e15, "1000000000000000"),
            (1e22, "10000000000000000000000"),
            (123_456_789.123_456_79, "123456789.12345679"),
            (9_007_199_254_740_993.0, "9007199254740992"),
        ] {
            assert_eq!(float(value), expected);
        }
        assert_eq!(float(f64::MAX).len(), 309);
        assert_eq!(float(f64::from_bits(1)).parse::<f64>().unwrap(), f64::from_bits(1));
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Decimal::of(value), Err(Reason::NotFinite));
        }
    }

    #[test]
    fn integers_read_as_they_were_written() {
        for value in [0, 1, -1, 10, 9_999, 10_000, 100_000_001, i64::MAX, i64::MIN] {
            assert_eq!(text(&cell(Decimal::of_int(value))), value.to_string());
            assert_eq!(Decimal::of_int(value).integer(), Some(value));
        }
        assert_eq!(Decimal::of(9.3e18).unwrap().integer(), None);
        assert_eq!(Decimal::of(0.5).unwrap().integer(), None);
        assert_eq!(Decimal::of(1e300).unwrap().integer(), None);
    }

    #[test]
    fn a_declared_precision_is_kept_to() {
        let check = |value: f64, precision, scale| {
            Decimal::of(value).unwrap().check(Room { precision, scale })
        };
        assert_eq!(check(99.999_999, 8, 6), Ok(()));
        assert_eq!(check(-99.999_999, 8, 6), Ok(()));
        assert_eq!(check(100.0, 8, 6), Err(Reason::TooLarge));
        assert_eq!(check(1e300, 8, 6), Err(Reason::TooLarge));
        assert_eq!(check(1e-7, 8, 6), Err(Reason::Decimals { needs: 7, scale: 6 }));
        assert_eq!(check(0.0, 1, 1), Ok(()));
        assert_eq!(check(1_200.0, 2, -2), Ok(()));
        assert_eq!(check(1_250.0, 2, -2), Err(Reason::Decimals { needs: -1, scale: -2 }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_f64_comes_back_in_its_shortest_digits(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let text = float(value);
            prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), (value + 0.0).to_bits());
            // Rust prints the shortest digits too; of two such texts perhaps the other.
            prop_assert_eq!(text.len(), (value + 0.0).to_string().len());
        }

        #[test]
        fn prices_come_back_in_their_shortest_digits(whole in 0_u64..1 << 40, power in 0_i32..12) {
            let value = whole as f64 / 10_f64.powi(power);
            prop_assert_eq!(float(value), value.to_string());
            prop_assert_eq!(float(value).parse::<f64>().unwrap(), value);
        }

        #[test]
        fn the_quick_way_is_the_long_way(number in 0_u64..1 << 53, power in 0_i32..10) {
            let value = number as f64 / 10_f64.powi(power);
            let (digits, exponent) = shortest(value);
            let long = Decimal { negative: false, digits, exponent }.trimmed();
            prop_assert_eq!(Decimal::of(value).unwrap(), long);
            let (positive, negative) = (float(value), float(-value));
            prop_assert_eq!(negative.trim_start_matches('-'), positive);
        }
    }
}

//! Counters: the difference that one side made is added to the other side's value.

use crate::value::Value;

/// Decimal digits that fit into the arithmetic; more are rounded as doubles are.
const SHIFT_MAX: u32 = 20;

/// What adding a difference came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sum {
    /// The new value: an integer when all three are integers, a real otherwise.
    Value(Value),
    /// The result is beyond what the column can hold.
    Overflow,
    /// Not all of them are numbers.
    NotNumbers,
}

/// `theirs` plus what `new` differs from `old`. NULL counts as nothing in stock, except as the new value: then somebody emptied
/// the column. Reals are added as the decimals that people read, so that 19.3 less 0.1 is 19.2.
pub fn add_difference(old: &Value, new: &Value, theirs: &Value) -> Sum {
    match (number(old, true), number(new, false), number(theirs, true)) {
        (Some(old), Some(new), Some(theirs)) => match (old, new, theirs) {
            (Number::Integer(old), Number::Integer(new), Number::Integer(theirs)) => integers(old, new, theirs),
            _ => reals(old, new, theirs),
        },
        _ => Sum::NotNumbers,
    }
}

#[derive(Clone, Copy)]
enum Number {
    Integer(i64),
    Real(f64),
}

fn number(value: &Value, null_is_zero: bool) -> Option<Number> {
    match value {
        Value::Null if null_is_zero => Some(Number::Integer(0)),
        Value::Integer(n) => Some(Number::Integer(*n)),
        Value::Real(r) if r.is_finite() => Some(Number::Real(*r)),
        _ => None,
    }
}

fn integers(old: i64, new: i64, theirs: i64) -> Sum {
    let sum = i128::from(theirs) + (i128::from(new) - i128::from(old));
    i64::try_from(sum).map_or(Sum::Overflow, |sum| Sum::Value(Value::Integer(sum)))
}

fn reals(old: Number, new: Number, theirs: Number) -> Sum {
    let sum = decimals(old, new, theirs).unwrap_or_else(|| theirs.as_real() + (new.as_real() - old.as_real()));
    if sum.is_finite() { Sum::Value(Value::Real(sum)) } else { Sum::Overflow }
}

impl Number {
    fn as_real(self) -> f64 {
        match self {
            Self::Integer(n) => n as f64,
            Self::Real(r) => r,
        }
    }

    /// Digits and a power of ten.
    fn as_decimal(self) -> Option<(i128, i32)> {
        match self {
            Self::Integer(n) => Some((i128::from(n), 0)),
            Self::Real(r) => {
                let text = format!("{r:e}");
                let (digits, exponent) = text.split_once('e')?;
                let exponent: i32 = exponent.parse().ok()?;
                let fraction = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
                Some((digits.replace('.', "").parse().ok()?, exponent - i32::try_from(fraction).ok()?))
            }
        }
    }
}

/// `None` when the numbers are too far apart for exact arithmetic.
fn decimals(old: Number, new: Number, theirs: Number) -> Option<f64> {
    let numbers = [old.as_decimal()?, new.as_decimal()?, theirs.as_decimal()?];
    let exponent = numbers.iter().filter(|(digits, _)| *digits != 0).map(|(_, exponent)| *exponent).min()?;
    let scaled = |(digits, own): (i128, i32)| {
        if digits == 0 {
            return Some(0);
        }
        let shift = u32::try_from(own - exponent).ok().filter(|shift| *shift <= SHIFT_MAX)?;
        digits.checked_mul(10_i128.pow(shift))
    };
    let [old, new, theirs] = numbers.map(scaled);
    let sum = theirs?.checked_add(new?.checked_sub(old?)?)?;
    format!("{sum}e{exponent}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check([old, new, theirs]: &[Value; 3], expected: &Sum) {
        assert_eq!(add_difference(old, new, theirs), *expected, "{theirs:?} + ({new:?} - {old:?})");
    }

    #[test]
    fn differences_are_added_exactly() {
        use Value::{Integer, Null, Real, Text};
        check(&[Integer(20), Integer(16), Integer(17)], &Sum::Value(Integer(13)));
        check(&[Integer(5), Integer(5), Integer(9)], &Sum::Value(Integer(9)));
        check(&[Null, Integer(5), Integer(3)], &Sum::Value(Integer(8)));
        check(&[Null, Integer(5), Null], &Sum::Value(Integer(5)));
        check(&[Integer(5), Null, Integer(3)], &Sum::NotNumbers);
        check(&[Integer(0), Integer(1), Integer(i64::MAX)], &Sum::Overflow);
        check(&[Integer(i64::MIN), Integer(i64::MAX), Integer(-1)], &Sum::Overflow);
        check(&[Integer(i64::MIN), Integer(i64::MAX), Integer(i64::MIN)], &Sum::Value(Integer(i64::MAX)));
        check(&[Real(20.5), Real(20.4), Real(19.3)], &Sum::Value(Real(19.2)));
        check(&[Real(0.1), Real(0.3), Real(0.1)], &Sum::Value(Real(0.3)));
        check(&[Integer(2), Integer(1), Real(0.1)], &Sum::Value(Real(-0.9)));
        check(&[Real(1.0), Real(1.0), Integer(7)], &Sum::Value(Real(7.0)));
        check(&[Real(1.5), Real(0.0), Real(1.5)], &Sum::Value(Real(0.0)));
        check(&[Real(1e300), Real(2e300), Real(1.5)], &Sum::Value(Real(1e300)));
        check(&[Real(0.0), Real(f64::MAX), Real(f64::MAX)], &Sum::Overflow);
        check(&[Real(0.0), Real(f64::INFINITY), Real(1.0)], &Sum::NotNumbers);
        check(&[Text("1".into()), Integer(1), Integer(1)], &Sum::NotNumbers);
    }
}

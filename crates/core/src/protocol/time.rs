//! Times as other servers and clients write them.

use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

/// Numbers below this one are seconds: in milliseconds it is the year 1973, in seconds the year 5138.
const SECONDS_BELOW: u64 = 100_000_000_000;

/// A moment, Unix milliseconds. Read from a number or from text, with or without a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let value = Json::deserialize(input)?;
        read(&value).map(Self).ok_or_else(|| serde::de::Error::custom("this is not a time"))
    }
}

/// The moment that a JSON value names.
pub fn read(value: &Json) -> Option<i64> {
    match value {
        Json::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|n| n as i64)).map(in_ms),
        Json::String(text) => parse(text),
        _ => None,
    }
}

/// The moment that a text names: RFC 3339, the same without a zone (which then is UTC), or a number.
pub fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return Some(in_ms(number));
    }
    timestamp(text).map(jiff::Timestamp::as_millisecond)
}

/// The same in microseconds, and of no mere number.
pub fn micros(text: &str) -> Option<i64> {
    timestamp(text.trim()).map(jiff::Timestamp::as_microsecond)
}

fn timestamp(text: &str) -> Option<jiff::Timestamp> {
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Some(moment);
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// RFC 3339 in UTC; milliseconds only where there are some.
pub fn format(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

fn in_ms(number: i64) -> i64 {
    if number.unsigned_abs() < SECONDS_BELOW { number.saturating_mul(1000) } else { number }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(parse(text), expected, "{text}");
    }

    #[test]
    fn times_of_all_kinds_are_understood() {
        check("2025-12-18T10:30:00Z", Some(1_766_053_800_000));
        check("2025-12-18T10:30:00.250Z", Some(1_766_053_800_250));
        check("2025-12-18T13:30:00+03:00", Some(1_766_053_800_000));
        check("2025-12-18 10:30:00.250000+00:00", Some(1_766_053_800_250));
        check("2025-12-18T10:30:00", Some(1_766_053_800_000));
        check("2025-12-18 10:30:00", Some(1_766_053_800_000));
        check("1766053800000", Some(1_766_053_800_000));
        check("1766053800", Some(1_766_053_800_000));
        check(&i64::MIN.to_string(), Some(i64::MIN));
        check("yesterday", None);
        check("", None);
        assert_eq!(read(&serde_json::json!(1_766_053_800_000_i64)), Some(1_766_053_800_000));
        assert_eq!(read(&serde_json::json!(null)), None);
        assert_eq!(format(1_766_053_800_000), "2025-12-18T10:30:00Z");
        assert_eq!(format(1_766_053_800_250), "2025-12-18T10:30:00.25Z");
        assert_eq!(format(i64::MAX), "1970-01-01T00:00:00Z");
    }
}

//! The servers' clock, and how they write and read times.

use jiff::Timestamp;
use serde_json::Value;

/// Unix milliseconds.
pub fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// RFC 3339; or, without a zone, in turns with a zone as Python writes it.
pub fn text(ms: i64, zoneless: bool) -> String {
    let at = Timestamp::from_millisecond(ms).unwrap();
    match (zoneless, ms % 2) {
        (false, _) => at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
        (true, 0) => at.strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string(),
        (true, _) => at.strftime("%Y-%m-%d %H:%M:%S.%6f+00:00").to_string(),
    }
}

/// Unix milliseconds of a text, which must have a zone.
pub fn read(text: &Value) -> Option<i64> {
    text.as_str()?.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

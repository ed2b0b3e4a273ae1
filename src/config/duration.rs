//! Spans of time as people write them.

use std::time::Duration;

use super::value::Value;

/// The longest span that an option takes. Longer is a unit mistaken, and sums of such spans stay far from overflow.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Reads a span: a number is seconds; text may carry a unit, `ms`, `s`, `m` or `h`.
///
/// ```
/// use std::time::Duration;
/// use rendez::config::{Value, duration};
/// assert_eq!(duration(&Value::Int(5)), Some(Duration::from_secs(5)));
/// assert_eq!(duration(&"250ms".into()), Some(Duration::from_millis(250)));
/// ```
///
/// `None` if it is no span of time, is negative or is longer than a year.
#[must_use]
pub fn duration(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Int(seconds) => return bounded(Duration::from_secs(u64::try_from(*seconds).ok()?)),
        Value::Float(seconds) => *seconds,
        other => {
            let text = other.text()?;
            let text = text.trim();
            let digits = text
                .find(|c: char| !c.is_ascii_digit() && c != '.')
                .unwrap_or(text.len());
            let (number, unit) = text.split_at(digits);
            let number: f64 = number.parse().ok()?;
            let unit = match unit.trim_start() {
                "ms" => 0.001,
                "" | "s" => 1.0,
                "m" | "min" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
            number * unit
        }
    };
    // Microseconds are finer than anything here needs, and rounding to them hides that 0.001 has no exact double.
    let micros = (Duration::try_from_secs_f64(seconds).ok()?.as_nanos() + 500) / 1000;
    bounded(Duration::from_micros(u64::try_from(micros).ok()?))
}

fn bounded(span: Duration) -> Option<Duration> {
    (span <= LONGEST).then_some(span)
}

/// Writes a span so that [`duration`] reads the same one: `250ms`, `5s`, `2m`.
#[must_use]
pub fn show_duration(span: Duration) -> String {
    let millis = span.as_millis();
    if !span.subsec_nanos().is_multiple_of(1_000_000) {
        format!("{}ms", span.as_secs_f64() * 1000.0)
    } else if !millis.is_multiple_of(1000) {
        format!("{millis}ms")
    } else if millis == 0 || !millis.is_multiple_of(60_000) {
        format!("{}s", millis / 1000)
    } else {
        format!("{}m", millis / 60_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_seconds_and_text_may_carry_a_unit() {
        for (value, millis) in [
            (Value::Int(10), 10_000),
            (Value::Int(0), 0),
            (Value::Float(0.25), 250),
            ("10".into(), 10_000),
            ("250ms".into(), 250),
            (" 1.5 s ".into(), 1500),
            ("2m".into(), 120_000),
            ("1h".into(), 3_600_000),
            (Value::Word("5s".into()), 5000),
        ] {
            assert_eq!(
                duration(&value),
                Some(Duration::from_millis(millis)),
                "{}",
                value.shown()
            );
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for value in [
            Value::Int(-1),
            Value::Float(-0.5),
            Value::Float(f64::NAN),
            Value::Float(f64::INFINITY),
            Value::Int(i64::MAX),
            "".into(),
            "ms".into(),
            "5 apples".into(),
            "1e99".into(),
            "-5s".into(),
            "1.2.3s".into(),
            Value::Bool(true),
            Value::Word("nil".into()),
        ] {
            assert_eq!(duration(&value), None, "{}", value.shown());
        }
    }

    #[test]
    fn shown_spans_read_back() {
        for millis in [0, 1, 250, 1000, 1500, 60_000, 90_000, 3_600_000] {
            let span = Duration::from_millis(millis);
            assert_eq!(
                duration(&show_duration(span).into()),
                Some(span),
                "{}",
                show_duration(span)
            );
        }
        assert_eq!(show_duration(Duration::from_micros(1500)), "1.5ms");
    }
}

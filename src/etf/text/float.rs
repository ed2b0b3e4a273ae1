//! Floats as Erlang writes them.

/// The shortest text that reads back as the same number, as `float_to_list(Float, [short])` since OTP 25: with an
/// exponent if that is shorter or the number is 2^53 or more, always with a point and a digit after it.
/// <https://www.erlang.org/doc/apps/erts/erlang.html#float_to_list/2>
pub(super) fn float_text(value: f64) -> String {
    const EXACT_INTEGERS: f64 = 9_007_199_254_740_992.0;
    let sign = if value.is_sign_negative() { "-" } else { "" };
    // The digits are those of the shortest text here as there.
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();

    let (first, rest) = digits.split_at(1);
    let rest = if rest.is_empty() { "0" } else { rest };
    let scientific = format!("{first}.{rest}e{exponent}");
    let plain = match usize::try_from(exponent) {
        Ok(exponent) if exponent + 1 >= digits.len() => {
            format!("{digits}{}.0", "0".repeat(exponent + 1 - digits.len()))
        }
        Ok(exponent) => format!("{}.{}", &digits[..=exponent], &digits[exponent + 1..]),
        Err(_) => format!(
            "0.{}{digits}",
            "0".repeat(exponent.unsigned_abs() as usize - 1)
        ),
    };
    let text = if value.abs() < EXACT_INTEGERS && plain.len() <= scientific.len() {
        plain
    } else {
        scientific
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::float_text;

    /// Each text is what `io:format("~w")` of OTP 25 printed.
    #[test]
    fn as_erl_prints_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-2.5, "-2.5"),
            (100.0, "100.0"),
            (1000.0, "1.0e3"),
            (1200.0, "1.2e3"),
            (123_456.0, "123456.0"),
            (1.0e10, "1.0e10"),
            (12_345_678_901.0, "12345678901.0"),
            (123_000_000.0, "1.23e8"),
            (0.0001, "0.0001"),
            (0.00012, "1.2e-4"),
            (0.0012, "0.0012"),
            (0.001_234_567_89, "0.00123456789"),
            (1.0e-5, "1.0e-5"),
            (1.0 / 3.0, "0.3333333333333333"),
            (9_007_199_254_740_991.0, "9007199254740991.0"),
            (9_007_199_254_740_992.0, "9.007199254740992e15"),
            (1.0e22, "1.0e22"),
            (f64::MAX, "1.7976931348623157e308"),
            (5.0e-324, "5.0e-324"),
        ] {
            assert_eq!(float_text(value), text);
        }
    }
}

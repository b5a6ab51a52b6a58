//! Numbers for people: three significant digits and a unit.

/// Placeholder for a missing number.
pub const NONE: &str = "–";

/// A count with three significant digits and a decimal unit: `13`, `999`, `1.21 M`, `20.7 M`, `556 M`.
pub fn count(count: u64) -> String {
    if count < 1000 {
        return count.to_string();
    }
    let mut value = count as f64;
    for unit in ["k", "M", "G", "T"] {
        value /= 1000.0;
        // 999.5 and more would be rounded to four digits.
        if value < 999.5 || unit == "T" {
            return format!("{} {unit}", three_digits(value));
        }
    }
    unreachable!("the last unit returns")
}

/// A count with its noun: `1 epoch`, `20 epochs`.
pub fn plural(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A fraction as a percentage with one decimal: `85.3 %`.
pub fn percent(fraction: f64) -> String {
    if fraction.is_finite() { format!("{:.1} %", fraction * 100.0) } else { real(fraction) }
}

/// The text of a value, or [`NONE`] without one.
pub fn or_none<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| NONE.to_owned(), text)
}

/// A fraction as a percentage, or [`NONE`].
pub fn percent_or_none(fraction: Option<f64>) -> String {
    or_none(fraction, percent)
}

/// A difference of two fractions in percentage points, with its sign: `+0.4`, `−1.2`, `0.0`.
pub fn points(difference: f64) -> String {
    if !difference.is_finite() {
        return real(difference);
    }
    let rounded = (difference * 1000.0).round() / 10.0;
    if rounded == 0.0 {
        "0.0".to_owned()
    } else if rounded < 0.0 {
        format!("−{:.1}", -rounded)
    } else {
        format!("+{rounded:.1}")
    }
}

/// The ratio of `whole` to `part`: `7.66×`; [`NONE`] if `part` is 0.
pub fn times(whole: u64, part: u64) -> String {
    if part == 0 {
        return NONE.to_owned();
    }
    format!("{}×", three_digits(whole as f64 / part as f64))
}

/// `part` of `whole` as a percentage: `13.1 %`; [`NONE`] if `whole` is 0.
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 { NONE.to_owned() } else { percent(part as f64 / whole as f64) }
}

/// A loss or a learning rate: `1.234`, `0.1`, `1e-5`, `NaN`, `∞`.
pub fn real(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "∞" } else { "−∞" }.to_owned()
    } else if size == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e5).contains(&size) {
        let (digits, exponent) = split(&format!("{value:.2e}"));
        minus(&format!("{}e{exponent}", without_zeros(&digits)))
    } else {
        minus(&without_zeros(&format!("{value:.4}")))
    }
}

/// A threshold of a probability or entropy share, as [`real`], but below 1 if it is: `0.83`, `0.99996`.
pub fn threshold(value: f64) -> String {
    let short = real(value);
    if value >= 1.0 || short != "1" {
        return short;
    }
    let mut longer = (5..=17).map(|decimals| format!("{value:.decimals$}"));
    longer.find(|text| text.starts_with('0')).unwrap_or(short)
}

/// A loss in a column: three decimals, so that the decimal points align.
pub fn loss(value: f64) -> String {
    if value.is_finite() && value.abs() < 1e5 { minus(&format!("{value:.3}")) } else { real(value) }
}

/// A rate such as images per second, with three significant digits or as a whole number: `0.52`,
/// `51.2`, `12345`.
pub fn rate(value: f64) -> String {
    if !value.is_finite() {
        real(value)
    } else if value >= 999.5 {
        format!("{value:.0}")
    } else {
        three_digits(value)
    }
}

/// A duration: `0.42 s`, `12 s`, `4 min 10 s`, `2 h 05 min`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return real(seconds);
    }
    if seconds < 9.95 {
        return format!("{} s", three_digits(seconds));
    }
    let seconds = seconds.round() as u64;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    if seconds < 60 {
        format!("{seconds} s")
    } else if hours == 0 {
        format!("{minutes} min {:02} s", seconds % 60)
    } else {
        format!("{hours} h {minutes:02} min")
    }
}

/// A duration from microseconds to minutes with three significant digits: `45.1 µs`, `1.23 ms`,
/// `2.05 s`.
pub fn time(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return real(seconds);
    }
    match seconds {
        0.9995.. => format!("{} s", three_digits(seconds)),
        0.0009995.. => format!("{} ms", three_digits(seconds * 1e3)),
        _ => format!("{} µs", three_digits(seconds * 1e6)),
    }
}

/// A size in binary units: `512 B`, `31.3 GiB`.
pub fn bytes(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1023.5 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{} {unit}", three_digits(value))
}

/// A tick of an axis with ticks `step` apart, with as many decimals as the step has.
pub fn tick(value: f64, step: f64) -> String {
    if value.abs() < step / 1e6 {
        return "0".to_owned();
    }
    if value.abs() < 1e-3 || value.abs() >= 1e5 {
        return real(value);
    }
    let decimals = (-step.log10().floor()).clamp(0.0, 8.0) as usize;
    minus(&format!("{value:.decimals$}"))
}

fn three_digits(value: f64) -> String {
    if value.abs() < 9.995 {
        format!("{value:.2}")
    } else if value.abs() < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

fn split(scientific: &str) -> (String, String) {
    let (digits, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    (digits.to_owned(), exponent.to_owned())
}

fn without_zeros(decimal: &str) -> String {
    if decimal.contains('.') {
        decimal.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        decimal.to_owned()
    }
}

fn minus(number: &str) -> String {
    match number.strip_prefix('-') {
        Some(rest) => format!("−{rest}"),
        None => number.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_three_digits_at_every_boundary() {
        let counts = [0, 13, 999, 1000, 9_994, 9_995, 99_949, 99_950, 999_499, 999_500];
        let expected =
            ["0", "13", "999", "1.00 k", "9.99 k", "10.0 k", "99.9 k", "100 k", "999 k", "1.00 M"];
        assert_eq!(counts.map(count), expected);
        assert_eq!([1_210_000, 20_700_000, 555_500_000].map(count), ["1.21 M", "20.7 M", "556 M"]);
        assert_eq!(count(5_000_000_000_000_000), "5000 T");
        assert_eq!([plural(1, "epoch"), plural(0, "exit")], ["1 epoch", "0 exits"]);
    }

    #[test]
    fn fractions_are_percentages() {
        assert_eq!([0.853, 1.0, f64::NAN].map(percent), ["85.3 %", "100.0 %", "NaN"]);
        assert_eq!(percent_or_none(None), "–");
        assert_eq!([0.004, -0.0121, 0.0001, -0.0001].map(points), ["+0.4", "−1.2", "0.0", "0.0"]);
        assert_eq!((times(9_270_000, 1_210_000), times(1, 0)), ("7.66×".into(), "–".into()));
        assert_eq!((share(131, 1000), share(0, 0)), ("13.1 %".into(), "–".into()));
    }

    #[test]
    fn reals_keep_significant_digits() {
        let values = [1.23456, 0.1, 1e-5, -2.5, 1.5e6, 0.0, f64::NAN, f64::NEG_INFINITY];
        let expected = ["1.2346", "0.1", "1e-5", "−2.5", "1.5e6", "0", "NaN", "−∞"];
        assert_eq!(values.map(real), expected);
        assert_eq!([1.5, f64::NAN, 1e9].map(loss), ["1.500", "NaN", "1e9"]);
        assert_eq!([0.519, 51.23, 999.6, 12_345.4].map(rate), ["0.52", "51.2", "1000", "12345"]);
    }

    #[test]
    fn a_threshold_below_1_is_not_rounded_to_1() {
        let values = [0.83, 0.9996, 0.999_96, 0.999_999_94, 1.0, 5e-5];
        let expected = ["0.83", "0.9996", "0.99996", "0.9999999", "1", "5e-5"];
        assert_eq!(values.map(threshold), expected);
    }

    #[test]
    fn durations_and_sizes_have_units() {
        let seconds = [0.42, 9.96, 59.4, 59.6, 250.0, 7500.0, f64::NAN];
        let expected = ["0.42 s", "10 s", "59 s", "1 min 00 s", "4 min 10 s", "2 h 05 min", "NaN"];
        assert_eq!(seconds.map(duration), expected);
        let seconds = [4.51e-5, 0.00123, 0.9996, 2.05, f64::NAN];
        assert_eq!(seconds.map(time), ["45.1 µs", "1.23 ms", "1.00 s", "2.05 s", "NaN"]);
        assert_eq!([512, 1024, 33_600_000_000].map(bytes), ["512 B", "1.00 KiB", "31.3 GiB"]);
    }

    #[test]
    fn ticks_have_as_many_decimals_as_their_step() {
        let shown = [tick(0.25, 0.05), tick(3.0, 1.0), tick(0.30000000000000004, 0.1)];
        assert_eq!(shown, ["0.25", "3", "0.3"]);
        assert_eq!([tick(1e-18, 0.1), tick(2e-5, 1e-5)], ["0", "2e-5"]);
    }
}

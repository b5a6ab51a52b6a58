//! Ranges and ticks of axes.

use crate::format::number;

/// How the numbers of an axis are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ticks {
    /// Plain numbers.
    Number,
    /// Plain numbers, with ticks at whole numbers only.
    Whole,
    /// Fractions as percentages.
    Percent,
    /// Counts with their unit: `20 M`.
    Count,
    /// Seconds, in the unit that fits: `2.00 ms`.
    Time,
}

/// Range and scale of a horizontal axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// From the first value to the last, linear.
    Data,
    /// From zero, linear.
    Zero,
    /// Logarithmic; all values must be above zero.
    Logarithmic,
}

/// The range of an axis and its ticks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
    /// Distance between ticks; `None` if they are at 1, 2 and 5 times the powers of ten.
    step: Option<f64>,
    kind: Ticks,
    /// In increasing order.
    pub(super) ticks: Vec<f64>,
}

impl Axis {
    /// An axis for finite values that begins and ends at a tick.
    pub(super) fn vertical(values: impl Iterator<Item = f64>, kind: Ticks, zero: bool) -> Self {
        let (low, high) = range(values, kind, zero);
        let step = step(high - low, 5.0, kind);
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        Self::new(first * step, last * step, step, kind)
    }

    /// An axis over the range of finite values.
    pub(super) fn horizontal(values: impl Iterator<Item = f64>, kind: Ticks, over: Range) -> Self {
        let zero = over == Range::Zero;
        let (low, high) = range(values, kind, zero);
        if over == Range::Logarithmic {
            return Self::logarithmic(low, high, kind);
        }
        // Space for a mark at the end; epochs need none.
        let high = if zero { high + (high - low) * 0.04 } else { high };
        Self::new(low, high, step(high - low, 6.0, kind), kind)
    }

    /// A logarithmic axis with a small margin, and ticks at 1, 2 and 5 times the powers of ten, at the
    /// powers only if these are too many, or at equal distances if they are fewer than two.
    fn logarithmic(low: f64, high: f64, kind: Ticks) -> Self {
        let (low, high) = (low / 1.15, high * 1.15);
        let powers = low.log10().floor() as i32..=high.log10().ceil() as i32;
        let ticks_at = |factors: &[f64]| -> Vec<f64> {
            let all = powers
                .clone()
                .flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)));
            all.filter(|tick| (low..=high).contains(tick)).collect()
        };
        let fine = ticks_at(&[1.0, 2.0, 5.0]);
        if fine.len() < 2 {
            return Self {
                logarithmic: true,
                ..Self::new(low, high, step(high - low, 6.0, kind), kind)
            };
        }
        let ticks = if fine.len() > 6 { ticks_at(&[1.0]) } else { fine };
        Self { low, high, logarithmic: true, step: None, kind, ticks }
    }

    fn new(low: f64, high: f64, step: f64, kind: Ticks) -> Self {
        let mut ticks = Vec::new();
        let mut index = (low / step - 1e-9).ceil();
        while index * step <= high + step * 1e-9 {
            ticks.push(index * step);
            index += 1.0;
        }
        Self { low, high, logarithmic: false, step: Some(step), kind, ticks }
    }

    /// Position of `value` on the axis, 0 to 1.
    pub(super) fn fraction(&self, value: f64) -> f64 {
        if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    /// The label of a tick.
    pub(super) fn text(&self, tick: f64) -> String {
        // Ticks at 1, 2 and 5 times the powers of ten need no decimals and have their own units.
        let (step, size) = self.step.map_or((tick, tick), |step| (step, self.high));
        match self.kind {
            Ticks::Number | Ticks::Whole => number::tick(tick, step),
            Ticks::Time => number::time(tick),
            Ticks::Percent => format!("{} %", number::tick(tick * 100.0, step * 100.0)),
            Ticks::Count => {
                let powers = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"), (1.0, "")];
                let (scale, unit) = powers
                    .into_iter()
                    .find(|&(scale, _)| size * (1.0 + 1e-9) >= scale)
                    .unwrap_or((1.0, ""));
                format!("{}{unit}", number::tick(tick / scale, step / scale))
            }
        }
    }
}

/// Minimum and maximum, widened if they are equal.
fn range(values: impl Iterator<Item = f64>, kind: Ticks, zero: bool) -> (f64, f64) {
    let start = (f64::INFINITY, f64::NEG_INFINITY);
    let (low, high) = values.fold(start, |(low, high), value| (low.min(value), high.max(value)));
    let low = if zero { low.min(0.0) } else { low };
    if high - low > f64::EPSILON * high.abs() * 16.0 {
        return (low, high);
    }
    match kind {
        Ticks::Whole => (low - 1.0, high + 1.0),
        Ticks::Percent => ((low - 0.05).max(0.0), high + 0.05),
        Ticks::Number | Ticks::Count | Ticks::Time if low == 0.0 => (0.0, 1.0),
        Ticks::Number | Ticks::Count | Ticks::Time => {
            (low - low.abs() * 0.1, high + high.abs() * 0.1)
        }
    }
}

/// The step of 1, 2 or 5 times a power of ten that divides `span` into about `parts` parts.
fn step(span: f64, parts: f64, kind: Ticks) -> f64 {
    let raw = span / parts;
    let power = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let step = step.into_iter().find(|step| *step >= raw * 0.999).unwrap_or(raw);
    if kind == Ticks::Whole { step.max(1.0) } else { step }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(|&tick| axis.text(tick)).collect()
    }

    #[test]
    fn a_vertical_axis_ends_at_ticks() {
        let axis = Axis::vertical([0.12, 0.78].into_iter(), Ticks::Percent, false);
        assert_eq!(texts(&axis), ["0 %", "20 %", "40 %", "60 %", "80 %"]);
        assert_eq!((axis.fraction(0.0), axis.fraction(0.8)), (0.0, 1.0));
    }

    #[test]
    fn whole_number_axes_have_no_fractional_ticks() {
        let axis = Axis::horizontal([1.0, 3.0].into_iter(), Ticks::Whole, Range::Data);
        assert_eq!(texts(&axis), ["1", "2", "3"]);
        let axis = Axis::horizontal([1.0, 200.0].into_iter(), Ticks::Whole, Range::Data);
        assert_eq!(texts(&axis), ["50", "100", "150", "200"]);
    }

    #[test]
    fn the_ticks_of_counts_share_a_unit() {
        let axis = Axis::horizontal([4.1e6, 20.7e6].into_iter(), Ticks::Count, Range::Zero);
        assert_eq!(texts(&axis), ["0 M", "5 M", "10 M", "15 M", "20 M"]);
    }

    #[test]
    fn a_logarithmic_axis_has_ticks_at_powers_of_ten() {
        let axis = |values: [f64; 2]| {
            Axis::horizontal(values.into_iter(), Ticks::Count, Range::Logarithmic)
        };
        assert_eq!(texts(&axis([9e4, 9.3e6])), ["100 k", "1 M", "10 M"]);
        let short = axis([2e5, 2e6]);
        assert_eq!(texts(&short), ["200 k", "500 k", "1 M", "2 M"]);
        let times = Axis::horizontal([4e-4, 2.1e-3].into_iter(), Ticks::Time, Range::Logarithmic);
        assert_eq!(texts(&times), ["500 µs", "1.00 ms", "2.00 ms"]);
        let [left, middle, right] = [2e5, 2e5 * 10_f64.sqrt(), 2e6].map(|at| short.fraction(at));
        assert!((middle - left - (right - middle)).abs() < 1e-9 && left > 0.0 && right < 1.0);
    }

    #[test]
    fn a_short_logarithmic_axis_has_ticks_at_equal_distances() {
        let axis =
            |values: [f64; 2], kind| Axis::horizontal(values.into_iter(), kind, Range::Logarithmic);
        let counts = |low, high| texts(&axis([low, high], Ticks::Count));
        assert_eq!(counts(6e6, 8e6), ["6 M", "7 M", "8 M", "9 M"]);
        assert_eq!(counts(2.4e6, 4.4e6), ["2.5 M", "3.0 M", "3.5 M", "4.0 M", "4.5 M", "5.0 M"]);
        assert_eq!(counts(1.3e6, 1.6e6), ["1.2 M", "1.4 M", "1.6 M", "1.8 M"]);
        assert_eq!(counts(9e5, 1.1e6), ["0.8 M", "0.9 M", "1.0 M", "1.1 M", "1.2 M"]);
        let times = axis([1.3e-3, 1.6e-3], Ticks::Time);
        assert_eq!(texts(&times), ["1.20 ms", "1.40 ms", "1.60 ms", "1.80 ms"]);
        let middle = (1.3e-3_f64 * 1.6e-3).sqrt();
        assert!((times.fraction(middle) - 0.5).abs() < 1e-9, "{times:?}");
        for low in 10..1000 {
            for high in [1.0, 1.1, 1.5, 2.0, 2.4, 2.5, 3.0, 9.0, 99.0] {
                let axis = axis([f64::from(low), f64::from(low) * high], Ticks::Count);
                assert!((2..12).contains(&axis.ticks.len()), "{low} {high} {axis:?}");
            }
        }
    }

    #[test]
    fn an_axis_of_a_single_value_has_a_range() {
        for kind in [Ticks::Number, Ticks::Whole, Ticks::Percent, Ticks::Count, Ticks::Time] {
            for value in [0.0, 1.0, 1e-7] {
                let axis = Axis::vertical([value].into_iter(), kind, false);
                assert!((0.0..=1.0).contains(&axis.fraction(value)), "{kind:?} {value}");
                assert!((2..20).contains(&axis.ticks.len()), "{kind:?} {value} {axis:?}");
            }
        }
    }
}

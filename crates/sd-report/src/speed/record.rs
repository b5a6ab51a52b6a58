//! One run of a benchmark, for a terminal.

use super::spread;
use crate::document::{Column, Table};
use crate::format::number::{NONE, bytes, rate, time};
use crate::format::terminal;
use crate::measurement::{BenchRecord, Measurement};
use crate::stats;

/// Parts that were run in pairs for the ratio of their times: the first over the second.
const PAIRS: [(&str, &str); 2] = [("epoch", "steps"), ("self_distilled", "plain")];

/// The record as text: where it was measured, a table of medians and spreads, and the ratios of
/// what was measured in pairs.
pub fn text(record: &BenchRecord) -> String {
    let mut lines = vec![
        format!(
            "{} of {} on {}, {} cores, {} threads, {}",
            record.subject.name(),
            record.program,
            record.host.cpu,
            record.host.cores,
            record.threads,
            record.device
        ),
        terminal::render(&table(&record.measurements)),
    ];
    lines.extend(ratios(&record.measurements));
    lines.join("\n")
}

fn table(measurements: &[Measurement]) -> Table {
    let mut table = Table::new([
        Column::text("configuration"),
        Column::text("part"),
        Column::text("precision"),
        Column::number("batch"),
        Column::number("runs"),
        Column::number("median"),
        Column::number("middle half"),
        Column::number("images/s"),
        Column::number("peak memory"),
    ]);
    for measurement in measurements {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
        table.push([
            measurement.config.clone(),
            measurement.part.clone(),
            measurement.precision.clone(),
            measurement.batch.to_string(),
            measurement.timing.raw_seconds.len().to_string(),
            or_none(measurement.timing.median().map(time)),
            spread(measurement),
            or_none(measurement.images_per_second().map(rate)),
            or_none(measurement.peak_memory_bytes.map(bytes)),
        ]);
    }
    table
}

fn ratios(measurements: &[Measurement]) -> Vec<String> {
    let mut lines = Vec::new();
    for (first, second) in PAIRS {
        for a in measurements.iter().filter(|measurement| measurement.part == first) {
            let b = measurements
                .iter()
                .find(|b| (&b.config, b.part.as_str(), b.batch) == (&a.config, second, a.batch));
            let Some(b) = b else { continue };
            let pairs = a.timing.raw_seconds.iter().zip(&b.timing.raw_seconds);
            let ratios: Vec<f64> = pairs.map(|(a, b)| a / b).collect();
            let quantile = |p| stats::quantile(&ratios, p).unwrap_or(f64::NAN);
            lines.push(format!(
                "{}, batch {}: {first} over {second} {:.2} (lowest {:.2}, highest {:.2})",
                a.config,
                a.batch,
                quantile(0.5),
                quantile(0.0),
                quantile(1.0)
            ));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::Subject;
    use crate::timing::Timing;

    fn measurement(part: &str, raw_seconds: &[f64]) -> Measurement {
        Measurement {
            config: "net".to_owned(),
            part: part.to_owned(),
            mode: "native".to_owned(),
            precision: "f32".to_owned(),
            layout: "channels_last".to_owned(),
            batch: 8,
            images: 80,
            peak_memory_bytes: Some(3 << 20),
            timing: Timing { raw_seconds: raw_seconds.to_vec() },
        }
    }

    #[test]
    fn pairs_are_divided_pair_by_pair() {
        let mut record = BenchRecord::begin(Subject::Overhead, "p 1".into(), 2, "cpu".into());
        record.measurements =
            vec![measurement("epoch", &[3.0, 2.0, 8.0]), measurement("steps", &[2.0, 2.0, 2.0])];
        let text = text(&record);
        assert!(text.starts_with("overhead of p 1 on "), "{text}");
        assert!(text.contains("26.7"), "80 images in 3 s: {text}");
        assert!(text.contains("3.00 MiB"), "{text}");
        let expected = "net, batch 8: epoch over steps 1.50 (lowest 1.00, highest 4.00)";
        assert!(text.ends_with(expected), "{text}");
    }
}

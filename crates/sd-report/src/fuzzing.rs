//! The parsers of run records on bytes in memory, for `fuzz/`.

use crate::report::evaluation_text;
use crate::run_folder::{
    parse_calibration, parse_deployment, parse_epochs, parse_evaluation, parse_latency,
    parse_mistakes, parse_summary,
};
use std::path::Path;

/// File name in error messages.
const NAME: &str = "some.file";

/// Parses `summary.json`, `epochs.jsonl`, `evaluation.json`, `deploy.json`, `latency.json` or
/// `calibration.json` or `mistakes.json`, selected by the first byte.
pub fn record(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let path = Path::new(NAME);
    let read = match kind % 6 {
        0 => parse_summary(path, text).map(|_| ()),
        1 => parse_epochs(path, text).map(|(epochs, _)| {
            assert!(epochs.is_sorted_by(|earlier, later| earlier.epoch < later.epoch));
        }),
        2 => parse_evaluation(path, text).map(|evaluation| {
            let split = format!("images of the {} split", evaluation.split);
            assert!(evaluation_text(&evaluation).contains(&split));
        }),
        3 => parse_deployment(path, text).map(|deployment| {
            let _ = (deployment.batch_times(), deployment.first_label_seconds());
        }),
        4 => parse_latency(path, text).map(|_| ()),
        5 => parse_calibration(path, text).map(|_| ()),
        _ => parse_mistakes(path, text).map(|_| ()),
    };
    if let Err(error) = read {
        assert!(error.to_string().contains(NAME), "{error}");
    }
}

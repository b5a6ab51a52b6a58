//! The parsers of run records on bytes in memory, for `fuzz/`.

use crate::error::Result;
use crate::report::evaluation_text;
use crate::run_folder::{
    parse_calibration, parse_deployment, parse_epochs, parse_evaluation, parse_latency,
    parse_mistakes, parse_summary,
};
use std::path::Path;

/// File name in error messages.
const NAME: &str = "some.file";

/// Parses `summary.json`, `epochs.jsonl`, `evaluation.json`, `deploy.json`, `latency.json`,
/// `calibration.json` or `mistakes.json`, selected by the first byte.
pub fn record(bytes: &[u8]) {
    if let Err(error) = parse(bytes) {
        assert!(error.to_string().contains(NAME), "{error}");
    }
}

fn parse(bytes: &[u8]) -> Result<()> {
    let Some((kind, bytes)) = bytes.split_first() else { return Ok(()) };
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(()) };
    let path = Path::new(NAME);
    match kind % 7 {
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_seed_is_parsed_as_the_record_that_it_is() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/record");
        let mut kinds = Vec::new();
        for seed in std::fs::read_dir(seeds).unwrap() {
            let path = seed.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            kinds.push(bytes[0]);
        }
        kinds.sort_unstable();
        assert_eq!(kinds, [0, 1, 2, 3, 4, 5, 6]);
    }
}

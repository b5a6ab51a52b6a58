//! Remaining time of a sweep, estimated from its finished epochs.

use super::plan::PlannedRun;
use super::state::{Stage, State};

/// Describes the remaining training time and the basis of the estimate.
///
/// The epochs of a run are assumed to take as long as its finished epochs. If it has none, those of
/// runs with the same configuration file are used, or else of all runs, which may be far off.
pub fn remaining(runs: &[(&PlannedRun, State)]) -> String {
    let all: Vec<f64> = runs.iter().flat_map(|(_, state)| &state.seconds).copied().collect();
    let Some(mean_of_all) = mean(&all) else {
        return "no estimate yet: no epoch has finished".to_owned();
    };
    let (mut seconds, mut known, mut guessed, mut unknown) = (0.0, 0, 0, 0);
    for (run, state) in runs.iter().filter(|(_, state)| state.stage != Stage::Finished) {
        let Some(epochs) = run.epochs() else {
            unknown += 1;
            continue;
        };
        let epochs = epochs.saturating_sub(state.seconds.len() as u64);
        let same_file = || {
            let same = runs.iter().filter(|(other, _)| other.config == run.config);
            mean(&same.flat_map(|(_, state)| &state.seconds).copied().collect::<Vec<_>>())
        };
        let pace = mean(&state.seconds).or_else(same_file);
        *(if pace.is_some() { &mut known } else { &mut guessed }) += epochs;
        seconds += epochs as f64 * pace.unwrap_or(mean_of_all);
    }
    let mut text = format!("about {} of training left", duration(seconds));
    text += &match (known, guessed) {
        (0, 0) => String::new(),
        (known, 0) => format!(": {known} epochs at their configurations' pace"),
        (0, guessed) => format!(
            ": {guessed} epochs at the mean pace of other configurations, which may be far off"
        ),
        (known, guessed) => format!(
            ": {known} epochs at their configurations' pace, {guessed} at the mean pace \
             of other configurations, which may be far off"
        ),
    };
    if unknown > 0 {
        text += &format!("; unknown for {unknown} runs without `train.epochs`");
    }
    text
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Formats a duration with the precision of an estimate: `42 s`, `7 min`, `2 h 05 min`.
pub fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match minutes {
        0 | 1 => format!("{seconds:.0} s"),
        2..60 => format!("{minutes} min"),
        _ => format!("{} h {:02} min", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(config: &str, epochs: i64) -> PlannedRun {
        let requested = toml::from_str(&format!("train.epochs = {epochs}")).unwrap();
        let (set, folder) = (Vec::new(), "runs/a".into());
        PlannedRun { config: config.into(), set, seed: 0, folder, requested }
    }

    fn state(stage: Stage, seconds: &[f64]) -> State {
        State { stage, seconds: seconds.to_vec() }
    }

    #[test]
    fn an_estimate_states_its_basis() {
        let (a, b) = (planned("a.toml", 4), planned("b.toml", 10));
        let new = || state(Stage::New, &[]);
        assert!(remaining(&[(&a, new())]).contains("no estimate"));
        // Two epochs of this run at 90 s, and four of another run with the same file.
        let begun = state(Stage::Begun, &[100.0, 80.0]);
        let text = remaining(&[(&a, begun.clone()), (&a, new())]);
        assert_eq!(text, "about 9 min of training left: 6 epochs at their configurations' pace");
        let text = remaining(&[(&a, begun), (&b, new())]);
        assert!(text.starts_with("about 18 min of training left: 2 epochs"), "{text}");
        assert!(text.contains("10 at the mean pace of other configurations"), "{text}");
        let done = remaining(&[(&a, state(Stage::Finished, &[1.0; 4]))]);
        assert_eq!(done, "about 0 s of training left");
    }

    #[test]
    fn durations_are_rounded() {
        let shown = [42.4, 95.0, 3590.0, 7500.0].map(duration);
        assert_eq!(shown, ["42 s", "2 min", "1 h 00 min", "2 h 05 min"]);
    }
}

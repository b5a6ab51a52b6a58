//! The choice of a run, exit and number format under limits.

mod deployed;
mod sample_runs;

use sample_runs::{DENSE, DISTILLED, GROUPED, LIGHT, run, validated, with_ensemble};
use sd_report::report::{Limits, choose};
use sd_report::{DeployRecord, Run, Status};

/// `first` is more accurate on the test images, `second` on the validation images.
fn runs() -> Vec<Run> {
    let first = run("first", 0, [DENSE, LIGHT, DISTILLED], 1, 0.9);
    let second = run("second", 0, [GROUPED, LIGHT, DISTILLED], 1, 0.5);
    vec![validated(first, &[0.5, 0.6]), validated(second, &[0.55, 0.7])]
}

/// The deepest exit in `f32` and 8 bits: 2.5 and 1.25 ms in rten, 0.4 and 0.1 MB.
fn measured(mut run: Run, change: fn(&mut DeployRecord)) -> Run {
    let mut record = deployed::deployment();
    change(&mut record);
    run.deployment = Some(record);
    run
}

fn chosen(runs: &[Run], limits: Limits) -> String {
    let best = choose(runs, &limits).unwrap();
    format!("{best}\n{}", best.export())
}

fn refused(runs: &[Run], limits: Limits) -> String {
    choose(runs, &limits).unwrap_err().to_string()
}

fn milliseconds(most: f64) -> Limits {
    Limits { milliseconds: Some(most), ..Limits::default() }
}

#[test]
fn the_validation_images_choose_within_the_limits() {
    assert_eq!(
        chosen(&runs(), Limits::default()),
        "runs/second-seed0 deepest f32: 70.0 % on validation, 10.0 M MACs\n\
         cargo xtask export runs/second-seed0 --exit deepest"
    );
    let small = Limits { macs: Some(9_999_999), ..Limits::default() };
    assert_eq!(
        chosen(&runs(), small),
        "runs/second-seed0 exit1 f32: 55.0 % on validation, 1.00 M MACs\n\
         cargo xtask export runs/second-seed0 --exit exit1"
    );
    let exact = Limits { macs: Some(10_000_000), ..Limits::default() };
    assert!(chosen(&runs(), exact).contains(" deepest f32: 70.0 %"));
}

#[test]
fn the_ensemble_can_be_chosen() {
    let [first, second]: [Run; 2] = runs().try_into().unwrap();
    let mut runs = [with_ensemble(first, 0.71), second];
    runs[0].summary.framework.macs = 10_500_000;
    assert_eq!(
        chosen(&runs, Limits::default()),
        "runs/first-seed0 ensemble f32: 71.0 % on validation, 10.5 M MACs\n\
         cargo xtask export runs/first-seed0 --all"
    );
    let small = Limits { macs: Some(10_499_999), ..Limits::default() };
    assert!(chosen(&runs, small).contains(" deepest f32: 70.0 %"));
}

#[test]
fn only_finished_runs_are_chosen() {
    let mut runs = runs();
    for status in [Status::Running, Status::Interrupted, Status::Failed] {
        runs[1].summary.status = status;
        let best = chosen(&runs, Limits::default());
        assert!(best.starts_with("runs/first-seed0 deepest f32: 60.0 %"), "{best}");
    }
    runs[1].summary.dataset = "cifar10".to_owned();
    assert!(chosen(&runs, Limits::default()).starts_with("runs/first-seed0"));
    runs[0].summary.status = Status::Interrupted;
    let error = refused(&runs, Limits::default());
    assert_eq!(error, "none of these runs has finished, expected at least one that has");
}

#[test]
fn eight_bits_are_chosen_where_floats_do_not_fit() {
    let runs: Vec<Run> = runs().into_iter().map(|run| measured(run, |_| ())).collect();
    let floats = "runs/second-seed0 deepest f32: 70.0 % on validation, 10.0 M MACs, 0.40 MB, \
                  2.50 ms (rten, 1 thread)\ncargo xtask export runs/second-seed0 --exit deepest";
    assert_eq!(chosen(&runs, Limits::default()), floats);
    assert_eq!(chosen(&runs, milliseconds(2.5)), floats);
    let bytes = "runs/second-seed0 deepest int8 convinteger: 70.0 % on validation, 10.0 M MACs, \
                 0.10 MB, 1.25 ms (rten, 1 thread)\n\
                 cargo xtask export runs/second-seed0 --exit deepest --int8 convinteger";
    assert_eq!(chosen(&runs, milliseconds(2.0)), bytes);
    assert_eq!(chosen(&runs, Limits { megabytes: Some(0.2), ..Limits::default() }), bytes);
}

#[test]
fn the_excluding_limits_are_named_with_the_closest_candidate() {
    let runs: Vec<Run> = runs().into_iter().map(|run| measured(run, |_| ())).collect();
    let limits = Limits { milliseconds: Some(0.5), megabytes: Some(0.2), macs: Some(2_000_000) };
    assert_eq!(
        refused(&runs, limits),
        "no exit fits all limits\n  \
         --max-ms 0.5 excludes 4 of 8; the least is 1.25 ms, runs/first-seed0 deepest int8 \
         convinteger; 4 not measured (`cargo xtask bench deploy RUN…`)\n  \
         --max-mb 0.2 excludes 2 of 8; the least is 0.10 MB, runs/first-seed0 deepest int8 \
         convinteger; 4 not measured (`cargo xtask bench deploy RUN…`)\n  \
         --max-macs 2.00M excludes 6 of 8; the least is 1.00 M, runs/first-seed0 exit1 f32"
    );
}

#[test]
fn what_does_not_compare_is_refused() {
    let [first, second]: [Run; 2] = runs().try_into().unwrap();
    let elsewhere = |record: &mut DeployRecord| {
        for round in &mut record.rounds {
            round.peers[0].host.cpu = "Another".to_owned();
        }
    };
    let mut runs = [measured(first, |_| ()), measured(second, elsewhere)];
    let error = refused(&runs, milliseconds(10.0));
    assert!(
        error.contains(
            "runs/first-seed0 on A Processor, 8 cores; runs/second-seed0 on Another, 8 cores"
        ),
        "{error}"
    );
    // Sizes are the same everywhere.
    let small = Limits { megabytes: Some(1.0), ..Limits::default() };
    assert!(chosen(&runs, small).starts_with("runs/second-seed0 deepest f32"));

    runs[1].summary.dataset = "cifar10".to_owned();
    let error = refused(&runs, small);
    assert!(error.contains("several data sets (cifar10, cifar100)"), "{error}");
    let unvalidated = [run("plain", 0, [DENSE, LIGHT, DISTILLED], 1, 0.9)];
    assert!(refused(&unvalidated, Limits::default()).contains("no run has a validation split"));
}

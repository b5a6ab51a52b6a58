//! The sentences that a report opens with.

mod evaluated;
mod sample_runs;

use evaluated::evaluation;
use sample_runs::{
    BYOT, DENSE, DISTILLED, GROUPED, LABELS, LIGHT, PLAIN, run, validated, with_ensemble,
};
use sd_report::report::{end_of_training, findings};
use sd_report::{Run, Status};

fn light(seed: u64, top1: f64) -> Run {
    validated(run("light", seed, [GROUPED, LIGHT, DISTILLED], 20, top1), &[0.5, 0.6])
}

fn dense(seed: u64, top1: f64) -> Run {
    validated(run("dense", seed, [DENSE, PLAIN, LABELS], 20, top1), &[0.7])
}

#[test]
fn a_loss_against_the_dense_original_comes_first() {
    let [text] = &findings(&[dense(0, 0.65), light(0, 0.646)])[..] else { panic!() };
    let expected = "The compressed network is 0.4 points below its dense original: the deepest exit of \
        light reaches 64.6 % test accuracy, dense 65.0 %. The difference may be noise: at least one of \
        the two has a single seed. Validation chose it. It has 1.00 M parameters \
        (12.5 % of the dense original's) and 10.0 M MACs (12.5 %).";
    assert_eq!(text, expected);
    let several = [dense(0, 0.64), dense(1, 0.66), light(0, 0.66), light(1, 0.66)];
    let text = findings(&several).remove(0);
    assert!(text.starts_with("The compressed network is 1.0 points above"), "{text}");
    assert!(text.contains("dense 65.0 ± 1.4 %. Validation chose"), "{text}");
    let text = findings(&[dense(0, 0.65), light(0, 0.6503)]).remove(0);
    assert!(text.starts_with("The compressed network is as accurate as its dense"), "{text}");
}

#[test]
fn the_test_set_does_not_choose_among_networks() {
    let byot = validated(run("byot", 0, [GROUPED, BYOT, DISTILLED], 20, 0.9), &[0.3, 0.4]);
    let text = findings(&[byot, light(0, 0.5)]).remove(0);
    let expected = "The dense original is not among these runs, so the loss of accuracy is unknown. \
        Deploy the deepest exit of light: 50.0 %";
    assert!(text.starts_with(expected), "{text}");
    let dense = findings(&[dense(0, 0.65), dense(1, 0.65)]).remove(0);
    assert!(dense.starts_with("Nothing is compressed: all networks are dense. Deploy"), "{dense}");
}

#[test]
fn the_ensemble_is_deployed_if_validation_prefers_it() {
    let mut ensemble = with_ensemble(light(0, 0.64), 0.61);
    ensemble.summary.ensemble.test_top1 = Some(0.66);
    let text = findings(&[dense(0, 0.65), ensemble]).remove(0);
    let expected = "The compressed network is 1.0 points above its dense original: the ensemble of light \
        reaches 66.0 % test accuracy";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn each_recipe_has_its_own_sentence() {
    let longer = run("light", 0, [GROUPED, LIGHT, DISTILLED], 40, 0.7);
    let texts = findings(&[light(0, 0.6), longer]);
    assert!(texts[0].starts_with("cifar100, 20 epochs, batch 128: The dense"), "{}", texts[0]);
    let none = "cifar100, 40 epochs, batch 128: No exit can be chosen without a validation split.";
    assert_eq!(texts[1..], [none]);
}

#[test]
fn a_cheaper_exit_is_chosen_by_validation() {
    let near = validated(light(0, 0.6), &[0.595, 0.6]);
    let expected =
        "Stopping at exit1 saves 90.0 % of the MACs and loses 10.0 points of test accuracy.";
    assert_eq!(findings(&[near])[1..], [expected]);
    let far = findings(&[light(0, 0.6)]);
    let expected = format!("No cheaper exit is within 1 point of it on validation. {expected}");
    assert_eq!(far[1..], [expected]);
}

#[test]
fn a_confidence_threshold_can_be_used_as_printed() {
    let mut run = light(0, 0.6);
    let mut evaluation = evaluation();
    let setting = &mut evaluation.early_exit.as_mut().unwrap().curves[0].settings[1];
    (setting.value, setting.valid.top1) = (Some(0.9996), 0.8);
    run.evaluation = Some(evaluation);
    let text = findings(&[run]).remove(1);
    let expected = "Stopping at the first exit with a confidence of at least 0.9996 uses 68.0 % of the \
        deepest exit's MACs on average and loses 10.0 points of test accuracy.";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn runs_without_a_result_say_so() {
    let mut running = light(0, 0.6);
    running.summary.status = Status::Running;
    running.summary.exits.iter_mut().for_each(|exit| exit.test_top1 = None);
    let texts = findings(std::slice::from_ref(&running));
    assert_eq!(texts[0], "This run is training: 20 epochs finished, nothing tested yet.");
    let latest = "After epoch 1, the deepest exit has the highest validation accuracy: 60.0 %.";
    assert_eq!(texts[1..], [latest]);
    let texts = findings(&[running.clone(), running]);
    assert_eq!(texts, ["None of these runs has finished: there is nothing to compare yet."]);
}

#[test]
fn training_ends_with_the_exits_and_what_to_do_next() {
    let text = end_of_training(&validated(light(0, 0.6), &[0.7, 0.6]));
    let table = "\
Exit     Test top-1  Parameters    MACs
exit1        50.0 %       100 k  1.00 M
deepest      60.0 %      1.00 M  10.0 M

Deploy exit1, which validation chose.";
    assert!(text.starts_with(table), "{text}");
    let next = "

report   runs/light-seed0/report.html
export   cargo xtask export runs/light-seed0 --exit exit1
predict  cargo xtask predict runs/light-seed0 IMAGE --exit exit1";
    assert!(text.ends_with(next), "{text}");
    let deepest = end_of_training(&light(0, 0.6));
    assert!(deepest.ends_with("predict runs/light-seed0 IMAGE"), "{deepest}");
}

//! Reading run folders and writing reports.

mod deployed;
mod evaluated;
mod well_formed;
mod whole_run;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use evaluated::evaluation;
use sd_report::evaluation::TemperatureScaling;
use sd_report::format::{csv, html, markdown};
use sd_report::report::{self, SECTIONS};
use sd_report::{
    BestEpoch, EnsembleScore, EpochRecord, Error, Run, RunRecord, Status, append_line, run_folder,
    write_json_atomic, write_page, write_report,
};
use well_formed::assert_well_formed;
use whole_run::{epoch, run};

fn write(run: &Run, folder: &Path) {
    fs::write(folder.join(run_folder::CONFIG), run.config.text()).unwrap();
    write_json_atomic(folder.join(run_folder::ENVIRONMENT), run.environment.as_ref().unwrap())
        .unwrap();
    for epoch in &run.epochs {
        append_line(folder.join(run_folder::EPOCHS), epoch).unwrap();
    }
    write_json_atomic(folder.join(run_folder::SUMMARY), &run.summary).unwrap();
    if let Some(deployment) = &run.deployment {
        write_json_atomic(folder.join(run_folder::DEPLOYMENT), deployment).unwrap();
    }
    if let Some(latency) = &run.latency {
        write_json_atomic(folder.join(run_folder::LATENCY), latency).unwrap();
    }
    if let Some(mistakes) = &run.mistakes {
        write_json_atomic(folder.join(run_folder::MISTAKES), mistakes).unwrap();
    }
    if let Some(evaluation) = &run.evaluation {
        run_folder::write_line_atomic(folder.join(run_folder::EVALUATION), evaluation).unwrap();
    }
}

fn pages(runs: &[Run]) -> (String, String) {
    let document = report::document(runs).unwrap();
    (html::render(&document).unwrap(), markdown::render(&document))
}

#[test]
fn a_run_survives_a_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let written = Run { folder: folder.path().to_owned(), ..run() };
    write(&written, folder.path());
    assert_eq!(Run::open(folder.path()).unwrap(), written);
}

#[test]
fn markdown_of_one_run() {
    insta::assert_snapshot!(pages(&[run()]).1);
}

#[test]
fn markdown_of_several_runs() {
    let mut other = run();
    other.summary.seed = 8;
    other.summary.dense_original = None;
    other.summary.best = None;
    other.environment = None;
    other.summary.status = Status::Interrupted;
    insta::assert_snapshot!(pages(&[run(), other]).1);
}

#[test]
fn run_names_include_seed_and_folder_if_needed() {
    let at = |name: &str, seed, folder: &str| {
        let mut run = Run { folder: folder.into(), ..run() };
        (run.summary.name, run.summary.seed) = (name.to_owned(), seed);
        run
    };
    let runs = [at("a", 1, "x"), at("b", 1, "x"), at("b", 2, "y"), at("b", 2, "z")];
    let lead = report::document(&runs).unwrap().lead;
    assert_eq!(lead, "a, b (seed 1), b (seed 2, y), b (seed 2, z)");
}

#[test]
fn sections_without_records_are_left_out() {
    let mut old = run();
    (old.evaluation, old.deployment, old.latency) = (None, None, None);
    let mut page = pages(&[old]).0;
    for id in ["latency", "deployment", "early-exit", "calibration", "classes", "confusion"] {
        assert!(!page.contains(&format!("<section id=\"{id}\">")), "{id}");
    }
    let mut one_exit = run();
    let evaluation = one_exit.evaluation.as_mut().unwrap();
    (evaluation.early_exit, evaluation.exits) = (None, vec![evaluation.exits.remove(1)]);
    page = pages(&[one_exit]).0;
    assert!(page.contains("<section id=\"calibration\">") && !page.contains("id=\"early-exit\""));
}

#[test]
fn csv_has_a_row_for_each_run_and_exit() {
    let mut other = run();
    other.summary.name = "other, \"quoted\"".to_owned();
    other.summary.exits[0].test_top1 = None;
    insta::assert_snapshot!(csv::render(&report::exact_table(&[run(), other])).unwrap());
}

#[test]
fn every_section_has_its_own_anchor() {
    let mut other = run();
    other.config = format!("{}[objective]\nalpha = 1\n", other.config.text()).parse().unwrap();
    let (one, several) = (pages(&[run()]).0, pages(&[run(), other]).0);
    for section in SECTIONS {
        let anchor = format!("<section id=\"{}\">", section.id);
        let found = [&one, &several].map(|page| page.matches(&anchor).count());
        assert!(found.contains(&1) && found.iter().all(|&count| count <= 1), "{anchor} {found:?}");
    }
}

#[test]
fn the_page_is_self_contained_without_scripts() {
    let page = pages(&[run()]).0.to_lowercase();
    // Pictures are in the page itself.
    let picture = "<img src=\"data:image/png;base64,agk=\"";
    assert_eq!(page.matches(picture).count(), 2);
    let page = page.replace(picture, "");
    for banned in ["<script", "<link", "<img", "<iframe", "src=", "href=", "url(", "@import"] {
        assert!(!page.contains(banned), "{banned}");
    }
    // XML namespaces are not fetched.
    let rest = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    assert!(!rest.contains("http:") && !rest.contains("https:"));
}

#[test]
fn confidence_at_the_temperature_stands_beside_that_without_it() {
    let mut run = run();
    let exit = &mut run.evaluation.as_mut().unwrap().exits[1];
    let scaling = TemperatureScaling {
        temperature: 1.75,
        loss: 0.5,
        calibration_error: 0.0625,
        bins: exit.bins.clone(),
    };
    exit.scaling = Some(scaling);
    let text = pages(&[run]).1;
    let row = text.lines().find(|line| line.starts_with("| **deepest** | **70.0 %** | **72.5 %**"));
    assert!(row.unwrap().ends_with("| **1.750** | **6.2 %** | **0.500** |"), "{row:?}");
    assert!(text.contains("| T | ECE at T | NLL at T |"));
}

#[test]
fn text_in_records_is_escaped() {
    let evil = "<script>alert(\"1\")</script>&'";
    let mut run = run();
    run.config = format!("# {evil}</code></pre></details>").parse().unwrap();
    let record = &mut run.summary;
    for text in [&mut record.name, &mut record.model, &mut record.dataset, &mut record.objective] {
        *text = evil.to_owned();
    }
    for exit in &mut record.exits {
        exit.name = evil.to_owned();
    }
    for epoch in &mut run.epochs {
        epoch.terms.insert(evil.to_owned(), 0.5);
        for exit in epoch.valid.as_mut().unwrap().exits.iter_mut() {
            exit.name = evil.to_owned();
        }
    }
    let evaluation = run.evaluation.as_mut().unwrap();
    for exit in evaluation.exits.iter_mut().chain([&mut evaluation.ensemble]) {
        exit.name = evil.to_owned();
    }
    evaluation.classes.fill(evil.to_owned());
    let deployment = run.deployment.as_mut().unwrap();
    for text in [&mut deployment.command, &mut deployment.models[0].name] {
        *text = evil.to_owned();
    }
    for round in &mut deployment.rounds {
        round.exported[0].engine = evil.to_owned();
    }
    let latency = run.latency.as_mut().unwrap();
    for measurement in &mut latency.measurements {
        (measurement.part, measurement.precision) = (evil.to_owned(), evil.to_owned());
    }
    for text in [&mut latency.started, &mut latency.device, &mut latency.host.cpu] {
        *text = evil.to_owned();
    }
    let environment = run.environment.as_mut().unwrap();
    for text in [&mut environment.command, &mut environment.cpu, &mut environment.device] {
        *text = evil.to_owned();
    }
    let (page, text) = pages(&[run]);
    assert!(!page.contains("<script"));
    assert_well_formed(&page);
    // In Markdown, only the configuration in its code fence is not escaped.
    assert_eq!(text.matches("<script").count(), 1);
}

#[test]
fn the_page_is_well_formed() {
    let mut other = run();
    other.summary.status = Status::Failed;
    other.epochs[1].loss = f64::NAN;
    assert_well_formed(&pages(&[run()]).0);
    assert_well_formed(&pages(&[run(), other]).0);
}

#[test]
fn a_report_is_written_to_the_given_folder() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new").join("report");
    let files = write_report(&[run()], &out).unwrap();
    assert!(files.paths().all(Path::is_file));
    // A second report replaces the first, with the figures that it does not have.
    let [older, other] = ["older.svg", "notes.txt"].map(|name| out.join("figures").join(name));
    for path in [&older, &other] {
        fs::write(path, "").unwrap();
    }
    assert_eq!(write_report(&[run()], &out).unwrap(), files);
    assert!(files.paths().all(Path::is_file));
    assert_eq!((older.exists(), other.exists()), (false, true));
    let mut figures: Vec<_> =
        files.figures.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    figures.sort_unstable();
    let expected = [
        "accuracy-against-macs.svg",
        "accuracy.svg",
        "confusion.svg",
        "early-exit.svg",
        "findings.svg",
        "learning-rate.svg",
        "loss.svg",
        "reliability.svg",
    ];
    assert_eq!(figures, expected);
    let text = fs::read_to_string(files.markdown).unwrap();
    assert!(figures.iter().all(|figure| text.contains(&format!("](figures/{figure})"))));
    assert!(matches!(write_report(&[], &out), Err(Error::NoRuns)));
}

#[test]
fn the_page_of_a_running_training_reloads_itself() {
    let folder = tempfile::tempdir().unwrap();
    write(&run(), folder.path());
    fs::remove_file(folder.path().join(run_folder::SUMMARY)).unwrap();
    let page = |status| {
        let summary = RunRecord { status, ..run().summary };
        let running = Run::open_with(folder.path(), summary).unwrap();
        fs::read_to_string(write_page(&[running], folder.path()).unwrap()).unwrap()
    };
    let running = page(Status::Running);
    assert_well_formed(&running);
    assert!(running.contains("<meta http-equiv=\"refresh\""));
    assert!(running.contains("This run is training: 3 epochs finished, nothing tested yet."));
    for ended in [Status::Finished, Status::Interrupted, Status::Failed] {
        assert!(!page(ended).contains("http-equiv=\"refresh\""));
    }
}

#[test]
fn losses_that_are_not_finite_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let mut broken = run();
    broken.epochs[1].loss = f64::NAN;
    broken.epochs[2].loss = f64::INFINITY;
    broken.epochs[2].terms = BTreeMap::from([("label".to_owned(), f64::NAN)]);
    broken.epochs[2].valid = None;
    broken.summary.exits[1].test_loss = Some(f64::NAN);
    broken.summary.images_per_second = f64::NAN;
    write(&broken, folder.path());
    let (page, text) = pages(&[Run::open(folder.path()).unwrap()]);
    let notice = "the training loss was not finite in 2 of 3 epochs, first in epoch 2.";
    assert!(page.contains(notice) && text.contains(notice));
    assert!(text.contains("| **deepest** | **35.0 %** | **60.0 %** | **NaN** |"), "{text}");
}

#[test]
fn a_run_without_test_scores_is_reported() {
    let mut early = run();
    early.epochs.clear();
    (early.summary.status, early.summary.epochs) = (Status::Interrupted, 0);
    (early.summary.best, early.evaluation) = (None, None);
    early.summary.ensemble = EnsembleScore::default();
    for exit in &mut early.summary.exits {
        (exit.test_top1, exit.test_top5, exit.test_loss) = (None, None, None);
    }
    let text = pages(std::slice::from_ref(&early)).1;
    assert!(text.contains("> **This run was interrupted after 0 epochs"), "{text}");
    assert!(text.contains("- Test top-1, deepest exit: **–**"), "{text}");
    assert!(text.contains("| stage1 | – | – | – | 52.0 k |"), "{text}");
    assert!(!text.contains("NaN") && !text.contains("](figures/"), "{text}");
    let notice = "had no test split: validation chose, and nothing tested.";
    assert!(!text.contains(notice), "{text}");
    early.summary.status = Status::Finished;
    assert!(pages(std::slice::from_ref(&early)).1.contains(notice));
    let (exits, ensemble) = (vec![], None);
    early.summary.best = Some(BestEpoch { epoch: 2, valid_top1: 0.34, exits, ensemble });
    early.summary.epochs = 3;
    let text = pages(&[early]).1;
    for expected in [
        "validation chose epoch 2 of 3, 34.0 %, and nothing tested.",
        "Validation top-1 of the deepest exit, 34.0 %, chose epoch 2 of 3.\n",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("| Best − last"), "{text}");
}

#[test]
fn an_incomplete_last_epoch_is_ignored_with_a_notice() {
    let folder = tempfile::tempdir().unwrap();
    write(&run(), folder.path());
    let path = folder.path().join(run_folder::EPOCHS);
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"epoch\":4,\"st").unwrap();
    let read = Run::open(folder.path()).unwrap();
    assert_eq!((read.epochs.len(), read.epochs_truncated), (3, true));
    assert!(pages(&[read]).1.contains("epochs.jsonl ends in an incomplete line"));
}

#[test]
fn of_repeated_epochs_the_last_counts() {
    let folder = tempfile::tempdir().unwrap();
    write(&run(), folder.path());
    let again = EpochRecord { loss: 9.0, ..epoch(2) };
    append_line(folder.path().join(run_folder::EPOCHS), &again).unwrap();
    let epochs = Run::open(folder.path()).unwrap().epochs;
    assert_eq!(
        epochs.iter().map(|epoch| (epoch.epoch, epoch.loss)).collect::<Vec<_>>(),
        [(1, 1.625), (2, 9.0)]
    );
}

#[test]
fn errors_name_file_line_and_problem() {
    let folder = tempfile::tempdir().unwrap();
    let message = || Run::open(folder.path()).unwrap_err().to_string();
    assert!(message().ends_with("is not a run: it has no config.toml"), "{}", message());

    write(&run(), folder.path());
    let summary = folder.path().join(run_folder::SUMMARY);
    fs::remove_file(&summary).unwrap();
    assert!(message().contains("the run has not finished: it has no summary.json"));

    fs::write(&summary, "{\"schema_version\": 99, \"unheard\": \"of\"}").unwrap();
    assert!(message().ends_with("summary.json: schema_version 99, but this program reads 1"));

    fs::write(&summary, "{\n\"schema_version\": 1,\n\"status\": \"lost\"}").unwrap();
    assert!(message().contains("summary.json:3: unknown variant `lost`"), "{}", message());

    write_json_atomic(&summary, &run().summary).unwrap();
    let path = folder.path().join(run_folder::EVALUATION);
    let whole = evaluation();
    let mut short = whole.clone();
    short.classes.pop();
    run_folder::write_line_atomic(&path, &short).unwrap();
    let expected = "evaluation.json:1: class_accuracy of stage1 has 3 entries, expected 2";
    assert!(message().ends_with(expected), "{}", message());
    run_folder::write_line_atomic(&path, &whole).unwrap();
    append_line(folder.path().join(run_folder::EPOCHS), &"no epoch").unwrap();
    assert!(message().contains("epochs.jsonl:4: invalid type: string"), "{}", message());

    fs::write(folder.path().join(run_folder::CONFIG), "a = 1\nb = what\n").unwrap();
    assert!(message().contains("config.toml:2: "), "{}", message());

    let missing = Run::open(folder.path().join("nowhere")).unwrap_err().to_string();
    assert!(missing.contains("nowhere: "), "{missing}");
}

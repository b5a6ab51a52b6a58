//! Comparisons of runs with the same recipe.

mod sample_runs;

use std::collections::BTreeSet;

use sample_runs::{
    BYOT, DENSE, DISTILLED, GROUPED, LABELS, LIGHT, PLAIN, SEPARABLE, a_set, cells, configure, run,
    section, validated, with_ensemble,
};
use sd_report::document::Element;
use sd_report::report;
use sd_report::{Environment, Run, Status};

#[test]
fn the_exit_to_deploy_is_chosen_by_mean_validation_accuracy() {
    let light = |seed, test| run("light", seed, [GROUPED, LIGHT, DISTILLED], 20, test);
    let runs = [
        // Seed 0 alone would choose the deepest, and so would the test images.
        validated(light(0, 0.60), &[0.50, 0.51]),
        validated(light(1, 0.62), &[0.56, 0.52]),
        run("plain", 0, [GROUPED, PLAIN, LABELS], 20, 0.57),
        validated(run("dense", 0, [DENSE, PLAIN, LABELS], 20, 0.65), &[0.66]),
    ];
    let [table] = &section(&runs, "deploy-choice")[..] else { panic!("one recipe, one table") };
    let columns = ["Exit", "Seeds", "Validation", "Test", "− dense", "Params", "of dense"];
    let expected = [
        ["deepest", "one seed", "66.0 %", "65.0 %", "–", "1.00 M", "12.5 %"],
        ["exit1", "2 seeds", "53.0 ± 4.2 %", "51.0 ± 1.4 %", "−14.0", "100 k", "1.2 %"],
    ];
    let found: Vec<_> = (0..table.rows.len()).map(|row| cells(table, row, &columns)).collect();
    assert_eq!(found, expected, "without validation scores nothing is chosen");
}

#[test]
fn a_large_best_exit_is_followed_by_the_best_small_one() {
    let large = |name, conv, exits| {
        let mut run = run(name, 0, [conv, exits, DISTILLED], 20, 0.60);
        run.summary.exits[1].params = 1_600_001;
        run
    };
    let mut fifth = large("fifth", DENSE, LIGHT);
    fifth.summary.exits[1].params -= 1;
    let runs = [
        validated(large("large", GROUPED, LIGHT), &[0.50, 0.51]),
        validated(fifth, &[0.50, 0.51]),
        // Its best exit is small.
        validated(large("early", GROUPED, BYOT), &[0.52, 0.51]),
    ];
    let [table] = &section(&runs, "deploy-choice")[..] else { panic!("one recipe, one table") };
    let rows = (0..table.rows.len()).map(|row| cells(table, row, &["Run", "Exit"]));
    let found: BTreeSet<_> = rows.map(|row| row.join(" ")).collect();
    let expected = ["large deepest", "large exit1", "fifth deepest", "early exit1"];
    assert_eq!(found, expected.map(str::to_owned).into());
    let at = table.rows.iter().position(|row| row.cells[..2] == ["large", "exit1"]).unwrap();
    assert_eq!(table.rows[at - 1].cells[..2], ["large", "deepest"], "the best one comes first");
}

#[test]
fn the_ensemble_is_deployed_where_validation_prefers_it() {
    let ensemble = |name, conv, valid, params| {
        let mut run = run(name, 0, [conv, LIGHT, DISTILLED], 20, 0.60);
        run.summary.framework.params = params;
        run.summary.ensemble.test_top1 = Some(0.63);
        with_ensemble(validated(run, &[0.50, 0.51]), valid)
    };
    let runs = [
        ensemble("better", GROUPED, 0.52, 1_600_000),
        ensemble("equal", DENSE, 0.51, 1_600_000),
        ensemble("large", SEPARABLE, 0.52, 1_600_001),
        // A single exit has no ensemble.
        with_ensemble(validated(run("plain", 0, [GROUPED, PLAIN, LABELS], 20, 0.57), &[0.51]), 0.9),
    ];
    let [table] = &section(&runs, "deploy-choice")[..] else { panic!("one recipe, one table") };
    let columns = ["Run", "Exit", "Validation", "Test", "Params"];
    let rows = (0..table.rows.len()).map(|row| cells(table, row, &columns).join(" "));
    let expected = [
        "better ensemble 52.0 % 63.0 % 1.60 M",
        "equal deepest 51.0 % 60.0 % 1.00 M",
        "large deepest 51.0 % 60.0 % 1.00 M",
        "large ensemble 52.0 % 63.0 % 1.60 M",
        "plain deepest 51.0 % 57.0 % 1.00 M",
    ];
    assert_eq!(rows.collect::<BTreeSet<_>>(), expected.map(str::to_owned).into());
}

#[test]
fn rows_have_labels_seeds_and_gains() {
    let tables = section(&a_set(), "comparison");
    let columns = [
        "Convolution",
        "Framework",
        "Attention",
        "Objective",
        "Deepest",
        "Seeds",
        "− dense",
        "− BYOT",
        "exit1",
    ];
    let expected = [
        ["dense", "plain", "–", "deepest only", "65.0 %", "one seed", "–", "–", "–"],
        ["grouped 8", "plain", "–", "deepest only", "57.0 %", "one seed", "−8.0", "−2.0", "–"],
        [
            "grouped 8",
            "BYOT exits",
            "–",
            "self-distillation",
            "59.0 %",
            "one seed",
            "−6.0",
            "–",
            "49.0 %",
        ],
        [
            "grouped 8",
            "light exits",
            "eca",
            "self-distillation",
            "61.0 ± 1.4 %",
            "2 seeds",
            "−4.0",
            "+2.0",
            "51.0 ± 1.4 %",
        ],
    ];
    assert_eq!(tables[0].rows.len(), expected.len());
    for (row, expected) in expected.iter().enumerate() {
        assert_eq!(cells(&tables[0], row, &columns), expected);
    }
    let costs = cells(&tables[1], 3, &["Deployed", "of dense", "exit1"]);
    assert_eq!(costs, ["1.00 M / 10.0 M", "12.5 % / 12.5 %", "100 k / 1.00 M"]);
}

#[test]
fn a_thinner_network_is_compared_with_the_full_width() {
    let of_width = |mut run: Run, width| {
        run.summary.model_summary.as_mut().unwrap().backbone.width = width;
        run
    };
    let dense = |width, test| of_width(run("dense", 0, [DENSE, PLAIN, LABELS], 20, test), width);
    let thin = of_width(run("thin", 0, [GROUPED, LIGHT, DISTILLED], 20, 0.60), 0.5);
    for (original, expected) in [(1.0, "−5.0"), (2.0, "–")] {
        let tables = section(&[thin.clone(), dense(original, 0.65)], "comparison");
        let rows = 0..tables[0].rows.len();
        let gains: Vec<_> = rows.map(|row| cells(&tables[0], row, &["− dense"])[0]).collect();
        assert!(gains.contains(&expected) && gains.contains(&"–"), "{original}: {gains:?}");
    }
}

#[test]
fn other_recipes_and_unfinished_runs_are_not_compared() {
    let mut runs = a_set();
    // An original that was trained for longer, and an unfinished one.
    runs[4] = run("dense", 0, [DENSE, PLAIN, LABELS], 200, 0.70);
    runs.push(run("dense-too", 0, [DENSE, PLAIN, LABELS], 20, 0.5));
    runs[5].summary.status = Status::Interrupted;
    let tables = section(&runs, "comparison");
    assert_eq!(tables.len(), 4);
    let all: Vec<_> = (0..3).map(|row| cells(&tables[0], row, &["− dense"])[0]).collect();
    assert_eq!(all, ["–"; 3]);
    assert_eq!(tables[2].rows.len(), 1);
}

#[test]
fn mixing_is_part_of_the_objective_and_not_of_the_recipe() {
    let mut runs = a_set();
    let mixed = "tf_kd = { alpha = 0.1 }\n[mix.mixup]\nalpha = 0.2";
    runs.push(run("mixed", 0, [GROUPED, PLAIN, mixed], 20, 0.58));
    let tables = section(&runs, "comparison");
    assert_eq!(tables[0].rows.len(), 5);
    let objectives: Vec<_> = (0..5).map(|row| cells(&tables[0], row, &["Objective"])[0]).collect();
    assert!(objectives.contains(&"Tf-KD, mixup 0.2"), "{objectives:?}");
}

#[test]
fn a_repeated_seed_counts_once() {
    let mut runs = a_set();
    runs[1] = runs[0].clone();
    let tables = section(&runs, "comparison");
    assert_eq!(cells(&tables[0], 3, &["Deepest", "Seeds"]), ["60.0 %", "one seed"]);
}

fn environment(precision: &str) -> Environment {
    let unknown = String::new;
    Environment {
        version: unknown(),
        commit: None,
        command: unknown(),
        started: unknown(),
        os: unknown(),
        cpu: unknown(),
        cores: 1,
        threads: 1,
        processes: 1,
        memory_bytes: None,
        device: unknown(),
        precision: precision.to_owned(),
        libtorch: unknown(),
        earlier: vec![],
    }
}

/// Notices of a section.
fn notices(runs: &[Run], id: &str) -> Vec<String> {
    let blocks = report::document(runs).unwrap().blocks;
    let elements =
        blocks.into_iter().filter(|block| block.id == id).flat_map(|block| block.elements);
    let notice = |element| match element {
        Element::Notice(text) => Some(text),
        _ => None,
    };
    elements.filter_map(notice).collect()
}

#[test]
fn tables_have_notices_about_formats_and_repeated_seeds() {
    let mut runs = a_set();
    assert_eq!(notices(&runs, "comparison"), Vec::<String>::new());
    for (run, precision) in runs.iter_mut().zip(["bf16", "bf16", "f32"]) {
        run.environment = Some(environment(precision));
    }
    runs.push(run("light", 1, [GROUPED, LIGHT, DISTILLED], 20, 0.9));
    let expected = [
        "These runs were computed in bf16 and f32, which may differ.",
        "Left out, since an earlier run has the same configuration and seed: runs/light-seed1.",
    ];
    assert_eq!(notices(&runs, "comparison"), expected);
    runs[0].summary.stopped_early = true;
    let [stopped] = &notices(&runs, "overview")[..] else { panic!("one stopped") };
    assert!(stopped.contains("stopped after 20 epochs"), "{stopped}");
}

#[test]
fn equal_recipe_titles_get_the_values_that_differ() {
    let decay = |name, decay: &str| {
        let mut run = run(name, 0, [GROUPED, PLAIN, LABELS], 20, 0.5);
        let config = format!("{}sgd = {{ weight_decay = {decay} }}\n", run.config.text());
        configure(&mut run, &config);
        run
    };
    let blocks = report::document(&[decay("a", "5e-4"), decay("b", "1e-4")]).unwrap().blocks;
    let block = blocks.into_iter().find(|block| block.id == "comparison").unwrap();
    let title = |element| match element {
        Element::Heading(title) => Some(title),
        _ => None,
    };
    let titles: Vec<String> = block.elements.into_iter().filter_map(title).collect();
    assert_eq!(
        titles,
        [
            "cifar100, 20 epochs, batch 128, train.sgd.weight_decay 0.0005",
            "cifar100, 20 epochs, batch 128, train.sgd.weight_decay 0.0001",
        ]
    );
}

#[test]
fn a_dense_network_with_attention_is_not_an_original() {
    let mut runs = a_set();
    let config = runs[4].config.text().replace("attention = \"none\"", "attention = { eca = {} }");
    configure(&mut runs[4], &config);
    let tables = section(&runs, "comparison");
    let dense: Vec<_> = (0..4).map(|row| cells(&tables[0], row, &["− dense"])[0]).collect();
    assert_eq!(dense, ["–"; 4]);
}

#[test]
fn labels_include_stages_side_and_output_stride() {
    let after = |stages| LIGHT.replace("after = [1]", stages);
    let sided = LIGHT.replace("light = {", "light = { side = 4,");
    let strided = format!("{GROUPED}\noutput_stride = 4");
    let runs = [
        run("first", 0, [GROUPED, LIGHT, DISTILLED], 20, 0.6),
        run("later", 0, [GROUPED, &after("after = [3, 4]"), DISTILLED], 20, 0.6),
        run("side", 0, [GROUPED, &sided, DISTILLED], 20, 0.6),
        run("stride", 0, [&strided, LIGHT, DISTILLED], 20, 0.6),
    ];
    let tables = section(&runs, "comparison");
    let words = (0..4).map(|row| cells(&tables[0], row, &["Convolution", "Framework"]).join("; "));
    let expected = [
        "grouped 8; light exits",
        "grouped 8; light exits after 3 and 4",
        "grouped 8; light exits, side 4",
        "grouped 8, output stride 4; light exits",
    ];
    assert_eq!(words.collect::<Vec<_>>(), expected);
}

#[test]
fn published_networks_appear_only_for_their_data_set() {
    let mut runs = a_set();
    runs.push(run("long", 0, [GROUPED, LIGHT, DISTILLED], 200, 0.7));
    let document = report::document(&runs).unwrap();
    let mut names: Vec<_> = document.figures().map(|figure| figure.name.clone()).collect();
    names.sort();
    let expected = [
        "accuracy-against-macs",
        "accuracy-against-macs-2",
        "accuracy-against-parameters",
        "accuracy-against-parameters-2",
    ];
    assert_eq!(names, expected);
    let source =
        |runs: &[Run]| format!("{:?}", section(runs, "frontier")).contains("CondenseNet-86");
    assert!(source(&runs));
    for run in &mut runs {
        run.summary.dataset = "synthetic".to_owned();
    }
    assert!(!source(&runs));
}

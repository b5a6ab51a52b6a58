//! Configurations one value apart.

mod sample_runs;

use sample_runs::{DISTILLED, GROUPED, LIGHT, a_set, cells, run, section};
use sd_report::document::Element;
use sd_report::report;

#[test]
fn an_ablation_changes_one_value_of_its_base() {
    let alpha = |name, alpha: &str, top1| {
        let objective = DISTILLED.replace("0.3", alpha);
        run(name, 0, [GROUPED, LIGHT, &objective], 20, top1)
    };
    let mut runs = a_set();
    runs.extend([alpha("a5", "0.5", 0.58), alpha("a0", "0.0", 0.57)]);
    // Two values away from the base, and the same network in another recipe.
    let far = DISTILLED.replace("0.3", "0.9").replace("0.0", "0.1");
    runs.push(run("far", 0, [GROUPED, LIGHT, &far], 20, 0.1));
    runs.push(run("long", 0, [GROUPED, LIGHT, DISTILLED], 200, 0.7));
    let tables = section(&runs, "ablations");
    let of = |key: &str| {
        let table = tables.iter().find(|table| table.columns[0].title == key).unwrap();
        (0..table.rows.len())
            .map(|row| [table.rows[row].cells[0].as_str(), cells(table, row, &["− base"])[0]])
            .collect::<Vec<_>>()
    };
    let alphas = [["0", "−4.0"], ["0.3 (base)", "–"], ["0.5", "−3.0"]];
    assert_eq!(of("objective.self_distillation.alpha"), alphas);
    let kinds = [["byot", "−2.0"], ["light (attention = eca) (base)", "–"]];
    assert_eq!(of("model.exits.kind"), kinds);
    assert_eq!(of("model.backbone.vgg.conv").len(), 2);
    assert!(!format!("{tables:?}").contains("10.0 %"), "far is two values away");
}

#[test]
fn every_configuration_that_is_one_value_from_another_is_in_an_ablation() {
    let with = |name, objective: &str, top1| run(name, 0, [GROUPED, LIGHT, objective], 20, top1);
    let mixed = |objective: &str| format!("{objective}\n[mix.mixup]\nalpha = 1.0");
    let supervised = "deep_supervision = { label_smoothing = 0.0 }";
    let smooth = "deep_supervision = { label_smoothing = 0.1 }";
    let runs = [
        // Every value of self-distillation is one choice away from it.
        with("supervised", supervised, 0.50),
        with("base", DISTILLED, 0.60),
        with("a1", &DISTILLED.replace("0.3", "0.1"), 0.61),
        with("a5", &DISTILLED.replace("0.3", "0.5"), 0.62),
        with("smooth", smooth, 0.51),
        with("mixed", &mixed(supervised), 0.52),
    ];
    let blocks = report::document(&runs).unwrap().blocks;
    let block = blocks.into_iter().find(|block| block.id == "ablations").unwrap();
    let mut found = Vec::new();
    for element in &block.elements {
        match element {
            Element::Heading(title) => found.push(title.split("; ").last().unwrap().to_owned()),
            Element::Table(table) => {
                let values = table.rows.iter().map(|row| row.cells[0].as_str());
                found.push(format!(
                    "{}: {}",
                    table.columns[0].title,
                    values.collect::<Vec<_>>().join(", ")
                ));
            }
            _ => {}
        }
    }
    let expected = [
        "base: base",
        "objective: deep_supervision (label_smoothing = 0), self_distillation (alpha = 0.3, label_smoothing = 0) (base)",
        "objective.self_distillation.alpha: 0.1, 0.3 (base), 0.5",
        "base: supervised",
        "mix: mixup (alpha = 1), none (base)",
        "objective.deep_supervision.label_smoothing: 0 (base), 0.1",
    ];
    assert_eq!(found, expected);
}

//! Every exit's prediction for each image, as a table.

use sd_data::ImageSet;
use sd_infer::{Prediction, Rule};
use sd_report::ENSEMBLE;
use sd_report::document::{Column, Table};
use sd_report::evaluation::ExitPolicy;

use super::Logits;
use super::predictions::{ExitPrediction, Predictions};

/// One row per image: index, file, label, and class and confidence of each of the exits `names` and
/// of the ensemble, at these temperatures. With a policy, also the exit where the image stops, and
/// class and confidence there, which include the logits carried to it.
pub fn per_image(
    images: &ImageSet,
    names: &[String],
    logits: &Logits,
    temperatures: &[f32],
    policy: Option<&ExitPolicy>,
) -> Table {
    let predictions = logits.predictions(temperatures);
    let taken = policy.map(|policy| {
        let carried = logits.carried(policy.carry).predictions(&policy.temperatures);
        (policy, carried)
    });
    let exits = names.iter().map(String::as_str).chain([ENSEMBLE]);
    let scores =
        exits.flat_map(|name| [Column::text(name), Column::number(format!("{name}_confidence"))]);
    let about = [Column::number("index"), Column::text("file"), Column::text("label")];
    let mut columns: Vec<Column> = about.into_iter().chain(scores).collect();
    if taken.is_some() {
        columns.extend(["exit_taken", "taken_prediction"].map(Column::text));
        columns.push(Column::number("taken_confidence"));
    }
    let mut table = Table::new(columns);
    let class = |class: usize| images.class_names()[class].clone();
    let scored = |Prediction { class: of, confidence, .. }| [class(of), confidence.to_string()];
    for image in 0..images.len() {
        let file = images.file(image).unwrap_or_default().to_owned();
        let mut row = vec![image.to_string(), file, class(images.label(image))];
        row.extend(predictions.exits.iter().flat_map(|exit| scored(exit[image].prediction)));
        if let Some((policy, carried)) = &taken {
            let exit = exit_taken(policy, carried, image);
            row.push(names[exit].clone());
            row.extend(scored(carried.exits[exit][image].prediction));
        }
        table.push(row);
    }
    table
}

/// The exit where an image stops, from predictions with the policy's carried logits and temperatures.
fn exit_taken(policy: &ExitPolicy, carried: &Predictions, image: usize) -> usize {
    let exits = carried.without_ensemble();
    let stops = |(exit, images): (usize, &Vec<ExitPrediction>)| {
        let threshold = policy.thresholds.get(exit).copied().flatten();
        Rule::default().should_exit(&images[image].prediction, threshold, 0)
    };
    exits.iter().enumerate().position(stops).unwrap_or(exits.len() - 1)
}

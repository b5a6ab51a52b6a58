//! The most confident mistakes of a network, with their pictures, and duplicates.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result};
use base64::prelude::{BASE64_STANDARD, Engine};
use image::ImageFormat;
use sd_cli::WeightsChoice;
use sd_data::ImageSet;
use sd_data::check::{Place, Split, duplicates};
use sd_models::MultiExit;
use sd_report::mistakes::{
    ImagePlace, MISTAKES_SHOWN, MISTAKES_VERSION, Mistake, MistakesRecord, SearchedSplit,
};
use sd_report::run_folder;

use super::{Evaluation, Logits, weights};

/// Longest side of a picture, in pixels; larger images are shrunk.
const SIDE: u32 = 96;

/// Writes the mistakes of a run's last weights, which `network` has, on these splits. The confidence
/// is that at the temperature that the run recorded.
///
/// # Errors
/// If the recorded evaluation is malformed, not every image was seen, or the file cannot be written.
pub fn write(run: &Path, network: &MultiExit, splits: &[(Split, Evaluation)]) -> Result<()> {
    let recorded = weights::recorded(run, WeightsChoice::Last)?;
    let temperatures = recorded.map(|found| found.temperatures()).unwrap_or_default();
    let record = mistakes(network, splits, &temperatures)?;
    Ok(run_folder::write_line_atomic(run.join(run_folder::MISTAKES), &record)?)
}

/// An image of a split whose prediction differs from its label.
struct Found<'a> {
    split: Split,
    images: &'a ImageSet,
    index: usize,
    predicted: usize,
    confidence: f32,
}

/// Searches the splits for mistakes of the deepest exit, and for duplicates if they are in memory.
fn mistakes(
    network: &MultiExit,
    splits: &[(Split, Evaluation)],
    temperatures: &[f32],
) -> Result<MistakesRecord> {
    let _no_grad = tch::no_grad_guard();
    let mut found: Vec<Found> = Vec::new();
    let mut searched = Vec::new();
    for (split, evaluation) in splits {
        let (split, images) = (*split, evaluation.images());
        let (mut index, mut wrong) = (0, 0);
        for batch in evaluation.outputs(network) {
            let (outputs, labels) = batch?;
            // A batch at a time: a training split has many logits.
            let mut logits = Logits::default();
            logits.add(&outputs, &labels);
            let predictions = logits.predictions(temperatures);
            let deepest =
                predictions.without_ensemble().last().context("a network without exit")?;
            for (image, exit) in deepest.iter().enumerate().filter(|(_, exit)| !exit.is_correct()) {
                let (predicted, confidence) = (exit.prediction.class, exit.prediction.confidence);
                found.push(Found { split, images, index: index + image, predicted, confidence });
                wrong += 1;
            }
            index += predictions.images();
            found.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
            found.truncate(MISTAKES_SHOWN);
        }
        evaluation.check_seen(index as u64)?;
        searched.push(SearchedSplit {
            split: split.to_string(),
            images: index as u64,
            mistakes: wrong,
        });
    }
    let sets: Vec<_> =
        splits.iter().map(|(split, evaluation)| (*split, evaluation.images())).collect();
    // Reading all files once more would take as long as part of an epoch; `data check` does it.
    let in_memory = sets.iter().all(|(_, images)| images.is_in_memory());
    let mut groups = if in_memory { duplicates(&sets)? } else { Vec::new() };
    let count = groups.len() as u64;
    let differ = |group: &[Place], of: fn(&Place) -> usize| {
        group.iter().any(|place| of(place) != of(&group[0]))
    };
    groups.sort_by_key(|group| {
        let leaks = differ(group, |place| place.split as usize);
        (!differ(group, |place| place.label), !leaks)
    });
    groups.truncate(MISTAKES_SHOWN);
    Ok(MistakesRecord {
        schema_version: MISTAKES_VERSION,
        weights: run_folder::MODEL.to_owned(),
        classes: sets.first().map(|(_, set)| set.class_names().to_vec()).unwrap_or_default(),
        splits: searched,
        mistakes: found.iter().map(mistake).collect::<Result<_>>()?,
        duplicate_groups: count,
        duplicates: groups.into_iter().map(|group| group.iter().map(place).collect()).collect(),
    })
}

fn mistake(found: &Found) -> Result<Mistake> {
    let Found { split, images, index, predicted, confidence } = *found;
    Ok(Mistake {
        place: ImagePlace {
            split: split.to_string(),
            index: index as u64,
            file: images.file(index).map(str::to_owned),
            label: images.label(index),
        },
        predicted,
        confidence: f64::from(confidence),
        png: BASE64_STANDARD.encode(png(images, index)?),
    })
}

fn place(place: &Place) -> ImagePlace {
    let Place { split, index, ref file, label } = *place;
    ImagePlace { split: split.to_string(), index: index as u64, file: file.clone(), label }
}

/// The picture of an image, with sides of at most [`SIDE`].
fn png(images: &ImageSet, index: usize) -> Result<Vec<u8>> {
    let mut picture = images.shape().picture(&images.image(index)?);
    let (width, height) = picture.dimensions();
    let longest = width.max(height);
    if longest > SIDE {
        let [width, height] = [width, height].map(|side| (side * SIDE / longest).max(1));
        picture = image::imageops::thumbnail(&picture, width, height);
    }
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png)?;
    Ok(png.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sd_data::ImageShape;

    #[test]
    fn pictures_are_shrunk_and_keep_their_proportions() {
        let side = |height, width| {
            let shape = ImageShape::new(3, height, width);
            let images = ImageSet::new(shape, vec![9; shape.values()], vec![0], vec!["a".into()]);
            let picture = image::load_from_memory(&png(&images.unwrap(), 0).unwrap()).unwrap();
            (picture.height(), picture.width())
        };
        assert_eq!((side(32, 32), side(96, 20)), ((32, 32), (96, 20)));
        assert_eq!((side(224, 112), side(2, 400)), ((96, 48), (1, 96)));
    }
}

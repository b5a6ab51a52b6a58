//! The most confident mistakes with their pictures, and duplicates.

use super::section::Section;
use crate::document::{Column, Element, Picture, Table};
use crate::error::Result;
use crate::format::number::{percent, plural};
use crate::mistakes::{ImagePlace, MISTAKES_SHOWN, Mistake, MistakesRecord, SearchedSplit};
use crate::run_folder::Run;

pub(super) const SECTION: Section =
    Section { id: "mistakes", title: "Most confident mistakes", build };

const EXPLANATION: &str = "The prediction of the deepest exit and its probability, the label, and \
    where the image is. Where the network is sure, the label may be wrong. Training images that the \
    network has memorised are not among them.";

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let [Run { mistakes: Some(record), .. }] = runs else { return Ok(Vec::new()) };
    let mut elements = Vec::new();
    if !record.mistakes.is_empty() {
        let shown = record.mistakes.iter().take(MISTAKES_SHOWN);
        elements.push(Element::Gallery(shown.map(|mistake| picture(record, mistake)).collect()));
    }
    let searched = record.splits.iter().map(|SearchedSplit { split, images, mistakes }| {
        format!("{mistakes} of {images} in {split}")
    });
    let searched = searched.collect::<Vec<_>>().join(", ");
    elements.push(Element::Paragraph(format!("{EXPLANATION} All mistakes: {searched}.")));
    if record.duplicate_groups > 0 {
        elements.push(Element::Heading("Identical images".to_owned()));
        elements.push(Element::Table(duplicates(record)));
        elements.push(Element::Paragraph(format!(
            "{} of images with the same pixels. One of two different labels is wrong; an image that was \
             trained on makes the score of the other split too high.",
            plural(record.duplicate_groups, "group")
        )));
    }
    Ok(elements)
}

fn picture(record: &MistakesRecord, mistake: &Mistake) -> Picture {
    let Mistake { place, predicted, confidence, png } = mistake;
    Picture {
        png: png.clone(),
        title: format!("{} {}", record.classes[*predicted], percent(*confidence)),
        lines: vec![format!("label {}", record.classes[place.label]), place.name()],
    }
}

/// A row for each group.
fn duplicates(record: &MistakesRecord) -> Table {
    let columns = ["Images", "Labels", "Same label", "Splits"];
    let mut table = Table::new(columns.map(Column::text));
    for group in record.duplicates.iter().take(MISTAKES_SHOWN) {
        let labels = distinct(group, |place| record.classes[place.label].clone());
        let splits = distinct(group, |place| place.split.clone());
        let images: Vec<String> = group.iter().map(ImagePlace::name).collect();
        let same = if labels.len() == 1 { "yes" } else { "no" };
        table.push([images.join(", "), labels.join(", "), same.to_owned(), splits.join(", ")]);
    }
    table
}

/// The different texts of a group, in order.
fn distinct(group: &[ImagePlace], of: impl Fn(&ImagePlace) -> String) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for text in group.iter().map(of) {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts
}

//! Images that a network classifies wrongly, and duplicates: `mistakes.json`.
//!
//! The most confident mistakes find wrong labels, duplicates find leaks between the splits.

use serde::{Deserialize, Serialize};

/// Version of the records in this module; `mistakes.json` carries it as `schema_version`.
pub const MISTAKES_VERSION: u32 = 1;
/// Maximum number of mistakes, and of groups of duplicates, in a record.
pub const MISTAKES_SHOWN: usize = 24;

/// The most confident mistakes of a run's deepest exit, and the duplicates among its images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MistakesRecord {
    /// [`MISTAKES_VERSION`] of the program that wrote it.
    pub schema_version: u32,
    /// File name of the weights in the run's folder.
    pub weights: String,
    /// Names of the classes, by label.
    pub classes: Vec<String>,
    /// The splits that were searched.
    pub splits: Vec<SearchedSplit>,
    /// The most confident first, at most [`MISTAKES_SHOWN`].
    pub mistakes: Vec<Mistake>,
    /// Number of groups of images with identical pixels.
    pub duplicate_groups: u64,
    /// At most [`MISTAKES_SHOWN`] of them: those with different labels first, then those in several
    /// splits.
    pub duplicates: Vec<Vec<ImagePlace>>,
}

/// A split, and how many of its images are classified wrongly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchedSplit {
    /// `train`, `valid` or `test`.
    pub split: String,
    /// Number of its images.
    pub images: u64,
    /// Number of images whose prediction differs from the label.
    pub mistakes: u64,
}

/// An image in a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagePlace {
    /// `train`, `valid` or `test`.
    pub split: String,
    /// Index in the split, from 0.
    pub index: u64,
    /// File, relative to the data set's folder, if each image has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Label, an index into [`MistakesRecord::classes`].
    pub label: usize,
}

/// An image whose prediction differs from its label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mistake {
    /// The image.
    #[serde(flatten)]
    pub place: ImagePlace,
    /// The predicted class.
    pub predicted: usize,
    /// Its probability, 0 to 1, at the exit's temperature.
    pub confidence: f64,
    /// The picture, a PNG file in base64.
    pub png: String,
}

impl ImagePlace {
    /// Returns the file, or split and index.
    pub fn name(&self) -> String {
        match &self.file {
            Some(file) => format!("{} {file}", self.split),
            None => format!("{} {}", self.split, self.index),
        }
    }
}

impl MistakesRecord {
    /// Checks that every label has a name and every picture is base64.
    ///
    /// # Errors
    /// What was found and expected.
    pub(crate) fn check(&self) -> Result<(), String> {
        let classes = self.classes.len();
        let places = self.duplicates.iter().flatten();
        let labels = places.chain(self.mistakes.iter().map(|mistake| &mistake.place));
        let labels = labels.map(|place| place.label);
        let predicted = self.mistakes.iter().map(|mistake| mistake.predicted);
        if let Some(class) = labels.chain(predicted).find(|&class| class >= classes) {
            return Err(format!("class {class}, expected one below {classes}"));
        }
        let is_base64 = |char: u8| char.is_ascii_alphanumeric() || b"+/=".contains(&char);
        if self.mistakes.iter().any(|mistake| !mistake.png.bytes().all(is_base64)) {
            return Err("a png that is not base64".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_without_a_name_and_broken_pictures_are_refused() {
        let place = ImagePlace { split: "valid".to_owned(), index: 3, file: None, label: 1 };
        let mistake =
            Mistake { place: place.clone(), predicted: 0, confidence: 0.9, png: "aGk=".to_owned() };
        let record = |label, png: &str| MistakesRecord {
            schema_version: MISTAKES_VERSION,
            weights: "model.safetensors".to_owned(),
            classes: vec!["cat".to_owned(), "dog".to_owned()],
            splits: vec![],
            mistakes: vec![Mistake { png: png.to_owned(), ..mistake.clone() }],
            duplicate_groups: 1,
            duplicates: vec![vec![ImagePlace { label, ..place.clone() }]],
        };
        assert_eq!(record(1, "aGk=").check(), Ok(()));
        assert_eq!(record(2, "aGk=").check().unwrap_err(), "class 2, expected one below 2");
        assert_eq!(record(0, "\" onerror=").check().unwrap_err(), "a png that is not base64");
    }
}

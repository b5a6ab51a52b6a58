//! What a classifier says of an image.

use serde::Serialize;

/// The classes of an image, the exit it left at, and what that cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The most probable classes first.
    pub labels: Vec<Label>,
    /// The exit, or `ensemble`.
    pub exit: String,
    /// Multiply-accumulates of this image.
    pub macs: u64,
    /// Those as a share of the network up to its deepest exit, without shallow ones.
    pub share: f64,
}

impl Answer {
    /// A line for people; `image` is what the image is called.
    pub fn text(&self, image: &str) -> String {
        let label = |label: &Label| format!("{} {:.1} %", label.name, 100.0 * label.probability);
        let labels: Vec<String> = self.labels.iter().map(label).collect();
        let cost = 100.0 * self.share;
        format!("{image}: {} ({}, {cost:.0} % of the MACs)", labels.join(", "), self.exit)
    }

    /// A line for programs: a JSON document.
    pub fn json(&self, image: &str) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            image: &'a str,
            #[serde(flatten)]
            answer: &'a Answer,
        }
        serde_json::to_string(&Line { image, answer: self }).expect("an answer is JSON")
    }
}

/// A class with its probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Label {
    /// Its number, from 0.
    pub class: usize,
    /// Its name.
    pub name: String,
    /// Its probability, 0 to 1.
    pub probability: f32,
}

/// The `count` most probable classes; equal ones in the order of their numbers.
///
/// # Panics
/// When there are fewer names than probabilities.
pub fn top(probabilities: &[f32], names: &[String], count: usize) -> Vec<Label> {
    let mut classes: Vec<usize> = (0..probabilities.len()).collect();
    classes.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    let label = |class: usize| Label {
        class,
        name: names[class].clone(),
        probability: probabilities[class],
    };
    classes.into_iter().take(count).map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_probable_come_first() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let labels = top(&[0.2, 0.5, 0.3], &names, 2);
        let found: Vec<_> = labels.iter().map(|label| (label.class, &*label.name)).collect();
        assert_eq!(found, [(1, "b"), (2, "c")]);
        assert_eq!(top(&[0.5, 0.5], &names, 9).len(), 2);
    }
}

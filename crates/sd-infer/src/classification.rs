//! The classification of an image.

use std::borrow::Cow;

use serde::Serialize;

use crate::prediction::softmax;

/// The most probable classes of an image, the exit that predicted them, and its cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Classification {
    /// The most probable class first.
    pub labels: Vec<Label>,
    /// The exit, or `ensemble`.
    pub exit: String,
    /// Multiply-accumulates for this image.
    pub macs: u64,
    /// `macs` relative to the network up to its deepest exit, without shallow exits.
    pub share: f64,
}

impl Classification {
    /// A readable line without control characters; `image` names the image.
    pub fn text(&self, image: &str) -> String {
        let label = |label: &Label| format!("{} {:.1} %", label.name, 100.0 * label.probability);
        let labels: Vec<String> = self.labels.iter().map(label).collect();
        let share = 100.0 * self.share;
        let line =
            format!("{image}: {} ({}, {share:.0} % of the MACs)", labels.join(", "), self.exit);
        printable(&line).into_owned()
    }

    /// A JSON document on one line; `image` names the image.
    pub fn json(&self, image: &str) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            image: &'a str,
            #[serde(flatten)]
            classification: &'a Classification,
        }
        let line = Line { image, classification: self };
        let line = serde_json::to_string(&line).expect("strings and numbers");
        // JSON need not escape all of them. Each is one UTF-16 unit.
        let escape = |char: char| format!("\\u{:04x}", u32::from(char));
        escaped(&line, escape).into_owned()
    }
}

/// A text on one line, in which no character controls a terminal or the direction of the text: such
/// characters are escaped as in Rust. Names of files and classes may be anyone's.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |char| char.escape_default().to_string())
}

/// A text in which `escape` replaces the characters that control a terminal or the direction of the
/// text.
fn escaped(text: &str, escape: impl Fn(char) -> String) -> Cow<'_, str> {
    let is_control = |char: char| {
        let is_direction = matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}')
            || matches!(char, '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}');
        char.is_control() || is_direction
    };
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match is_control(char) {
            true => escaped.push_str(&escape(char)),
            false => escaped.push(char),
        }
    }
    Cow::Owned(escaped)
}

/// A class with its probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Label {
    /// Index of the class, from 0.
    pub class: usize,
    /// Name of the class.
    pub name: String,
    /// Probability, 0 to 1.
    pub probability: f32,
}

/// The `k` classes with the highest logits, with the probabilities `softmax(logits / temperature)`;
/// ties in the order of their indices.
///
/// # Panics
/// If there are fewer names than logits.
pub fn top_k(logits: &[f32], temperature: f32, names: &[String], k: usize) -> Vec<Label> {
    let probabilities = softmax(logits, temperature);
    let mut classes: Vec<usize> = (0..logits.len()).collect();
    classes.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    let label = |class: usize| Label {
        class,
        name: names[class].clone(),
        probability: probabilities[class],
    };
    classes.into_iter().take(k).map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_control_a_terminal() {
        let label = Label { class: 0, name: "\x1b[2Jcat\u{9b}".to_owned(), probability: 1.0 };
        let exit = "deep\u{202e}est".to_owned();
        let found = Classification { labels: vec![label], exit, macs: 1, share: 1.0 };
        let expected =
            r"a\r\n.png: \u{1b}[2Jcat\u{9b} 100.0 % (deep\u{202e}est, 100 % of the MACs)";
        assert_eq!(found.text("a\r\n.png"), expected);
        assert_eq!(printable("ein Käfer"), "ein Käfer");
    }

    #[test]
    fn the_most_probable_classes_come_first() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let labels = top_k(&[0.2, 0.5, 0.3].map(f32::ln), 1.0, &names, 2);
        let found: Vec<_> = labels.iter().map(|label| (label.class, &*label.name)).collect();
        assert_eq!(found, [(1, "b"), (2, "c")]);
        assert_eq!(top_k(&[0.5, 0.5], 1.0, &names, 9).len(), 2);
    }

    #[test]
    fn json_has_no_control_characters_and_the_same_text() {
        let name = "a\u{9b}31m\u{202e}\u{7f}\n".to_owned();
        let labels = vec![Label { class: 0, name: name.clone(), probability: 1.0 }];
        let exit = "deepest".to_owned();
        let line = Classification { labels, exit, macs: 1, share: 1.0 }.json("a.png");
        assert_eq!(printable(&line), line);
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(parsed["labels"][0]["name"], name);
    }
}

//! Images per class, as text.

use crate::ImageSet;
use std::fmt::{self, Display, Formatter};

/// Classes that are listed; of more, only the smallest and the largest.
const LISTED: usize = 10;

/// The number of images of each class.
#[derive(Clone, Debug)]
pub(crate) struct ClassCounts<'a> {
    of_class: Vec<usize>,
    names: &'a [String],
}

impl<'a> ClassCounts<'a> {
    pub(crate) fn of(set: &'a ImageSet) -> Self {
        Self { of_class: set.of_class(), names: set.class_names() }
    }
}

/// The smallest and the largest class with their numbers of images; of several, the first. `None` if
/// there are no classes.
pub(super) fn smallest_and_largest<'a>(
    of_class: &[usize],
    names: &'a [String],
) -> Option<[(usize, &'a str); 2]> {
    let counts = || of_class.iter().copied().zip(names.iter().map(String::as_str));
    let smallest = counts().min_by_key(|(count, _)| *count)?;
    let largest = counts().rev().max_by_key(|(count, _)| *count)?;
    Some([smallest, largest])
}

impl Display for ClassCounts<'_> {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let Some([(fewest, small), (most, large)]) =
            smallest_and_largest(&self.of_class, self.names)
        else {
            return Ok(());
        };
        if fewest == most {
            return write!(f, "{fewest} of each class");
        }
        if self.names.len() > LISTED {
            return write!(f, "{fewest} {small} to {most} {large}");
        }
        let numbered = self.of_class.iter().zip(self.names);
        let all: Vec<String> = numbered.map(|(count, name)| format!("{count} {name}")).collect();
        f.write_str(&all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_classes_are_listed() {
        let text = |of_class: &[usize]| {
            let names: Vec<String> = (0..of_class.len()).map(|class| format!("c{class}")).collect();
            ClassCounts { of_class: of_class.to_vec(), names: &names }.to_string()
        };
        assert_eq!(text(&[4, 4]), "4 of each class");
        assert_eq!(text(&[4, 0, 9]), "4 c0, 0 c1, 9 c2");
        assert_eq!(text(&[5, 5, 5, 5, 5, 5, 9, 9, 2, 5, 5]), "2 c8 to 9 c6");
    }
}

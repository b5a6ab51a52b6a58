//! The text form of a check.

use super::class_counts::smallest_and_largest;
use super::{Check, Place, Repeats, Split, SplitCheck};
use std::fmt::{self, Display, Formatter};

/// Groups of duplicates that are listed; the rest are counted.
const WRITTEN: usize = 10;

impl Display for Check {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let classes = self.classes.len();
        writeln!(f, "{}: {}, {classes} classes", self.dataset, self.shape)?;
        writeln!(f, "\nsplit   images  {:<22}  {:<22}  per class", "mean", "deviation")?;
        for split in &self.splits {
            let (mean, deviation) = (numbers(&split.mean), numbers(&split.deviation));
            let of_class = self.of_class(split);
            let SplitCheck { split, images, .. } = split;
            writeln!(f, "{split:<5} {images:>8}  {mean:<22}  {deviation:<22}  {of_class}")?;
        }
        self.class_table(f)?;
        self.duplicates(f)?;
        if self.skipped.is_empty() {
            return write!(f, "\nskipped files: none");
        }
        write!(f, "\nskipped files: {}", self.skipped.len())?;
        for file in &self.skipped {
            write!(f, "\n  {file}")?;
        }
        Ok(())
    }
}

impl Check {
    /// Images per class: one number, or the smallest and the largest class.
    fn of_class(&self, split: &SplitCheck) -> String {
        match smallest_and_largest(&split.of_class, &self.classes) {
            Some([(fewest, small), (most, large)]) if fewest != most => {
                format!("{fewest} {small} … {most} {large}")
            }
            Some([(all, _), _]) => all.to_string(),
            None => String::new(),
        }
    }

    /// The images of each class in each split, unless there are equally many of all.
    fn class_table(&self, f: &mut Formatter) -> fmt::Result {
        let balanced = |split: &SplitCheck| split.of_class.windows(2).all(|two| two[0] == two[1]);
        if self.splits.iter().all(balanced) {
            return Ok(());
        }
        write!(f, "\nimages of each class\n ")?;
        for SplitCheck { split, .. } in &self.splits {
            write!(f, "{split:>9}")?;
        }
        writeln!(f)?;
        for (label, class) in self.classes.iter().enumerate() {
            write!(f, " ")?;
            for split in &self.splits {
                write!(f, "{:>9}", split.of_class[label])?;
            }
            writeln!(f, "  {class}")?;
        }
        Ok(())
    }

    fn duplicates(&self, f: &mut Formatter) -> fmt::Result {
        writeln!(f, "\nidentical images")?;
        let there: Vec<Split> = self.splits.iter().map(|split| split.split).collect();
        for (index, &first) in there.iter().enumerate() {
            for &second in &there[index..] {
                let Repeats { images, contradictory } = self.repeats(first, second);
                let (pair, how) = if first == second {
                    (first.to_string(), "repeat an earlier one".to_owned())
                } else {
                    let how = format!("of {second} are also in {first}");
                    (format!("{first}, {second}"), how)
                };
                let found = match images {
                    0 => format!("none {}", how.replace(" are", " is")),
                    _ => format!("{images} {how}, {contradictory} of them under another label"),
                };
                writeln!(f, "  {pair:<13}  {found}")?;
            }
        }
        // Duplicates across splits first, then contradictory labels, then other duplicates.
        let mut groups: Vec<&Vec<Place>> = self.duplicates.iter().collect();
        groups.sort_by_key(|group| {
            let same_split = group.iter().all(|place| place.split == group[0].split);
            let same_label = group.iter().all(|place| place.label == group[0].label);
            (same_split, same_label)
        });
        for group in groups.iter().take(WRITTEN) {
            // The last is a test image, if the group has one.
            let Some((last, others)) = group.split_last() else { continue };
            let others: Vec<String> = others.iter().map(|place| self.place(place)).collect();
            writeln!(f, "  {} = {}", self.place(last), others.join(", "))?;
        }
        if groups.len() > WRITTEN {
            writeln!(f, "  and {} groups more (--json has all)", groups.len() - WRITTEN)?;
        }
        Ok(())
    }

    fn place(&self, place: &Place) -> String {
        let class = &self.classes[place.label];
        match &place.file {
            Some(file) => format!("{file} ({class})"),
            None => format!("{} {} ({class})", place.split, place.index),
        }
    }
}

fn numbers(values: &[f32]) -> String {
    values.iter().map(|value| format!("{value:.4}")).collect::<Vec<_>>().join(" ")
}

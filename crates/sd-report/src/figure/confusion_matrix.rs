//! A matrix as coloured cells: right ones in the first colour, mistakes in the second.

use super::canvas::{self, Anchor, Canvas, Figure, Painted, WIDTH};
use super::palette::PALETTE;
use super::text;
use crate::error::Result;

/// Classes whose names are written; of more, the number of every tenth.
const NAMED: usize = 24;
/// Cells that are wide enough for a number, in pixels.
const NUMBERED: f64 = 26.0;
/// Letters of a name at most.
const LETTERS: usize = 13;

/// Draws the matrix of images by label (rows) and class (columns), as shares of each label's.
///
/// # Errors
/// Where the drawing library fails.
pub(crate) fn draw(
    name: &str,
    caption: &str,
    classes: &[String],
    confusion: &[Vec<u64>],
) -> Result<Figure> {
    let names = ticks(classes);
    let widest = names.iter().map(|(_, name)| text::width(name)).fold(0.0, f64::max) + 8.0;
    let side = WIDTH - widest - 6.0;
    let map = Map { left: widest, top: 6.0, cell: side / classes.len().max(1) as f64, side };
    // Numbers stand upright below the columns, names hang from them.
    let below = if classes.len() <= NAMED { widest } else { 24.0 };
    canvas::figure(name, caption, map.top + side + below, |canvas| {
        for (label, row) in confusion.iter().enumerate() {
            let images: u64 = row.iter().sum();
            for (class, &found) in row.iter().enumerate().filter(|(_, found)| **found > 0) {
                map.cell(canvas, label, class, found as f64 / images as f64)?;
            }
        }
        map.frame(canvas)?;
        for (class, name) in &names {
            let middle = (*class as f64 + 0.5) * map.cell;
            let (row, column) = (map.top + middle, map.left + middle);
            let bottom = map.top + side + 6.0;
            canvas.text(name, PALETTE.muted(), (map.left - 6.0, row), Anchor::Right)?;
            let anchor = if classes.len() <= NAMED { Anchor::Down } else { Anchor::Below };
            canvas.text(name, PALETTE.muted(), (column, bottom), anchor)?;
        }
        Ok(())
    })
}

/// The classes that are written beside the matrix, and how.
fn ticks(classes: &[String]) -> Vec<(usize, String)> {
    if classes.len() <= NAMED {
        let short = |name: &String| text::cut_to(name, LETTERS);
        return classes.iter().map(short).enumerate().collect();
    }
    let step = if classes.len() > 100 { 20 } else { 10 };
    (0..classes.len()).step_by(step).map(|class| (class, class.to_string())).collect()
}

struct Map {
    left: f64,
    top: f64,
    cell: f64,
    side: f64,
}

impl Map {
    fn cell(&self, canvas: &Canvas, label: usize, class: usize, share: f64) -> Painted {
        let at =
            |row: f64, column: f64| (self.left + column * self.cell, self.top + row * self.cell);
        let (row, column) = (label as f64, class as f64);
        let colour = PALETTE.series(usize::from(label != class));
        // The root lets a mistake of one in a hundred be seen.
        let opacity = share.sqrt().max(0.08);
        canvas.area(at(row, column), at(row + 1.0, column + 1.0), colour, opacity)?;
        let percent = (share * 100.0).round();
        if self.cell < NUMBERED || percent < 1.0 {
            return Ok(());
        }
        // On the strongest cells the colour of the page stands out, else that of the text.
        let ink = if opacity > 0.6 { PALETTE.page() } else { PALETTE.ink() };
        canvas.text(&percent.to_string(), ink, at(row + 0.5, column + 0.5), Anchor::Middle)
    }

    fn frame(&self, canvas: &Canvas) -> Painted {
        let (right, bottom) = (self.left + self.side, self.top + self.side);
        let corners = [
            (self.left, self.top),
            (right, self.top),
            (right, bottom),
            (self.left, bottom),
            (self.left, self.top),
        ];
        canvas.segment(&corners, PALETTE.muted(), 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(classes: usize) -> String {
        let names: Vec<String> = (0..classes).map(|class| format!("class-{class}")).collect();
        let mut confusion = vec![vec![0; classes]; classes];
        for (label, row) in confusion.iter_mut().enumerate() {
            row[label] = 3;
            row[(label + 1) % classes] = 1;
        }
        draw("m", "c", &names, &confusion).unwrap().svg
    }

    #[test]
    fn few_classes_have_names_and_numbers() {
        let svg = map(4);
        assert_eq!(svg.matches("<rect").count(), 8);
        assert_eq!(svg.matches("\nclass-2\n").count(), 2);
        assert_eq!((svg.matches("\n75\n").count(), svg.matches("\n25\n").count()), (4, 4));
    }

    #[test]
    fn a_hundred_classes_have_every_tenth_number() {
        let svg = map(100);
        assert_eq!(svg.matches("<rect").count(), 200);
        assert_eq!(svg.matches("<text").count(), 20);
        assert!(svg.contains("\n90\n") && !svg.contains("class-"));
    }
}

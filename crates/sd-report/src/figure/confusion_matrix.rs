//! Confusion matrices as heat maps: correct predictions in the first colour, mistakes in the second.

use super::canvas::{self, Anchor, Canvas, DrawResult, Figure, WIDTH};
use super::palette::PALETTE;
use super::text;
use crate::error::Result;

/// Up to this many classes have names; of more, every tenth or twentieth has its number.
const NAMED: usize = 24;
/// Minimum width of a cell with a number, in pixels.
const NUMBERED: f64 = 26.0;
/// Maximum length of a class name.
const LETTERS: usize = 13;

/// Draws the matrix of images by label (rows) and prediction (columns), as shares of each label.
///
/// # Errors
/// If the drawing library fails.
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
    // Below the columns, numbers are horizontal and names vertical.
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
            canvas.text(name, PALETTE.muted(), (map.left - 6.0, row), Anchor::End)?;
            let anchor = if classes.len() <= NAMED { Anchor::Down } else { Anchor::Below };
            canvas.text(name, PALETTE.muted(), (column, bottom), anchor)?;
        }
        Ok(())
    })
}

/// The labelled classes with their labels.
fn ticks(classes: &[String]) -> Vec<(usize, String)> {
    if classes.len() <= NAMED {
        let short = |name: &String| text::truncate_to(name, LETTERS);
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
    fn cell(&self, canvas: &Canvas, label: usize, class: usize, share: f64) -> DrawResult {
        let at =
            |row: f64, column: f64| (self.left + column * self.cell, self.top + row * self.cell);
        let (row, column) = (label as f64, class as f64);
        let colour = PALETTE.series(usize::from(label != class));
        // The square root makes a mistake in one of a hundred images visible.
        let opacity = share.sqrt().max(0.08);
        canvas.area(at(row, column), at(row + 1.0, column + 1.0), colour, opacity)?;
        let percent = (share * 100.0).round();
        if self.cell < NUMBERED || percent < 1.0 {
            return Ok(());
        }
        // Text on strong cells has the colour of the page, else that of text.
        let ink = if opacity > 0.6 { PALETTE.page() } else { PALETTE.ink() };
        canvas.text(&percent.to_string(), ink, at(row + 0.5, column + 0.5), Anchor::Middle)
    }

    fn frame(&self, canvas: &Canvas) -> DrawResult {
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

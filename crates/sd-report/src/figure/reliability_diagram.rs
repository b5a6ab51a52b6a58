//! Reliability diagrams, a small one for each exit (DeGroot and Fienberg 1983), drawn as in Guo et
//! al. 2017, figure 1.

use super::canvas::{self, Anchor, Canvas, DrawResult, Figure, WIDTH};
use super::palette::PALETTE;
use crate::error::Result;
use crate::evaluation::Bin;
use crate::format::number::tick;

/// Diagrams per row.
const COLUMNS: usize = 3;
/// Side of a diagram, in pixels.
const SIDE: f64 = 112.0;
/// Space left of a diagram for its axis, above it for its title, and below it for its axis.
const LEFT: f64 = 34.0;
const ABOVE: f64 = 24.0;
const BELOW: f64 = 26.0;
/// Space for the title of the horizontal axes.
const FOOT: f64 = 18.0;
/// Opacity of the gap between accuracy and confidence.
const PALE: f64 = 0.3;

/// An exit's diagram.
pub(crate) struct Panel<'a> {
    pub(crate) title: String,
    /// The bins, in increasing confidence.
    pub(crate) bins: &'a [Bin],
    /// Whether it has the highlight colour.
    pub(crate) strong: bool,
}

/// Draws the diagrams in rows.
///
/// # Errors
/// If the drawing library fails.
pub(crate) fn draw(name: &str, caption: &str, panels: &[Panel]) -> Result<Figure> {
    let row = ABOVE + SIDE + BELOW;
    let height = row * panels.len().div_ceil(COLUMNS) as f64 + FOOT;
    canvas::figure(name, caption, height, |canvas| {
        // As in line plots, the highlighted one has the first colour wherever it is.
        let mut next = usize::from(panels.iter().any(|panel| panel.strong));
        for (index, panel) in panels.iter().enumerate() {
            let (column, line) = (index % COLUMNS, index / COLUMNS);
            let corner =
                (LEFT + column as f64 * (WIDTH / COLUMNS as f64), ABOVE + line as f64 * row);
            let colour = PALETTE.series(if panel.strong { 0 } else { next });
            next += usize::from(!panel.strong);
            panel.paint(canvas, corner, colour)?;
        }
        let columns = panels.len().min(COLUMNS) as f64;
        let middle = (LEFT + (columns - 1.0) * WIDTH / COLUMNS as f64 + SIDE + LEFT) / 2.0;
        canvas.text("confidence in %", PALETTE.muted(), (middle, height - FOOT), Anchor::Below)
    })
}

impl Panel<'_> {
    fn paint(
        &self,
        canvas: &Canvas,
        corner: (f64, f64),
        colour: plotters::style::RGBColor,
    ) -> DrawResult {
        let at = |x: f64, y: f64| (corner.0 + x * SIDE, corner.1 + (1.0 - y) * SIDE);
        let middle = (corner.0 + SIDE / 2.0, corner.1 - 10.0);
        canvas.text(&self.title, colour, middle, Anchor::Middle)?;
        for value in [0.0, 0.5, 1.0] {
            let (x, y) = (at(value, 0.0), at(0.0, value));
            let text = tick(value * 100.0, 50.0);
            canvas.segment(&[y, at(1.0, value)], PALETTE.grid(), 1.0)?;
            canvas.text(&text, PALETTE.muted(), (x.0, x.1 + 7.0), Anchor::Below)?;
            canvas.text(&text, PALETTE.muted(), (y.0 - 6.0, y.1), Anchor::End)?;
        }
        let width = 1.0 / self.bins.len().max(1) as f64;
        let most = self.bins.iter().map(|bin| bin.images).max().unwrap_or_default().max(1);
        for (index, bin) in self.bins.iter().enumerate() {
            let Bin { images, confidence: Some(confidence), accuracy: Some(accuracy) } = *bin
            else {
                continue;
            };
            // The square root keeps bins with few images visible; a sixth is the gap between bars.
            let half = width / 2.4 * (images as f64 / most as f64).sqrt().max(0.2);
            let middle = (index as f64 + 0.5) * width;
            let (left, right) = (middle - half, middle + half);
            let (low, high) = (confidence.min(accuracy), confidence.max(accuracy));
            canvas.area(at(left, low), at(right, 0.0), colour, 1.0)?;
            canvas.area(at(left, high), at(right, low), colour, PALE)?;
        }
        canvas.segment(&[at(0.0, 0.0), at(1.0, 1.0)], PALETTE.muted(), 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagram_has_two_areas_for_each_bin_that_has_images() {
        let bin = |images, confidence, accuracy| Bin {
            images,
            confidence: Some(confidence),
            accuracy: Some(accuracy),
        };
        let bins = [Bin::default(), bin(3, 0.4, 0.2), bin(9, 0.9, 1.0)];
        let panel = |strong| Panel { title: "exit <1>".to_owned(), bins: &bins, strong };
        let panels = [panel(false), panel(true), panel(false), panel(false)];
        let svg = draw("r", "c", &panels).unwrap().svg;
        assert_eq!(svg.matches("<rect").count(), 4 * 4);
        assert_eq!(svg.matches("exit &lt;1&gt;").count(), 4);
        // Two rows of diagrams.
        assert!(svg.starts_with("<svg width=\"480\" height=\"342\""), "{}", &svg[..80]);
    }
}

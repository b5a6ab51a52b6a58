//! Line plots with the name of each line at its end instead of a legend.

use plotters::style::RGBColor;

use super::axis::{Axis, Range, Ticks};
use super::canvas::{self, Anchor, Canvas, DrawResult, Figure, WIDTH};
use super::mark_labels::{Area, Obstacles};
use super::palette::PALETTE;
use super::text::{NAME_GAP, spread_out, truncate, width};
use crate::error::Result;

/// Minimum height in CSS pixels.
const HEIGHT: f64 = 280.0;
/// Space above the plot, and below it for the horizontal axis.
const TOP: f64 = 10.0;
const BELOW: f64 = 42.0;

/// Maximum number of lines whose names are connected to their ends.
const CONNECTED: usize = 8;

/// A line plot to draw.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// Name of the figure.
    pub name: String,
    /// Caption, which names the vertical axis.
    pub caption: String,
    /// Title of the horizontal axis.
    pub x_label: &'static str,
    /// Number format of the horizontal axis.
    pub x: Ticks,
    /// Number format of the vertical axis.
    pub y: Ticks,
    /// Range and scale of the horizontal axis.
    pub x_range: Range,
    /// Whether the vertical axis begins at zero.
    pub y_from_zero: bool,
    /// The lines.
    pub lines: Vec<Line>,
    /// Labelled points for comparison.
    pub marks: Vec<Mark>,
}

/// A labelled point.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// The label, a letter or a short word; may be empty.
    pub name: String,
    /// Position; both numbers finite.
    pub point: (f64, f64),
    /// Whether the label is below the point rather than at its right. It is elsewhere around the point
    /// if it would cover a line, a dot, or the label of an earlier mark.
    pub below: bool,
}

/// A line of a plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// Points from left to right; a point that is not finite leaves a gap.
    pub points: Vec<(f64, f64)>,
    /// Points with a dot; both numbers finite. Isolated points always have one.
    pub dots: Vec<(f64, f64)>,
    /// Whether it is highlighted: thicker, on top, and in the first colour.
    pub strong: bool,
}

impl Plot {
    /// Draws the plot; `None` if no point is finite.
    ///
    /// # Errors
    /// If the drawing library fails.
    pub fn draw(&self) -> Result<Option<Figure>> {
        let lines = self.drawn();
        let of_lines = || lines.iter().flat_map(|line| line.runs.iter().flatten());
        let all = || of_lines().copied().chain(self.marks.iter().map(|mark| mark.point));
        if lines.is_empty() {
            return Ok(None);
        }
        let y = Axis::vertical(all().map(|point| point.1), self.y, self.y_from_zero);
        let x = Axis::horizontal(all().map(|point| point.0), self.x, self.x_range);

        let widest = lines.iter().map(|line| width(&line.name)).fold(0.0, f64::max);
        let left = y.ticks.iter().map(|&tick| width(&y.text(tick))).fold(0.0, f64::max) + 10.0;
        // Many labels need a taller figure.
        let height = HEIGHT.max(lines.len() as f64 * NAME_GAP + TOP + BELOW);
        let right = WIDTH - widest - 14.0;
        let frame = Frame { left, right, top: TOP, bottom: height - BELOW };
        let paint = |canvas: &Canvas| self.paint(canvas, &lines, &x, &y, &frame);
        canvas::figure(&self.name, &self.caption, height, paint).map(Some)
    }

    /// The lines that have a finite point. The highlighted line has the first colour wherever it is,
    /// so that it looks the same in every figure.
    fn drawn(&self) -> Vec<Drawn> {
        let mut next = usize::from(self.lines.iter().any(|line| line.strong));
        let mut index = |line: &Line| {
            let index = if line.strong { 0 } else { next };
            next += usize::from(!line.strong);
            index
        };
        self.lines.iter().filter_map(|line| Drawn::new(line, index(line))).collect()
    }

    fn paint(
        &self,
        canvas: &Canvas,
        lines: &[Drawn],
        x: &Axis,
        y: &Axis,
        frame: &Frame,
    ) -> DrawResult {
        for &tick in &y.ticks {
            let at = frame.y(y, tick);
            canvas.segment(&[(frame.left, at), (frame.right, at)], PALETTE.grid(), 1.0)?;
            canvas.text(&y.text(tick), PALETTE.muted(), (frame.left - 7.0, at), Anchor::End)?;
        }
        let base = frame.bottom;
        for &tick in &x.ticks {
            let at = frame.x(x, tick);
            canvas.segment(&[(at, base), (at, base + 4.0)], PALETTE.muted(), 1.0)?;
            canvas.text(&x.text(tick), PALETTE.muted(), (at, base + 8.0), Anchor::Below)?;
        }
        canvas.segment(&[(frame.left, base), (frame.right, base)], PALETTE.muted(), 1.0)?;
        let middle = (frame.left + frame.right) / 2.0;
        canvas.text(self.x_label, PALETTE.muted(), (middle, base + 25.0), Anchor::Below)?;

        let ends: Vec<_> = lines.iter().map(|line| frame.y(y, line.end.1)).collect();
        let ends = spread_out(&ends, NAME_GAP, frame.top, frame.bottom);
        let names = || lines.iter().zip(&ends).filter(|(line, _)| !line.name.is_empty());
        // More of them would look like lines.
        let connected = names().filter(|_| lines.len() <= CONNECTED);
        let connectors: Vec<_> = connected
            .map(|(line, &at)| vec![frame.at(x, y, line.end), (frame.right + 6.0, at)])
            .collect();
        for connector in &connectors {
            canvas.segment(connector, PALETTE.muted(), 0.5)?;
        }
        self.paint_marks(canvas, lines, connectors, |point| frame.at(x, y, point), frame)?;

        // Highlighted lines last, on top of the others.
        let weak = lines.iter().filter(|line| !line.strong);
        for line in weak.chain(lines.iter().filter(|line| line.strong)) {
            line.paint(canvas, |point| frame.at(x, y, point))?;
        }
        for (line, &at) in names() {
            canvas.text(&line.name, line.colour, (frame.right + 8.0, at), Anchor::Start)?;
        }
        Ok(())
    }

    /// Draws the marks, with labels that avoid the lines and `others`; `place` maps a point to pixels.
    fn paint_marks(
        &self,
        canvas: &Canvas,
        lines: &[Drawn],
        others: Vec<Vec<(f64, f64)>>,
        place: impl Fn((f64, f64)) -> (f64, f64),
        frame: &Frame,
    ) -> DrawResult {
        let runs = lines.iter().flat_map(|line| &line.runs);
        let runs = runs.map(|run| run.iter().copied().map(&place).collect());
        let runs: Vec<Vec<_>> = runs.chain(others).collect();
        let dots = lines.iter().flat_map(|line| &line.dots).copied();
        let dots = dots.chain(self.marks.iter().map(|mark| mark.point)).map(&place);
        let &Frame { left, right, top, bottom } = frame;
        let plot = Area { left, right: right + 8.0, top: top - 6.0, bottom };
        let mut obstacles = Obstacles::new(plot, &runs, dots);
        for mark in &self.marks {
            canvas.ring(place(mark.point), PALETTE.muted(), 2.5, 1.0)?;
        }
        // Long labels first, which have fewer places.
        let mut named: Vec<_> = self.marks.iter().filter(|mark| !mark.name.is_empty()).collect();
        named.sort_by_key(|mark| std::cmp::Reverse(mark.name.chars().count()));
        for mark in named {
            let (label, anchor) = obstacles.place(&mark.name, place(mark.point), mark.below);
            canvas.text(&mark.name, PALETTE.muted(), label, anchor)?;
        }
        Ok(())
    }
}

/// A line with its style.
struct Drawn {
    name: String,
    /// Its finite points, split at the gaps.
    runs: Vec<Vec<(f64, f64)>>,
    dots: Vec<(f64, f64)>,
    end: (f64, f64),
    strong: bool,
    colour: RGBColor,
    stroke: Stroke,
}

/// Stroke that tells lines of the same colour apart.
#[derive(Clone, Copy)]
enum Stroke {
    /// With filled dots.
    Solid,
    /// With hollow dots.
    Dashed,
    /// With small dots.
    Dotted,
}

impl Stroke {
    /// The stroke of a line whose colour this many lines before it have.
    fn after(others: usize) -> Self {
        match others {
            0 => Self::Solid,
            1 => Self::Dashed,
            _ => Self::Dotted,
        }
    }

    /// Prefix of the line's name.
    fn prefix(self) -> &'static str {
        match self {
            Self::Solid => "",
            Self::Dashed => "- - ",
            Self::Dotted => "· · ",
        }
    }
}

impl Drawn {
    fn new(line: &Line, index: usize) -> Option<Self> {
        let finite = |point: &(f64, f64)| point.0.is_finite() && point.1.is_finite();
        let runs: Vec<Vec<_>> = line
            .points
            .split(|point| !finite(point))
            .filter(|run| !run.is_empty())
            .map(<[_]>::to_vec)
            .collect();
        let end = *runs.last()?.last()?;
        let (colour, stroke) = (PALETTE.series(index), Stroke::after(index / PALETTE.len()));
        let name = format!("{}{}", stroke.prefix(), truncate(&line.name));
        let alone = runs.iter().filter(|run| run.len() == 1).flatten();
        let alone = alone.filter(|point| !line.dots.contains(point));
        let dots = line.dots.iter().chain(alone).copied().collect();
        Some(Self { name, runs, dots, end, strong: line.strong, colour, stroke })
    }

    /// Draws the line; `place` maps a point to pixels.
    fn paint(&self, canvas: &Canvas, place: impl Fn((f64, f64)) -> (f64, f64)) -> DrawResult {
        for &dot in &self.dots {
            match self.stroke {
                Stroke::Solid => canvas.dot(place(dot), self.colour, 3.5)?,
                Stroke::Dashed => canvas.ring(place(dot), self.colour, 3.5, 1.5)?,
                Stroke::Dotted => canvas.dot(place(dot), self.colour, 2.0)?,
            }
        }
        let thick = if self.strong { 2.5 } else { 1.5 };
        for run in self.runs.iter().filter(|run| run.len() > 1) {
            let points: Vec<_> = run.iter().copied().map(&place).collect();
            match self.stroke {
                Stroke::Solid => canvas.segment(&points, self.colour, thick)?,
                Stroke::Dashed => canvas.dashes(&points, [5.0, 3.0], self.colour, thick)?,
                Stroke::Dotted => canvas.dashes(&points, [1.5, 2.5], self.colour, thick)?,
            }
        }
        Ok(())
    }
}

/// The plot area, in pixels.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Frame {
    fn x(&self, axis: &Axis, value: f64) -> f64 {
        self.left + axis.fraction(value) * (self.right - self.left)
    }

    fn y(&self, axis: &Axis, value: f64) -> f64 {
        self.bottom - axis.fraction(value) * (self.bottom - self.top)
    }

    fn at(&self, x: &Axis, y: &Axis, point: (f64, f64)) -> (f64, f64) {
        (self.x(x, point.0), self.y(y, point.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: Vec<(f64, f64)>) -> Plot {
        Plot {
            name: "test".to_owned(),
            caption: "A \"caption\" <b>".to_owned(),
            x_label: "epoch",
            x: Ticks::Whole,
            y: Ticks::Percent,
            x_range: Range::Data,
            y_from_zero: false,
            lines: vec![Line { name: "exit <1>".to_owned(), points, dots: vec![], strong: true }],
            marks: Vec::new(),
        }
    }

    #[test]
    fn text_is_escaped_and_the_size_is_in_pixels() {
        let figure = plot(vec![(1.0, 0.5), (2.0, 0.6)]).draw().unwrap().unwrap();
        assert!(figure.svg.starts_with("<svg width=\"480\" height=\"280\""), "{}", figure.svg);
        assert!(figure.svg.contains("exit &lt;1&gt;"));
        assert!(figure.svg.contains("aria-label=\"A &quot;caption&quot; &lt;b>\""));
        assert!(figure.with_background().contains("fill=\"#FFFFFF\""));
    }

    #[test]
    fn points_that_are_not_finite_leave_a_gap() {
        let gap = plot(vec![(1.0, 0.5), (2.0, 0.6), (3.0, f64::NAN), (4.0, 0.7), (5.0, 0.8)]);
        let svg = gap.draw().unwrap().unwrap().svg;
        let whole = plot(vec![(1.0, 0.5), (2.0, 0.6), (4.0, 0.7), (5.0, 0.8)]);
        let curves = |svg: &str| svg.matches("stroke-width=\"20\"").count();
        assert_eq!((curves(&svg), curves(&whole.draw().unwrap().unwrap().svg)), (2, 1));
        assert!(!svg.contains("NaN"));
        assert_eq!(plot(vec![(1.0, f64::NAN)]).draw().unwrap(), None);
    }

    #[test]
    fn a_single_point_is_a_dot() {
        let svg = plot(vec![(1.0, 0.5)]).draw().unwrap().unwrap().svg;
        assert!(svg.contains("<circle"), "{svg}");
    }

    #[test]
    fn many_lines_make_a_taller_plot_and_repeated_colours_are_dashed() {
        let mut many = plot(Vec::new());
        many.lines = (0..20)
            .map(|index| Line {
                name: index.to_string(),
                points: vec![(1.0, 0.1), (2.0, 0.01 * f64::from(index))],
                dots: vec![],
                strong: false,
            })
            .collect();
        let svg = many.draw().unwrap().unwrap().svg;
        assert!(svg.starts_with("<svg width=\"480\" height=\"352\""), "{}", &svg[..80]);
        let colour = |index| {
            let RGBColor(red, green, blue) = PALETTE.series(index);
            svg.matches(&format!("stroke=\"#{red:02X}{green:02X}{blue:02X}\"")).count()
        };
        // The first colour is of lines 0, 6, 12 and 18, of which three are dashed.
        assert!(colour(0) > 10, "{}", colour(0));
        assert!(svg.contains("\n- - 6\n") && svg.contains("\n· · 12\n"), "{svg}");
    }

    #[test]
    fn marks_are_drawn_and_extend_the_axes() {
        let mut marked = plot(vec![(1e5, 0.5), (1e6, 0.6)]);
        marked.x_range = Range::Logarithmic;
        marked.x = Ticks::Count;
        marked.marks.push(Mark { name: "A".to_owned(), point: (1e7, 0.9), below: false });
        let svg = marked.draw().unwrap().unwrap().svg;
        assert!(svg.contains("<circle") && svg.contains("\nA\n"), "{svg}");
        assert!(svg.contains("10 M") && svg.contains("90 %"), "{svg}");
    }

    #[test]
    fn the_label_of_a_mark_avoids_that_of_another_mark() {
        let mut marked = plot(vec![(1.0, 0.1), (2.0, 0.1), (3.0, 0.9)]);
        let mark = |name: &str, y| Mark { name: name.to_owned(), point: (1.5, y), below: false };
        marked.marks = vec![mark("A", 0.5), mark("B", 0.51), mark("C", 0.7)];
        let svg = marked.draw().unwrap().unwrap().svg;
        let anchor = |name: &str| {
            let before = &svg[..svg.find(&format!("\n{name}\n")).unwrap()];
            before.rsplit("text-anchor=\"").next().unwrap().split('"').next().unwrap().to_owned()
        };
        assert_eq!(["A", "C"].map(anchor), ["start", "start"]);
        assert_ne!(anchor("B"), "start");
    }

    #[test]
    fn a_name_is_connected_with_the_end_of_its_line() {
        let short = plot(vec![(1.0, 0.5), (2.0, 0.6)]);
        let thin =
            |plot: &Plot| plot.draw().unwrap().unwrap().svg.matches("stroke-width=\"4\"").count();
        assert_eq!(thin(&short), 1);
        let mut many = short.clone();
        many.lines = vec![short.lines[0].clone(); CONNECTED + 1];
        assert_eq!(thin(&many), 0);
    }
}

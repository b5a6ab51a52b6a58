//! Line plots as SVG: few marks, the name of each line at its end instead of a legend.

use plotters::style::RGBColor;

use super::axis::{Axis, Range, Ticks};
use super::canvas::{self, Anchor, Canvas, Figure, Painted, WIDTH};
use super::palette::PALETTE;
use super::text::{NAME_GAP, apart, cut, width};
use crate::error::Result;

/// Least height in CSS pixels.
const HEIGHT: f64 = 280.0;
/// Room above the plot, and below it for the horizontal axis.
const TOP: f64 = 10.0;
const BELOW: f64 = 42.0;

/// What is to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// Name of the figure.
    pub name: String,
    /// What it shows, with what stands on the vertical axis.
    pub caption: String,
    /// What stands on the horizontal axis.
    pub x_label: &'static str,
    /// How numbers on the horizontal axis are written.
    pub x: Ticks,
    /// How numbers on the vertical axis are written.
    pub y: Ticks,
    /// Where the horizontal axis begins, and how it goes on.
    pub x_range: Range,
    /// Whether the vertical axis begins at zero.
    pub y_from_zero: bool,
    /// The lines.
    pub lines: Vec<Line>,
    /// Points to compare with, each with its name beside it.
    pub marks: Vec<Mark>,
}

/// A point with a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// A letter or a short word; may be empty.
    pub name: String,
    /// Where it is; both numbers finite.
    pub point: (f64, f64),
    /// Whether its name stands below it, and not at its right; or at its left, where it would lie on
    /// the name of a mark before it.
    pub below: bool,
}

/// A line of a plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// Its points from left to right; one that is not finite leaves a gap.
    pub points: Vec<(f64, f64)>,
    /// Those of its points that are marked; both numbers finite. A point alone is marked anyway.
    pub dots: Vec<(f64, f64)>,
    /// Whether it matters more than the others.
    pub strong: bool,
}

impl Plot {
    /// Draws it; `None` where no point is finite.
    ///
    /// # Errors
    /// Where the drawing library fails.
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
        // Many names need a higher figure.
        let height = HEIGHT.max(lines.len() as f64 * NAME_GAP + TOP + BELOW);
        let right = WIDTH - widest - 14.0;
        let frame = Frame { left, right, top: TOP, bottom: height - BELOW };
        let paint = |canvas: &Canvas| self.paint(canvas, &lines, &x, &y, &frame);
        canvas::figure(&self.name, &self.caption, height, paint).map(Some)
    }

    /// The lines that have a finite point. The strong one has the first colour wherever it
    /// stands, so that it is the same in every figure.
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
    ) -> Painted {
        for &tick in &y.ticks {
            let at = frame.y(y, tick);
            canvas.segment(&[(frame.left, at), (frame.right, at)], PALETTE.grid(), 1.0)?;
            canvas.text(&y.text(tick), PALETTE.muted(), (frame.left - 7.0, at), Anchor::Right)?;
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

        let places: Vec<_> = self.marks.iter().map(|mark| frame.at(x, y, mark.point)).collect();
        for (index, (mark, &at)) in self.marks.iter().zip(&places).enumerate() {
            canvas.ring(at, PALETTE.muted(), 2.5, 1.0)?;
            let close = |before: &(f64, f64)| {
                (before.0 - at.0).abs() < NAME_GAP && (before.1 - at.1).abs() < NAME_GAP
            };
            let (name, anchor) = if mark.below {
                ((at.0, at.1 + 5.0), Anchor::Below)
            } else if places[..index].iter().any(close) {
                ((at.0 - 5.0, at.1), Anchor::Right)
            } else {
                ((at.0 + 5.0, at.1), Anchor::Left)
            };
            canvas.text(&mark.name, PALETTE.muted(), name, anchor)?;
        }

        // The strong ones last, on top of the others.
        let weak = lines.iter().filter(|line| !line.strong);
        for line in weak.chain(lines.iter().filter(|line| line.strong)) {
            line.paint(canvas, |point| frame.at(x, y, point))?;
        }
        let ends: Vec<_> = lines.iter().map(|line| frame.y(y, line.end.1)).collect();
        for (line, at) in lines.iter().zip(apart(&ends, NAME_GAP, frame.top, frame.bottom)) {
            canvas.text(&line.name, line.colour, (frame.right + 8.0, at), Anchor::Left)?;
        }
        Ok(())
    }
}

/// A line as it is drawn.
struct Drawn {
    name: String,
    /// Its finite points, without the gaps.
    runs: Vec<Vec<(f64, f64)>>,
    dots: Vec<(f64, f64)>,
    end: (f64, f64),
    strong: bool,
    colour: RGBColor,
    stroke: Stroke,
}

/// What tells lines of one colour apart.
#[derive(Clone, Copy)]
enum Stroke {
    /// With full marks.
    Solid,
    /// With hollow marks.
    Dashed,
    /// With small marks.
    Dotted,
}

impl Stroke {
    /// Of a line that has its colour after this many others.
    fn after(others: usize) -> Self {
        match others {
            0 => Self::Solid,
            1 => Self::Dashed,
            _ => Self::Dotted,
        }
    }

    /// What stands before the line's name.
    fn sign(self) -> &'static str {
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
        let name = format!("{}{}", stroke.sign(), cut(&line.name));
        let alone = runs.iter().filter(|run| run.len() == 1).flatten();
        let alone = alone.filter(|point| !line.dots.contains(point));
        let dots = line.dots.iter().chain(alone).copied().collect();
        Some(Self { name, runs, dots, end, strong: line.strong, colour, stroke })
    }

    /// Paints it; `place` tells where a point is.
    fn paint(&self, canvas: &Canvas, place: impl Fn((f64, f64)) -> (f64, f64)) -> Painted {
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

/// Where the axes lie, in pixels.
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
        assert!(figure.on_card().contains("fill=\"#FFFFFF\""));
    }

    #[test]
    fn what_is_not_finite_leaves_a_gap() {
        let gap = plot(vec![(1.0, 0.5), (2.0, 0.6), (3.0, f64::NAN), (4.0, 0.7), (5.0, 0.8)]);
        let svg = gap.draw().unwrap().unwrap().svg;
        let whole = plot(vec![(1.0, 0.5), (2.0, 0.6), (4.0, 0.7), (5.0, 0.8)]);
        let curves = |svg: &str| svg.matches("stroke-width=\"20\"").count();
        assert_eq!((curves(&svg), curves(&whole.draw().unwrap().unwrap().svg)), (2, 1));
        assert!(!svg.contains("NaN"));
        assert_eq!(plot(vec![(1.0, f64::NAN)]).draw().unwrap(), None);
    }

    #[test]
    fn one_point_is_a_dot() {
        let svg = plot(vec![(1.0, 0.5)]).draw().unwrap().unwrap().svg;
        assert!(svg.contains("<circle"), "{svg}");
    }

    #[test]
    fn many_lines_make_it_higher_and_a_colour_that_comes_again_is_dashed() {
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
        // The first colour is of lines 0, 8 and 16, of which two are dashed.
        assert!(colour(0) > 10, "{}", colour(0));
        assert!(svg.contains("\n- - 8\n") && svg.contains("\n· · 16\n"), "{svg}");
    }

    #[test]
    fn a_mark_is_drawn_and_counts_for_the_axes() {
        let mut marked = plot(vec![(1e5, 0.5), (1e6, 0.6)]);
        marked.x_range = Range::Logarithmic;
        marked.x = Ticks::Count;
        marked.marks.push(Mark { name: "A".to_owned(), point: (1e7, 0.9), below: false });
        let svg = marked.draw().unwrap().unwrap().svg;
        assert!(svg.contains("<circle") && svg.contains("\nA\n"), "{svg}");
        assert!(svg.contains("10 M") && svg.contains("90 %"), "{svg}");
    }

    #[test]
    fn a_mark_beside_another_has_its_name_at_the_other_side() {
        let mut marked = plot(vec![(1.0, 0.1), (2.0, 0.9)]);
        let mark = |name: &str, y| Mark { name: name.to_owned(), point: (1.5, y), below: false };
        marked.marks = vec![mark("A", 0.5), mark("B", 0.51), mark("C", 0.7)];
        let svg = marked.draw().unwrap().unwrap().svg;
        let anchor = |name: &str| {
            let before = &svg[..svg.find(&format!("\n{name}\n")).unwrap()];
            before.rsplit("text-anchor=\"").next().unwrap().split('"').next().unwrap().to_owned()
        };
        assert_eq!(["A", "B", "C"].map(anchor), ["start", "end", "start"]);
    }
}

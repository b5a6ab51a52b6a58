//! Drawing in pixels, in the colours of the palette.

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::text::TEXT;
use crate::error::{Error, Result};

/// Width of every figure in CSS pixels.
pub(super) const WIDTH: f64 = 480.0;
/// The drawing library places marks on whole units; this many to a pixel keep curves smooth.
pub(super) const UNITS: f64 = 8.0;

/// What can go wrong while something is painted.
pub(super) type Painted = std::result::Result<(), Box<dyn std::error::Error>>;

/// Places by pixels.
type Point = (f64, f64);

/// A drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// Name of its file, without the extension; unique in a report.
    pub name: String,
    /// What it shows.
    pub caption: String,
    /// An `<svg>` element in the colours of [`PALETTE`], without background.
    pub svg: String,
}

impl Figure {
    /// The name of its file.
    pub fn file_name(&self) -> String {
        format!("{}.svg", self.name)
    }

    /// The drawing as a file of its own: on white, so that it can be read on any page.
    pub fn on_card(&self) -> String {
        let card = "<rect width=\"100%\" height=\"100%\" fill=\"#FFFFFF\"/>";
        match self.svg.split_once('>') {
            Some((head, rest)) => format!("{head}>\n{card}{rest}"),
            None => self.svg.clone(),
        }
    }
}

/// A figure being painted.
pub(super) struct Canvas<'a> {
    root: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Where a text stands, as seen from its place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    /// It ends there, in the middle of its height.
    Right,
    /// It begins there, in the middle of its height.
    Left,
    /// Its middle is there.
    Middle,
    /// Its upper edge is there, in the middle of its width.
    Below,
    /// It begins there and goes down, turned by a quarter.
    Down,
}

/// A figure of this height, painted by `paint`.
///
/// # Errors
/// Where the drawing library fails.
pub(super) fn figure(
    name: &str,
    caption: &str,
    height: f64,
    paint: impl FnOnce(&Canvas) -> Painted,
) -> Result<Figure> {
    let mut svg = String::new();
    let size = ((WIDTH * UNITS) as u32, (height * UNITS) as u32);
    let canvas = Canvas { root: SVGBackend::with_string(&mut svg, size).into_drawing_area() };
    paint(&canvas)
        .and_then(|()| Ok(canvas.root.present()?))
        .map_err(|error| Error::Figure { name: name.to_owned(), what: error.to_string() })?;
    drop(canvas);
    let svg = with_head(&svg, caption, height);
    Ok(Figure { name: name.to_owned(), caption: caption.to_owned(), svg })
}

impl Canvas<'_> {
    pub(super) fn text(&self, words: &str, colour: RGBColor, at: Point, anchor: Anchor) -> Painted {
        let (h, v) = match anchor {
            Anchor::Right => (HPos::Right, VPos::Center),
            Anchor::Left | Anchor::Down => (HPos::Left, VPos::Center),
            Anchor::Middle => (HPos::Center, VPos::Center),
            Anchor::Below => (HPos::Center, VPos::Top),
        };
        // The drawing library makes text smaller by this much.
        let mut font = ("sans-serif", TEXT * UNITS * 1.24).into_font();
        if let Anchor::Down = anchor {
            font = font.transform(FontTransform::Rotate90);
        }
        let style = TextStyle::from(font).color(&colour).pos(Pos::new(h, v));
        Ok(self.root.draw_text(words, &style, units(at))?)
    }

    pub(super) fn segment(&self, points: &[Point], colour: RGBColor, thick: f64) -> Painted {
        let points: Vec<_> = points.iter().copied().map(units).collect();
        Ok(self.root.draw(&PathElement::new(points, stroke(colour, thick)))?)
    }

    /// A line of dashes of the first length, a gap of the second between them.
    pub(super) fn dashes(
        &self,
        points: &[Point],
        [dash, gap]: [f64; 2],
        colour: RGBColor,
        thick: f64,
    ) -> Painted {
        let points: Vec<_> = points.iter().copied().map(units).collect();
        let (dash, gap) = ((dash * UNITS) as u32, (gap * UNITS) as u32);
        Ok(self.root.draw(&DashedPathElement::new(points, dash, gap, stroke(colour, thick)))?)
    }

    pub(super) fn dot(&self, at: Point, colour: RGBColor, radius: f64) -> Painted {
        Ok(self.root.draw(&Circle::new(units(at), (radius * UNITS) as i32, colour.filled()))?)
    }

    pub(super) fn ring(&self, at: Point, colour: RGBColor, radius: f64, thick: f64) -> Painted {
        let radius = (radius * UNITS) as i32;
        Ok(self.root.draw(&Circle::new(units(at), radius, stroke(colour, thick)))?)
    }

    /// A rectangle between two corners; `opacity` is between 0 and 1.
    pub(super) fn area(&self, from: Point, to: Point, colour: RGBColor, opacity: f64) -> Painted {
        let corners = [units(from), units(to)];
        Ok(self.root.draw(&Rectangle::new(corners, colour.mix(opacity).filled()))?)
    }
}

fn stroke(colour: RGBColor, thick: f64) -> ShapeStyle {
    colour.stroke_width((thick * UNITS) as u32)
}

fn units((x, y): Point) -> (i32, i32) {
    ((x * UNITS).round() as i32, (y * UNITS).round() as i32)
}

/// Puts the size in pixels and the name for readers of screens into the `<svg>` tag.
fn with_head(svg: &str, caption: &str, height: f64) -> String {
    let drawn = format!("width=\"{}\" height=\"{}\"", WIDTH * UNITS, height * UNITS);
    let caption = caption.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let head =
        format!("width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"{caption}\"");
    svg.replacen(&drawn, &head, 1)
}

//! An SVG canvas with coordinates in pixels.

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::text::TEXT;
use crate::error::{Error, Result};

/// Width of every figure in CSS pixels.
pub(super) const WIDTH: f64 = 480.0;
/// Units of the drawing library per pixel. It rounds to whole units; several keep curves smooth.
pub(super) const UNITS: f64 = 8.0;

/// A result of drawing.
pub(super) type DrawResult = std::result::Result<(), Box<dyn std::error::Error>>;

/// A position in pixels.
type Point = (f64, f64);

/// A finished figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// File name without the extension; unique in a report.
    pub name: String,
    /// Caption.
    pub caption: String,
    /// An `<svg>` element in the light colours of [`PALETTE`](super::PALETTE), without background.
    pub svg: String,
}

impl Figure {
    /// Returns its file name.
    pub fn file_name(&self) -> String {
        format!("{}.svg", self.name)
    }

    /// Returns the SVG on a white background, readable on any page.
    pub fn with_background(&self) -> String {
        let background = "<rect width=\"100%\" height=\"100%\" fill=\"#FFFFFF\"/>";
        match self.svg.split_once('>') {
            Some((head, rest)) => format!("{head}>\n{background}{rest}"),
            None => self.svg.clone(),
        }
    }
}

/// A figure that is being drawn.
pub(super) struct Canvas<'a> {
    root: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Position of a text relative to its point.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    /// Ends at the point, vertically centred.
    End,
    /// Starts at the point, vertically centred.
    Start,
    /// Centred on the point.
    Middle,
    /// Horizontally centred below the point.
    Below,
    /// Starts at the point and runs downwards, rotated by 90°.
    Down,
}

/// Draws a figure of this height with `paint`.
///
/// # Errors
/// If the drawing library fails.
pub(super) fn figure(
    name: &str,
    caption: &str,
    height: f64,
    paint: impl FnOnce(&Canvas) -> DrawResult,
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
    pub(super) fn text(
        &self,
        words: &str,
        colour: RGBColor,
        at: Point,
        anchor: Anchor,
    ) -> DrawResult {
        let (h, v) = match anchor {
            Anchor::End => (HPos::Right, VPos::Center),
            Anchor::Start | Anchor::Down => (HPos::Left, VPos::Center),
            Anchor::Middle => (HPos::Center, VPos::Center),
            Anchor::Below => (HPos::Center, VPos::Top),
        };
        // The drawing library divides the font size by 1.24.
        let mut font = ("sans-serif", TEXT * UNITS * 1.24).into_font();
        if let Anchor::Down = anchor {
            font = font.transform(FontTransform::Rotate90);
        }
        let style = TextStyle::from(font).color(&colour).pos(Pos::new(h, v));
        Ok(self.root.draw_text(words, &style, units(at))?)
    }

    pub(super) fn segment(&self, points: &[Point], colour: RGBColor, thick: f64) -> DrawResult {
        let points: Vec<_> = points.iter().copied().map(units).collect();
        Ok(self.root.draw(&PathElement::new(points, stroke(colour, thick)))?)
    }

    /// A dashed line with the lengths of dash and gap in pixels.
    pub(super) fn dashes(
        &self,
        points: &[Point],
        [dash, gap]: [f64; 2],
        colour: RGBColor,
        thick: f64,
    ) -> DrawResult {
        let points: Vec<_> = points.iter().copied().map(units).collect();
        let (dash, gap) = ((dash * UNITS) as u32, (gap * UNITS) as u32);
        Ok(self.root.draw(&DashedPathElement::new(points, dash, gap, stroke(colour, thick)))?)
    }

    pub(super) fn dot(&self, at: Point, colour: RGBColor, radius: f64) -> DrawResult {
        Ok(self.root.draw(&Circle::new(units(at), (radius * UNITS) as i32, colour.filled()))?)
    }

    pub(super) fn ring(&self, at: Point, colour: RGBColor, radius: f64, thick: f64) -> DrawResult {
        let radius = (radius * UNITS) as i32;
        Ok(self.root.draw(&Circle::new(units(at), radius, stroke(colour, thick)))?)
    }

    /// A filled rectangle between two corners; `opacity` from 0 to 1.
    pub(super) fn area(
        &self,
        from: Point,
        to: Point,
        colour: RGBColor,
        opacity: f64,
    ) -> DrawResult {
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

/// Sets the size in pixels and the label for screen readers in the `<svg>` tag.
fn with_head(svg: &str, caption: &str, height: f64) -> String {
    let drawn = format!("width=\"{}\" height=\"{}\"", WIDTH * UNITS, height * UNITS);
    let caption = caption.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let head =
        format!("width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"{caption}\"");
    svg.replacen(&drawn, &head, 1)
}

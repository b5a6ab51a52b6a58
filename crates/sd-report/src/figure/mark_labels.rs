//! Places for the labels of marks, away from lines, dots and each other.

use super::canvas::Anchor;
use super::text::{TEXT, width};

type Point = (f64, f64);

/// Distance of a label from its point, in pixels.
const GAP: f64 = 5.0;
/// Radius around a dot that labels avoid, in pixels.
const DOT: f64 = 3.5;

/// A rectangle in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

/// What labels avoid.
#[derive(Debug)]
pub(super) struct Obstacles {
    /// The area that labels stay in.
    within: Area,
    /// Line segments.
    segments: Vec<[Point; 2]>,
    dots: Vec<Area>,
    /// The labels so far.
    labels: Vec<Area>,
}

impl Obstacles {
    /// Lines and dots, and the area in which labels stay.
    pub(super) fn new(
        within: Area,
        lines: &[Vec<Point>],
        dots: impl Iterator<Item = Point>,
    ) -> Self {
        let segments = lines.iter().flat_map(|line| line.windows(2));
        let segments = segments.map(|pair| [pair[0], pair[1]]).collect();
        let dot = |(x, y): Point| Area::new((x - DOT, y - DOT), (x + DOT, y + DOT));
        Self { within, segments, dots: dots.map(dot).collect(), labels: Vec::new() }
    }

    /// The place of a label that covers the least, below its point or at its right if that is as good,
    /// and where to anchor the text. Later labels avoid it.
    pub(super) fn place(&mut self, name: &str, (x, y): Point, below: bool) -> (Point, Anchor) {
        let diagonal = GAP + TEXT / 3.0;
        let right = ((x + GAP, y), Anchor::Start);
        let under = ((x, y + GAP + TEXT / 2.0), Anchor::Middle);
        let first = if below { [under, right] } else { [right, under] };
        let others = [
            ((x - GAP, y), Anchor::End),
            ((x, y - GAP - TEXT / 2.0), Anchor::Middle),
            ((x + GAP, y + diagonal), Anchor::Start),
            ((x - GAP, y - diagonal), Anchor::End),
            ((x - GAP, y + diagonal), Anchor::End),
            ((x + GAP, y - diagonal), Anchor::Start),
        ];
        let covered = |&(at, anchor): &(Point, Anchor)| self.covered(&Area::of(name, at, anchor));
        let best = first.into_iter().chain(others).min_by_key(covered).unwrap_or(right);
        self.labels.push(Area::of(name, best.0, best.1));
        best
    }

    /// How much a label here would cover.
    fn covered(&self, label: &Area) -> usize {
        let Area { left, top, right, bottom } = self.within;
        let inside = label.left >= left
            && label.top >= top
            && label.right <= right
            && label.bottom <= bottom;
        let overlaps = |areas: &[Area]| areas.iter().filter(|area| area.overlaps(label)).count();
        let segments = self.segments.iter().filter(|segment| label.meets(**segment)).count();
        // Two labels over each other cannot be read, nor can one over an axis or the name of a line.
        segments
            + overlaps(&self.dots)
            + 10 * overlaps(&self.labels)
            + if inside { 0 } else { 1000 }
    }
}

impl Area {
    fn new((left, top): Point, (right, bottom): Point) -> Self {
        Self { left, top, right, bottom }
    }

    /// The area of a text with this anchor, vertically centred.
    fn of(name: &str, (x, y): Point, anchor: Anchor) -> Self {
        let width = width(name);
        let left = match anchor {
            Anchor::End => x - width,
            Anchor::Middle | Anchor::Below => x - width / 2.0,
            Anchor::Start | Anchor::Down => x,
        };
        Self::new((left, y - TEXT * 0.4), (left + width, y + TEXT * 0.4))
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    /// Whether a part of the segment is inside (Liang and Barsky 1984).
    fn meets(&self, [from, to]: [Point; 2]) -> bool {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let sides = [
            (-dx, from.0 - self.left),
            (dx, self.right - from.0),
            (-dy, from.1 - self.top),
            (dy, self.bottom - from.1),
        ];
        let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
        for (towards, distance) in sides {
            if towards == 0.0 && distance < 0.0 {
                return false;
            } else if towards < 0.0 {
                enter = enter.max(distance / towards);
            } else if towards > 0.0 {
                leave = leave.min(distance / towards);
            }
        }
        enter <= leave
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLOT: Area = Area { left: 0.0, top: 0.0, right: 400.0, bottom: 200.0 };

    fn obstacles(line: &[Point]) -> Obstacles {
        Obstacles::new(PLOT, &[line.to_vec()], std::iter::empty())
    }

    #[test]
    fn a_label_avoids_the_line_that_its_point_is_on() {
        let rising = [(0.0, 200.0), (100.0, 100.0), (200.0, 0.0)];
        let mut free = obstacles(&rising);
        let (place, anchor) = free.place("exit4", (100.0, 100.0), true);
        let label = Area::of("exit4", place, anchor);
        assert!(!rising.windows(2).any(|pair| label.meets([pair[0], pair[1]])), "{label:?}");
        let (next, anchor) = free.place("exit4", (102.0, 98.0), true);
        assert!(!label.overlaps(&Area::of("exit4", next, anchor)));
    }

    #[test]
    fn a_label_stays_in_the_plot() {
        for point in [(0.0, 200.0), (400.0, 0.0), (398.0, 199.0), (1.0, 1.0)] {
            let (place, anchor) = obstacles(&[]).place("a long name", point, true);
            let Area { left, top, right, bottom } = Area::of("a long name", place, anchor);
            assert!(left >= 0.0 && top >= 0.0 && right <= 400.0 && bottom <= 200.0, "{point:?}");
        }
    }

    #[test]
    fn a_segment_meets_an_area_that_it_crosses_without_a_point_inside() {
        let area = Area::new((10.0, 10.0), (20.0, 20.0));
        assert!(area.meets([(0.0, 15.0), (30.0, 15.0)]) && area.meets([(0.0, 0.0), (30.0, 30.0)]));
        assert!(
            !area.meets([(0.0, 15.0), (5.0, 15.0)]) && !area.meets([(0.0, 25.0), (30.0, 25.0)])
        );
        assert!(!area.meets([(0.0, 25.0), (25.0, 50.0)]));
    }
}

//! A window that slides over each channel by itself.

#![allow(unsafe_code, reason = "no bounds are checked in the innermost loop")]

use super::window::Window;
use crate::buffer_pool::Shelf;
use crate::simd::{Floats, LANES, Work, sixteen, with_floats, write};
use crate::tensor::Maps;

/// What becomes of the numbers that a window sees, of sixteen channels at once.
pub trait Kernel {
    /// What it knows of sixteen channels.
    type Line<'a>: Copy
    where
        Self: 'a;

    /// Channels from `16 · index` on.
    fn line(&self, index: usize) -> Self::Line<'_>;
    /// What they start from. Has to be inlined.
    fn start(line: Self::Line<'_>) -> [f32; LANES];
    /// What becomes of them with what is at this place of the window. Has to be inlined.
    fn next<F: Floats>(line: Self::Line<'_>, so_far: F, place: usize, seen: &[f32; LANES]) -> F;
}

/// Slides `window` over maps, nothing below zero if `rectified`; none where they do not fit.
pub fn slide(
    window: &Window,
    kernel: &impl Kernel,
    maps: &Maps,
    rectified: bool,
    shelf: &Shelf,
) -> Option<Maps> {
    let sides = window.output(maps)?;
    let mut output = shelf.take(maps.images, [sides[0], sides[1], maps.channels])?;
    let to = &mut output.values[..];
    with_floats(Slide { window, kernel, maps, sides, rectified, to });
    Some(output)
}

struct Slide<'a, K> {
    window: &'a Window,
    kernel: &'a K,
    maps: &'a Maps,
    /// Rows and columns of the output.
    sides: [usize; 2],
    rectified: bool,
    to: &'a mut [f32],
}

/// A place of the window.
#[derive(Clone, Copy)]
struct Tap {
    place: usize,
    /// Where it lies behind the window's first place.
    offset: usize,
}

impl<K: Kernel> Work for Slide<'_, K> {
    #[inline(always)]
    fn run<F: Floats>(mut self) {
        let (window, maps, [height, width]) = (self.window, self.maps, self.sides);
        let columns = window.kernel[1];
        let tap = |place: usize| {
            let offset = (place / columns * maps.width + place % columns) * maps.channels;
            Tap { place, offset }
        };
        let all: Vec<Tap> = (0..window.kernel[0] * columns).map(tap).collect();
        let mut some = Vec::with_capacity(all.len());
        // Those that see all columns of their window.
        let whole = |x: &usize| window.on_map(1, *x, maps.width).len() == columns;
        let first_whole = (0..width).find(whole).unwrap_or(width);
        let end = (first_whole..width).find(|x| !whole(x)).unwrap_or(width);
        let mut to = std::mem::take(&mut self.to);
        for line in 0..maps.images * height {
            let y = line % height;
            let rows = window.on_map(0, y, maps.height);
            let of_rows = &all[rows.start * columns..rows.end * columns];
            // Where the window starts, which may be before the map: what it sees is not.
            let top = (line / height * maps.height + y * window.stride[0])
                .wrapping_sub(window.before[0])
                .wrapping_mul(maps.width);
            let mut x = 0;
            while x < width {
                let left = (x * window.stride[1]).wrapping_sub(window.before[1]);
                let start = top.wrapping_add(left).wrapping_mul(maps.channels);
                // Neighbours share what is loaded for them.
                let (places, taps) = match (first_whole..end).contains(&x) {
                    true if x + 4 <= end => (4, of_rows),
                    true if x + 2 <= end => (2, of_rows),
                    true => (1, of_rows),
                    false => {
                        let seen = window.on_map(1, x, maps.width);
                        let seen = |tap: &&Tap| seen.contains(&(tap.place % columns));
                        some.clear();
                        some.extend(of_rows.iter().filter(seen));
                        (1, &some[..])
                    }
                };
                let now = to.split_off_mut(..places * maps.channels).unwrap_or_default();
                match places {
                    4 => self.lines::<F, 4>(start, taps, now),
                    2 => self.lines::<F, 2>(start, taps, now),
                    _ => self.lines::<F, 1>(start, taps, now),
                }
                x += places;
            }
        }
    }
}

impl<K: Kernel> Slide<'_, K> {
    /// All channels of `P` output places, of which the first one's window starts at `start`.
    #[inline(always)]
    fn lines<F: Floats, const P: usize>(&self, start: usize, taps: &[Tap], to: &mut [f32]) {
        let channels = self.maps.channels;
        for line in 0..channels / LANES {
            self.line::<F, P>(start, taps, line, LANES, to);
        }
        if !channels.is_multiple_of(LANES) {
            self.line::<F, P>(start, taps, channels / LANES, channels % LANES, to);
        }
    }

    /// `width` of the channels, at most sixteen.
    #[inline(always)]
    fn line<F: Floats, const P: usize>(
        &self,
        start: usize,
        taps: &[Tap],
        line: usize,
        width: usize,
        to: &mut [f32],
    ) {
        let (channels, values) = (self.maps.channels, &self.maps.values[..]);
        let (start, step) = (start.wrapping_add(line * LANES), self.window.stride[1] * channels);
        let of_line = self.kernel.line(line);
        let mut so_far = [F::start(&K::start(of_line)); P];
        let at = |tap: Option<&Tap>| start.wrapping_add(tap.map_or(0, |tap| tap.offset));
        let (first, last) = (at(taps.first()), at(taps.last()));
        let most = values.len().checked_sub((P - 1) * step + width);
        assert!(first <= last && most.is_some_and(|most| last <= most), "taps on the map");
        for tap in taps {
            let at = start.wrapping_add(tap.offset);
            for p in 0..P {
                let from = at + p * step;
                // SAFETY: taps are in order, and the first and the last one lie among the values.
                let seen = sixteen(unsafe { values.get_unchecked(from..from + width) });
                so_far[p] = K::next(of_line, so_far[p], tap.place, &seen);
            }
        }
        for p in 0..P {
            let numbers = if self.rectified { so_far[p].rectified() } else { so_far[p] };
            write(numbers.store(), &mut to[p * channels + line * LANES..][..width]);
        }
    }
}

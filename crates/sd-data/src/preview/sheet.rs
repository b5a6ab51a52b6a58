//! Rows of images with words beside them.

use font8x8::UnicodeFonts;
use image::{Rgb, RgbImage, imageops};

/// A table of images.
pub(super) struct Sheet {
    /// Above the columns.
    pub(super) titles: Vec<String>,
    pub(super) rows: Vec<Row>,
}

/// Images of one size, as many as there are titles.
pub(super) struct Row {
    /// Large, to the left.
    pub(super) title: String,
    /// Small, under the title.
    pub(super) note: String,
    pub(super) images: Vec<RgbImage>,
}

const PAPER: Rgb<u8> = Rgb([255, 255, 255]);
const INK: Rgb<u8> = Rgb([24, 24, 24]);
const GREY: Rgb<u8> = Rgb([110, 110, 110]);
const LINE: Rgb<u8> = Rgb([205, 205, 205]);
/// Columns and rows of a letter, before it is magnified.
const LETTER: u32 = 8;
const LARGE: u32 = 2;
/// Pixels that a small image is magnified to, at least.
const CELL: u32 = 96;
const GAP: u32 = 8;
const MARGIN: u32 = 16;
/// Letters of a title, and of a note, that are shown.
const TITLE: usize = 16;
const NOTE: usize = 32;

impl Sheet {
    pub(super) fn draw(&self) -> RgbImage {
        let first = self.rows.iter().flat_map(|row| &row.images).next();
        let (width, height) = first.map_or((1, 1), RgbImage::dimensions);
        let magnified = CELL.div_ceil(width.max(height)).max(1);
        let (width, height) = (width * magnified, height * magnified);
        // The titles of columns are at least as wide as a small letter times their length.
        let longest = self.titles.iter().map(|title| title.chars().count() as u32).max();
        let column = width.max(longest.unwrap_or(0) * LETTER) + GAP;
        let row = height.max((LARGE + 1) * LETTER + GAP) + GAP;
        let words = self.rows.iter().map(Row::width).max().unwrap_or(0);
        let left = MARGIN + words + 2 * GAP;
        let top = MARGIN + LETTER + GAP;
        let columns = self.titles.len() as u32;
        let mut picture = RgbImage::from_pixel(
            // Between the original and the others is a line.
            left + columns * column + 2 * GAP + MARGIN,
            top + self.rows.len() as u32 * row + MARGIN,
            PAPER,
        );
        let place =
            |index: usize| left + index as u32 * column + if index > 0 { 2 * GAP } else { 0 };
        for (index, title) in self.titles.iter().enumerate() {
            write(&mut picture, title, place(index), MARGIN, 1, GREY);
        }
        for (index, each) in self.rows.iter().enumerate() {
            let top = top + index as u32 * row;
            let middle = top + (height.saturating_sub((LARGE + 1) * LETTER + GAP)) / 2;
            write(&mut picture, &cut(&each.title, TITLE), MARGIN, middle, LARGE, INK);
            let under = middle + LARGE * LETTER + GAP;
            write(&mut picture, &cut_front(&each.note, NOTE), MARGIN, under, 1, GREY);
            for (index, image) in each.images.iter().enumerate() {
                let image = imageops::resize(image, width, height, imageops::FilterType::Nearest);
                imageops::replace(&mut picture, &image, place(index).into(), top.into());
            }
        }
        if columns > 1 {
            let x = place(1) - GAP - GAP / 2;
            for y in top..picture.height() - MARGIN - GAP {
                picture.put_pixel(x, y, LINE);
            }
        }
        picture
    }
}

impl Row {
    /// Of its words, in pixels.
    fn width(&self) -> u32 {
        let letters = |text: &str, most: usize| text.chars().count().min(most) as u32;
        let title = letters(&self.title, TITLE) * LARGE;
        (title.max(letters(&self.note, NOTE))) * LETTER
    }
}

/// The beginning of a text that is longer than `most` letters.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 2).chain("..".chars()).collect()
}

/// The end of a text that is longer than `most` letters: of a path, the name of the file.
fn cut_front(text: &str, most: usize) -> String {
    let letters = text.chars().count();
    if letters <= most {
        return text.to_owned();
    }
    "..".chars().chain(text.chars().skip(letters + 2 - most)).collect()
}

/// Writes a line, each dot of a letter a square of `magnified` pixels; what the font lacks is `?`.
fn write(picture: &mut RgbImage, text: &str, left: u32, top: u32, magnified: u32, color: Rgb<u8>) {
    for (index, letter) in text.chars().enumerate() {
        let left = left + index as u32 * LETTER * magnified;
        for (y, dots) in (0..).zip(glyph(letter)) {
            for x in (0..LETTER).filter(|x| dots >> x & 1 == 1) {
                for (dx, dy) in (0..magnified).flat_map(|dx| (0..magnified).map(move |dy| (dx, dy)))
                {
                    let (x, y) = (left + x * magnified + dx, top + y * magnified + dy);
                    if let Some(pixel) = picture.get_pixel_mut_checked(x, y) {
                        *pixel = color;
                    }
                }
            }
        }
    }
}

/// The rows of a letter, the leftmost dot in the lowest bit.
fn glyph(letter: char) -> [u8; LETTER as usize] {
    let known = font8x8::BASIC_FONTS.get(letter).or_else(|| font8x8::LATIN_FONTS.get(letter));
    known.or_else(|| font8x8::BASIC_FONTS.get('?')).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_drawn_where_they_are_written() {
        let mut picture = RgbImage::from_pixel(40, 20, PAPER);
        write(&mut picture, "I", 4, 2, 2, INK);
        let dark = |x: u32, y: u32| *picture.get_pixel(x, y) == INK;
        let found: Vec<String> = (0..8)
            .map(|y| (0..8).map(|x| if dark(4 + 2 * x, 2 + 2 * y) { '#' } else { '.' }).collect())
            .collect();
        #[rustfmt::skip]
        assert_eq!(found, [
            ".####...", "..##....", "..##....", "..##....", "..##....", "..##....", ".####...",
            "........",
        ]);
        let outside = picture.enumerate_pixels().filter(|(x, y, _)| *x < 4 || *x >= 20 || *y < 2);
        assert!(outside.into_iter().all(|(_, _, &pixel)| pixel == PAPER));
    }

    #[test]
    fn long_words_are_cut_and_unknown_letters_are_told() {
        assert_eq!(cut("pickup_truck", 12), "pickup_truck");
        assert_eq!(cut("pickup_trucks", 12), "pickup_tru..");
        assert_eq!(cut_front("train/cat/a.png", 9), "..t/a.png");
        assert_eq!(glyph('猫'), glyph('?'));
        assert_ne!(glyph('ü'), glyph('?'));
    }
}

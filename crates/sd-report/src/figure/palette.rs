//! Colours of figures.

use plotters::style::RGBColor;

/// The colours of figures, each for a light and a dark page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Palette {
    ink: Colour,
    page: Colour,
    muted: Colour,
    grid: Colour,
    series: [Colour; 6],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Colour {
    light: u32,
    dark: u32,
}

/// The colours that figures are drawn in. Except for the grid, the contrast to the page is at least
/// 3:1. Those of lines differ in lightness as well as in hue, so that they are told apart without red,
/// green or blue cones.
pub const PALETTE: Palette = Palette {
    ink: Colour { light: 0x1F2328, dark: 0xE3E6EA },
    page: Colour { light: 0xFEFEFE, dark: 0x14171B },
    muted: Colour { light: 0x636C76, dark: 0x98A1AB },
    grid: Colour { light: 0xE4E8EC, dark: 0x2A3036 },
    series: [
        Colour { light: 0x0A5CD8, dark: 0x2F8AFF },
        Colour { light: 0xE0653A, dark: 0xEC5212 },
        Colour { light: 0x07451C, dark: 0xB6F9B7 },
        Colour { light: 0x8A0A6A, dark: 0xB96FA0 },
        Colour { light: 0x7A5C00, dark: 0xE8B616 },
        Colour { light: 0x17A0C6, dark: 0x45CAE8 },
    ],
};

impl Palette {
    /// Returns every colour as `#RRGGBB`, for a light and a dark page.
    pub fn pairs(&self) -> impl Iterator<Item = (String, String)> {
        let hex = |colour: u32| format!("#{colour:06X}");
        let colours = [self.ink, self.page, self.muted, self.grid].into_iter().chain(self.series);
        colours.map(move |colour| (hex(colour.light), hex(colour.dark)))
    }

    /// Text on cells.
    pub(super) fn ink(&self) -> RGBColor {
        rgb(self.ink.light)
    }

    /// Text on strong cells. Not pure white, which stays white on a dark page.
    pub(super) fn page(&self) -> RGBColor {
        rgb(self.page.light)
    }

    pub(super) fn muted(&self) -> RGBColor {
        rgb(self.muted.light)
    }

    pub(super) fn grid(&self) -> RGBColor {
        rgb(self.grid.light)
    }

    /// Number of colours of lines.
    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    /// The colour of a line; after the last colour comes the first again.
    pub(super) fn series(&self, index: usize) -> RGBColor {
        rgb(self.series[index % self.series.len()].light)
    }
}

fn rgb(colour: u32) -> RGBColor {
    let [_, red, green, blue] = colour.to_be_bytes();
    RGBColor(red, green, blue)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Linear = [f64; 3];

    /// Linear RGB of a colour, 0 to 1.
    fn linear(colour: u32) -> Linear {
        let [_, rgb @ ..] = colour.to_be_bytes();
        rgb.map(|channel| {
            let value = f64::from(channel) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        })
    }

    fn product(matrix: [Linear; 3], colour: Linear) -> Linear {
        matrix.map(|row| row.iter().zip(colour).map(|(a, b)| a * b).sum())
    }

    /// Full vision, protanopia, deuteranopia and tritanopia (Machado et al. 2009, severity 1).
    const VISION: [[Linear; 3]; 4] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ],
    ];

    /// Coordinates in Oklab (Ottosson 2020), in which distances are perceived alike.
    fn oklab(colour: Linear) -> Linear {
        let cones = product(
            [
                [0.4122214708, 0.5363325363, 0.0514459929],
                [0.2119034982, 0.6806995451, 0.1073969566],
                [0.0883024619, 0.2817188376, 0.6299787005],
            ],
            colour.map(|value| value.clamp(0.0, 1.0)),
        );
        let axes = [
            [0.2104542553, 0.793617785, -0.0040720468],
            [1.9779984951, -2.428592205, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.808675766],
        ];
        product(axes, cones.map(f64::cbrt))
    }

    fn distance(a: Linear, b: Linear) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn colours_of_lines_are_told_apart_by_everyone() {
        for shade in [|colour: &Colour| colour.light, |colour: &Colour| colour.dark] {
            let colours = PALETTE.series.each_ref().map(shade).map(linear);
            for vision in VISION {
                let seen = colours.map(|colour| oklab(product(vision, colour)));
                for (index, one) in seen.iter().enumerate() {
                    for other in &seen[..index] {
                        // The colours of Okabe and Ito (2008) are at least 0.076 apart.
                        let apart = distance(*one, *other);
                        assert!(apart > 0.1, "{index} of {vision:?}: {apart}");
                    }
                }
            }
        }
    }

    #[test]
    fn colours_contrast_with_the_page() {
        let luminance = |colour| {
            let [red, green, blue] = linear(colour);
            0.2126 * red + 0.7152 * green + 0.0722 * blue
        };
        for colour in PALETTE.series.iter().chain([&PALETTE.ink, &PALETTE.muted]) {
            assert!(1.05 / (luminance(colour.light) + 0.05) >= 3.0, "{colour:X?}");
            let dark = luminance(PALETTE.page.dark) + 0.05;
            assert!((luminance(colour.dark) + 0.05) / dark >= 3.0, "{colour:X?}");
        }
    }
}

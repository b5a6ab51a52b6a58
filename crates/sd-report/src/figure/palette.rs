use plotters::style::RGBColor;

/// The colours of figures, each for a white page and for a dark one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Palette {
    ink: Colour,
    page: Colour,
    muted: Colour,
    grid: Colour,
    series: [Colour; 8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Colour {
    light: u32,
    dark: u32,
}

/// What figures are drawn in. All of it stands out from its page at 3:1 or more, the grid apart.
pub const PALETTE: Palette = Palette {
    ink: Colour { light: 0x1F2328, dark: 0xE3E6EA },
    page: Colour { light: 0xFEFEFE, dark: 0x14171B },
    muted: Colour { light: 0x636C76, dark: 0x98A1AB },
    grid: Colour { light: 0xE4E8EC, dark: 0x2A3036 },
    series: [
        Colour { light: 0x0B6BCB, dark: 0x74B3F5 },
        Colour { light: 0xD9480F, dark: 0xFF9A66 },
        Colour { light: 0x2B8A3E, dark: 0x69DB7C },
        Colour { light: 0x9C36B5, dark: 0xDA8CF0 },
        Colour { light: 0x946F00, dark: 0xE6C34A },
        Colour { light: 0x0C8599, dark: 0x4CC9DB },
        Colour { light: 0xC2255C, dark: 0xF783AC },
        Colour { light: 0x5C636B, dark: 0xADB5BD },
    ],
};

impl Palette {
    /// Every colour as `#RRGGBB`, for a white page and for a dark one.
    pub fn pairs(&self) -> impl Iterator<Item = (String, String)> {
        let hex = |colour: u32| format!("#{colour:06X}");
        let colours = [self.ink, self.page, self.muted, self.grid].into_iter().chain(self.series);
        colours.map(move |colour| (hex(colour.light), hex(colour.dark)))
    }

    /// Text on cells.
    pub(super) fn ink(&self) -> RGBColor {
        rgb(self.ink.light)
    }

    /// Text on cells whose colour is strong. Not the card's white, which stays white on a dark page.
    pub(super) fn page(&self) -> RGBColor {
        rgb(self.page.light)
    }

    pub(super) fn muted(&self) -> RGBColor {
        rgb(self.muted.light)
    }

    pub(super) fn grid(&self) -> RGBColor {
        rgb(self.grid.light)
    }

    /// How many lines of a plot have a colour of their own.
    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    /// The colour of a plot's line; after the last comes the first.
    pub(super) fn series(&self, index: usize) -> RGBColor {
        rgb(self.series[index % self.series.len()].light)
    }
}

fn rgb(colour: u32) -> RGBColor {
    let [_, red, green, blue] = colour.to_be_bytes();
    RGBColor(red, green, blue)
}

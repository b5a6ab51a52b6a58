//! Figures as SVG: line plots with the name of each curve at its end, reliability diagrams and
//! confusion matrices. Drawn for a white page in the colours of [`PALETTE`], which has a colour for
//! a dark page to each.

mod axis;
mod canvas;
pub(crate) mod confusion_matrix;
mod line_plot;
mod mark_labels;
mod palette;
pub(crate) mod reliability_diagram;
mod text;

pub use axis::{Range, Ticks};
pub use canvas::Figure;
pub use line_plot::{Line, Mark, Plot};
pub use palette::{PALETTE, Palette};

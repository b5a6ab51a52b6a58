//! The structure of a report: sections of text, tables and figures, without HTML or Markdown.

use crate::error::Result;
use crate::figure::{Figure, Plot};

/// A report, independent of its format.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The title. All text is plain text.
    pub title: String,
    /// One line under the title.
    pub lead: String,
    /// Whether a run is still training, so that a page reloads itself.
    pub running: bool,
    /// The sections.
    pub blocks: Vec<Block>,
}

impl Document {
    /// Returns the figures in order.
    pub fn figures(&self) -> impl Iterator<Item = &Figure> {
        self.blocks.iter().flat_map(|block| &block.elements).flat_map(|element| match element {
            Element::Figures(figures) => figures.as_slice(),
            Element::Highlights(_)
            | Element::Heading(_)
            | Element::Paragraph(_)
            | Element::Notice(_)
            | Element::Table(_)
            | Element::Gallery(_)
            | Element::Code { .. } => &[],
        })
    }
}

/// A section of the document.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Its anchor.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// Its content.
    pub elements: Vec<Element>,
}

/// A part of a section.
#[derive(Debug, Clone, PartialEq)]
pub enum Element {
    /// A heading below that of the section.
    Heading(String),
    /// Text.
    Paragraph(String),
    /// A warning, such as that a run failed.
    Notice(String),
    /// The most important numbers.
    Highlights(Vec<Highlight>),
    /// A table.
    Table(Table),
    /// Figures side by side.
    Figures(Vec<Figure>),
    /// Pictures with captions.
    Gallery(Vec<Picture>),
    /// A file, collapsed.
    Code {
        /// Its title.
        title: String,
        /// Name of its language.
        language: &'static str,
        /// Its text.
        text: String,
    },
}

impl Element {
    /// The plots that are not empty, side by side; `None` if all are empty.
    pub(crate) fn drawn(plots: impl IntoIterator<Item = Plot>) -> Result<Option<Self>> {
        let mut figures = Vec::new();
        for plot in plots {
            figures.extend(plot.draw()?);
        }
        Ok((!figures.is_empty()).then_some(Self::Figures(figures)))
    }
}

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// A PNG file in base64.
    pub png: String,
    /// What it is predicted to be.
    pub title: String,
    /// Further lines.
    pub lines: Vec<String>,
}

/// An important number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Highlight {
    /// Its label.
    pub label: String,
    /// The number with its unit.
    pub value: String,
    /// A comparison or an explanation; may be empty.
    pub note: String,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// The columns; every row has one cell per column.
    pub columns: Vec<Column>,
    /// The rows.
    pub rows: Vec<Row>,
}

impl Table {
    /// Creates a table without rows.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.push_row(cells, false);
    }

    /// Adds a highlighted row.
    pub fn push_strong(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.push_row(cells, true);
    }

    fn push_row(&mut self, cells: impl IntoIterator<Item = Cell>, strong: bool) {
        let cells: Vec<_> = cells.into_iter().collect();
        debug_assert_eq!(cells.len(), self.columns.len(), "one cell per column");
        self.rows.push(Row { cells, strong });
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its heading.
    pub title: String,
    /// Alignment of its cells.
    pub align: Align,
}

impl Column {
    /// Creates a column of text.
    pub fn text(title: impl Into<String>) -> Self {
        Self { title: title.into(), align: Align::Left }
    }

    /// Creates a column of numbers.
    pub fn number(title: impl Into<String>) -> Self {
        Self { title: title.into(), align: Align::Right }
    }
}

/// Alignment of the cells of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// For text.
    Left,
    /// For numbers.
    Right,
}

/// The text of a cell.
pub type Cell = String;

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// One cell per column.
    pub cells: Vec<Cell>,
    /// Whether it is highlighted.
    pub strong: bool,
}

//! The structure of a report: sections of text, tables and figures, without HTML or Markdown.

use crate::error::Result;
use crate::figure::{Figure, Plot};

/// A report: what is shown, not how.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The title, plain text as all text here.
    pub title: String,
    /// One line under the title.
    pub lead: String,
    /// The sections that have something to show.
    pub blocks: Vec<Block>,
}

impl Document {
    /// The figures, in order.
    pub fn figures(&self) -> impl Iterator<Item = &Figure> {
        self.blocks.iter().flat_map(|block| &block.elements).flat_map(|element| match element {
            Element::Figures(figures) => figures.as_slice(),
            Element::Highlights(_)
            | Element::Heading(_)
            | Element::Paragraph(_)
            | Element::Notice(_)
            | Element::Table(_)
            | Element::Code { .. } => &[],
        })
    }
}

/// A section with what it shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Name of its anchor.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// Its content.
    pub elements: Vec<Element>,
}

/// A piece of a section.
#[derive(Debug, Clone, PartialEq)]
pub enum Element {
    /// A heading below the section's own.
    Heading(String),
    /// Text.
    Paragraph(String),
    /// Text that must not be overlooked: what is wrong with the run.
    Notice(String),
    /// The few numbers to be seen first.
    Highlights(Vec<Highlight>),
    /// Rows and columns.
    Table(Table),
    /// Figures that belong side by side.
    Figures(Vec<Figure>),
    /// A file, shown on demand.
    Code {
        /// What it is called.
        title: String,
        /// Name of its language.
        language: &'static str,
        /// The file's text.
        text: String,
    },
}

impl Element {
    /// The plots that have something to show, side by side; `None` where none has.
    pub(crate) fn drawn(plots: impl IntoIterator<Item = Plot>) -> Result<Option<Self>> {
        let mut figures = Vec::new();
        for plot in plots {
            figures.extend(plot.draw()?);
        }
        Ok((!figures.is_empty()).then_some(Self::Figures(figures)))
    }
}

/// A number to be seen first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Highlight {
    /// What it is.
    pub label: String,
    /// The number with its unit.
    pub value: String,
    /// What it is to be compared with; may be empty.
    pub note: String,
}

/// Rows and columns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// The columns; every row has a cell for each.
    pub columns: Vec<Column>,
    /// The rows.
    pub rows: Vec<Row>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.push_row(cells, false);
    }

    /// Adds a row that matters more than the others.
    pub fn push_strong(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.push_row(cells, true);
    }

    fn push_row(&mut self, cells: impl IntoIterator<Item = Cell>, strong: bool) {
        let cells: Vec<_> = cells.into_iter().collect();
        debug_assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        self.rows.push(Row { cells, strong });
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its heading.
    pub title: String,
    /// Where its cells stand.
    pub align: Align,
}

impl Column {
    /// A column of text.
    pub fn text(title: impl Into<String>) -> Self {
        Self { title: title.into(), align: Align::Left }
    }

    /// A column of numbers.
    pub fn number(title: impl Into<String>) -> Self {
        Self { title: title.into(), align: Align::Right }
    }
}

/// Where the cells of a column stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// The text of a cell.
pub type Cell = String;

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// A cell for each column.
    pub cells: Vec<Cell>,
    /// Whether it matters more than the others.
    pub strong: bool,
}

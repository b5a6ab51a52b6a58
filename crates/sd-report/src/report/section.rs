use crate::document::Element;
use crate::error::Result;
use crate::run_folder::Run;

/// A section of the report.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Its anchor in the page, unique among the sections.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// Returns the section's content for one or more runs; without elements, the section is left
    /// out.
    pub build: fn(&[Run]) -> Result<Vec<Element>>,
}

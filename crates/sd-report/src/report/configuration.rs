//! The configuration as the run resolved it.

use super::run_names::names;
use super::section::Section;
use crate::document::Element;
use crate::error::Result;
use crate::run_folder::{CONFIG, Run};

pub(super) const SECTION: Section = Section { id: "configuration", title: "Configuration", build };

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let code = |(run, name): (&Run, String)| Element::Code {
        title: if runs.len() == 1 { CONFIG.to_owned() } else { name },
        language: "toml",
        text: run.config.text().to_owned(),
    };
    Ok(runs.iter().zip(names(runs)).map(code).collect())
}

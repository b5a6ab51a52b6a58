//! A document as one self-contained HTML page: styles and figures are inline, without scripts and
//! network requests.

use askama::Template;

use crate::document::{Align, Document, Element};
use crate::error::Result;
use crate::figure::PALETTE;

/// Time between two reloads of the page of a run that is still training.
const RELOAD_SECONDS: u32 = 10;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    document: &'a Document,
    dark_figures: String,
    version: &'a str,
}

/// Renders a document as a page.
///
/// # Errors
/// If the template fails, which it does not in memory.
pub fn render(document: &Document) -> Result<String> {
    let version = env!("CARGO_PKG_VERSION");
    let page = Page { document, dark_figures: dark_figures(), version };
    Ok(page.render()?)
}

/// Style rules that replace each colour of the palette on a dark page. Figures are drawn for a light
/// one.
fn dark_figures() -> String {
    let mut rules = String::new();
    for (light, dark) in PALETTE.pairs() {
        for property in ["fill", "stroke"] {
            rules += &format!("    svg [{property}=\"{light}\"] {{ {property}: {dark}; }}\n");
        }
    }
    rules
}

fn class(align: &Align) -> &'static str {
    match align {
        Align::Left => "text",
        Align::Right => "number",
    }
}

/// The text without line breaks between a number and its unit.
fn unbroken(text: &str) -> String {
    [" %", " k ", " M ", " G "]
        .iter()
        .fold(text.to_owned(), |text, unit| text.replace(unit, &unit.replacen(' ', "\u{a0}", 1)))
}

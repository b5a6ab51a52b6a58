//! A document as one page that needs nothing else: style and figures are within it, it holds no
//! script and asks for nothing from the network.

use askama::Template;

use crate::document::{Align, Document, Element};
use crate::error::Result;
use crate::figure::PALETTE;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    document: &'a Document,
    dark_figures: String,
    version: &'a str,
}

/// The document as a page.
///
/// # Errors
/// Where the template cannot be filled in, which in memory it can.
pub fn render(document: &Document) -> Result<String> {
    let version = env!("CARGO_PKG_VERSION");
    let page = Page { document, dark_figures: dark_figures(), version };
    Ok(page.render()?)
}

/// Figures are drawn for a white page. On a dark one, a rule for each colour of the palette
/// puts another in its place.
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

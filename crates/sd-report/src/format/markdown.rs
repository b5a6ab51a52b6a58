//! A document as GitHub-flavoured Markdown, with figures as files in `figures/`.

use std::fmt::Write as _;

use crate::document::{Align, Document, Element, Table};
use crate::run_folder::FIGURES;

/// Renders a document.
pub fn render(document: &Document) -> String {
    let mut out = format!("# {}\n\n{}\n", escape(&document.title), escape(&document.lead));
    for block in &document.blocks {
        push(&mut out, &format!("## {}", escape(block.title)));
        push_all(&mut out, &block.elements);
    }
    out
}

/// Renders elements to insert into another document.
pub fn render_elements(elements: &[Element]) -> String {
    let mut out = String::new();
    push_all(&mut out, elements);
    // The blank line before the first.
    out.drain(..out.len().min(1));
    out
}

fn push_all(out: &mut String, elements: &[Element]) {
    for element in elements {
        push(out, &render_element(element));
    }
}

/// Adds a paragraph after a blank line.
fn push(out: &mut String, text: &str) {
    out.push('\n');
    out.push_str(text);
    out.push('\n');
}

fn render_element(element: &Element) -> String {
    match element {
        Element::Heading(text) => format!("### {}", escape(text)),
        Element::Paragraph(text) => escape(text),
        Element::Notice(text) => format!("> **{}**", escape(text)),
        Element::Highlights(highlights) => {
            let lines = highlights.iter().map(|highlight| {
                let note = match highlight.note.as_str() {
                    "" => String::new(),
                    note => format!(", {}", escape(note)),
                };
                format!("- {}: **{}**{note}", escape(&highlight.label), escape(&highlight.value))
            });
            lines.collect::<Vec<_>>().join("\n")
        }
        Element::Table(table) => render_table(table),
        Element::Gallery(pictures) => {
            let lines = pictures.iter().map(|picture| {
                let lines: Vec<String> = picture.lines.iter().map(|line| escape(line)).collect();
                format!("- **{}**, {}", escape(&picture.title), lines.join(", "))
            });
            lines.collect::<Vec<_>>().join("\n")
        }
        Element::Figures(figures) => {
            let images = figures.iter().map(|figure| {
                let caption = escape(&figure.caption);
                // Few readers see the alternative text of an image, so the caption comes before.
                format!("**{caption}**\n\n![{caption}]({FIGURES}/{})", figure.file_name())
            });
            images.collect::<Vec<_>>().join("\n\n")
        }
        Element::Code { title, language, text } => {
            // A fence must be longer than any in the text.
            let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
            let fence = "`".repeat(3.max(longest + 1));
            let text = text.trim_end();
            format!(
                "<details>\n<summary>{}</summary>\n\n{fence}{language}\n{text}\n{fence}\n\n</details>",
                escape(title)
            )
        }
    }
}

fn render_table(table: &Table) -> String {
    let mut out = String::new();
    let line = |out: &mut String, cells: &mut dyn Iterator<Item = String>| {
        out.push('|');
        for cell in cells {
            let _ = write!(out, " {cell} |");
        }
        out.push('\n');
    };
    line(&mut out, &mut table.columns.iter().map(|column| escape(&column.title)));
    line(
        &mut out,
        &mut table.columns.iter().map(|column| match column.align {
            Align::Left => "---".to_owned(),
            Align::Right => "--:".to_owned(),
        }),
    );
    for row in &table.rows {
        let strong = |cell: &String| match (row.strong, cell.as_str()) {
            (true, text) if !text.is_empty() => format!("**{}**", escape(text)),
            (_, text) => escape(text),
        };
        line(&mut out, &mut row.cells.iter().map(strong));
    }
    out.truncate(out.trim_end().len());
    out
}

/// Escapes plain text. A line break would end a table row.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut previous = ' ';
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\n' | '\r' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '|' | '`' | '*' | '[' | ']' | '~' | '$' => out.extend(['\\', character]),
            // An underscore within a word needs no escape.
            '_' => {
                let next = characters.peek().copied().unwrap_or(' ');
                if !(previous.is_alphanumeric() && next.is_alphanumeric()) {
                    out.push('\\');
                }
                out.push('_');
            }
            other => out.push(other),
        }
        previous = character;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_escaped() {
        assert_eq!(escape("a|b *c* <d> e_f _g"), r"a\|b \*c\* &lt;d> e_f \_g");
        assert_eq!(escape("two\nlines"), "two lines");
    }

    #[test]
    fn a_fence_is_longer_than_any_in_the_text() {
        let code = Element::Code { title: "t".into(), language: "toml", text: "````\n".into() };
        assert!(render_element(&code).contains("`````toml\n````\n`````"));
    }
}

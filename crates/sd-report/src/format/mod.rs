//! Numbers as text, and documents and tables as HTML, Markdown, CSV and terminal text.

pub mod csv;
pub mod html;
pub mod markdown;
pub mod number;
pub mod terminal;

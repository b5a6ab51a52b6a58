//! How a number or a [`Document`](crate::document::Document) is written.

pub mod csv;
pub mod html;
pub mod markdown;
pub mod number;
pub mod terminal;

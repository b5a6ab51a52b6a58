//! The page, put together.

use super::runtime::Runtime;
use anyhow::Result;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use std::io::Write;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// One module: later files use what earlier ones define.
const SCRIPT: [&str; 4] = [
    include_str!("embedded.js"),
    include_str!("image.js"),
    include_str!("network.js"),
    include_str!("page.js"),
];

/// What a page has in it.
#[derive(Debug)]
pub struct Page {
    /// What runs the network.
    pub runtime: Runtime,
    /// The staged network's files, shallow first.
    pub segments: Vec<Vec<u8>>,
    /// Images to choose from.
    pub samples: Vec<Sample>,
}

/// An image of the test split.
#[derive(Debug)]
pub struct Sample {
    /// Its class.
    pub class: String,
    /// Its format, such as `image/png`.
    pub media_type: String,
    /// The file.
    pub bytes: Vec<u8>,
}

impl Page {
    /// All in one document.
    pub fn html(&self) -> Result<String> {
        let samples = self.samples.iter().map(|Sample { class, media_type, bytes }| {
            let base64 = BASE64_STANDARD.encode(bytes);
            json!({"class": class, "media_type": media_type, "base64": base64})
        });
        let segments = self.segments.iter().map(|file| packed(file)).collect::<Result<Vec<_>>>()?;
        let embedded = json!({
            "module": packed(&self.runtime.module)?,
            "wasm": packed(&self.runtime.wasm)?,
            "segments": segments,
            "samples": samples.collect::<Vec<_>>(),
        });
        // Within a script element, no class may end it.
        let embedded = embedded.to_string().replace('<', "\\u003c");
        let parts = [("style", STYLE), ("embedded", &embedded), ("script", &SCRIPT.join("\n"))];
        let place = |page: String, (name, text): (&str, &str)| {
            page.replacen(&format!("{{{{ {name} }}}}"), text, 1)
        };
        Ok(parts.into_iter().fold(PAGE.to_owned(), place))
    }
}

/// Gzip in base64.
fn packed(bytes: &[u8]) -> Result<String> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    Ok(BASE64_STANDARD.encode(gzip.finish()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_in_the_page_and_nothing_ends_it_early() {
        let runtime = Runtime { module: b"module".to_vec(), wasm: b"wasm".to_vec() };
        let sample = Sample {
            class: "</script>".to_owned(),
            media_type: "image/png".to_owned(),
            bytes: b"png".to_vec(),
        };
        let page = Page { runtime, segments: vec![b"1".to_vec()], samples: vec![sample] };
        let html = page.html().unwrap();
        assert!(!html.contains("{{"), "a place is left empty");
        assert_eq!(html.matches("</script>").count(), PAGE.matches("</script>").count());
        let start = "<script id=\"embedded\" type=\"application/json\">";
        let embedded = html.split_once(start).unwrap().1.split_once("</script>").unwrap().0;
        let embedded: serde_json::Value = serde_json::from_str(embedded).unwrap();
        let expected = json!({"class": "</script>", "media_type": "image/png", "base64": "cG5n"});
        assert_eq!(embedded["samples"][0], expected);
        assert_eq!(embedded["wasm"], packed(b"wasm").unwrap());
        assert_eq!(embedded["segments"].as_array().unwrap().len(), 1);
        for address in ["http://", "https://", "src=\"", "url("] {
            assert!(!PAGE.contains(address) && !STYLE.contains(address), "{address}");
        }
    }
}

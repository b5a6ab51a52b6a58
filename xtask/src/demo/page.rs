//! Assembly of the page.

use super::runtime::Runtime;
use anyhow::Result;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::io::Write;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// Parts of one JavaScript module; later ones use earlier ones.
const SCRIPT: [&str; 5] = [
    include_str!("embedded.js"),
    include_str!("orientation.js"),
    include_str!("image.js"),
    include_str!("network.js"),
    include_str!("page.js"),
];

/// Contents of a page.
#[derive(Debug)]
pub struct Page {
    /// ONNX Runtime.
    pub runtime: Runtime,
    /// Files of the staged network, shallowest first.
    pub segments: Vec<Vec<u8>>,
    /// Images to choose from.
    pub samples: Vec<Sample>,
}

/// An image of the test split.
#[derive(Debug)]
pub struct Sample {
    /// Name of its class.
    pub class: String,
    /// Media type, such as `image/png`.
    pub media_type: String,
    /// Encoded image.
    pub bytes: Vec<u8>,
}

impl Page {
    /// Returns the page as one HTML document.
    pub fn html(&self) -> Result<String> {
        let samples = self.samples.iter().map(|Sample { class, media_type, bytes }| {
            let base64 = BASE64_STANDARD.encode(bytes);
            json!({"class": class, "media_type": media_type, "base64": base64})
        });
        let segments =
            self.segments.iter().map(|file| compress(file)).collect::<Result<Vec<_>>>()?;
        let embedded = json!({
            "module": compress(&self.runtime.module)?,
            "wasm": compress(&self.runtime.wasm)?,
            "segments": segments,
            "samples": samples.collect::<Vec<_>>(),
        });
        // A class name must not end the script element.
        let embedded = embedded.to_string().replace('<', "\\u003c");
        let script = SCRIPT.join("\n");
        let policy = policy(&script);
        let parts =
            [("policy", &*policy), ("style", STYLE), ("embedded", &embedded), ("script", &script)];
        let insert = |page: String, (name, text): (&str, &str)| {
            page.replacen(&format!("{{{{ {name} }}}}"), text, 1)
        };
        Ok(parts.into_iter().fold(PAGE.to_owned(), insert))
    }
}

/// The page's Content Security Policy: it runs its own script and style, and ONNX Runtime, which the
/// script unpacks to a blob; it shows images, and connects to nowhere.
fn policy(script: &str) -> String {
    // With the line breaks of the elements in the page.
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(format!("\n{text}\n")));
    let (script, style) = (hash(script), hash(STYLE));
    format!(
        "default-src 'none'; script-src 'sha256-{script}' blob: 'wasm-unsafe-eval'; \
         style-src 'sha256-{style}'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
}

/// Returns gzip data in base64.
fn compress(bytes: &[u8]) -> Result<String> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    Ok(BASE64_STANDARD.encode(gzip.finish()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_contains_everything_and_escapes_class_names() {
        let runtime = Runtime { module: b"module".to_vec(), wasm: b"wasm".to_vec() };
        let sample = Sample {
            class: "</script>".to_owned(),
            media_type: "image/png".to_owned(),
            bytes: b"png".to_vec(),
        };
        let page = Page { runtime, segments: vec![b"1".to_vec()], samples: vec![sample] };
        let html = page.html().unwrap();
        assert!(!html.contains("{{"), "a placeholder is left");
        assert_eq!(html.matches("</script>").count(), PAGE.matches("</script>").count());
        let start = "<script id=\"embedded\" type=\"application/json\">";
        let embedded = html.split_once(start).unwrap().1.split_once("</script>").unwrap().0;
        let embedded: serde_json::Value = serde_json::from_str(embedded).unwrap();
        let expected = json!({"class": "</script>", "media_type": "image/png", "base64": "cG5n"});
        assert_eq!(embedded["samples"][0], expected);
        assert_eq!(embedded["wasm"], compress(b"wasm").unwrap());
        assert_eq!(embedded["segments"].as_array().unwrap().len(), 1);
        // Of the elements' text, as browsers compute them.
        for (start, end) in [("<style>", "</style>"), ("<script type=\"module\">", "</script>")] {
            let text = html.split_once(start).unwrap().1.split_once(end).unwrap().0;
            let hash = BASE64_STANDARD.encode(Sha256::digest(text));
            assert!(html.contains(&format!("'sha256-{hash}'")), "{start}");
        }
        for address in ["http://", "https://", "src=\"", "url("] {
            assert!(!PAGE.contains(address) && !STYLE.contains(address), "{address}");
        }
    }
}

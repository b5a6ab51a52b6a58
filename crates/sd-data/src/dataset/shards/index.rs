//! The images in a shard, from its headers.

use crate::dataset::open_regular;
use crate::source::MAX_BYTES;
use crate::{Error, Result};
use sd_image::EXTENSIONS;
use std::io::{Read, Seek};
use std::path::Path;
use tar::Archive;

/// An image in a shard.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::dataset) struct Member {
    /// Path in the shard.
    pub(in crate::dataset) name: String,
    pub(in crate::dataset) label: usize,
    /// Place of its bytes in the shard.
    pub(in crate::dataset) offset: u64,
    pub(in crate::dataset) length: u64,
}

/// Members of one key that follow each other.
#[derive(Default)]
struct Sample {
    key: String,
    /// Name, offset and length.
    image: Option<(String, u64, u64)>,
    /// Name of its member, and the label.
    label: Option<(String, usize)>,
}

/// Bytes of a tar file's blocks, and of the two empty ones at its end.
const BLOCK: u64 = 512;
const END: u64 = 2 * BLOCK;
/// Most bytes of a label.
const MAX_LABEL: u64 = 1 << 20;

/// Lists the images of a shard, in order.
///
/// # Errors
/// If it is missing or truncated, or has an image without a label, a label without an image, a label
/// that is no number below `classes`, or two images or two different labels of one key.
pub(super) fn scan(path: &Path, classes: usize) -> Result<Vec<Member>> {
    let file = open_regular(path)?;
    let size = file.metadata().map_err(Error::read(path))?.len();
    parse(file, size, path, classes)
}

/// [`scan`] of a shard of `size` bytes.
pub(in crate::dataset) fn parse(
    shard: impl Read + Seek,
    size: u64,
    path: &Path,
    classes: usize,
) -> Result<Vec<Member>> {
    let mut archive = Archive::new(shard);
    let entries = archive.entries_with_seek().map_err(Error::read(path))?;
    let (mut members, mut sample, mut end) = (Vec::new(), Sample::default(), 0);
    for entry in entries {
        let mut entry = entry.map_err(|error| damaged(path, error))?;
        let (offset, length) = (entry.raw_file_position(), entry.size());
        // The length of a sparse member is any number.
        let last = offset.saturating_add(length);
        end = last.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
        if end > size {
            return Err(damaged(path, format!("a member that ends at byte {last} of {size}")));
        }
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let base = name.rfind('/').map_or(0, |slash| slash + 1);
        let Some(dot) = name[base..].find('.').filter(|&dot| dot > 0) else { continue };
        let (key, ending) = (&name[..base + dot], name[base + dot + 1..].to_ascii_lowercase());
        if sample.key != key {
            members.extend(std::mem::take(&mut sample).member(path)?);
            key.clone_into(&mut sample.key);
        }
        if EXTENSIONS.contains(&ending.as_str()) {
            if length > MAX_BYTES {
                let expected = format!("at most {MAX_BYTES}");
                return Err(place(path, &name, format!("{length} bytes"), expected));
            }
            if let Some((first, ..)) = &sample.image {
                let found = format!("a second image beside `{first}`");
                return Err(place(path, &name, found, "one image per key"));
            }
            sample.image = Some((name, offset, length));
        } else if ["cls", "json"].contains(&ending.as_str()) {
            let mut text = String::new();
            let read = (&mut entry).take(MAX_LABEL).read_to_string(&mut text);
            read.map_err(|error| damaged(path, error))?;
            let label = label(&ending, &text);
            // Metadata without a label may stand beside a `.cls` file.
            let is_metadata = ending == "json"
                && (sample.label.is_some() || !text.contains("label") && !text.contains("cls"));
            if label.is_none() && is_metadata {
                continue;
            }
            let Some(label) = label.filter(|&label| label < classes) else {
                let found = text.chars().take(80).collect::<String>();
                let expected = format!("a label from 0 to {}", classes - 1);
                return Err(place(path, &name, format!("`{}`", found.trim()), expected));
            };
            if let Some((first, other)) = &sample.label
                && *other != label
            {
                let expected = format!("{other}, the label in `{first}`");
                return Err(place(path, &name, format!("label {label}"), expected));
            }
            sample.label = Some((name, label));
        }
    }
    members.extend(sample.member(path)?);
    if members.is_empty() {
        return Err(Error::folder(path, "no images", "`key.jpg` with `key.cls` or `key.json`"));
    }
    if end + END > size {
        return Err(damaged(path, "no end of the archive"));
    }
    Ok(members)
}

/// The label in a file of this ending.
fn label(ending: &str, text: &str) -> Option<usize> {
    if ending == "cls" {
        return text.trim().parse().ok();
    }
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let label = value.get("label").or_else(|| value.get("cls")).unwrap_or(&value);
    label.as_u64().and_then(|label| usize::try_from(label).ok())
}

impl Sample {
    /// The image with its label; `None` if this is neither.
    fn member(self, path: &Path) -> Result<Option<Member>> {
        match (self.image, self.label) {
            (None, None) => Ok(None),
            (Some((name, offset, length)), Some((_, label))) => {
                Ok(Some(Member { name, label, offset, length }))
            }
            (Some((name, ..)), None) => {
                let expected = format!("`{0}.cls` or `{0}.json` beside it", self.key);
                Err(place(path, &name, "no label", expected))
            }
            (None, Some(_)) => {
                Err(place(path, &self.key, "a label without an image", "an image beside it"))
            }
        }
    }
}

fn damaged(path: &Path, found: impl ToString) -> Error {
    Error::folder(path, found, "a whole tar file")
}

fn place(path: &Path, name: &str, found: impl ToString, expected: impl ToString) -> Error {
    // Not joined: an absolute name would replace the path.
    let mut place = path.as_os_str().to_owned();
    place.push("/");
    place.push(name);
    Error::folder(Path::new(&place), found, expected)
}

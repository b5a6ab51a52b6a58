//! What a file may be named, hold and weigh.

use super::File;

/// Lines that a Rust file has at most without a reason.
const LINES: usize = 400;
/// How the reason begins.
const REASON: &str = "//! tidy: long because ";
/// Bytes that a file has at most.
const BYTES: u64 = 4 << 20;
/// The same of the trained networks that prove the figures.
const MODELS: (&str, u64) = ("models/", 16 << 20);
/// Names that say nothing of the subject.
const NAMELESS: [&str; 6] = ["utils", "util", "common", "helpers", "helper", "misc"];
/// Where people's folders are.
const HOMES: [&str; 3] = [concat!("/", "home/"), concat!("/", "root/"), concat!("/", "Users/")];

/// What is wrong with the file, a line each.
pub fn complaints(file: &File) -> Vec<String> {
    let name = &file.name;
    let mut found = Vec::new();
    let most = if name.starts_with(MODELS.0) { MODELS.1 } else { BYTES };
    if file.bytes > most {
        found.push(format!("{name}: found {} bytes, expected at most {most}", file.bytes));
    }
    let Some(text) = &file.text else { return found };
    for (index, line) in text.lines().enumerate() {
        if let Some(home) = HOMES.iter().find(|home| names_home(line, home)) {
            let line = index + 1;
            found.push(format!("{name}:{line}: a path of somebody's machine ({home}…)"));
        }
    }
    if let Some(path) = name.strip_suffix(".rs") {
        let stem = path.rsplit('/').next().unwrap_or(path);
        if NAMELESS.contains(&stem) {
            found.push(format!("{name}: named {stem}; name it after its one subject"));
        }
        let lines = text.lines().count();
        if lines > LINES && !text.contains(REASON) {
            found.push(format!(
                "{name}: found {lines} lines, expected at most {LINES}; divide it, or say why \
                 with `{REASON}…`"
            ));
        }
        if name.ends_with("/src/lib.rs") && !opens_with_example(text) {
            found.push(format!("{name}: expected an essay (`//!`) on top with an example (```)"));
        }
    }
    found
}

/// Whether the line has such a path, and not the middle of an address.
fn names_home(line: &str, home: &str) -> bool {
    line.match_indices(home).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-}~".contains(c))
    })
}

fn opens_with_example(text: &str) -> bool {
    let essay = text.lines().take_while(|line| line.starts_with("//!"));
    essay.filter(|line| line.starts_with("//! ```")).count() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str) -> Vec<String> {
        let bytes = text.len() as u64;
        complaints(&File { name: name.to_owned(), bytes, text: Some(text.to_owned()) })
    }

    #[test]
    fn a_file_is_named_after_its_subject() {
        assert!(of("crates/a/src/utils.rs", "")[0].contains("named utils"));
        assert!(of("crates/a/src/common.rs", "")[0].contains("named common"));
        assert!(of("crates/a/src/shape.rs", "").is_empty());
        assert!(of("scripts/helpers.md", "").is_empty());
    }

    #[test]
    fn a_long_file_says_why() {
        let long = "fn f() {}\n".repeat(LINES + 1);
        assert!(of("src/a.rs", &long)[0].contains("found 401 lines, expected at most 400"));
        assert!(of("src/a.rs", &format!("{REASON}it is a table\n{long}")).is_empty());
        assert!(of("src/a.rs", &"fn f() {}\n".repeat(LINES)).is_empty());
        assert!(of("notes.md", &long).is_empty());
    }

    #[test]
    fn nobodys_machine_is_named() {
        for home in HOMES {
            let found = of("a.md", &format!("\nsee `{home}somebody/x`"));
            assert!(found[0].starts_with("a.md:2:"), "{found:?}");
            assert!(of("a.md", &format!("see example.org{home}x and $CACHE}}{home}x")).is_empty());
        }
    }

    #[test]
    fn a_heavy_file_is_seen_whatever_it_holds() {
        let file = File { name: "data/a.gz".to_owned(), bytes: BYTES + 1, text: None };
        assert!(complaints(&file)[0].contains("found 4194305 bytes"));
        assert!(complaints(&File { bytes: BYTES, ..file }).is_empty());
    }

    #[test]
    fn a_library_opens_with_an_essay_and_an_example() {
        let name = "crates/a/src/lib.rs";
        assert_eq!(of(name, "//! One line.\n").len(), 1);
        assert_eq!(of(name, "//! Essay.\nmod a;\n//! ```\n//! ```\n").len(), 1);
        assert!(of(name, "//! Essay.\n//!\n//! ```\n//! f();\n//! ```\nmod a;\n").is_empty());
    }
}

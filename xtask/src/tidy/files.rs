//! Rules for the name, content and size of a file.

use super::File;

/// Maximum number of lines of a Rust file.
const LINES: usize = 400;
/// Maximum size of a file.
const BYTES: u64 = 4 << 20;
/// Folder of the published weights, and the maximum size of a file there.
const MODELS: (&str, u64) = ("models/", 16 << 20);
/// The root of the training library and its maximum number of public modules.
const PUBLIC_MODULES: (&str, usize) = ("crates/sd-train/src/lib.rs", 10);
/// File names that do not tell the subject.
const VAGUE: [&str; 6] = ["utils", "util", "common", "helpers", "helper", "misc"];
/// Parents of users' home folders.
const HOMES: [&str; 3] = [concat!("/", "home/"), concat!("/", "root/"), concat!("/", "Users/")];

/// Violated rules, one per line.
pub fn problems(file: &File) -> Vec<String> {
    let name = &file.name;
    let mut found = Vec::new();
    let most = if name.starts_with(MODELS.0) { MODELS.1 } else { BYTES };
    if file.bytes > most {
        found.push(format!("{name}: found {} bytes, expected at most {most}", file.bytes));
    }
    let Some(text) = &file.text else { return found };
    for (index, line) in text.lines().enumerate() {
        if let Some(home) = HOMES.iter().find(|home| contains_home(line, home)) {
            let line = index + 1;
            found.push(format!("{name}:{line}: a path of a user's machine ({home}…)"));
        }
    }
    if let Some(path) = name.strip_suffix(".rs") {
        let stem = path.rsplit('/').next().unwrap_or(path);
        if VAGUE.contains(&stem) {
            found.push(format!("{name}: found the name {stem}, expected the name of its subject"));
        }
        let lines = text.lines().count();
        if lines > LINES {
            found.push(format!("{name}: found {lines} lines, expected at most {LINES}"));
        }
        let is_source = name.starts_with("crates/") && name.contains("/src/");
        let attribute = |line: &str| line.trim_start().starts_with("#[path");
        if (is_source || name.starts_with("fuzz/targets/")) && text.lines().any(attribute) {
            found.push(format!("{name}: found #[path], expected a crate that both programs use"));
        }
        if is_source && let Some(variant) = cause_in_message_and_chain(text) {
            found.push(format!(
                "{name}: found the cause of `{variant}` in its message and in the chain of sources, \
                 expected one of them"
            ));
        }
        let modules = text.lines().filter(|line| line.starts_with("pub mod ")).count();
        if name == PUBLIC_MODULES.0 && modules > PUBLIC_MODULES.1 {
            let most = PUBLIC_MODULES.1;
            found.push(format!("{name}: found {modules} public modules, expected at most {most}"));
        }
        if name.ends_with("/src/lib.rs") && !opens_with_example(text) {
            found.push(format!(
                "{name}: expected documentation (`//!`) with an example (```) at the top"
            ));
        }
    }
    found
}

/// Whether a line contains such a path, other than as part of a URL.
fn contains_home(line: &str, home: &str) -> bool {
    line.match_indices(home).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-}~".contains(c))
    })
}

/// The first variant of an error whose message contains its source, which is printed once more with
/// the chain.
fn cause_in_message_and_chain(text: &str) -> Option<&str> {
    text.split("#[error(").skip(1).find_map(|rest| {
        let (message, rest) = rest.split_once(")]\n")?;
        let variant = rest.split_once("#[error(").map_or(rest, |(variant, _)| variant);
        let unnamed = message.contains("{0") && variant.contains("(#[");
        let named = message.contains("{source") && variant.contains("source:");
        (unnamed || named).then(|| variant.trim().split(['(', ' ']).next().unwrap_or(variant))
    })
}

fn opens_with_example(text: &str) -> bool {
    let documentation = text.lines().take_while(|line| line.starts_with("//!"));
    documentation.filter(|line| line.starts_with("//! ```")).count() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str) -> Vec<String> {
        let bytes = text.len() as u64;
        problems(&File { name: name.to_owned(), bytes, text: Some(text.to_owned()) })
    }

    #[test]
    fn a_file_is_named_after_its_subject() {
        assert!(of("crates/a/src/utils.rs", "")[0].contains("the name utils"));
        assert!(of("crates/a/src/common.rs", "")[0].contains("the name common"));
        assert!(of("crates/a/src/shape.rs", "").is_empty());
        assert!(of("scripts/helpers.md", "").is_empty());
    }

    #[test]
    fn a_rust_file_is_not_too_long() {
        let long = "fn f() {}\n".repeat(LINES + 1);
        assert!(of("src/a.rs", &long)[0].contains("found 401 lines, expected at most 400"));
        assert!(of("src/a.rs", &"fn f() {}\n".repeat(LINES)).is_empty());
        assert!(of("notes.md", &long).is_empty());
    }

    #[test]
    fn a_cause_is_in_the_message_or_in_the_chain() {
        let error = |message: &str, fields: &str| {
            let text =
                format!("enum Error {{\n    #[error(\"{message}\")]\n    Read{fields},\n}}\n");
            of("crates/a/src/error.rs", &text)
        };
        let found = error("cannot read: {0}", "(#[from] io::Error)");
        assert!(found[0].contains("the cause of `Read` in its message"), "{found:?}");
        assert_eq!(error("cannot read: {source}", " { source: io::Error }").len(), 1);
        for (message, fields) in [
            ("cannot read", "(#[from] io::Error)"),
            ("cannot read: {0}", "(io::Error)"),
            ("{path}: {cause}", " { path: PathBuf, cause: io::Error }"),
        ] {
            assert!(error(message, fields).is_empty(), "{message}{fields}");
        }
    }

    #[test]
    fn no_file_contains_a_path_of_a_users_machine() {
        for home in HOMES {
            let found = of("a.md", &format!("\nsee `{home}somebody/x`"));
            assert!(found[0].starts_with("a.md:2:"), "{found:?}");
            assert!(of("a.md", &format!("see example.org{home}x and $CACHE}}{home}x")).is_empty());
        }
    }

    #[test]
    fn large_binary_files_are_found() {
        let file = File { name: "data/a.gz".to_owned(), bytes: BYTES + 1, text: None };
        assert!(problems(&file)[0].contains("found 4194305 bytes"));
        assert!(problems(&File { bytes: BYTES, ..file }).is_empty());
    }

    #[test]
    fn a_library_opens_with_documentation_and_an_example() {
        let name = "crates/a/src/lib.rs";
        assert_eq!(of(name, "//! One line.\n").len(), 1);
        assert_eq!(of(name, "//! Essay.\nmod a;\n//! ```\n//! ```\n").len(), 1);
        assert!(of(name, "//! Essay.\n//!\n//! ```\n//! f();\n//! ```\nmod a;\n").is_empty());
    }

    #[test]
    fn source_files_are_not_included_by_path() {
        let text = "#[path = \"../b.rs\"]\nmod b;\n";
        for name in ["crates/a/src/main.rs", "fuzz/targets/a.rs"] {
            assert!(of(name, text)[0].contains("found #[path]"));
        }
        assert!(of("crates/a/tests/a.rs", text).is_empty());
    }

    #[test]
    fn sd_train_has_few_public_modules() {
        let text = "//! Training.\n//!\n//! ```\n//! ```\n".to_owned() + &"pub mod a;\n".repeat(11);
        assert!(of(PUBLIC_MODULES.0, &text)[0].contains("found 11 public modules"));
        assert!(of("crates/a/src/lib.rs", &text).is_empty());
    }
}

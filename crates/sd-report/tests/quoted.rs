//! Tables quoted in documents match the records in this repository.

use std::fs;
use std::path::{Path, PathBuf};

use sd_report::format::markdown;
use sd_report::report;
use sd_report::{Result, Run};

/// Documents with quoted tables.
const DOCUMENTS: [&str; 3] = [
    "README.md",
    "docs/results/2026-11-25-2-core-avx512/README.md",
    "docs/results/2026-11-25-2-core-avx512/ablations.md",
];
/// Start of the comment before a quoted table: the command that prints it, with folders of the
/// repository.
const START: &str = "<!-- cargo xtask report ";
const END: &str = "<!-- end -->";
/// If set, the documents are rewritten instead of checked.
const WRITE: &str = "SD_WRITE_QUOTES";
const TEST: &str = "cargo xtask test --test quoted";

#[test]
fn quoted_tables_are_what_their_commands_print() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let write = std::env::var_os(WRITE).is_some();
    let mut quotes = 0;
    for document in DOCUMENTS {
        let path = root.join(document);
        let text = fs::read_to_string(&path).unwrap();
        let mut rewritten = String::new();
        let mut rest = text.as_str();
        while let Some(start) = rest.find(START) {
            let (before, quote) = rest.split_at(start);
            let (command, quote) = quote.split_once("-->\n").expect("the comment ends its line");
            let (quoted, after) =
                quote.split_once(END).expect("a quoted table ends with a comment");
            let printed = printed(&root, command.strip_prefix(START).unwrap_or(command).trim());
            let printed = format!("{printed}\n");
            if !write {
                assert_eq!(quoted, printed, "{document}: `{WRITE}=1 {TEST}` rewrites it");
            }
            rewritten += &format!("{before}{command}-->\n{printed}{END}");
            rest = after;
            quotes += 1;
        }
        rewritten += rest;
        if write {
            fs::write(&path, &rewritten).unwrap();
        }
    }
    assert!(quotes > 0);
}

/// The output of the command, which may continue on the next line after a backslash.
fn printed(root: &Path, arguments: &str) -> String {
    let (runs, id) = arguments.split_once("--section ").expect("one section is quoted");
    let patterns = runs.split_whitespace().filter(|word| *word != "\\");
    let folders = patterns.flat_map(|pattern| folders(root, pattern));
    let runs = folders.map(Run::open).collect::<Result<Vec<_>>>().unwrap();
    let section = report::section(id).expect("a section of the report");
    let elements = (section.build)(&runs).unwrap();
    assert!(!elements.is_empty(), "{arguments}: an empty section");
    markdown::render_elements(&elements)
}

/// The folders that match `pattern`, which may end in a star.
fn folders(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let Some(start) = pattern.strip_suffix('*') else { return vec![root.join(pattern)] };
    let (parent, start) = start.rsplit_once('/').expect("a folder of docs");
    let entries = fs::read_dir(root.join(parent)).unwrap().map(|entry| entry.unwrap());
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(start));
    let mut found: Vec<PathBuf> = named.map(|entry| entry.path()).collect();
    found.retain(|path| path.is_dir());
    found.sort();
    assert!(!found.is_empty(), "{pattern}: no folder");
    found
}

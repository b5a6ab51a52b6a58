//! Tables and figures of the documentation agree with the records in this repository.

use std::fs;
use std::path::{Path, PathBuf};

use sd_report::document::Element;
use sd_report::figure::{Line, Mark, Plot, Range, Ticks};
use sd_report::format::markdown;
use sd_report::report;
use sd_report::stats::mean;
use sd_report::{Result, Run};

/// Documents with tables that a report printed.
const PRINTED: [&str; 4] = [
    "docs/results/vgg11/tables.md",
    "docs/results/resnet18/tables.md",
    "docs/results/ablations/tables.md",
    "docs/results/exits/tables.md",
];
/// Documents with shorter tables, made by hand.
const SHORTENED: [&str; 5] = [
    "README.md",
    "docs/results.md",
    "docs/results/vgg11/README.md",
    "docs/results/vgg11-60-epochs/README.md",
    "docs/results/resnet18/README.md",
];
/// Comment before a printed table: the command, with folders of the repository.
const PRINTED_START: &str = "<!-- cargo xtask report ";
/// Comment before a shortened table: the command that prints its rows, among others.
const SHORTENED_START: &str = "<!-- rows of: cargo xtask report ";
const END: &str = "<!-- end -->";
/// Experiments with figures of their report.
const ILLUSTRATED: [&str; 3] = ["vgg11", "resnet18", "ablations"];
const FIGURE: &str = "docs/results/vgg11/accuracy-against-parameters.svg";
/// Set, the printed tables and the figures are written instead of checked.
const WRITE: &str = "SD_WRITE_QUOTES";
const TEST: &str = "cargo xtask test --test quoted";

#[test]
fn printed_tables_are_what_their_commands_print() {
    let root = root();
    let mut tables = 0;
    for document in PRINTED {
        let path = root.join(document);
        let text = fs::read_to_string(&path).unwrap();
        let mut rewritten = String::new();
        let mut rest = text.as_str();
        while let Some(start) = rest.find(PRINTED_START) {
            let (before, quote) = rest.split_at(start);
            let (command, quote) = quote.split_once("-->\n").expect("the comment ends its line");
            let (quoted, after) =
                quote.split_once(END).expect("a quoted table ends with a comment");
            let elements = elements(&root, command.strip_prefix(PRINTED_START).unwrap_or(command));
            let printed = format!("{}\n", markdown::render_elements(&elements));
            if !writes() {
                assert_eq!(quoted, printed, "{document}: `{WRITE}=1 {TEST}` rewrites it");
            }
            rewritten += &format!("{before}{command}-->\n{printed}{END}");
            rest = after;
            tables += 1;
        }
        rewritten += rest;
        if writes() {
            fs::write(&path, &rewritten).unwrap();
        }
    }
    assert!(tables > 0);
}

/// All cells of a row but the first, which names it, stand in one row of the report. A row whose
/// name contains "published" is not checked.
#[test]
fn shortened_tables_have_the_numbers_of_the_report() {
    let root = root();
    for document in SHORTENED {
        let text = fs::read_to_string(root.join(document)).unwrap();
        let mut tables = 0;
        for quote in text.split(SHORTENED_START).skip(1) {
            let (command, quote) = quote.split_once("-->\n").expect("the comment ends its line");
            let reported = table_rows(&elements(&root, command));
            let lines = quote.lines().take_while(|line| line.starts_with('|'));
            let mut rows = lines.map(|line| line.trim_matches('|').split('|').map(str::trim));
            let titles: Vec<&str> = rows.next().expect("a header").collect();
            for row in rows.skip(1) {
                let cells: Vec<&str> = row.collect();
                assert_eq!(cells.len(), titles.len(), "{document}: {cells:?}");
                if cells[0].contains("published") {
                    continue;
                }
                let timed = titles.iter().map(|title| title.starts_with("latency"));
                let (times, numbers): (Vec<_>, Vec<_>) = cells
                    .iter()
                    .zip(timed)
                    .skip(1)
                    .filter(|(cell, _)| !cell.is_empty() && **cell != "–")
                    .partition(|(_, timed)| *timed);
                let has = |row: &Vec<String>| {
                    numbers.iter().all(|(cell, _)| row.iter().any(|found| found == *cell))
                };
                assert!(!numbers.is_empty() && reported.iter().any(has), "{document}: {cells:?}");
                if !times.is_empty() {
                    let (runs, _) = command.split_once("--section").expect("a section");
                    let latencies =
                        table_rows(&elements(&root, &format!("{runs}--section latency")));
                    for (time, _) in times {
                        let ratio = format!("{time} (");
                        let is_time = |cell: &String| cell == time || cell.starts_with(&ratio);
                        assert!(latencies.iter().flatten().any(is_time), "{document}: {time}");
                    }
                }
            }
            tables += 1;
        }
        assert!(tables > 0, "{document}: no table");
    }
}

#[test]
fn committed_figures_are_those_of_the_report() {
    let root = root();
    for experiment in ILLUSTRATED {
        let folder = format!("docs/results/{experiment}");
        let runs = folders(&root, &format!("{folder}/runs/*"));
        let runs = runs.into_iter().map(Run::open).collect::<Result<Vec<_>>>().unwrap();
        let document = report::document(&runs).unwrap();
        for committed in fs::read_dir(root.join(&folder).join("figures")).unwrap() {
            let committed = committed.unwrap();
            let name = committed.file_name();
            let figure = document.figures().find(|figure| *figure.file_name() == *name);
            let figure = figure.unwrap_or_else(|| panic!("{folder}: no figure {name:?}"));
            if writes() {
                fs::write(committed.path(), figure.with_background()).unwrap();
            }
            let drawn = fs::read_to_string(committed.path()).unwrap();
            assert!(
                drawn == figure.with_background(),
                "{folder}/figures/{name:?}: `{WRITE}=1 {TEST}` draws it again"
            );
        }
    }
}

#[test]
fn the_figure_of_the_readme_shows_the_records() {
    let root = root();
    let line = |name: &str, run: &str, strong| {
        let folders =
            folders(&root, &format!("docs/results/vgg11/runs/cifar100-vgg11-{run}-seed*"));
        let runs: Vec<Run> = folders.into_iter().map(|folder| Run::open(folder).unwrap()).collect();
        let mut points: Vec<(f64, f64)> = (0..runs[0].summary.exits.len())
            .map(|exit| {
                let top1 = runs.iter().map(|run| run.summary.exits[exit].test_top1.unwrap());
                let top1 = mean(&top1.collect::<Vec<_>>()).unwrap();
                (runs[0].summary.exits[exit].params as f64, top1)
            })
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Line { name: name.to_owned(), dots: points.clone(), points, strong }
    };
    let compressed = line("compressed VGG11", "mixed-eca-light-all-pairs-smoothing", true);
    // github.com/chenyaofo/pytorch-cifar-models
    let published = vec![(815_000.0, 0.7088), (1_480_000.0, 0.7361), (2_350_000.0, 0.7420)];
    let exit4 = compressed.dots[3];
    let mark = |name: &str, point, below| Mark { name: name.to_owned(), point, below };
    let plot = Plot {
        name: "accuracy-against-parameters".to_owned(),
        caption: "CIFAR-100 test accuracy against parameters, one point per exit".to_owned(),
        x_label: "parameters",
        x: Ticks::Count,
        y: Ticks::Percent,
        x_range: Range::Logarithmic,
        y_from_zero: false,
        lines: vec![
            Line {
                name: "MobileNetV2, published".to_owned(),
                dots: published.clone(),
                points: published,
                strong: false,
            },
            line("dense VGG11", "dense-plain-smoothing", false),
            compressed,
            line("separable VGG11", "separable-light", false),
        ],
        marks: vec![
            mark("exit 4", exit4, true),
            mark("VGG11, published", (9_800_000.0, 0.7078), false),
        ],
    };
    let svg = plot.draw().unwrap().expect("points").with_background();
    let path = root.join(FIGURE);
    if writes() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &svg).unwrap();
    }
    let drawn = fs::read_to_string(&path).unwrap();
    assert!(drawn == svg, "{FIGURE}: `{WRITE}=1 {TEST}` draws it rewritten");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn writes() -> bool {
    std::env::var_os(WRITE).is_some()
}

/// Returns the section that a command prints; the command may go on in another line after a backslash.
fn elements(root: &Path, arguments: &str) -> Vec<Element> {
    let (runs, id) = arguments.split_once("--section ").expect("one section is quoted");
    let patterns = runs.split_whitespace().filter(|word| *word != "\\");
    let folders = patterns.flat_map(|pattern| folders(root, pattern));
    let runs = folders.map(Run::open).collect::<Result<Vec<_>>>().unwrap();
    let section = report::section(id.trim()).expect("a section of the report");
    let elements = (section.build)(&runs).unwrap();
    assert!(!elements.is_empty(), "{arguments}: an empty section");
    elements
}

fn table_rows(elements: &[Element]) -> Vec<Vec<String>> {
    let tables = elements.iter().filter_map(|element| match element {
        Element::Table(table) => Some(&table.rows),
        _ => None,
    });
    tables.flatten().map(|row| row.cells.clone()).collect()
}

/// Returns the folders that a shell puts in place of `pattern`, whose last character may be a star.
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

//! What `train` prints at its end.

use super::findings::findings;
use super::overview::chosen_exit;
use crate::document::{Column, Table};
use crate::format::number::{count, percent_or_none};
use crate::format::terminal;
use crate::run_folder::{REPORT_HTML, Run};

/// Formats the result of a run for a terminal: accuracy and cost of every exit, the
/// [`findings`](super::findings()), the report's path, and commands to try next.
pub fn end_of_training(run: &Run) -> String {
    let folder = run.folder.display();
    let exits = run.summary.exits.as_slice();
    // Without `--exit`, both commands use the deepest exit.
    let chosen = chosen_exit(run).filter(|exit| exits.last() != Some(*exit));
    let exit = chosen.map_or_else(String::new, |exit| format!(" --exit {}", exit.name));
    let next = [
        format!("report   {}", run.folder.join(REPORT_HTML).display()),
        format!("export   cargo xtask export {folder}{exit}"),
        format!("predict  cargo xtask predict {folder} IMAGE{exit}"),
    ];
    let mut parts = vec![terminal::render(&table(run))];
    parts.extend(findings(std::slice::from_ref(run)));
    parts.push(next.join("\n"));
    parts.join("\n\n")
}

fn table(run: &Run) -> Table {
    let numbers = ["Test top-1", "Parameters", "MACs"].map(Column::number);
    let mut table = Table::new([Column::text("Exit")].into_iter().chain(numbers));
    for exit in &run.summary.exits {
        let (params, macs) = (count(exit.params), count(exit.macs));
        table.push([exit.name.clone(), percent_or_none(exit.test_top1), params, macs]);
    }
    table
}

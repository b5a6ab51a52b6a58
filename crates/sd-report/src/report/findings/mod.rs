//! Findings: what a network is worth and where to stop, with the figure that shows it.

mod one_run;
mod several_runs;

use super::overview::notices;
use super::section::Section;
use crate::document::Element;
use crate::error::Result;
use crate::format::number::{count, share};
use crate::record::{Cost, ENSEMBLE, ExitScore};
use crate::run_folder::Run;

pub(super) const SECTION: Section = Section { id: "findings", title: "Findings", build };

/// Name of the figure.
const FIGURE: &str = "findings";

/// Returns the paragraphs that a report opens with: for one run, what the network is worth and where
/// to stop; for several, what to deploy and how it compares with the dense original. What
/// limits the result comes first.
pub fn findings(runs: &[Run]) -> Vec<String> {
    match runs {
        [run] => notices(runs).chain(one_run::paragraphs(run)).collect(),
        runs => several_runs::paragraphs(runs),
    }
}

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let (mut elements, plot): (Vec<_>, _) = match runs {
        [run] => {
            let notices = notices(runs).map(Element::Notice);
            let paragraphs = one_run::paragraphs(run).into_iter().map(Element::Paragraph);
            (notices.chain(paragraphs).collect(), one_run::plot(run))
        }
        runs => {
            let paragraphs = several_runs::paragraphs(runs).into_iter().map(Element::Paragraph);
            (paragraphs.collect(), several_runs::plot(runs))
        }
    };
    elements.extend(Element::drawn(plot)?);
    Ok(elements)
}

/// `exit2`, `the deepest exit`, `the ensemble`.
fn exit_name(exit: &str) -> String {
    match exit {
        "deepest" => "the deepest exit".to_owned(),
        ENSEMBLE => "the ensemble".to_owned(),
        exit => exit.to_owned(),
    }
}

/// `1.58 M parameters (17.1 % of the dense original's) and 84.0 M MACs (54.9 %)`.
fn costs(exit: &ExitScore, dense: Option<Cost>) -> String {
    let [params, macs] = [count(exit.params), count(exit.macs)];
    match dense {
        None => format!("{params} parameters and {macs} MACs"),
        Some(dense) if (dense.params, dense.macs) == (exit.params, exit.macs) => {
            format!("{params} parameters and {macs} MACs, as many as its dense original")
        }
        Some(dense) => format!(
            "{params} parameters ({} of the dense original's) and {macs} MACs ({})",
            share(exit.params, dense.params),
            share(exit.macs, dense.macs)
        ),
    }
}

/// `0.4 points`, without a sign; `None` if it rounds to zero.
fn distance(difference: f64) -> Option<String> {
    let points = format!("{:.1}", 100.0 * difference.abs());
    (points != "0.0").then(|| format!("{points} points"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_has_no_sign_and_is_none_if_it_rounds_to_zero() {
        assert_eq!(distance(-0.0042).as_deref(), Some("0.4 points"));
        assert_eq!((distance(0.0004), distance(0.0)), (None, None));
    }
}

//! The run, exit or ensemble, and number format to deploy under limits, by validation accuracy alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::experiment::valid_top1;
use crate::deployment::{DeployRecord, Engine, RUNTIMES};
use crate::error::{Error, Result};
use crate::format::number::{count, percent, plural, time};
use crate::record::{ENSEMBLE, Status};
use crate::run_folder::Run;

/// 8-bit forms, as the names of exports end.
const INT8: [&str; 2] = ["convinteger", "qdq"];

/// What a deployed network may cost. Unset limits do not exclude anything.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Milliseconds for one image alone, in the first of [`RUNTIMES`] that was measured.
    pub milliseconds: Option<f64>,
    /// Size of the exported file in megabytes (10⁶ bytes).
    pub megabytes: Option<f64>,
    /// Multiply-accumulates per image.
    pub macs: Option<u64>,
}

/// An exit or the ensemble of a run in a number format. Displayed as one line.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// The run.
    pub run: &'a Run,
    /// Name of the exit, or `ensemble`.
    pub exit: String,
    /// The 8-bit form; `None` for `f32`.
    pub int8: Option<&'static str>,
    /// Validation top-1 after the last epoch, in the training's number format.
    pub valid_top1: f64,
    /// Multiply-accumulates per image.
    pub macs: u64,
    /// Size of the exported file in bytes, if measured.
    pub bytes: Option<u64>,
    /// Median seconds for one image alone, and the engine, if measured.
    pub latency: Option<(f64, Engine)>,
}

/// Returns the candidate of the finished runs within `limits` with the highest validation accuracy;
/// of equal ones, `f32` before 8 bits, whose accuracy only the test images tell, then the one with
/// the fewest multiply-accumulates.
///
/// # Errors
/// [`Error::Choice`] if nothing fits, with the number of candidates that each limit excludes; if no
/// run has finished; if the runs have several data sets, no validation split, or, with a limit in
/// milliseconds, measurements of several machines.
pub fn choose<'a>(runs: &'a [Run], limits: &Limits) -> Result<Candidate<'a>> {
    let finished = || runs.iter().filter(|run| run.summary.status == Status::Finished);
    if finished().next().is_none() {
        let what = "none of these runs has finished, expected at least one that has";
        return Err(Error::Choice(what.to_owned()));
    }
    let data_sets: BTreeSet<&str> = finished().map(|run| run.summary.dataset.as_str()).collect();
    if data_sets.len() > 1 {
        let names = data_sets.into_iter().collect::<Vec<_>>().join(", ");
        return Err(Error::Choice(format!(
            "found runs on several data sets ({names}), expected one: their accuracies do not compare"
        )));
    }
    let candidates: Vec<Candidate> = finished().flat_map(of_run).collect();
    if candidates.is_empty() {
        return Err(Error::Choice(
            "no run has a validation split (data.validation), and the test images choose nothing"
                .to_owned(),
        ));
    }
    if limits.milliseconds.is_some() {
        one_machine(&candidates)?;
    }
    let fitting = candidates.iter().filter(|found| limits.excluding(found).next().is_none());
    let better = |a: &&Candidate, b: &&Candidate| {
        let order = a.valid_top1.total_cmp(&b.valid_top1);
        order.then(b.int8.is_some().cmp(&a.int8.is_some())).then(b.macs.cmp(&a.macs))
    };
    let best = fitting.max_by(better).cloned();
    best.ok_or_else(|| Error::Choice(limits.explain(&candidates)))
}

/// The exits and the ensemble of a run with a validation accuracy, in `f32` and in each measured 8-bit form.
fn of_run(run: &Run) -> Vec<Candidate<'_>> {
    let times = run.deployment.as_ref().map(DeployRecord::batch_times).unwrap_or_default();
    let mut found = Vec::new();
    for exit in run.summary.deployable() {
        let scored = valid_top1(run, &exit.name).filter(|top1| top1.is_finite());
        let Some(valid_top1) = scored else { continue };
        for int8 in [None].into_iter().chain(INT8.map(Some)) {
            let name = int8.map_or(exit.name.clone(), |form| format!("{}-{form}", exit.name));
            let exported = run.deployment.as_ref().and_then(|record| record.model(&name));
            if int8.is_some() && exported.is_none() {
                continue;
            }
            let alone = times.iter().filter(|((batch, model, _), _)| *batch == 1 && *model == name);
            let measured = alone.filter_map(|((.., engine), times)| {
                let runtime = RUNTIMES.iter().position(|runtime| *runtime == engine.name)?;
                Some(((runtime, engine.threads), times.median()?, engine.clone()))
            });
            found.push(Candidate {
                run,
                exit: exit.name.clone(),
                int8,
                valid_top1,
                macs: exit.macs,
                bytes: exported.map(|exported| exported.bytes),
                latency: measured
                    .min_by_key(|(order, ..)| *order)
                    .map(|(_, seconds, engine)| (seconds, engine)),
            });
        }
    }
    found
}

/// Refuses times of several machines.
fn one_machine(candidates: &[Candidate]) -> Result<()> {
    let mut machines = BTreeMap::new();
    for found in candidates.iter().filter(|found| found.latency.is_some()) {
        let peers = found.run.deployment.iter().flat_map(|record| &record.rounds);
        let host = peers.flat_map(|round| &round.peers).map(|peer| &peer.host).next();
        let machine = host.map_or_else(
            || "an unknown machine".to_owned(),
            |host| format!("{}, {}", host.cpu, plural(host.cores as u64, "core")),
        );
        machines.entry(machine).or_insert_with(|| found.run.folder.display());
    }
    if machines.len() < 2 {
        return Ok(());
    }
    let list: Vec<String> =
        machines.iter().map(|(machine, run)| format!("{run} on {machine}")).collect();
    Err(Error::Choice(format!(
        "--max-ms: found times of several machines, expected one: {}; \
         `cargo xtask bench deploy RUN…` measures all runs in turns",
        list.join("; ")
    )))
}

/// A limit, as on the command line.
struct Limit {
    flag: String,
    /// What a candidate without the number lacks; sorts the others.
    value: fn(&Candidate) -> Option<f64>,
    most: f64,
    text: fn(f64) -> String,
}

impl Limits {
    fn all(&self) -> impl Iterator<Item = Limit> {
        let milliseconds = self.milliseconds.map(|most| Limit {
            flag: format!("--max-ms {most}"),
            value: |found| Some(found.latency.as_ref()?.0 * 1e3),
            most,
            text: |milliseconds| time(milliseconds / 1e3),
        });
        let megabytes = self.megabytes.map(|most| Limit {
            flag: format!("--max-mb {most}"),
            value: |found| Some(found.bytes? as f64 / 1e6),
            most,
            text: |megabytes| format!("{megabytes:.2} MB"),
        });
        let macs = self.macs.map(|most| Limit {
            flag: format!("--max-macs {}", count(most).replace(' ', "")),
            value: |found| Some(found.macs as f64),
            most: most as f64,
            text: |macs| count(macs as u64),
        });
        milliseconds.into_iter().chain(megabytes).chain(macs)
    }

    /// The limits that exclude a candidate. One without a measurement is not known to fit.
    fn excluding(&self, found: &Candidate) -> impl Iterator<Item = Limit> {
        self.all().filter(|limit| (limit.value)(found).is_none_or(|value| value > limit.most))
    }

    /// Why nothing fits: the candidates that each limit excludes, and the one closest to it.
    fn explain(&self, candidates: &[Candidate]) -> String {
        let all = candidates.len();
        let mut lines = vec!["no exit fits all limits".to_owned()];
        for limit in self.all() {
            let values =
                || candidates.iter().filter_map(|found| Some(((limit.value)(found)?, found)));
            let above = values().filter(|(value, _)| *value > limit.most).count();
            let unmeasured = all - values().count();
            let mut line = format!("{} excludes {above} of {all}", limit.flag);
            if let Some((least, found)) = values().min_by(|a, b| a.0.total_cmp(&b.0)) {
                let least = (limit.text)(least);
                line.push_str(&format!("; the least is {least}, {}", found.name()));
            }
            if unmeasured > 0 {
                line.push_str(&format!(
                    "; {unmeasured} not measured (`cargo xtask bench deploy RUN…`)"
                ));
            }
            lines.push(line);
        }
        lines.join("\n  ")
    }
}

impl Candidate<'_> {
    /// Run, exit and number format.
    fn name(&self) -> String {
        let format = self.int8.map_or("f32".to_owned(), |form| format!("int8 {form}"));
        format!("{} {} {format}", self.run.folder.display(), self.exit)
    }

    /// The command that exports it.
    pub fn export(&self) -> String {
        let int8 = self.int8.map_or(String::new(), |form| format!(" --int8 {form}"));
        let run = self.run.folder.display();
        match &*self.exit {
            ENSEMBLE => format!("cargo xtask export {run} --all{int8}"),
            exit => format!("cargo xtask export {run} --exit {exit}{int8}"),
        }
    }
}

impl fmt::Display for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let accuracy = percent(self.valid_top1);
        write!(f, "{}: {accuracy} on validation, {} MACs", self.name(), count(self.macs))?;
        if let Some(bytes) = self.bytes {
            write!(f, ", {:.2} MB", bytes as f64 / 1e6)?;
        }
        if let Some((seconds, engine)) = &self.latency {
            let threads = plural(engine.threads as u64, "thread");
            write!(f, ", {} ({}, {threads})", time(*seconds), engine.name)?;
        }
        Ok(())
    }
}

//! Names that tell runs apart.

use std::borrow::Borrow;

use crate::run_folder::Run;

/// A name for each run that tells it from the others: the experiment's, with the seed and then
/// the folder where that is needed.
pub(super) fn names<R: Borrow<Run>>(runs: &[R]) -> Vec<String> {
    let with_seed = |run: &Run| format!("{} (seed {})", run.summary.name, run.summary.seed);
    let with_folder = |run: &Run| {
        format!("{} (seed {}, {})", run.summary.name, run.summary.seed, folder_name(run))
    };
    distinct(runs, &[&|run| run.summary.name.clone(), &with_seed, &with_folder])
}

/// A name for what each run is one seed of: the experiment's, or where another has it too, that of
/// the folder, without the seed.
pub(super) fn experiment_names<R: Borrow<Run>>(runs: &[R]) -> Vec<String> {
    let folder = |run: &Run| {
        let name = folder_name(run);
        name.strip_suffix(&format!("-seed{}", run.summary.seed)).unwrap_or(&name).to_owned()
    };
    distinct(runs, &[&|run| run.summary.name.clone(), &folder, &folder_name])
}

fn folder_name(run: &Run) -> String {
    run.folder.file_name().unwrap_or(run.folder.as_os_str()).to_string_lossy().into_owned()
}

/// The first of these names that no other run has; the whole path where each has several owners.
fn distinct<R: Borrow<Run>>(runs: &[R], tries: &[&dyn Fn(&Run) -> String]) -> Vec<String> {
    let name = |run: &Run| {
        let alone = |name: &&&dyn Fn(&Run) -> String| {
            runs.iter().filter(|other| name((*other).borrow()) == name(run)).count() == 1
        };
        tries.iter().find(alone).map_or_else(|| run.folder.display().to_string(), |name| name(run))
    };
    runs.iter().map(|run| name(run.borrow())).collect()
}

/// The names without the words that all of them begin with, for where there is little room:
/// `cifar100-vgg11-plain` beside `cifar100-vgg11-light` is `plain`.
pub(super) fn shortened(names: Vec<String>) -> Vec<String> {
    let Some(first) = names.first().filter(|_| names.len() > 1) else { return names };
    let mut common = first.as_str();
    while let Some(end) = common.trim_end_matches('-').rfind('-') {
        common = &common[..=end];
        if names.iter().all(|name| name.len() > end + 1 && name.starts_with(common)) {
            let cut = common.len();
            return names.iter().map(|name| name[cut..].to_owned()).collect();
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_names_begin_with_is_left_out_by_words() {
        let short =
            |names: &[&str]| shortened(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(short(&["c-vgg11-plain", "c-vgg11-pla"]), ["plain", "pla"]);
        assert_eq!(short(&["c-vgg11-a", "c-vgg16-a"]), ["vgg11-a", "vgg16-a"]);
        assert_eq!(short(&["a-b"]), ["a-b"]);
        assert_eq!(short(&["a-", "a-b"]), ["a-", "a-b"]);
        assert_eq!(short(&["a", "b"]), ["a", "b"]);
    }
}

//! Runs of the binary on synthetic images: records, resuming, and errors.

mod common;

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use common::tiny;
use sd_layers::Precision;
use sd_models::MultiExit;
use sd_train::experiment::Experiment;
use tch::{Device, nn};

/// With a validation split, augmentation, and dropout.
const TINY: &[&str] = &[
    "data.validation={ fraction = 0.25, seed = 0 }",
    "data.augment=[{ pad_crop = { padding = 2 } }, { flip = {} }]",
    "model.backbone.vgg.head=classic",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sd_train(folder: &Path, arguments: &[&str]) -> Command {
    let config = folder.join("tiny.toml");
    if !config.exists() {
        std::fs::write(&config, tiny(TINY).unwrap().to_toml().unwrap()).unwrap();
    }
    let mut command = Command::cargo_bin("sd-train").unwrap();
    command.current_dir(folder).env_remove("SD_DATA_DIR").args(arguments);
    command
}

fn train(folder: &Path, arguments: &[&str]) -> assert_cmd::assert::Assert {
    let common = ["train", "tiny.toml", "--device", "cpu", "--threads", "1"];
    sd_train(folder, &common).args(arguments).assert()
}

fn stderr_contains(output: &assert_cmd::assert::Assert, expected: &[&str]) {
    let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    for part in expected {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

#[test]
fn a_run_interrupted_anywhere_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), &["--out", "whole"]).success();
    // 72 training images make 4 steps of 16: after an epoch, and within one.
    train(folder.path(), &["--out", "parts", "--max-steps", "4"]).code(130);
    let page = || std::fs::read_to_string(folder.path().join("parts/report.html")).unwrap();
    assert!(page().contains("This run was interrupted after 1 epoch"));
    train(folder.path(), &["--out", "parts", "--resume", "--max-steps", "7"]).code(130);
    train(folder.path(), &["--out", "parts", "--resume"]).success();
    let weights = |run: &str| std::fs::read(folder.path().join(run).join("model.safetensors"));
    assert!(weights("whole").unwrap() == weights("parts").unwrap());

    let run = sd_report::Run::open(folder.path().join("parts")).unwrap();
    let epochs: Vec<u64> = run.epochs.iter().map(|epoch| epoch.epoch).collect();
    assert_eq!(epochs, [1, 2, 3]);
    assert_eq!(run.summary.status, sd_report::Status::Finished);
    assert_eq!(run.summary.steps, 12);
    assert_eq!(run.environment.unwrap().threads, 1, "as `--threads` says");
    assert!(run.summary.exits.iter().all(|exit| exit.test_top1.is_some()));
    // The five most probable of four classes are all of them.
    assert!(run.summary.exits.iter().all(|exit| exit.test_top5 == Some(1.0)));
    assert!(page().contains("<section id=\"findings\">") && !page().contains("\"refresh\""));
    assert!(!folder.path().join("parts/progress.json").exists());

    let record = std::fs::read(folder.path().join("parts/summary.json")).unwrap();
    let record: sd_report::RunRecord = serde_json::from_slice(&record).unwrap();
    let model = record.model_summary.unwrap();
    assert_eq!((model.backbone.family.as_str(), model.backbone.depth), ("vgg", Some(11)));
    assert_eq!(model.backbone.convolutions[0].values["groups"].as_integer(), Some(8));
    assert_eq!(model.exits.unwrap().after, [2, 4]);
    let objective = record.objective_summary.unwrap();
    assert!(objective.distils && objective.alpha == Some(0.3) && objective.mixing.is_none());

    let eval = ["eval", "parts", "--json", "--device", "cpu", "--threads", "1"];
    let output = sd_train(folder.path(), &eval).unwrap().stdout;
    let scores: sd_report::SplitScore = serde_json::from_slice(&output).unwrap();
    assert_eq!(Some(scores.exits[2].top1), run.summary.exits[2].test_top1);

    let again = train(folder.path(), &["--out", "parts"]).code(1);
    stderr_contains(&again, &["holds a run already", "--resume"]);
    let other = train(folder.path(), &["--out", "parts", "--resume", "-s", "train.epochs=5"]);
    stderr_contains(&other.code(1), &["another configuration", "epochs = 3", "epochs = 5"]);
}

#[test]
fn a_run_with_a_stateful_objective_or_mixed_batches_resumes_to_the_same_bits() {
    let linear = "model.backbone.vgg.head=linear";
    for (objective, mix) in [
        ("objective={ ps_kd = {} }", "mix={ mixup = { alpha = 1.0 } }"),
        ("objective={ cs_kd = {} }", "mix={ cut_mix = { alpha = 1.0, probability = 0.5 } }"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let train = |more: &[&str]| {
            let changed = ["-s", linear, "-s", objective, "-s", mix];
            train(folder.path(), &[&changed, more].concat())
        };
        train(&["--out", "whole"]).success();
        // Within the second epoch, and after it.
        train(&["--out", "parts", "--max-steps", "6"]).code(130);
        train(&["--out", "parts", "--resume", "--max-steps", "8"]).code(130);
        train(&["--out", "parts", "--resume"]).success();
        let weights = |run: &str| std::fs::read(folder.path().join(run).join("model.safetensors"));
        assert!(weights("whole").unwrap() == weights("parts").unwrap(), "{objective}");

        let run = sd_report::Run::open(folder.path().join("parts")).unwrap();
        let softened: Vec<bool> =
            run.epochs.iter().map(|epoch| epoch.terms.contains_key("soft")).collect();
        // Before the first epoch there is no network to learn from.
        assert_eq!(softened, [objective.contains("cs_kd"), true, true]);
    }
}

#[test]
fn weights_are_bound_to_the_network_and_images_of_their_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    std::fs::create_dir(&run).unwrap();
    let written = tiny(TINY).unwrap();
    let vs = nn::VarStore::new(Device::Cpu);
    MultiExit::build(&vs.root(), &written.model, written.task(), Precision::F32).unwrap();
    let model = run.join("model.safetensors");
    sd_train::evaluation::weights::save(&model, &vs, &written, None).unwrap();
    let changed = |change: &str| tiny(&[TINY, &[change]].concat()).unwrap();
    let load_as = |experiment| sd_train::evaluation::weights::load(&model, &vs, &experiment);

    load_as(changed("objective.self_distillation.teacher=mean")).unwrap();
    load_as(changed("data.augment=[]")).unwrap();
    // The same names and shapes, but another network, normalisation or split.
    let changes = [
        ("model.backbone.vgg.conv.grouped.shuffle", "false", "true"),
        ("model.backbone.vgg.attention", "\"none\"", "{ simam = { lambda = 0.0001 } }"),
        ("data.normalize", "\"measured\"", "{ given = { deviation = [0.25], mean = [0.5] } }"),
        ("data.validation.fraction", "0.25", "0.5"),
        ("data.dataset.synthetic.seed", "0", "1"),
    ];
    for (key, then, now) in changes {
        let error = load_as(changed(&format!("{key}={now}"))).unwrap_err().to_string();
        let expected = format!("`{key} = {then}` then, `{key} = {now}` now");
        assert!(error.contains("another configuration: ") && error.ends_with(&expected), "{error}");
    }

    let shuffled = changed("model.backbone.vgg.conv.grouped.shuffle=true");
    for (experiment, code) in [(written, 0), (shuffled, 1)] {
        std::fs::write(run.join("config.toml"), experiment.to_toml().unwrap()).unwrap();
        let eval = ["eval", "run", "--device", "cpu", "--threads", "1"];
        let output = sd_train(folder.path(), &eval).assert().code(code);
        if code == 1 {
            stderr_contains(&output, &["run/model.safetensors", "another configuration"]);
        }
    }
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_before_its_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    // More than the weighted hint, an f32, can hold.
    let weight = "objective.self_distillation.lambda=1e300";
    let run = train(folder.path(), &["--out", "run", "-s", weight]).code(1);
    stderr_contains(&run, &["hint loss is inf", "learning rate", "the last checkpoint is kept"]);
    assert!(!folder.path().join("run/last.ckpt.safetensors").exists());
}

/// The update of the only step breaks the network, which its own loss did not show.
#[test]
fn a_network_that_the_last_update_breaks_is_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    // With weights that overflow, also without a validation loss.
    for (rate, validation) in
        [("1e20", "data.pad=0"), ("1e38", "data.pad=0"), ("1e39", "~data.validation")]
    {
        let schedule = format!(
            "train.schedule={{ step = {{ rate = {rate}, milestones = [], factor = 0.1, warmup_epochs = 0 }} }}"
        );
        let one_step = ["-s", "train.batch_size=72", "-s", "train.epochs=1", "-s", &schedule];
        let one_step = [&one_step[..], &["-s", validation]].concat();
        let run = train(folder.path(), &[&["--out", rate][..], &one_step].concat()).code(1);
        stderr_contains(&run, &["not finite"]);
        for file in ["best.safetensors", "last.ckpt.safetensors", "model.safetensors"] {
            assert!(!folder.path().join(rate).join(file).exists(), "{file} of rate {rate}");
        }
    }
}

#[test]
fn a_limit_that_is_reached_allows_no_further_step() {
    let folder = tempfile::tempdir().unwrap();
    let steps = |arguments: &[&str]| {
        train(folder.path(), &[&["--out", "run"], arguments].concat()).code(130);
        let file = sd_models::TensorFile::read(&folder.path().join("run/last.ckpt.safetensors"));
        let position: serde_json::Value =
            serde_json::from_str(&file.unwrap().metadata["position"]).unwrap();
        position["step_in_epoch"].as_u64().unwrap()
    };
    assert_eq!(steps(&["--time-limit", "0s"]), 0);
    for limit in [&["--max-steps", "2"][..], &["--max-steps", "1"], &["--time-limit", "0s"]] {
        assert_eq!(steps(&[&["--resume"], limit].concat()), 2);
    }
}

#[test]
fn a_step_too_large_for_the_machine_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    sd_train(folder.path(), &[]);
    // Maps of 5.4 GB after the first convolution, in 3 GB of address space.
    let changes = "-s model.backbone.vgg.width=1 -s data.pad=256 -s train.batch_size=72";
    let program = assert_cmd::cargo::cargo_bin("sd-train");
    let line = format!("ulimit -v 3000000; exec {} train tiny.toml {changes}", program.display());
    let mut shell = Command::new("sh");
    let run = shell.args(["-c", &line]).current_dir(folder.path()).assert().code(1);
    stderr_contains(&run, &["out of memory", "train.batch_size"]);
    let text = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn a_resumed_run_keeps_its_earlier_environments_and_a_finished_one_its_last() {
    let folder = tempfile::tempdir().unwrap();
    let environment = || {
        let run = folder.path().join("run/environment.json");
        sd_report::run_folder::read_environment(run).unwrap().unwrap()
    };
    train(folder.path(), &["--out", "run", "--max-steps", "3"]).code(130);
    let first = environment();
    train(folder.path(), &["--out", "run", "--resume"]).success();
    let both = environment();
    assert_eq!((both.earlier.as_slice(), first.earlier.len()), (&[first.clone()][..], 0));
    train(folder.path(), &["--out", "run", "--resume"]).success();
    assert_eq!(environment(), both);
}

#[test]
fn an_interrupted_run_can_be_evaluated_and_exported() {
    let folder = tempfile::tempdir().unwrap();
    let average = "train.ema={ decay = 0.5 }";
    // Its checkpoints have branches, its weights have none.
    let branches = "model.backbone.vgg.conv=reparameterised_separable";
    for (run, changes) in [
        ("plain", &[][..]),
        ("average", &["-s", average]),
        ("branches", &["-s", branches]),
        ("both", &["-s", average, "-s", branches]),
    ] {
        let whole = [&["--out", run, "--max-steps", "12"], changes].concat();
        train(folder.path(), &whole).success();
        train(folder.path(), &[&["--out", "part", "--max-steps", "3"], changes].concat()).code(130);
        let printed = |line: &str| {
            let line: Vec<&str> = line.split(' ').collect();
            let output = sd_train(folder.path(), &line).assert().success();
            String::from_utf8(output.get_output().stdout.clone()).unwrap()
        };
        let eval = |run: &str| printed(&format!("eval {run} --device cpu --threads 1 --json"));
        let last = eval(run).replace("model.safetensors", "last.ckpt.safetensors");
        assert_eq!(eval(&format!("{run} --weights checkpoint")), last);
        eval("part --weights checkpoint");
        assert!(!folder.path().join("part/evaluation.json").exists());
        printed("export part --weights checkpoint --staged");
        std::fs::remove_dir_all(folder.path().join("part")).unwrap();
    }
}

#[test]
fn a_missing_file_is_named_once() {
    let folder = tempfile::tempdir().unwrap();
    for line in [
        "train nowhere.toml",
        "count nowhere.toml",
        "eval nowhere",
        "export nowhere",
        "predict nowhere image.png",
        "weights export nowhere.safetensors --to timm --out out.safetensors",
    ] {
        let line: Vec<&str> = line.split(' ').collect();
        let output = sd_train(folder.path(), &line).assert().code(1);
        let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert_eq!(text.matches("No such file").count(), 1, "{text}");
    }
}

#[test]
fn errors_name_what_is_wrong_and_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let try_with = |arguments: &[&str]| train(folder.path(), arguments).code(1);
    stderr_contains(&try_with(&["-s", "train.epoch=5"]), &["tiny.toml", "epoch", "unknown field"]);
    let second = ["-s", "train.schedule.cosine={ rate = 0.1, warmup_epochs = 0 }"];
    stderr_contains(&try_with(&second), &["two choices", "train.schedule"]);
    let one_cycle = ["-s", "~train.sgd", "-s", "train.adamw={ weight_decay = 0.05 }", "--dry-run"];
    train(folder.path(), &one_cycle).success();
    let factor = "train.schedule={ step = { rate = 0.1, milestones = [1], factor = -0.1, warmup_epochs = 0 } }";
    stderr_contains(&try_with(&["-s", factor]), &["factor is -0.1, expected a number above 0"]);
    let classes = "data.dataset={ synthetic = { classes = 1, train = 96, test = 32, channels = 1, height = 32, width = 32, seed = 0 } }";
    stderr_contains(&try_with(&["-s", classes]), &["1 class, expected at least 2"]);
    let seed = train(folder.path(), &["--seed", "9223372036854775808"]).code(2);
    stderr_contains(&seed, &["9223372036854775808", "--seed"]);
    let groups = "model.backbone.vgg.conv={ grouped = { groups = 7 } }";
    stderr_contains(&try_with(&["-s", groups]), &["do not divide by groups 7"]);
    stderr_contains(
        &try_with(&["-s", "objective.self_distillation.alpha=2.0"]),
        &["alpha is 2", "0 to 1"],
    );
    stderr_contains(
        &try_with(&["-s", "data.dataset=cifar100", "--out", "c"]),
        &["data fetch cifar100"],
    );
    std::fs::write(folder.path().join("file"), "").unwrap();
    stderr_contains(&try_with(&["--out", "file/run"]), &["cannot write", "file/run"]);
    stderr_contains(&try_with(&["--resume", "--out", "nothing"]), &["nothing to resume"]);
    train(folder.path(), &["--no-such-flag"]).code(2);
}

#[test]
fn every_configuration_parses_builds_and_comes_back_from_toml() {
    let mut folders = vec![root().join("configs")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // Sweeps are lists of experiments; xtask tests them.
                folders.extend((!path.ends_with("sweeps")).then_some(path));
                continue;
            }
            let experiment = Experiment::read(&path, &[], None).unwrap();
            sd_train::commands::count_experiment(path.display().to_string(), &experiment).unwrap();
            let again = Experiment::parse(&experiment.to_toml().unwrap(), &[]).unwrap();
            assert_eq!(again, experiment, "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 0);
}

//! Latencies, compared only with those that the same command measured.

mod sample_runs;

use sample_runs::{
    BYOT, DENSE, DISTILLED, GROUPED, LABELS, LIGHT, PLAIN, cells, configure, run, section,
};
use sd_report::{BenchRecord, Host, Measurement, Run, Subject, Timing};

/// The run, measured at `started`: part, batch and milliseconds.
fn measured(mut run: Run, started: &str, times: &[(&str, usize, f64)]) -> Run {
    let measurement = |&(part, batch, milliseconds): &(&str, usize, f64)| Measurement {
        config: run.summary.name.clone(),
        part: part.to_owned(),
        mode: "native".to_owned(),
        precision: "bf16".to_owned(),
        layout: "channels_last".to_owned(),
        batch,
        images: batch,
        peak_memory_bytes: None,
        timing: Timing { raw_seconds: vec![9.0, 1e-3 * milliseconds, 1e-6] },
    };
    let measurements = times.iter().map(measurement).collect();
    run.latency = Some(BenchRecord {
        schema_version: 1,
        subject: Subject::Infer,
        program: "selfdistill 0.1.0".to_owned(),
        command: "cargo xtask bench infer".to_owned(),
        started: started.to_owned(),
        host: Host {
            os: String::new(),
            cpu: "A Processor".to_owned(),
            cores: 2,
            memory_bytes: None,
            commit: None,
        },
        threads: 2,
        device: "cpu".to_owned(),
        measurements,
    });
    run
}

#[test]
fn ratios_compare_with_the_original_of_the_same_measurement() {
    let light = |seed| run("light", seed, [GROUPED, LIGHT, DISTILLED], 20, 0.6);
    let dense = || run("dense", 0, [DENSE, PLAIN, LABELS], 20, 0.6);
    let (monday, friday) = ("2024-02-26T12:00:00Z", "2024-03-01T12:00:00Z");
    let runs = [
        light(0),
        measured(
            light(1),
            monday,
            &[
                ("evaluation", 256, 90.0),
                ("exit1", 1, 1.0),
                ("deepest", 1, 3.0),
                ("ensemble", 1, 5.0),
                ("deepest", 64, 30.0),
            ],
        ),
        measured(dense(), monday, &[("deepest", 1, 4.0), ("deepest", 64, 60.0)]),
        measured(
            run("plain", 0, [GROUPED, PLAIN, LABELS], 20, 0.6),
            friday,
            &[("deepest", 1, 2.0)],
        ),
    ];
    let tables = section(&runs, "latency");
    let [one, many, alone] = &tables[..] else { panic!("{} tables", tables.len()) };
    assert_eq!(cells(one, 0, &["Ensemble"]), ["–"]);
    assert_eq!(cells(one, 1, &["Ensemble"]), ["5.00 ms (1.25)"]);
    let columns = ["Convolution", "Deepest", "exit1"];
    assert_eq!(cells(one, 0, &["Format"]), ["bf16"]);
    assert_eq!(cells(one, 0, &columns), ["dense", "4.00 ms", "–"]);
    assert_eq!(cells(one, 1, &columns), ["grouped 8", "3.00 ms (0.75)", "1.00 ms (0.25)"]);
    assert_eq!(cells(many, 1, &columns), ["grouped 8", "30.0 ms (0.50)", "–"]);
    assert_eq!(cells(alone, 0, &["Convolution", "Deepest"]), ["grouped 8", "2.00 ms"]);
    assert_eq!([one, many, alone].map(|table| table.rows.len()), [2, 2, 1]);
}

#[test]
fn a_figure_shows_what_the_latest_command_measured_of_several_networks() {
    const NAMES: [&str; 4] = ["light", "dense", "byot", "plain"];
    let kind = |name: &str| match name {
        "light" => [GROUPED, LIGHT, DISTILLED],
        "byot" => [GROUPED, BYOT, DISTILLED],
        "dense" => [DENSE, PLAIN, LABELS],
        _ => [GROUPED, PLAIN, LABELS],
    };
    let of = |name: &str, seed, started, times: &[(&str, usize, f64)]| {
        measured(run(name, seed, kind(name), 20, 0.6), started, times)
    };
    let figure = |runs: &[Run]| {
        let document = sd_report::report::document(runs).unwrap();
        let mut figures = document.figures();
        let found = figures.find(|figure| *figure.file_name() == *"accuracy-against-latency.svg");
        found.map(sd_report::figure::Figure::with_background)
    };
    let shows = |svg: &str, text: &str| svg.contains(&format!(">\n{text}\n</text>"));
    let (monday, tuesday, friday) =
        ("2024-02-26T12:00:00Z", "2024-02-27T12:00:00Z", "2024-03-01T12:00:00Z");
    let runs = [
        of("light", 0, monday, &[("deepest", 1, 1.0)]),
        of("dense", 0, monday, &[("deepest", 1, 2.0)]),
        of("byot", 0, tuesday, &[("deepest", 64, 300.0), ("exit1", 1, 10.0), ("deepest", 1, 30.0)]),
        of("plain", 0, tuesday, &[("deepest", 64, 400.0), ("deepest", 1, 40.0)]),
        // Of batches alone, and of one network alone.
        of("light", 1, friday, &[("deepest", 64, 1.0)]),
        of("dense", 1, friday, &[("deepest", 64, 2.0), ("deepest", 1, 2.0)]),
    ];
    let svg = figure(&runs).unwrap();
    assert_eq!(NAMES.map(|name| shows(&svg, name)), [false, false, true, true]);
    assert_eq!(
        ["1.00 ms", "20.0 ms", "200 ms"].map(|tick| shows(&svg, tick)),
        [false, true, false]
    );
    assert!(shows(&svg, "latency of one image in libtorch"));
    let svg = figure(&[&runs[..2], &runs[4..]].concat()).unwrap();
    assert_eq!(NAMES.map(|name| shows(&svg, name)), [true, true, false, false]);
    // Two seeds of one network are no comparison.
    let seeds = [0, 1].map(|seed| of("light", seed, friday, &[("deepest", 1, 1.0)]));
    assert_eq!(figure(&[&seeds[..], &runs[1..2]].concat()), None);
}

#[test]
fn data_sets_have_separate_tables() {
    let measured = |run| measured(run, "2024-02-26T12:00:00Z", &[("deepest", 1, 4.0)]);
    let mut larger = measured(run("light", 0, [GROUPED, LIGHT, DISTILLED], 20, 0.6));
    let config = larger.config.text().replace("cifar100", "image_folder");
    configure(&mut larger, &config);
    let dense = measured(run("dense", 0, [DENSE, PLAIN, LABELS], 20, 0.6));
    let tables = section(&[dense, larger], "latency");
    let rows: Vec<_> = tables.iter().map(|table| cells(table, 0, &["Deepest"])).collect();
    assert_eq!(rows, [["4.00 ms"], ["4.00 ms"]], "no ratio across data sets");
}

#[test]
fn networks_with_equal_labels_are_named_and_only_the_first_seed_counts() {
    let light = |name: &str, seed, objective: &str, milliseconds| {
        let run = run(name, seed, [GROUPED, LIGHT, objective], 20, 0.6);
        measured(run, "2024-02-26T12:00:00Z", &[("deepest", 1, milliseconds)])
    };
    let runs = [
        light("taught", 3, DISTILLED, 4.0),
        light("taught", 1, DISTILLED, 9.0),
        light("alone", 0, "deep_supervision = {}", 5.0),
    ];
    let [table] = &section(&runs, "latency")[..] else { panic!("one table") };
    let mut rows: Vec<_> = (0..2).map(|row| cells(table, row, &["Run", "Deepest"])).collect();
    rows.sort();
    assert_eq!(rows, [["alone", "5.00 ms"], ["taught", "4.00 ms"]]);
    assert_eq!(table.rows.len(), 2);
}

#[test]
fn without_measurements_there_is_no_section() {
    let document = sd_report::report::document(&sample_runs::a_set()).unwrap();
    assert!(document.blocks.iter().all(|block| block.id != "latency"));
}

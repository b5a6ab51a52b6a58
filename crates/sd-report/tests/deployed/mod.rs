//! Small samples of the records of `bench deploy` and `bench infer`.

use sd_report::{
    BenchRecord, DEPLOY_VERSION, DeployRecord, DeployRound, ExportedModel, ExportedTiming, Host,
    Measurement, Subject, Timing,
};

/// The deepest exit, its 8-bit form and the staged network in two rounds.
pub fn deployment() -> DeployRecord {
    let model = |name: &str, bytes, top1: &[(&str, f64)], macs_share| ExportedModel {
        name: name.to_owned(),
        bytes,
        top1: top1.iter().map(|(runtime, top1)| ((*runtime).to_owned(), *top1)).collect(),
        macs_share,
    };
    DeployRecord {
        schema_version: DEPLOY_VERSION,
        command: "cargo xtask bench deploy runs/small".to_owned(),
        program_bytes: 4_500_000,
        models: vec![
            model("deepest", 400_000, &[("ort", 0.701), ("rten", 0.7)], 1.0),
            model("deepest-convinteger", 100_000, &[("rten", 0.698)], 1.0),
            model("staged", 500_000, &[("rten", 0.696)], 0.5),
        ],
        rounds: vec![round(1.0), round(1.5)],
    }
}

/// One round with all times multiplied by `slowness`.
fn round(slowness: f64) -> DeployRound {
    let timing = |milliseconds: &[f64]| Timing {
        raw_seconds: milliseconds.iter().map(|time| slowness * time / 1e3).collect(),
    };
    let exported = |model: &str, engine: &str, batch, milliseconds: &[f64]| ExportedTiming {
        model: model.to_owned(),
        engine: engine.to_owned(),
        threads: 1,
        batch,
        load_seconds: 0.002,
        share: 1.0,
        timing: timing(milliseconds),
        peak_memory_bytes: Some(10 << 20),
    };
    DeployRound {
        exported: vec![
            exported("deepest", "rten", 1, &[2.0, 2.0]),
            exported("deepest", "ort", 1, &[3.0]),
            exported("deepest", "rten", 64, &[80.0]),
            exported("deepest-convinteger", "rten", 1, &[1.0]),
            exported("staged", "rten", 1, &[0.5, 1.5, 1.0]),
        ],
        first_label_seconds: [("libtorch", 0.4), ("rten", 0.012)]
            .map(|(name, seconds)| (name.to_owned(), vec![seconds, seconds]))
            .into(),
        peers: vec![latency(slowness)],
    }
}

/// The latency of a single exit and of an evaluation, multiplied by `slowness`.
pub fn latency(slowness: f64) -> BenchRecord {
    let measurement = Measurement {
        config: "small".to_owned(),
        part: "deepest".to_owned(),
        mode: "native".to_owned(),
        precision: "f32".to_owned(),
        layout: "channels_last".to_owned(),
        batch: 1,
        images: 1,
        peak_memory_bytes: Some(300 << 20),
        timing: Timing { raw_seconds: vec![slowness * 4e-3] },
    };
    let evaluation =
        Measurement { part: "evaluation".to_owned(), batch: 256, ..measurement.clone() };
    let host = Host {
        os: "An OS".to_owned(),
        cpu: "A Processor".to_owned(),
        cores: 8,
        memory_bytes: None,
        commit: Some("abc".to_owned()),
    };
    BenchRecord {
        command: "bench infer".to_owned(),
        started: "2024-02-29T12:00:00Z".to_owned(),
        host,
        measurements: vec![evaluation, measurement],
        ..BenchRecord::begin(Subject::Infer, "selfdistill 0.1.0".to_owned(), 1, "cpu".to_owned())
    }
}

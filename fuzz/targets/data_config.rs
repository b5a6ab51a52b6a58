//! The `[data]` section of a configuration.

#![no_main]

use sd_data::DataConfig;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(config) = toml::from_str::<DataConfig>(text)
        && config.check().is_ok()
    {
        let (shape, classes) = config.input();
        assert!(shape.values() < 1 << 60 && classes < 1 << 60);
        // What was read can be written, and reads as the same.
        let written = toml::to_string(&config).unwrap();
        let _ = toml::from_str::<DataConfig>(&written).unwrap();
    }
});

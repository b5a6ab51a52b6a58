//! A configuration that is changed by `KEY=VALUE`, its first line, and compared with what it was.

#![no_main]

use sd_cli::config_difference::first_difference;
use sd_cli::config_override;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Some((change, text)) = text.split_once('\n') else { return };
    let Ok(then) = text.parse::<toml::Table>() else { return };
    let mut now = then.clone();
    if config_override::apply(&mut now, change).is_ok()
        && let Some(difference) = first_difference(&then, &now)
    {
        let _ = difference.to_string();
    }
});

//! Random networks in the native engine, compared with naive loops: windows, groups, 8-bit
//! convolutions, batches of 0 to 9 images, threads, and images of another size than declared.

#![no_main]

mod network;
mod reference;

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use network::Generator;
use reference::Map;
use sd_engine::{Batch, Network, Options};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // Bytes that end early describe no network.
    let _ = compare(&mut Unstructured::new(bytes));
});

fn compare(bytes: &mut Unstructured) -> Result<()> {
    let generator = Generator::network(bytes)?;
    // Starting threads takes longer than most networks.
    let threads = if bytes.ratio(1, 32)? { bytes.int_in_range(2..=3)? } else { 1 };
    let mut shape = generator.input.to_vec();
    if bytes.ratio(1, 4)? {
        shape[2] = bytes.int_in_range(1..=12)?;
        shape[3] = bytes.int_in_range(1..=12)?;
    }
    let values = network::numbers(bytes, shape.iter().product())?;
    let options = Options { threads, ..Options::default() };
    let graph = generator.graph();
    let network = Network::from_graph(&graph, options).expect("a supported network");
    let input = Map::new(shape.clone(), values.iter().map(|&value| value.into()).collect());
    let expected = generator.run(input);
    let found = network.run(Batch::new(shape, values).expect("as many values"));
    let (Ok(found), Some(expected)) = (&found, &expected) else {
        assert_eq!(found.is_ok(), expected.is_some(), "{found:?}");
        return Ok(());
    };
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.shape(), expected.shape);
        for (index, &value) in found.values().iter().enumerate() {
            let at = if found.is_channels_last() { expected.channels_first(index) } else { index };
            let difference = (f64::from(value) - expected.values[at]).abs();
            assert!(
                difference <= expected.error,
                "{value} {} {}",
                expected.values[at],
                expected.error
            );
        }
    }
    Ok(())
}

//! Golden numbers that `scripts/golden` computes with PyTorch, for tests of other crates.
//!
//! ```no_run
//! use sd_golden::Case;
//! use tch::{Device, nn};
//!
//! let case = Case::read(env!("CARGO_MANIFEST_DIR"), "layers.safetensors", "linear");
//! let vs = nn::VarStore::new(Device::Cpu);
//! let layer = nn::linear(vs.root(), 8, 5, nn::LinearConfig::default());
//! case.load(vs.variables());
//! case.agrees("output", &case.get("input").apply(&layer));
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use tch::Tensor;

/// The largest accepted difference, relative to the largest expected value.
const TOLERANCE: f64 = 1e-5;

/// The tensors of one case.
#[derive(Debug)]
pub struct Case {
    name: String,
    tensors: BTreeMap<String, Tensor>,
}

impl Case {
    /// Reads the tensors `CASE/…` of a file in the crate's `tests/golden`.
    ///
    /// # Panics
    /// If the file cannot be read or has no such case.
    pub fn read(crate_folder: &str, file: &str, name: &str) -> Self {
        let path = Path::new(crate_folder).join("tests/golden").join(file);
        let prefix = format!("{name}/");
        let tensors: BTreeMap<String, Tensor> = Tensor::read_safetensors(&path)
            .unwrap()
            .into_iter()
            .filter_map(|(key, tensor)| Some((key.strip_prefix(&prefix)?.to_owned(), tensor)))
            .collect();
        assert!(!tensors.is_empty(), "{} has no case {name}", path.display());
        Self { name: name.to_owned(), tensors }
    }

    /// Returns a copy of the tensor of a part.
    ///
    /// # Panics
    /// If the case has no such part.
    pub fn get(&self, part: &str) -> Tensor {
        let tensor = self.tensors.get(part);
        tensor.unwrap_or_else(|| panic!("{} has no {part}", self.name)).copy()
    }

    /// Returns copies of the tensors `PART/…`, by the names of a module's variables.
    pub fn named(&self, part: &str) -> BTreeMap<String, Tensor> {
        let prefix = format!("{part}/");
        let inside = |(key, tensor): (&String, &Tensor)| {
            Some((key.strip_prefix(&prefix)?.to_owned(), tensor.copy()))
        };
        self.tensors.iter().filter_map(inside).collect()
    }

    /// Copies the case's weights into `variables`.
    ///
    /// # Panics
    /// If names or sizes differ.
    pub fn load(&self, variables: impl IntoIterator<Item = (String, Tensor)>) {
        let mut variables: BTreeMap<String, Tensor> = variables.into_iter().collect();
        let weights = self.named("weights");
        let names = |map: &BTreeMap<String, Tensor>| {
            map.iter().map(|(name, value)| (name.clone(), value.size())).collect::<Vec<_>>()
        };
        assert_eq!(names(&variables), names(&weights), "{}", self.name);
        tch::no_grad(|| {
            for (name, value) in &mut variables {
                value.copy_(&weights[name]);
            }
        });
    }

    /// Checks that `found` is the part as PyTorch computed it.
    ///
    /// # Panics
    /// If it differs.
    pub fn agrees(&self, part: &str, found: &Tensor) {
        let expected = self.get(part);
        assert_eq!(found.size(), expected.size(), "{}: {part}", self.name);
        let scale = expected.abs().max().double_value(&[]);
        let difference = (found - expected).abs().max().double_value(&[]);
        // NaN fails as well.
        assert!(
            difference <= TOLERANCE * scale,
            "{}: {part} differs by {difference:e}, the largest value is {scale:e}",
            self.name
        );
    }
}

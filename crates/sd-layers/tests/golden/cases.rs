//! Reads what `scripts/golden` wrote with PyTorch, and compares with it.
//!
//! The tests of the other crates compile this file too.

use std::collections::BTreeMap;
use std::path::Path;

use tch::Tensor;

/// The largest difference, as a share of the largest expected value.
const TOLERANCE: f64 = 1e-5;

/// The tensors of one case.
pub struct Case {
    name: String,
    tensors: BTreeMap<String, Tensor>,
}

impl Case {
    /// The tensors `CASE/…` of a file in the crate's `tests/golden`.
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

    /// The tensor of a part, its own copy.
    pub fn get(&self, part: &str) -> Tensor {
        let tensor = self.tensors.get(part);
        tensor.unwrap_or_else(|| panic!("{} has no {part}", self.name)).copy()
    }

    /// The tensors of a part that lists a module's variables.
    pub fn named(&self, part: &str) -> BTreeMap<String, Tensor> {
        let prefix = format!("{part}/");
        let inside = |(key, tensor): (&String, &Tensor)| {
            Some((key.strip_prefix(&prefix)?.to_owned(), tensor.copy()))
        };
        self.tensors.iter().filter_map(inside).collect()
    }

    /// Gives `variables` the case's weights; both have to have the same names and sizes.
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

    /// Fails unless `found` is the part as PyTorch computed it.
    pub fn agrees(&self, part: &str, found: &Tensor) {
        let expected = self.get(part);
        assert_eq!(found.size(), expected.size(), "{}: {part}", self.name);
        let scale = expected.abs().max().double_value(&[]);
        let difference = (found - expected).abs().max().double_value(&[]);
        // A value that is no number fails as well.
        assert!(
            difference <= TOLERANCE * scale,
            "{}: {part} differs by {difference:e}, the largest is {scale:e}",
            self.name
        );
    }
}

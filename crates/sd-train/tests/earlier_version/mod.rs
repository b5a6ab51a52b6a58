//! Runs of earlier versions.

use std::path::Path;

use sd_models::TensorFile;

/// Rewrites the weights of `run` as a version wrote them that did not record the data of the training.
pub fn forget_data(folder: &Path) {
    let path = folder.join("run/model.safetensors");
    let mut file = TensorFile::read(&path).unwrap();
    assert!(file.metadata.remove("data").is_some());
    std::fs::write(path, file.to_bytes().unwrap()).unwrap();
}

//! What the processes of a training have in common.

use anyhow::{Result, bail, ensure};
use sd_cli::config_difference::first_difference;
use sd_distributed::Processes;

use super::Trainer;
use super::checkpoint::Position;

/// Checks that the processes can share batches of this size evenly.
///
/// # Errors
/// Names the size, if not.
pub fn check_shares(batch_size: usize, processes: &Processes) -> Result<()> {
    let count = processes.count();
    ensure!(
        count == 1 || batch_size.is_multiple_of(count) && batch_size >= 2 * count,
        "train.batch_size is {batch_size}, expected a multiple of the {count} processes, and at least \
         2 images for each"
    );
    Ok(())
}

impl Trainer {
    /// Takes position and tensors of rank 0, after comparing configuration and images with its own.
    ///
    /// # Errors
    /// Names the difference.
    pub fn follow_first(&mut self) -> Result<()> {
        if !self.processes.are_several() {
            return Ok(());
        }
        let first = self.processes.broadcast_text(&serde_json::to_string(&self.position)?)?;
        let first: Position = serde_json::from_str(&first)?;
        let (own, rank) = (&self.position, self.processes.rank());
        if let Some(difference) = first_difference(&first.config.parse()?, &own.config.parse()?) {
            bail!("rank 0 and rank {rank} have other configurations: {difference}");
        }
        if let Some(difference) = first.images.difference(&own.images) {
            bail!("rank 0 and rank {rank} have other images: {difference}");
        }
        if let Some(difference) = first.difference_of_teachers(own) {
            bail!("rank 0 and rank {rank} have other teachers: {difference}");
        }
        self.position = first;
        Ok(self.processes.broadcast(self.tensors().iter())?)
    }
}

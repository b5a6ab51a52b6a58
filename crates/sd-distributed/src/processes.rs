//! One process or several, for a caller that does not care.

use std::sync::Arc;
use std::time::Duration;

use tch::{Device, Kind, Tensor};

use crate::error::Result;
use crate::group::Group;
use crate::rendezvous::Rendezvous;

/// The processes of a training. A single one communicates with nobody, and its calls do nothing.
#[derive(Debug, Clone, Default)]
pub struct Processes {
    group: Option<Arc<Group>>,
}

impl Processes {
    /// This process alone.
    pub fn single() -> Self {
        Self::default()
    }

    /// The processes of the job that the environment describes, after all have joined.
    ///
    /// # Errors
    /// If the environment is wrong, or a process does not join within `timeout`.
    pub fn join(timeout: Duration) -> Result<Self> {
        let place = Rendezvous::from_environment()?;
        let group = place.map(|place| Group::join(place, timeout)).transpose()?;
        Ok(Self { group: group.map(Arc::new) })
    }

    /// Number of processes.
    pub fn count(&self) -> usize {
        self.group.as_ref().map_or(1, |group| group.place().world_size)
    }

    /// Rank of this process, from 0.
    pub fn rank(&self) -> usize {
        self.group.as_ref().map_or(0, |group| group.place().rank)
    }

    /// Whether this process is rank 0, which writes files.
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// Whether there are others.
    pub fn are_several(&self) -> bool {
        self.group.is_some()
    }

    /// Where this process runs, if there are others.
    pub fn place(&self) -> Option<&Rendezvous> {
        self.group.as_deref().map(Group::place)
    }

    /// Replaces each tensor by its mean over the processes, in one call.
    ///
    /// # Errors
    /// See [`Group::all_reduce`].
    pub fn average(&self, tensors: impl Iterator<Item = Tensor>) -> Result<()> {
        let Some(group) = &self.group else { return Ok(()) };
        let _no_grad = tch::no_grad_guard();
        let tensors: Vec<Tensor> = tensors.collect();
        let rows: Vec<Tensor> = tensors.iter().map(|tensor| tensor.reshape([-1])).collect();
        let mut flat = Tensor::cat(&rows, 0);
        group.all_reduce(&flat)?;
        let _ = flat.g_div_scalar_(self.count() as f64);
        let lengths: Vec<i64> = rows.iter().map(|row| row.numel() as i64).collect();
        let means = flat.split_with_sizes(lengths, 0);
        for (mut tensor, mean) in tensors.into_iter().zip(means) {
            tensor.copy_(&mean.view_as(&tensor));
        }
        Ok(())
    }

    /// Replaces a dense tensor by its sum over the processes.
    ///
    /// # Errors
    /// See [`Group::all_reduce`].
    pub fn sum(&self, tensor: &Tensor) -> Result<()> {
        self.group.as_ref().map_or(Ok(()), |group| group.all_reduce(tensor))
    }

    /// [`sum`](Self::sum) for a place that cannot return an error, as a backward pass: the next call
    /// returns it.
    pub fn sum_later_failing(&self) -> impl Fn(&Tensor) + Send + Sync + 'static {
        let group = self.group.clone();
        move |tensor| {
            let Some(group) = group.as_ref().filter(|group| !group.is_deferred()) else { return };
            if let Err(error) = group.all_reduce(tensor) {
                group.defer(error);
            }
        }
    }

    /// The largest of the processes' numbers.
    ///
    /// # Errors
    /// See [`Group::all_reduce`].
    pub fn largest(&self, number: u8) -> Result<u8> {
        if !self.are_several() {
            return Ok(number);
        }
        let mut numbers = vec![0u8; self.count()];
        numbers[self.rank()] = number;
        let numbers = Tensor::from_slice(&numbers).to_kind(Kind::Int);
        self.sum(&numbers)?;
        Ok(numbers.max().int64_value(&[]) as u8)
    }

    /// Copies the tensors of rank 0 into those of the other processes.
    ///
    /// # Errors
    /// See [`Group::broadcast`].
    pub fn broadcast<'a>(&self, tensors: impl Iterator<Item = &'a Tensor>) -> Result<()> {
        let Some(group) = &self.group else { return Ok(()) };
        let _no_grad = tch::no_grad_guard();
        for tensor in tensors {
            // Its memory layout may be that of another process, or of a GPU.
            let rows = tensor.to_device(Device::Cpu).contiguous();
            group.broadcast(&rows)?;
            tensor.shallow_clone().copy_(&rows);
        }
        Ok(())
    }

    /// The text of rank 0.
    ///
    /// # Errors
    /// See [`Group::share`].
    pub fn share(&self, text: &str) -> Result<String> {
        self.group.as_ref().map_or_else(|| Ok(text.to_owned()), |group| group.share(text))
    }

    /// Tells the others why this process ends. See [`Group::fail`].
    pub fn fail(&self, reason: &str) {
        if let Some(group) = &self.group {
            group.fail(reason);
        }
    }
}

/// Several processes, of a group that is already open.
impl From<Group> for Processes {
    fn from(group: Group) -> Self {
        Self { group: Some(Arc::new(group)) }
    }
}

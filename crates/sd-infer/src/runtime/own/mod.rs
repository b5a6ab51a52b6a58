//! Kernels of our own, for what compressed networks are made of: convolutions dense, in groups and
//! depthwise, in floats or 8 bits, pools, linear layers, ECA and squeeze-excite.
//!
//! The runtimes in pure Rust take such a network's convolutions for what they are not: rten 0.27
//! computes a depthwise one number by number, and packs the weights of every other one anew for each
//! image, which on a small map is most of its time. Here weights are packed once, when the file is
//! loaded, and maps lie channels-last, so that every kernel runs along the channels. A graph with
//! another operator is refused, and left to rten.

#![allow(
    clippy::needless_range_loop,
    reason = "closures of iterators may be compiled without the processor's vectors"
)]

mod bytes;
mod convolution;
mod depthwise;
mod lanes;
mod maps;
mod plan;
mod pool;
mod product;
mod shelf;
mod slide;
mod window;
mod winograd;

use super::{Engine, Runtime, caught, failed};
use crate::{Batch, Result};
use maps::Maps;
use plan::{MOST, Plan};

/// Images that go through the network together at most: more would not stay in the processor's cache.
const TOGETHER: usize = 8;

/// A network, run by our own kernels. Several threads share a batch's images.
#[derive(Debug)]
pub struct Own {
    plan: Plan,
    /// Images that go through together.
    together: usize,
    threads: usize,
}

impl Own {
    /// Loads a file.
    ///
    /// A black image goes through it: a graph whose maps do not fit our kernels is refused here.
    pub fn load(bytes: &[u8], threads: usize) -> Result<Self> {
        let load = || {
            let plan = Plan::read(bytes)?;
            let (_, numbers) = plan.run(plan.image()?)?;
            let together = (MOST / numbers).clamp(1, TOGETHER);
            Ok::<_, String>(Self { plan, together, threads: threads.max(1) })
        };
        caught(Engine::Own, load)
    }

    /// The outputs of some images, in the file's order.
    fn part(&self, images: Batch) -> std::result::Result<Vec<Batch>, String> {
        let wrong = "a batch without four sides, or too large";
        let (outputs, _) = self.plan.run(Maps::of(images).ok_or(wrong)?)?;
        outputs.into_iter().map(|maps| maps.into_batch().ok_or("no batch".to_owned())).collect()
    }
}

impl Runtime for Own {
    fn run(&mut self, batch: Batch) -> Result<Vec<Batch>> {
        // As many for each thread as for the others, in parts of so many at most.
        let rounds = batch.len().div_ceil(self.threads.saturating_mul(self.together)).max(1);
        let share = batch.len().div_ceil(self.threads.saturating_mul(rounds)).max(1);
        if share >= batch.len() {
            return caught(Engine::Own, || self.part(batch));
        }
        let all: Vec<usize> = (0..batch.len()).collect();
        let parts: Vec<&[usize]> = all.chunks(share).collect();
        let work = |parts: &[&[usize]]| {
            let part = |images: &&[usize]| self.part(batch.select(images));
            parts.iter().map(part).collect::<std::result::Result<Vec<_>, String>>()
        };
        let outputs = if self.threads == 1 {
            caught(Engine::Own, || work(&parts))?
        } else {
            let each = parts.len().div_ceil(self.threads);
            let work = &work;
            let done = std::thread::scope(|scope| {
                let start = |parts| scope.spawn(move || caught(Engine::Own, || work(parts)));
                let threads: Vec<_> = parts.chunks(each).map(start).collect();
                let died = |_| Err(failed(Engine::Own, "a thread died"));
                let join =
                    |thread: std::thread::ScopedJoinHandle<_>| thread.join().unwrap_or_else(died);
                threads.into_iter().map(join).collect::<Result<Vec<_>>>()
            })?;
            done.into_iter().flatten().collect()
        };
        Batch::join(outputs).ok_or_else(|| failed(Engine::Own, "images of several shapes"))
    }
}

//! Times the average of gradients over processes: median milliseconds of a call, by rank 0.
//!
//! `average CALLS SIZE…` with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT; a size is the number of
//! values of a gradient. `scripts/distributed/ddp.py` starts it.

use std::time::{Duration, Instant};

use sd_distributed::Processes;
use tch::{Device, Kind, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tch::set_num_threads(1);
    let numbers: Vec<i64> =
        std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    let (calls, sizes) = numbers.split_first().ok_or("usage: average CALLS SIZE…")?;
    let gradients: Vec<Tensor> =
        sizes.iter().map(|&size| Tensor::ones([size], (Kind::Float, Device::Cpu))).collect();
    let processes = Processes::join(Duration::from_secs(60))?;
    let mut times = Vec::new();
    for _ in 0..*calls {
        let started = Instant::now();
        processes.average(gradients.iter().map(Tensor::shallow_clone))?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    if processes.is_first() {
        println!("{:.4}", times[times.len() / 2]);
    }
    Ok(())
}

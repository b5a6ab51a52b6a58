//! Groups of several ranks, each a thread of this process, on the loopback interface.

use std::net::TcpListener;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use sd_distributed::{Error, Group, Processes, Rendezvous};
use tch::{Device, Kind, Tensor};

const TIMEOUT: Duration = Duration::from_secs(20);

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn place(rank: usize, world_size: usize, port: u16) -> Rendezvous {
    Rendezvous {
        rank,
        world_size,
        local_rank: rank,
        local_world_size: Some(world_size),
        address: "127.0.0.1".to_owned(),
        port,
        launcher_store: None,
    }
}

/// Runs `body` in each rank, and returns their results by rank.
fn ranks<T: Send>(count: usize, timeout: Duration, body: impl Fn(Processes) -> T + Sync) -> Vec<T> {
    let (port, body) = (free_port(), &body);
    thread::scope(|scope| {
        let start = |rank| {
            scope
                .spawn(move || body(Group::join(place(rank, count, port), timeout).unwrap().into()))
        };
        let started: Vec<_> = (0..count).map(start).collect();
        started.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

#[test]
fn all_ranks_have_the_same_sums_means_and_copies() {
    let found = ranks(3, TIMEOUT, |processes| {
        let rank = processes.rank() as f64;
        let sum = Tensor::from_slice(&[rank, 1.0]);
        processes.sum(&sum).unwrap();
        // Channels-last memory, and a scalar.
        let map =
            Tensor::arange(24, (Kind::Float, Device::Cpu)).view([1, 2, 3, 4]).permute([0, 3, 1, 2]);
        let [map, scalar] = [map * rank, Tensor::from(rank as f32)];
        processes.average([&map, &scalar].map(Tensor::shallow_clone).into_iter()).unwrap();
        let copy = Tensor::from_slice(&[rank as i64 + 7; 3]);
        processes.broadcast([&copy].into_iter()).unwrap();
        let text = processes.share(&format!("of rank {rank}")).unwrap();
        let largest = processes.largest(10 * processes.rank() as u8).unwrap();
        (sum, map, scalar.double_value(&[]), copy, text, largest)
    });
    for (sum, map, scalar, copy, text, largest) in found {
        assert_eq!(sum, Tensor::from_slice(&[3.0, 3.0]));
        let expected = Tensor::arange(24, (Kind::Float, Device::Cpu)).view([1, 2, 3, 4]);
        assert_eq!(map, expected.permute([0, 3, 1, 2]));
        assert_eq!((scalar, text.as_str(), largest), (1.0, "of rank 0", 20));
        assert_eq!(copy, Tensor::from_slice(&[7i64; 3]));
    }
}

#[test]
fn a_second_job_on_the_same_port_is_refused_and_the_first_goes_on() {
    let (port, joined, refused) = (free_port(), Barrier::new(3), Barrier::new(3));
    thread::scope(|scope| {
        let first = [0, 1].map(|rank| {
            let (joined, refused) = (&joined, &refused);
            scope.spawn(move || {
                let group = Group::join(place(rank, 2, port), TIMEOUT).unwrap();
                joined.wait();
                refused.wait();
                let sum = Tensor::from(1.0);
                group.all_reduce(&sum).unwrap();
                sum.double_value(&[])
            })
        });
        joined.wait();
        let [of_0, of_1] = [0, 1].map(|rank| Group::join(place(rank, 2, port), TIMEOUT));
        refused.wait();
        assert!(matches!(of_0, Err(Error::PortInUse { port: found }) if found == port));
        let taken = of_1.unwrap_err().to_string();
        assert!(taken.starts_with("rank 1: a process of this rank has joined"), "{taken}");
        assert!(first.into_iter().all(|rank| rank.join().unwrap() == 2.0));
    });
}

#[test]
fn a_rank_that_does_not_join_is_named() {
    let (port, timeout) = (free_port(), Duration::from_millis(300));
    let error = Group::join(place(0, 2, port), timeout).unwrap_err().to_string();
    assert_eq!(error, "rank 0: rank 1 did not join within 300ms");
    let error = Group::join(place(1, 2, port), timeout).unwrap_err().to_string();
    assert!(error.starts_with("rank 1: cannot join the other processes at 127.0.0.1"), "{error}");
}

#[test]
fn the_others_learn_which_rank_has_failed_and_why() {
    for failing in [0, 2] {
        let errors = ranks(3, TIMEOUT, |processes| {
            if processes.rank() == failing {
                processes.fail("the disk is full");
                return None;
            }
            Some(processes.sum(&Tensor::from(1.0)).unwrap_err().to_string())
        });
        for (rank, error) in errors.into_iter().enumerate().filter(|(rank, _)| *rank != failing) {
            let error = error.unwrap();
            let start = format!(
                "rank {rank}: all_reduce failed: rank {failing} has failed: the disk is full"
            );
            assert!(error.starts_with(&start), "{error}");
        }
    }
}

#[test]
fn a_rank_that_is_gone_without_a_word_is_named() {
    let errors = ranks(2, TIMEOUT, |processes| {
        (processes.rank() == 0).then(|| processes.sum(&Tensor::from(1.0)).unwrap_err().to_string())
    });
    let error = errors[0].as_ref().unwrap();
    assert!(error.starts_with("rank 0: all_reduce failed: rank 1 no longer answers"), "{error}");
}

#[test]
fn a_rank_that_takes_longer_than_the_timeout_ends_the_others() {
    let started = Instant::now();
    let errors = ranks(2, Duration::from_secs(2), |processes| {
        if processes.rank() == 1 {
            thread::sleep(Duration::from_secs(6));
            return None;
        }
        Some(processes.sum(&Tensor::from(1.0)).unwrap_err().to_string())
    });
    let error = errors[0].as_ref().unwrap();
    let expected = "rank 0: all_reduce failed: all ranks live, and one took longer than 2s";
    assert!(error.starts_with(expected), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_failure_that_could_not_be_returned_is_returned_by_the_next_call() {
    ranks(2, TIMEOUT, |processes| {
        if processes.rank() == 1 {
            return;
        }
        let sum = processes.sum_later_failing();
        sum(&Tensor::from(1.0));
        sum(&Tensor::from(1.0));
        let error = processes.average(std::iter::once(Tensor::from(1.0))).unwrap_err().to_string();
        assert!(error.contains("rank 1 no longer answers"), "{error}");
    });
}

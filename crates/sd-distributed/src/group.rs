//! The processes of a job: how they meet, what they compute together, and how they end.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::IntoRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tch::Tensor;

use crate::c10d::{self, Gloo, Store};
use crate::error::{Error, Result};
use crate::heartbeat::{Heartbeat, in_words, silent};
use crate::rendezvous::Rendezvous;

/// Time between two looks whether all have joined.
const LOOK: Duration = Duration::from_millis(20);

/// Time in which the others read why this process fails, before its store ends with it.
const FAREWELL: Duration = Duration::from_secs(2);

/// Time after which a store that does not answer is given up.
const STORE_PATIENCE: Duration = Duration::from_secs(5);

/// The processes of a job. All call the same functions in the same order.
///
/// The rank 0 serves the store in which they meet, unless the launcher does.
#[derive(Debug)]
pub struct Group {
    place: Rendezvous,
    timeout: Duration,
    /// `None` when it is being dropped.
    gloo: Option<Gloo>,
    heartbeat: Mutex<Option<Heartbeat>>,
    store: Arc<Store>,
    has_failed: AtomicBool,
    /// The failure of a call that could not return it.
    deferred: Mutex<Option<Error>>,
}

impl Group {
    /// Joins the other processes, and waits for them. A call that takes longer than `timeout` fails.
    ///
    /// # Errors
    /// If another job uses the port, or a process does not join within `timeout`.
    pub fn join(place: Rendezvous, timeout: Duration) -> Result<Self> {
        let rank = place.rank;
        let serves = rank == 0 && place.launcher_store.is_none();
        let listener = serves.then(|| listen(&place)).transpose()?;
        // c10d takes the socket over, and closes it.
        let listener = listener.map(IntoRawFd::into_raw_fd);
        let failed = |reason| {
            let Rendezvous { address, port, .. } = place.clone();
            Error::Join { rank, address, port, reason }
        };
        let prefix = place.launcher_store.as_ref().map_or("", |store| store.prefix.as_str());
        let open = |listener| {
            Store::open(&place.address, place.port, listener, prefix, timeout).map_err(failed)
        };
        let store = open(listener)?;
        if store.add(&joined(rank), 1).map_err(failed)? > 1 {
            let Rendezvous { address, port, .. } = place;
            return Err(Error::Taken { rank, address, port });
        }
        let heartbeat = Heartbeat::start(open(None)?, rank);
        wait_for_all(&store, &place, timeout, failed)?;
        let interface = std::env::var("GLOO_SOCKET_IFNAME").ok();
        let host = is_loopback(&place).then_some(place.address.as_str());
        let gloo = Gloo::open(&store, rank, place.world_size, interface.as_deref(), host, timeout);
        Ok(Self {
            gloo: Some(gloo.map_err(failed)?),
            heartbeat: Mutex::new(Some(heartbeat)),
            store: Arc::new(store),
            has_failed: AtomicBool::new(false),
            deferred: Mutex::new(None),
            place,
            timeout,
        })
    }

    /// The place of this process.
    pub fn place(&self) -> &Rendezvous {
        &self.place
    }

    /// Replaces a dense tensor by its sum over all processes, the same bits in each.
    ///
    /// # Errors
    /// If a process is gone or does not answer within the timeout.
    pub fn all_reduce(&self, tensor: &Tensor) -> Result<()> {
        self.call("all_reduce", |gloo| gloo.all_reduce(tensor))
    }

    /// Replaces a dense tensor by that of rank 0.
    ///
    /// # Errors
    /// As [`all_reduce`](Self::all_reduce).
    pub fn broadcast(&self, tensor: &Tensor) -> Result<()> {
        self.call("broadcast", |gloo| gloo.broadcast(tensor))
    }

    /// Waits until all processes have called it.
    ///
    /// # Errors
    /// As [`all_reduce`](Self::all_reduce).
    pub fn barrier(&self) -> Result<()> {
        self.call("barrier", Gloo::barrier)
    }

    /// The text of rank 0.
    ///
    /// # Errors
    /// As [`all_reduce`](Self::all_reduce).
    pub fn share(&self, text: &str) -> Result<String> {
        let length = Tensor::from(text.len() as i64);
        self.broadcast(&length)?;
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(length.int64_value(&[]) as usize, 0);
        let bytes = Tensor::from_slice(&bytes);
        self.broadcast(&bytes)?;
        let bytes = Vec::<u8>::try_from(bytes).expect("a row of bytes");
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Tells the other processes why this one ends: their next call fails with this reason.
    pub fn fail(&self, reason: &str) {
        // Of several failures, the first is the cause of the others.
        if !self.has_failed.swap(true, Ordering::SeqCst)
            && matches!(self.store.add(CAUSES, 1), Ok(1))
        {
            let reason = format!("rank {} has failed: {reason}", self.place.rank);
            // Nobody is left to read it, if the store is gone.
            let _ = self.store.set(CAUSE, reason.as_bytes());
        }
    }

    /// Keeps the failure of a call that cannot return it, for the next that can.
    pub(crate) fn defer(&self, error: Error) {
        self.lock().get_or_insert(error);
    }

    /// Whether a failure is kept, after which calls of the others no longer match.
    pub(crate) fn is_deferred(&self) -> bool {
        self.lock().is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Error>> {
        // No holder of the lock can leave it half changed.
        self.deferred.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call<T>(
        &self,
        call: &'static str,
        body: impl FnOnce(&Gloo) -> c10d::Result<T>,
    ) -> Result<T> {
        if let Some(error) = self.lock().take() {
            return Err(error);
        }
        let gloo = self.gloo.as_ref().expect("it is open until it is dropped");
        body(gloo).map_err(|reason| {
            let cause = self.cause();
            self.has_failed.store(true, Ordering::SeqCst);
            Error::Call { rank: self.place.rank, call, cause, reason }
        })
    }

    /// The processes that a call has failed for. The first to ask finds out; the others read it.
    fn cause(&self) -> String {
        let Rendezvous { rank, world_size, .. } = self.place;
        let (store, timeout) = (Arc::clone(&self.store), self.timeout);
        let (send, found) = mpsc::channel();
        // A store whose server hangs does not return.
        thread::spawn(move || {
            let cause = || -> c10d::Result<String> {
                if store.add(CAUSES, 0)? > 0 {
                    return Ok(String::from_utf8_lossy(&store.get(CAUSE)?).into_owned());
                }
                let silent = silent(&store, world_size)?;
                let cause = match silent.as_slice() {
                    [] => format!("all ranks live, and one took longer than {timeout:?}"),
                    ranks => format!("{} no longer answers", in_words(ranks)),
                };
                if store.add(CAUSES, 1)? == 1 {
                    store.set(CAUSE, cause.as_bytes())?;
                }
                Ok(cause)
            };
            let _ = send.send(cause());
        });
        match found.recv_timeout(STORE_PATIENCE) {
            Ok(Ok(cause)) => cause,
            _ if rank == 0 || self.place.launcher_store.is_some() => {
                "the store does not answer".to_owned()
            }
            _ => "rank 0, which serves the store, no longer answers".to_owned(),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Closes the connections: the others notice.
        self.gloo = None;
        if self.has_failed.load(Ordering::SeqCst) && self.place.rank == 0 {
            thread::sleep(FAREWELL);
        }
        if let Some(heartbeat) = self.heartbeat.lock().ok().and_then(|mut own| own.take()) {
            heartbeat.stop();
        }
    }
}

/// Number of causes of a failure that are known.
const CAUSES: &str = "causes";

/// The first of them.
const CAUSE: &str = "cause";

fn joined(rank: usize) -> String {
    format!("joined/{rank}")
}

fn wait_for_all(
    store: &Store,
    place: &Rendezvous,
    timeout: Duration,
    failed: impl Fn(String) -> Error,
) -> Result<()> {
    let started = Instant::now();
    loop {
        let mut missing = Vec::new();
        for rank in 0..place.world_size {
            if store.add(&joined(rank), 0).map_err(&failed)? == 0 {
                missing.push(rank);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        if started.elapsed() >= timeout {
            let missing = in_words(&missing);
            return Err(Error::Missing { rank: place.rank, missing, timeout });
        }
        thread::sleep(LOOK);
    }
}

/// Whether the processes meet on this machine alone.
fn is_loopback(place: &Rendezvous) -> bool {
    let addresses = (place.address.as_str(), place.port).to_socket_addrs();
    addresses.is_ok_and(|mut all| all.all(|address| address.ip().is_loopback()))
}

/// Listens on the loopback interface if all processes are on this machine, on all interfaces otherwise.
fn listen(place: &Rendezvous) -> Result<TcpListener> {
    let Rendezvous { address, port, .. } = place;
    let bound = if is_loopback(place) {
        TcpListener::bind((address.as_str(), *port))
    } else {
        let any = [
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, *port)),
            (Ipv4Addr::UNSPECIFIED, *port).into(),
        ];
        TcpListener::bind(any.as_slice())
    };
    bound.map_err(|reason| match reason.kind() {
        std::io::ErrorKind::AddrInUse => Error::PortInUse { port: *port },
        _ => Error::Listen { address: address.clone(), port: *port, reason },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The version of libtorch whose Gloo `gloo/` declares, see its README.
    const GLOO_DECLARED_FOR: &str = "2.11.0";

    #[test]
    fn the_declarations_of_gloo_are_those_of_the_linked_version() {
        assert_eq!(c10d::version(), GLOO_DECLARED_FOR, "read crates/sd-distributed/gloo/README.md");
    }
}

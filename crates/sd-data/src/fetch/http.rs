//! Resumable downloads.

use super::write_error;
use crate::{Error, Result};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use ureq::http::{HeaderMap, StatusCode};

/// Consecutive attempts without a new byte before giving up.
const MAX_FRUITLESS_ATTEMPTS: u32 = 3;
const MEGABYTE: u64 = 1_000_000;

/// A download to a file.
pub(super) struct Download<'a> {
    pub(super) address: &'a str,
    pub(super) to: &'a Path,
    /// Maximum size of the file in bytes.
    pub(super) max_bytes: u64,
    /// Never truncates what `to` holds.
    pub(super) keep: bool,
}

/// The outcome of a download, unless it failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Ended by the server. The checksum verifies the file later.
    Complete,
    /// The server does not resume, and the kept bytes would be lost.
    NotResumed,
}

/// The outcome of an attempt, unless it failed permanently.
enum Attempt {
    Ended(Outcome),
    /// With the error of the connection.
    Interrupted(String),
}

impl Download<'_> {
    /// Downloads, appending to the existing bytes.
    pub(super) fn run(&self, progress: &mut dyn FnMut(&str)) -> Result<Outcome> {
        let agent = agent(self.address);
        let mut fruitless = 0;
        loop {
            let before = length(self.to);
            let reason = match self.attempt(&agent, before, progress)? {
                Attempt::Ended(outcome) => return Ok(outcome),
                Attempt::Interrupted(reason) => reason,
            };
            let kept = length(self.to);
            fruitless = if kept > before { 0 } else { fruitless + 1 };
            if fruitless == MAX_FRUITLESS_ATTEMPTS {
                return Err(self.failed(format!("connection lost ({reason}) after {kept} bytes")));
            }
            progress(&format!("connection lost after {kept} bytes ({reason}); resuming"));
            std::thread::sleep(Duration::from_secs(fruitless.into()));
        }
    }

    fn attempt(
        &self,
        agent: &ureq::Agent,
        have: u64,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Attempt> {
        let Self { address, to, max_bytes, keep } = *self;
        let mut request = agent.get(address);
        if have > 0 {
            request = request.header("Range", format!("bytes={have}-"));
        }
        let response = match request.call() {
            Ok(response) => response,
            // A server that closes early may answer the next time; a missing network will not.
            Err(ureq::Error::Io(error)) if is_interruption(error.kind()) => {
                return Ok(Attempt::Interrupted(error.to_string()));
            }
            Err(ureq::Error::RequireHttpsOnly(to)) => {
                return Err(self.failed(format!("the server redirects to {to}, without https")));
            }
            Err(error) => return Err(self.failed(format!("no answer ({error})"))),
        };
        let kept = match response.status() {
            StatusCode::OK if have > 0 && keep => {
                return Ok(Attempt::Ended(Outcome::NotResumed));
            }
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if resumes_at(response.headers(), have) => have,
            // The file is complete, or the checksum will reject it.
            StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => {
                return Ok(Attempt::Ended(Outcome::Complete));
            }
            status if status.is_success() => {
                return Err(self.failed(format!("unexpected answer {status}")));
            }
            status => return Err(self.failed(format!("the server answers {status}"))),
        };
        let total = length_of_body(response.headers()).map(|length| kept.saturating_add(length));
        let too_long =
            || self.failed(format!("more than {max_bytes} bytes, so not the published file"));
        if total.is_some_and(|total| total > max_bytes) {
            return Err(too_long());
        }
        let of_total =
            total.map_or_else(String::new, |total| format!(" of {} MB", total / MEGABYTE));
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(to)
            .and_then(|file| file.set_len(kept).map(|()| file))
            .map_err(write_error(to))?;
        let mut reader = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        let mut received = kept;
        let mut next_report = kept;
        loop {
            if received >= next_report {
                progress(&format!("{address}: {} MB{of_total}", received / MEGABYTE));
                next_report = received + 20 * MEGABYTE;
            }
            match reader.read(&mut buffer) {
                Ok(0) if total.is_some_and(|total| received < total) => {
                    return Ok(Attempt::Interrupted("closed by the server".to_owned()));
                }
                Ok(0) => return Ok(Attempt::Ended(Outcome::Complete)),
                Ok(count) => {
                    received += count as u64;
                    if received > max_bytes {
                        file.set_len(kept).map_err(write_error(to))?;
                        return Err(too_long());
                    }
                    file.write_all(&buffer[..count]).map_err(write_error(to))?;
                }
                Err(error) => return Ok(Attempt::Interrupted(error.to_string())),
            }
        }
    }

    fn failed(&self, reason: String) -> Error {
        Error::Source { origin: self.address.to_owned(), reason }
    }
}

/// The client for an address. From `https`, it follows no redirect to `http`.
fn agent(address: &str) -> ureq::Agent {
    ureq::Agent::config_builder()
        .https_only(address.starts_with("https://"))
        .http_status_as_error(false)
        // The files are compressed; a second layer would be removed on the way.
        .accept_encoding("identity")
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_per_read(Some(Duration::from_secs(60)))
        .build()
        .into()
}

fn is_interruption(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

fn resumes_at(headers: &HeaderMap, have: u64) -> bool {
    headers
        .get(CONTENT_RANGE)
        .and_then(|range| range.to_str().ok())
        .is_some_and(|range| range.starts_with(&format!("bytes {have}-")))
}

fn length_of_body(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

pub(super) fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ureq checks each address that it connects to, redirects included.
    #[test]
    fn https_does_not_lead_to_http() {
        assert!(agent("https://a/b").config().https_only());
        assert!(!agent("http://a/b").config().https_only());
        let folder = tempfile::TempDir::new().unwrap();
        let download = Download {
            address: "http://127.0.0.1:9/a",
            to: &folder.path().join("a"),
            max_bytes: 9,
            keep: false,
        };
        let refused = download.attempt(&agent("https://a/b"), 0, &mut |_| {});
        let message = refused.map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("redirects to http://127.0.0.1:9/a, without https"), "{message}");
    }
}

//! Resumable downloads.

use super::write_error;
use crate::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use ureq::http::{HeaderMap, StatusCode};

/// Consecutive attempts without a new byte before giving up.
const MAX_FRUITLESS_ATTEMPTS: u32 = 3;
const MEGABYTE: u64 = 1_000_000;

/// The outcome of an attempt, unless it failed permanently.
enum Outcome {
    Complete,
    /// With the error of the connection.
    Interrupted(String),
}

/// Downloads `address` to `part`, appending to its existing bytes. The checksum verifies the result
/// later.
pub(super) fn download(address: &str, part: &Path, progress: &mut dyn FnMut(&str)) -> Result<()> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        // The files are compressed; a second layer would be removed on the way.
        .accept_encoding("identity")
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_per_read(Some(Duration::from_secs(60)))
        .build()
        .into();
    let mut fruitless = 0;
    loop {
        let before = length(part);
        let reason = match attempt(&agent, address, part, before, progress)? {
            Outcome::Complete => return Ok(()),
            Outcome::Interrupted(reason) => reason,
        };
        let kept = length(part);
        fruitless = if kept > before { 0 } else { fruitless + 1 };
        if fruitless == MAX_FRUITLESS_ATTEMPTS {
            return Err(Error::Source {
                origin: address.to_owned(),
                reason: format!(
                    "connection lost ({reason}); {kept} bytes are kept in `{}`",
                    part.display()
                ),
            });
        }
        progress(&format!("connection lost after {kept} bytes ({reason}); resuming"));
        std::thread::sleep(Duration::from_secs(fruitless.into()));
    }
}

fn attempt(
    agent: &ureq::Agent,
    address: &str,
    part: &Path,
    have: u64,
    progress: &mut dyn FnMut(&str),
) -> Result<Outcome> {
    let failed = |reason: String| Error::Source { origin: address.to_owned(), reason };
    let mut request = agent.get(address);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let response = match request.call() {
        Ok(response) => response,
        // A server that closes early may answer the next time; a missing network will not.
        Err(ureq::Error::Io(error)) if is_interruption(error.kind()) => {
            return Ok(Outcome::Interrupted(error.to_string()));
        }
        Err(error) => return Err(failed(format!("no answer ({error})"))),
    };
    let (file, have) = match response.status() {
        StatusCode::OK => (File::create(part), 0),
        StatusCode::PARTIAL_CONTENT if resumes_at(response.headers(), have) => {
            (OpenOptions::new().append(true).open(part), have)
        }
        // The file is complete, or the checksum will reject it.
        StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => return Ok(Outcome::Complete),
        status if status.is_success() => {
            return Err(failed(format!("unexpected answer {status}")));
        }
        status => return Err(failed(format!("the server answers {status}"))),
    };
    let mut file = file.map_err(write_error(part))?;
    let total = length_of_body(response.headers()).map(|length| have + length);
    let of_total = total.map_or_else(String::new, |total| format!(" of {} MB", total / MEGABYTE));
    let mut reader = response.into_body().into_reader();
    let mut buffer = vec![0; 1 << 16];
    let mut received = have;
    let mut next_report = have;
    loop {
        if received >= next_report {
            progress(&format!("{address}: {} MB{of_total}", received / MEGABYTE));
            next_report = received + 20 * MEGABYTE;
        }
        match reader.read(&mut buffer) {
            Ok(0) if total.is_some_and(|total| received < total) => {
                return Ok(Outcome::Interrupted("closed by the server".to_owned()));
            }
            Ok(0) => return Ok(Outcome::Complete),
            Ok(count) => {
                file.write_all(&buffer[..count]).map_err(write_error(part))?;
                received += count as u64;
            }
            Err(error) => return Ok(Outcome::Interrupted(error.to_string())),
        }
    }
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

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

//! TensorBoard event files.
//!
//! A file is a sequence of records, each framed as in TensorFlow's `record_writer.h`: the length of the
//! message, eight bytes, and the masked checksum of these; the message, and its masked checksum.

mod proto;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use prost::Message;

use proto::{Event, SessionLog, SessionStatus, Summary, Value, What};

/// The version that readers look for.
const VERSION: &str = "brain.Event:2";

/// An event file, open for appending. Every process of a run writes its own.
#[derive(Debug)]
pub struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// Creates a file in `folder`, and the folder if it is missing. The file supersedes earlier ones
    /// from `step` on.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(folder: &Path, step: u64) -> Result<Self> {
        // TensorFlow's file name; readers sort by it.
        let now = unix_time();
        let (seconds, process) = (now.as_secs(), std::process::id());
        let name = format!("events.out.tfevents.{seconds:010}.{:09}.{process}", now.subsec_nanos());
        let path = folder.join(name);
        let file = fs::create_dir_all(folder)
            .and_then(|()| OpenOptions::new().create_new(true).append(true).open(&path))
            .with_context(|| format!("cannot write {}", path.display()))?;
        let mut events = Self { file, path };
        events.write(0, What::FileVersion(VERSION.to_owned()))?;
        let status = SessionStatus::Start.into();
        events.write(step, What::SessionLog(SessionLog { status }))?;
        Ok(events)
    }

    /// Adds a point at `step` to each named curve.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn scalars(&mut self, step: u64, points: Vec<(String, f64)>) -> Result<()> {
        let value = |(tag, value)| Value { tag, simple_value: Some(value as f32) };
        let value = points.into_iter().map(value).collect();
        self.write(step, What::Summary(Summary { value }))
    }

    fn write(&mut self, step: u64, what: What) -> Result<()> {
        let wall_time = unix_time().as_secs_f64();
        let event = Event { wall_time, step: step as i64, what: Some(what) };
        // In one write, so that readers see whole records.
        let record = framed(&event.encode_to_vec());
        let written: io::Result<()> = self.file.write_all(&record);
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }
}

fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(message.len() + 16);
    record.extend_from_slice(&length);
    record.extend_from_slice(&masked_checksum(&length).to_le_bytes());
    record.extend_from_slice(message);
    record.extend_from_slice(&masked_checksum(message).to_le_bytes());
    record
}

/// CRC-32C, masked because a checksum of bytes that hold checksums is weak.
fn masked_checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages of a file, with their checksums checked.
    fn read(mut bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        while !bytes.is_empty() {
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            let checksum = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            let message = &bytes[12..12 + length];
            assert_eq!(checksum(8), masked_checksum(&bytes[..8]));
            assert_eq!(checksum(12 + length), masked_checksum(message));
            events.push(Event::decode(message).unwrap());
            bytes = &bytes[16 + length..];
        }
        events
    }

    #[test]
    fn written_events_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(&folder.path().join("tb"), 17).unwrap();
        events.scalars(32, vec![("a/b".to_owned(), 0.5), ("c".to_owned(), -2.0)]).unwrap();
        let found = read(&fs::read(&events.path).unwrap());
        assert_eq!(found.iter().map(|event| event.step).collect::<Vec<_>>(), [0, 17, 32]);
        assert_eq!(found[0].what, Some(What::FileVersion("brain.Event:2".to_owned())));
        assert_eq!(found[1].what, Some(What::SessionLog(SessionLog { status: 1 })));
        let Some(What::Summary(summary)) = &found[2].what else { panic!("{:?}", found[2]) };
        let values: Vec<_> =
            summary.value.iter().map(|value| (value.tag.as_str(), value.simple_value)).collect();
        assert_eq!(values, [("a/b", Some(0.5)), ("c", Some(-2.0))]);
    }

    #[test]
    fn a_record_matches_tensorboard_byte_for_byte() {
        // tensorboard 2.21.0: RecordWriter and event_pb2 of the same event.
        let expected = "19000000000000008bf1082809000000000000f83f10202a0c0a0a0a03612f62150000003f\
                        29707e2f";
        let value = vec![Value { tag: "a/b".to_owned(), simple_value: Some(0.5) }];
        let what = Some(What::Summary(Summary { value }));
        let record = framed(&Event { wall_time: 1.5, step: 32, what }.encode_to_vec());
        let found: String = record.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, expected);
    }
}

//! The messages of an event file that scalars need, as structs by hand.
//!
//! Names and field numbers are those of the public `event.proto` and `summary.proto`
//! (<https://github.com/tensorflow/tensorboard/tree/master/tensorboard/compat/proto>).

use prost::{Enumeration, Message, Oneof};

/// A record of the file.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    /// Position on the horizontal axis.
    #[prost(int64, tag = "2")]
    pub step: i64,
    /// Its content.
    #[prost(oneof = "What", tags = "3, 5, 7")]
    pub what: Option<What>,
}

/// Content of an event.
#[derive(Clone, PartialEq, Oneof)]
pub enum What {
    /// The format's version, first in the file.
    #[prost(string, tag = "3")]
    FileVersion(String),
    /// Numbers.
    #[prost(message, tag = "5")]
    Summary(Summary),
    /// Start or continuation of a run.
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

/// Numbers of one step.
#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    /// The numbers.
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Value>,
}

/// A number and the curve that it belongs to.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    /// Name of the curve; the part before the first slash is its group.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// The number.
    #[prost(float, optional, tag = "2")]
    pub simple_value: Option<f32>,
}

/// A change of the session's status.
#[derive(Clone, PartialEq, Message)]
pub struct SessionLog {
    /// The status.
    #[prost(enumeration = "SessionStatus", tag = "1")]
    pub status: i32,
}

/// Status of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum SessionStatus {
    /// None.
    Unspecified = 0,
    /// The run starts or resumes: this file supersedes earlier ones from this step on.
    Start = 1,
}

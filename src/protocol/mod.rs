//! Protocols as state machines: bytes and time in, messages and events out. No sockets, no clock, no async.

pub mod line;
pub mod redirect;
pub mod reject;
pub mod text;

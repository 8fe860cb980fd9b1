//! Tests of more than one file.

mod control_port;
mod heat;
mod power;
mod shell;
mod tuning;

//! Bitcoin Core as a source of templates and a taker of blocks.

pub mod login;
pub mod rpc;
pub mod task;
pub mod tips;
pub mod zmq;

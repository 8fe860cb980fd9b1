//! Bitcoin Core as a source of templates and a taker of blocks.

pub mod rpc;

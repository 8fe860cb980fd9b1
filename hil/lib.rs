//! Practice pool, virtual boards and checks: signalcore judged from outside.

#[cfg(unix)]
pub mod bench;
mod chance;
pub mod pool;
pub mod virtual_board;

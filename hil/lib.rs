//! Practice pool, virtual boards and checks: signalcore judged from outside.

mod chance;
pub mod pool;
pub mod virtual_board;

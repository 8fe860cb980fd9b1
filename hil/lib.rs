//! Practice pool, virtual boards and checks: signalcore judged from outside.

pub mod pool;

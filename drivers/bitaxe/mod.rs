//! Bitaxe boards and what is built like them, under the firmware bitaxe-raw: a chain of BM13xx chips behind one port, and
//! behind another everything around it. A board as a state machine that keeps it cool; the two ports are its shell's.

pub mod belief;
pub mod board;
pub mod boards;
pub mod fan;
pub mod identify;
pub mod link;
pub mod packet;
pub mod power_up;
pub mod regulator;
pub mod sensor;
pub mod shell;
#[cfg(test)]
mod tests;
mod text;
pub mod thermal;
pub mod tuner;

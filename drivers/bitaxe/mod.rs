//! Bitaxe boards and what is built like them, under the firmware bitaxe-raw: a chain of BM13xx chips behind one port, and
//! behind another everything around it. A board as a state machine that keeps it cool; the two ports are its shell's.

pub mod link;
pub mod packet;
#[cfg(test)]
mod tests;
mod text;

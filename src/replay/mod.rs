//! What a rule for choosing jobs is worth: worlds in virtual time, and the most that could have been earned in them.
//!
//! A [`world`] comes from a [`scenario`] and a seed, or from a [`log`]. [`simulation`] drives a [`policy`] through it, and
//! [`oracle`] says what was possible; [`score`] holds the two against each other. The policy under test is the very code
//! that mines: `math` is [`crate::decision::Decider`] with its time driven from here.

pub mod chance;
pub mod gate;
pub mod generate;
pub mod log;
pub mod oracle;
pub mod plot;
pub mod policy;
mod revenue;
pub mod review;
pub mod scenario;
pub mod score;
pub mod simulation;
pub mod world;

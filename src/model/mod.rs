//! Models that have a say beside the mathematics of [`crate::decision`].

pub mod learned;

//! `signalcore-hil`: the practice pool and the hardware-in-the-loop runner as a program.

fn main() {}

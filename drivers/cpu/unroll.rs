//! Straight-line code from one line: in a loop, or behind a call, the compiler would keep arrays of words in memory.

/// The body once for each number, which is a constant in it.
macro_rules! unrolled {
    ($t:ident in $($number:literal)* => $body:expr) => { $({ const $t: usize = $number; $body; })* };
}

/// An array of a value for each of the eight working variables, whose number is a constant in it.
macro_rules! eight {
    ($i:ident => $value:expr) => {
        $crate::cpu::unroll::eight!($i => $value; 0 1 2 3 4 5 6 7)
    };
    ($i:ident => $value:expr; $($number:literal)*) => { [$({ const $i: usize = $number; $value }),*] };
}

pub(super) use {eight, unrolled};

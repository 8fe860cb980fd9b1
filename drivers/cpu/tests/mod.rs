//! Kernels against a plain double SHA-256, and boards of real threads.

mod boards;
mod kernels;

use sha2::{Digest, Sha256};

use super::kernel::{KERNELS, Kernel};

/// The kernels that this machine can run.
fn supported() -> impl Iterator<Item = &'static Kernel> {
    KERNELS.iter().filter(|kernel| (kernel.supported)())
}

/// The plain double SHA-256 of a header given as its first nineteen big-endian words and its nonce.
fn double_sha256(header: &[u32; 19], nonce: u32) -> [u8; 32] {
    let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
    bytes.extend(nonce.to_le_bytes());
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// The highest 32 bits of a hash as a little-endian number.
fn top_word(hash: [u8; 32]) -> u32 {
    u32::from_le_bytes(hash[28..].try_into().unwrap())
}

/// The nice value of the calling thread.
#[cfg(target_os = "linux")]
pub(super) fn nice() -> i32 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    // Field 19; the name in field 2 may hold blanks, so count from behind it.
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap()
}

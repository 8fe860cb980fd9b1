//! The loops over nonces around [`super::rounds`]: nonces in the lanes, or midstates in the lanes.
#![allow(clippy::inline_always, clippy::many_single_char_names)] // a call would not have the caller's instructions; FIPS names

use super::{
    kernel::{Hit, Hits},
    lanes::Lanes,
    rounds::{GROUP, Schedules, Word, first_hash, last_word_of_second_hash},
    sha256::Prepared,
    unroll::eight,
};

use Word::{Fixed, Varied};

/// Tries nonces with the first midstate, one nonce a lane. See [`super::kernel::Scan`].
#[inline(always)]
pub(super) fn nonces<V: Lanes>(
    proof: V::Proof,
    headers: &Prepared,
    start: u32,
    count: u32,
    top_limit: u32,
    hits: &mut Hits,
) -> u32 {
    let midstate = headers.midstate(0);
    let after_round_3 = headers.after_round_3(0);
    let mut words = [V::counting(proof, 0); 64];
    let mut done = 0_u32;
    while done < count {
        let word_3 = V::counting(proof, start.wrapping_add(done)).swap_bytes();
        let s = with_nonce(eight!(I => Fixed(after_round_3[I])), word_3);
        let first = first_hash(midstate, s, headers.w16_to_19, word_3, &mut words);
        let last = last_word_of_second_hash(first, word_3, &mut words);
        let found = last.swap_bytes().at_most(top_limit);
        if let Err(done) = note(hits, found, start, done, count) {
            return done;
        }
        done = done.saturating_add(V::WIDTH as u32);
    }
    count
}

/// Tries nonces with all midstates: in each register of `V` one nonce, and one midstate a lane. The schedules come from
/// registers of `N`, one nonce a lane. See [`super::kernel::Scan`].
#[inline(always)]
pub(super) fn versions<V: Lanes, N: Lanes<Proof = V::Proof>>(
    proof: V::Proof,
    headers: &Prepared,
    start: u32,
    count: u32,
    top_limit: u32,
    hits: &mut Hits,
) -> u32 {
    let midstates = V::WIDTH / V::CHAINS;
    let group = GROUP - GROUP % V::CHAINS; // those that fill all registers
    let mut words = [V::counting(proof, 0); 64];
    let mut schedule_words = [N::counting(proof, 0); 64];
    let mut schedules = Schedules::new();
    let mut done = 0_u32;
    while done < count {
        for at in (0..GROUP).step_by(N::WIDTH) {
            let word_3 = N::counting(proof, start.wrapping_add(done).wrapping_add(at as u32)).swap_bytes();
            schedules.fill(at, headers.w16_to_19, word_3, &mut schedule_words);
        }
        for at in (0..group as u32).step_by(V::CHAINS) {
            if at >= count - done {
                break;
            }
            let word_3 = V::chains(proof, start.wrapping_add(done).wrapping_add(at)).swap_bytes();
            let s = with_nonce(eight!(I => Varied(V::load(proof, &headers.after_round_3[I]))), word_3);
            let s = eight!(I => s[I].like(word_3));
            let midstate = eight!(I => V::load(proof, &headers.midstates[I]));
            let first = schedules.first_hash(proof, midstate, s, at as usize);
            let last = last_word_of_second_hash(first, word_3, &mut words);
            let found = last.swap_bytes().at_most(top_limit);
            if found == 0 {
                continue;
            }
            for chain in 0..V::CHAINS {
                let done = done.saturating_add(at + chain as u32);
                let found = found >> (chain * midstates) & ((1 << midstates) - 1);
                if done >= count {
                    return count;
                }
                if let Err(done) = note_versions(hits, found, start, done) {
                    return done;
                }
            }
        }
        done = done.saturating_add(group as u32);
    }
    count
}

/// The working variables after round 3, of which the nonce is a summand of a and e.
#[inline(always)]
fn with_nonce<V: Lanes>([a, b, c, d, e, f, g, h]: [Word<V>; 8], word_3: V) -> [Word<V>; 8] {
    [a.plus(Varied(word_3)), b, c, d, e.plus(Varied(word_3)), f, g, h]
}

/// Notes the candidates among the nonces from `start + done` upwards that are below `start + count`. Shape: `found` has a
/// bit for each nonce of a group, the first one lowest.
///
/// Errors: how many nonces are done, if the next candidate does not fit.
#[inline(always)]
pub(super) fn note(hits: &mut Hits, mut found: u64, start: u32, done: u32, count: u32) -> Result<(), u32> {
    while found != 0 {
        let lane = found.trailing_zeros();
        found &= found - 1;
        if lane >= count - done {
            return Ok(());
        }
        let done = done + lane;
        if !hits.push(Hit { midstate: 0, nonce: start.wrapping_add(done) }) {
            return Err(done);
        }
    }
    Ok(())
}

/// Notes the candidates with the nonce `start + done`. Shape: `found` has a bit for each midstate, the first one lowest.
///
/// Errors: how many nonces are done, if they do not all fit.
#[inline(always)]
pub(super) fn note_versions(hits: &mut Hits, mut found: u64, start: u32, done: u32) -> Result<(), u32> {
    if found.count_ones() as usize > hits.room() {
        return Err(done);
    }
    while found != 0 {
        let midstate = found.trailing_zeros() as u8;
        found &= found - 1;
        let has_room = hits.push(Hit { midstate, nonce: start.wrapping_add(done) });
        debug_assert!(has_room, "there is room for all of them");
    }
    Ok(())
}

//! What one connection of a Stratum session needs and the next does not.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::lessons::OptionalRequest;
use super::stratum_request::Request;
use crate::work::{Difficulty, Job};

/// What a request of ours was, to read its answer by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Configure,
    Subscribe,
    Authorize,
    Optional(OptionalRequest),
}

#[derive(Debug)]
pub(super) enum Phase {
    Offline,
    Subscribing {
        give_up_at: Instant,
    },
    /// A job that came early waits: a pool that refuses the worker gives no work.
    Authorizing {
        give_up_at: Instant,
        early: Option<Arc<Job>>,
    },
    /// `quiet_since`: the last job, or the authorisation before the first.
    Mining {
        quiet_since: Instant,
    },
}

/// How far version rolling is agreed on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rolling {
    NotAsked,
    Asked,
    Agreed,
    Refused,
}

/// An optional request that was sent, or kept back because the pool hung up on it before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watched {
    pub(super) request: OptionalRequest,
    pub(super) sent: bool,
    /// What the pool does later has another reason.
    pub(super) until: Instant,
}

/// What one connection needs and the next does not. (Not `Debug`: a line that waits may hold the password.)
pub(super) struct Link {
    pub(super) phase: Phase,
    pub(super) asked: HashMap<u64, Asked>,
    pub(super) next_id: u64,
    pub(super) out: VecDeque<String>,
    pub(super) bad_lines: u32,
    pub(super) rejects_in_a_row: u32,
    pub(super) heard_anything: bool,
    pub(super) rolling: Rolling,
    /// Optional requests whose effect is not yet known.
    pub(super) watched: Vec<Watched>,
    /// Of the last job that went out; `None` before the first.
    pub(super) difficulty: Option<Difficulty>,
}

impl Link {
    pub(super) fn new(phase: Phase) -> Self {
        Self {
            phase,
            asked: HashMap::new(),
            next_id: 1,
            out: VecDeque::new(),
            bad_lines: 0,
            rejects_in_a_row: 0,
            heard_anything: false,
            rolling: Rolling::NotAsked,
            watched: Vec::new(),
            difficulty: None,
        }
    }

    pub(super) fn ask(&mut self, asked: Asked, request: &Request) {
        let id = self.request_id();
        self.asked.insert(id, asked);
        self.out.push_back(request.line(id));
    }

    pub(super) fn request_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}

//! Protocols as state machines: bytes and time in, messages and events out. No sockets, no clock, no async.

pub mod block_book;
pub mod block_record;
pub mod delivery;
pub mod difficulty_wish;
pub mod habits;
pub mod job_feed;
pub mod json_rpc;
pub mod lessons;
pub mod line;
pub mod node_answers;
pub mod payout_watch;
pub mod pool_memory;
pub mod redirect;
pub mod reject;
pub mod remarks;
pub mod session_config;
pub mod session_error;
mod session_link;
pub mod solo_session;
pub mod stratum_message;
pub mod stratum_request;
pub mod stratum_session;
pub mod text;
pub mod tip_watch;
pub mod unanswered;

//! Which job to hash and when to change it, by expected value.

pub mod acceptance;
pub mod board_health;
pub mod input;
pub mod lag;
pub mod luck;
pub mod output;
pub mod quota;
pub mod settings;
pub mod value;

pub use input::{Checked, DeviceFigures, Event, JobFacts, JobKey, ParentHash, Scheme, Terms, UpstreamId};
pub use output::{
    Action, Advice, Candidate, Decision, Delays, Observed, ObservedJob, Reason, Refused, Spell, Spoke,
    Warning, Worthless,
};
pub use settings::{Alarms, Bounds, Deadlines, Graces, Learning, Moves, Settings, StalePolicy};

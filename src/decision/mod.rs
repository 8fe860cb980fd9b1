//! Which job to hash and when to change it, by expected value.

pub mod input;
pub mod output;
pub mod settings;

pub use input::{Checked, DeviceFigures, Event, JobFacts, JobKey, ParentHash, Scheme, Terms, UpstreamId};
pub use output::{
    Action, Advice, Candidate, Decision, Delays, Observed, ObservedJob, Reason, Refused, Spell, Spoke,
    Warning, Worthless,
};
pub use settings::{Alarms, Bounds, Deadlines, Graces, Learning, Moves, Settings, StalePolicy};

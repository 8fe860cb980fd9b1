//! A line of a log as JSON has it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::millis;
use crate::decision::{self, Repute};
use crate::replay::world::{Answer, Check, Device, Truth, Upstream, What};

/// How a [`Repute`] is written.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Repute", rename_all = "snake_case")]
enum Held {
    Suspect,
    Recovering,
    Good,
}

/// A time and what happens then.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) t_ms: f64,
    #[serde(flatten)]
    pub(super) body: Body,
}

/// What happens, by its `k`. Fields that are not known are passed over.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "k", rename_all = "snake_case")]
pub(super) enum Body {
    Device {
        flush_ms: f64,
        cross_ms: f64,
        boundary_ms: f64,
        #[serde(default = "usual_rate")]
        shares_per_second: f64,
    },
    Upstream {
        u: String,
        scheme: Scheme,
        fee: f64,
        #[serde(default = "whole")]
        payout_factor: f64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kappa: Option<f64>,
        #[serde(default)]
        vouches: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        patience_ms: Option<f64>,
    },
    Settings(Map<String, Value>),
    Notify {
        u: String,
        #[serde(default)]
        job: String,
        parent: String,
        #[serde(deserialize_with = "Option::deserialize")]
        height: Option<u32>,
        clean: bool,
        #[serde(deserialize_with = "Option::deserialize")]
        fees: Option<u64>,
        #[serde(default = "yes")]
        pay_ok: bool,
        #[serde(default, skip_serializing_if = "is_not")]
        held: bool,
        #[serde(default = "yes")]
        known: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ex1: Option<String>,
    },
    Alive {
        u: String,
    },
    SetDifficulty {
        u: String,
    },
    Drop {
        u: String,
    },
    Up {
        u: String,
    },
    Submitted {
        u: String,
        share: u64,
        #[serde(default, skip_serializing_if = "is_not")]
        aside: bool,
    },
    Variance {
        u: String,
        variance: f64,
    },
    Wake {},
    Ended {
        u: String,
        share: u64,
    },
    Repute {
        u: String,
        #[serde(with = "Held")]
        repute: Repute,
    },
    Answer {
        u: String,
        accepted: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        share: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        job: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<i64>,
        #[serde(default = "whole")]
        weight: f64,
    },
    NodeTip {
        parent: String,
        height: u32,
    },
    NodeRefused {
        parent: String,
    },
    Block {
        parent: String,
        height: u32,
        #[serde(default)]
        truth: bool,
    },
    Outage {
        u: String,
        on: bool,
        #[serde(default)]
        truth: bool,
    },
    RejectRate {
        u: String,
        rate: f64,
        #[serde(default)]
        truth: bool,
    },
    BadBranch {
        u: String,
        on: bool,
        #[serde(default)]
        truth: bool,
    },
    BadPay {
        u: String,
        on: bool,
        #[serde(default)]
        truth: bool,
    },
    OldShares {
        u: String,
        accepted: bool,
        #[serde(default)]
        truth: bool,
    },
    End {
        #[serde(default)]
        measured_from_ms: f64,
    },
}

/// How an upstream pays.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Scheme {
    Pps,
    Pplns,
    SoloPool,
    SoloNode,
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref)] // what serde asks for
fn is_not(flag: &bool) -> bool {
    !flag
}

fn whole() -> f64 {
    1.0
}

/// One share in 3.3 seconds.
fn usual_rate() -> f64 {
    0.3
}

impl From<Scheme> for decision::Scheme {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Pps => Self::Pps,
            Scheme::Pplns => Self::Pplns,
            Scheme::SoloPool => Self::SoloPool,
            Scheme::SoloNode => Self::SoloNode,
        }
    }
}

impl From<decision::Scheme> for Scheme {
    fn from(scheme: decision::Scheme) -> Self {
        match scheme {
            decision::Scheme::Pps => Self::Pps,
            decision::Scheme::Pplns => Self::Pplns,
            decision::Scheme::SoloPool => Self::SoloPool,
            decision::Scheme::SoloNode => Self::SoloNode,
        }
    }
}

/// What a job is called in a log.
fn name_of(job: u64) -> String {
    format!("{job:x}")
}

impl Body {
    pub(super) fn device(device: &Device, shares_per_second: f64) -> Self {
        Self::Device {
            flush_ms: millis(device.flush),
            cross_ms: millis(device.cross),
            boundary_ms: millis(device.boundary),
            shares_per_second,
        }
    }

    pub(super) fn upstream(upstream: &Upstream) -> Self {
        let decision::Terms { fee, payout_factor, scheme, kappa, vouches } = upstream.terms;
        let u = upstream.name.clone();
        let patience_ms = upstream.patience.map(millis);
        Self::Upstream { u, scheme: scheme.into(), fee, payout_factor, kappa, vouches, patience_ms }
    }

    /// `shares_per_second` is that of the head.
    pub(super) fn what(what: &What, upstreams: &[Upstream], shares_per_second: f64) -> Self {
        let name = |upstream: &usize| upstreams[*upstream].name.clone();
        match what {
            What::Notify(upstream, notify) => Self::Notify {
                u: name(upstream),
                job: name_of(notify.job),
                parent: notify.parent.to_string(),
                height: notify.height,
                clean: notify.clean,
                fees: notify.fees,
                pay_ok: notify.check != Check::Failed,
                held: notify.check == Check::Held,
                known: notify.known,
                ex1: Some(format!("{:08x}", notify.connection)),
            },
            What::Alive(upstream) => Self::Alive { u: name(upstream) },
            What::Drop(upstream) => Self::Drop { u: name(upstream) },
            What::Up(upstream) => Self::Up { u: name(upstream) },
            What::NodeTip(parent, height) => Self::NodeTip { parent: parent.to_string(), height: *height },
            What::NodeRefused(parent) => Self::NodeRefused { parent: parent.to_string() },
            What::Submitted(upstream, share) => {
                Self::Submitted { u: name(upstream), share: *share, aside: false }
            }
            What::Aside(upstream, share) => Self::Submitted { u: name(upstream), share: *share, aside: true },
            What::Variance(upstream, variance) => Self::Variance { u: name(upstream), variance: *variance },
            What::Wake => Self::Wake {},
            What::Repute(upstream, repute) => Self::Repute { u: name(upstream), repute: *repute },
            What::Ended(upstream, share) => Self::Ended { u: name(upstream), share: *share },
            What::Answer(upstream, Answer { share, accepted, code, weight }) => Self::Answer {
                u: name(upstream),
                accepted: *accepted,
                share: share.map(|(share, _)| share),
                job: share.map(|(_, job)| name_of(job)),
                code: *code,
                weight: *weight,
            },
            What::Device(device) => Self::device(device, shares_per_second),
            What::Truth(truth) => Self::truth(truth, name),
        }
    }

    fn truth(what: &Truth, name: impl Fn(&usize) -> String) -> Self {
        let truth = true;
        match what {
            Truth::Block(parent, height) => {
                Self::Block { parent: parent.to_string(), height: *height, truth }
            }
            Truth::Outage(upstream, on) => Self::Outage { u: name(upstream), on: *on, truth },
            Truth::RejectRate(upstream, rate) => Self::RejectRate { u: name(upstream), rate: *rate, truth },
            Truth::BadBranch(upstream, on) => Self::BadBranch { u: name(upstream), on: *on, truth },
            Truth::BadPay(upstream, on) => Self::BadPay { u: name(upstream), on: *on, truth },
            Truth::OldShares(upstream, accepted) => {
                Self::OldShares { u: name(upstream), accepted: *accepted, truth }
            }
        }
    }
}

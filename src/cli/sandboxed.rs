//! `signalcore sandboxed-exec`: the helper that a model's process begins as. Not for people.

use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use signalcore::model::sandbox::{self, Plan};

/// Give up all rights but those of a plan, and become its program
#[derive(Debug, ClapArgs)]
#[command(hide = true)]
pub(crate) struct Args {
    /// The plan as JSON
    plan: String,
}

/// Returns only when the program could not be started.
pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    let plan: Plan = serde_json::from_str(&args.plan).context("read the plan")?;
    bail!(sandbox::enter(&plan))
}

//! Solo mining on real nodes.

mod chain;
mod node;
mod outage;
mod proxy;
mod spend;

//! Solo mining on real nodes.

mod chain;
mod false_node;
mod forgotten;
mod judged;
mod node;
mod outage;
mod proxy;
mod rpc;
mod rpc_faults;
mod spend;

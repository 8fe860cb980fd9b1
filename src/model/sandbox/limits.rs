//! Limits of resources, as every Unix knows them.

use std::io;

use rustix::process::{Resource, Rlimit, nice, setrlimit};

use super::{Part, Plan, give_way};

const OPEN_FILES: u64 = 64;
/// Largest file it may write. Unit: bytes.
const FILE_SIZE: u64 = 16 << 20;
/// How much it gives way to others, where there is no better way.
const NICE: i32 = 10;

/// Sets all of them.
pub(super) fn set(plan: &Plan) -> Vec<Part> {
    let mut parts = vec![
        ("open files", limit(Resource::Nofile, OPEN_FILES)),
        ("core dumps", limit(Resource::Core, 0)),
        ("file size", limit(Resource::Fsize, FILE_SIZE)),
        ("memory", limit(Resource::As, plan.memory)),
        ("processes", limit(Resource::Nproc, others() + 1 + plan.processes)),
        ("priority", nice(NICE).map(drop).map_err(io::Error::from).and_then(|()| give_way())),
    ];
    if let Some(seconds) = plan.cpu_seconds {
        parts.push(("CPU time", limit(Resource::Cpu, seconds)));
    }
    parts
}

fn limit(resource: Resource, most: u64) -> io::Result<()> {
    Ok(setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// Threads that the model's user has already: the kernel counts them all together.
#[cfg(target_os = "linux")]
fn others() -> u64 {
    let uid = super::linux::model_uid().to_string();
    let Ok(entries) = std::fs::read_dir("/proc") else { return 0 };
    let threads = entries.flatten().filter_map(|entry| {
        let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
        let field =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::split_whitespace);
        let is_theirs = field("Uid:")?.next()? == uid;
        is_theirs.then(|| field("Threads:")?.next()?.parse::<u64>().ok()).flatten()
    });
    threads.sum()
}

/// Where they cannot be counted, room for those of a desktop.
#[cfg(not(target_os = "linux"))]
fn others() -> u64 {
    1000
}

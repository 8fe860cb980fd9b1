//! What a model's process may do: as little as it needs. The program starts itself anew as a helper, which gives up its
//! rights for good and then becomes the model's program: so that no code runs between fork and exec.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

#[cfg(unix)]
mod limits;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(super) use linux::model_uid;

/// The hidden subcommand of the helper.
pub const SUBCOMMAND: &str = "sandboxed-exec";

/// What a process gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The program with its full path, and its arguments.
    pub argv: Vec<String>,
    /// The one folder it may write to; it is empty, its home, and where it starts.
    pub scratch: PathBuf,
    /// What else it may read and execute.
    pub readable: Vec<PathBuf>,
    /// Address space. Unit: bytes.
    pub memory: u64,
    /// Processes and threads it may have beside itself.
    pub processes: u64,
    /// CPU time it may use, in seconds; `None` for one that lives long.
    pub cpu_seconds: Option<u64>,
    /// Whether it may use the network as it likes.
    pub network: bool,
    /// TCP ports it may connect to otherwise.
    pub allow_ports: Vec<u16>,
    /// Whether it must not start when nothing can be held back.
    pub require: bool,
}

/// Lets all others go before the calling thread, and what it starts, at once: one that only has a low priority is let end its turn of milliseconds, which the miner
/// would wait for with a new job in hand. Source: Linux, sched(7), SCHED_IDLE. Errors: the
/// system forbids it.
#[cfg(target_os = "linux")]
pub fn give_way() -> io::Result<()> {
    use thread_priority::unix::{
        NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
    };

    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    set_thread_priority_and_policy(thread_native_id(), thread_priority::ThreadPriority::Min, idle)
        .map_err(|error| io::Error::other(format!("{error:?}")))
}

/// Only Linux knows how.
#[cfg(not(target_os = "linux"))]
pub fn give_way() -> io::Result<()> {
    Ok(())
}

/// How much of the plan holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing.
    None,
    /// Some of it.
    Partial,
    /// All.
    Full,
}

impl Level {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Partial => "partial",
            Self::Full => "full",
        }
    }
}

/// The helper's first and only line, on its standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How much of the plan holds.
    pub sandbox: Level,
    /// What does not.
    pub missing: Vec<String>,
}

impl Report {
    fn new(done: usize, missing: Vec<String>) -> Self {
        let sandbox = match (done, missing.is_empty()) {
            (_, true) => Level::Full,
            (0, false) => Level::None,
            (_, false) => Level::Partial,
        };
        Self { sandbox, missing }
    }
}

/// Gives up all that the plan does not give, tells how much of that holds, and becomes the program. Returns only when
/// that fails: why.
pub fn enter(plan: &Plan) -> io::Error {
    let report = match restrict(plan) {
        Ok(report) => report,
        Err(error) => return error,
    };
    if plan.require && report.sandbox == Level::None {
        let missing = report.missing.join(", ");
        return io::Error::other(format!(
            "nothing can be held back here ({missing}), and require_sandbox is set"
        ));
    }
    let line = serde_json::to_string(&report).expect("a report has a JSON form");
    let mut stdout = io::stdout().lock();
    if let Err(error) = writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        return error;
    }
    drop(stdout);
    become_program(plan)
}

/// One part of a plan: its name, and whether it could be done.
type Part = (&'static str, io::Result<()>);

fn report(parts: Vec<Part>) -> Report {
    let done = parts.iter().filter(|(_, result)| result.is_ok()).count();
    let missing = parts.into_iter().filter_map(|(name, result)| Some(format!("{name} ({})", result.err()?)));
    Report::new(done, missing.collect())
}

#[cfg(target_os = "linux")]
fn restrict(plan: &Plan) -> io::Result<Report> {
    // Ours are closed as the program begins; those that whoever started us left open are not without this.
    close_fds::set_fds_cloexec(3, &[]);
    // What is allowed is looked up while it still can be.
    let rules = linux::Rules::new(plan);
    let mut parts = limits::set(plan);
    linux::leave_root()?;
    parts.push(("end with its parent", linux::end_with_parent()));
    parts.push(("files", rules.and_then(linux::Rules::enter)));
    parts.push(("system calls", linux::filter_calls(plan)));
    Ok(report(parts))
}

#[cfg(all(unix, not(target_os = "linux")))]
fn restrict(plan: &Plan) -> io::Result<Report> {
    let unknown = || io::Error::other("only on Linux");
    let mut parts = limits::set(plan);
    parts.extend([("files", Err(unknown())), ("system calls", Err(unknown()))]);
    Ok(report(parts))
}

#[cfg(not(unix))]
fn restrict(_: &Plan) -> io::Result<Report> {
    Ok(report(vec![("all", Err(io::Error::other("only on Unix")))]))
}

#[cfg(unix)]
fn become_program(plan: &Plan) -> io::Error {
    use std::os::unix::process::CommandExt;
    let Some((program, arguments)) = plan.argv.split_first() else {
        return io::Error::other("no program is named");
    };
    let error = std::process::Command::new(program).args(arguments).exec();
    io::Error::new(error.kind(), format!("{program}: {error}{}", linux_remedy(&error)))
}

#[cfg(unix)]
fn linux_remedy(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        "; it must be readable for everybody when signalcore runs as root, and below /usr or in model.paths"
    } else {
        ""
    }
}

#[cfg(not(unix))]
fn become_program(plan: &Plan) -> io::Error {
    io::Error::other(format!("{:?} cannot be started here", plan.argv))
}

/// A program by its full path: as it is when it has a slash, or else in the folders of `path`. `None` when there is none.
pub fn find_program(name: &str, path: &str) -> Option<PathBuf> {
    let is_program = |file: &Path| file.metadata().is_ok_and(|metadata| metadata.is_file());
    if name.contains('/') {
        return std::path::absolute(name).ok().filter(|file| is_program(file));
    }
    path.split(':')
        .filter(|folder| folder.starts_with('/'))
        .map(|folder| Path::new(folder).join(name))
        .find(|file| is_program(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_full_only_when_nothing_is_missing() {
        assert_eq!(Report::new(9, vec![]).sandbox, Level::Full);
        assert_eq!(Report::new(1, vec!["files".to_owned()]).sandbox, Level::Partial);
        assert_eq!(Report::new(0, vec!["all".to_owned()]).sandbox, Level::None);
        assert!(Level::None < Level::Partial && Level::Partial < Level::Full);
    }

    #[test]
    fn programs_are_found_in_folders_with_full_paths_alone() {
        assert_eq!(find_program("sh", "bin:/nowhere:/bin"), Some(PathBuf::from("/bin/sh")));
        assert_eq!(find_program("/bin/sh", ""), Some(PathBuf::from("/bin/sh")));
        assert_eq!(find_program("no such program", "/bin"), None);
        assert_eq!(find_program("/bin", ""), None, "a folder is no program");
    }
}

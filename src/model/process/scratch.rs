//! The one folder that a model's process may write to. Its name says whose it is, so that the folders of a miner that was
//! killed can be told from those in use, and are removed by the next one.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Once;

use tempfile::TempDir;

const PREFIX: &str = "signalcore-model-";

/// A folder of its own, which the model's user may write to. The first one removes what others have left behind.
pub(super) fn make() -> io::Result<TempDir> {
    static SWEEP: Once = Once::new();
    SWEEP.call_once(|| sweep(&std::env::temp_dir()));
    let owner = Owner::own().map_or_else(String::new, |owner| format!("{owner}-"));
    let folder = tempfile::Builder::new().prefix(&format!("{PREFIX}{owner}")).tempdir()?;
    #[cfg(target_os = "linux")]
    if rustix::process::getuid().is_root() {
        let owner = Some(super::sandbox::model_uid());
        std::os::unix::fs::chown(folder.path(), owner, owner)?;
    }
    Ok(folder)
}

/// A process, told from all others that had or will have its id: the namespace of its id, the id, and when it began in
/// ticks since the machine was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    namespace: u64,
    id: u32,
    began: u64,
}

impl Owner {
    /// This process; `None` where the system does not tell. Source: proc(5) and pid_namespaces(7).
    fn own() -> Option<Self> {
        let id = std::process::id();
        Some(Self { namespace: namespace()?, id, began: began(id)? })
    }

    /// Whose a folder of this name is.
    fn of(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix(PREFIX)?.split('-');
        let mut number = || parts.next()?.parse::<u64>().ok();
        Some(Self { namespace: number()?, id: number()?.try_into().ok()?, began: number()? })
    }

    /// Whether it has ended. Of a process in another namespace nothing is known.
    fn has_ended(&self) -> bool {
        namespace() == Some(self.namespace) && began(self.id) != Some(self.began)
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{}", self.namespace, self.id, self.began)
    }
}

fn namespace() -> Option<u64> {
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
}

/// When a process began; `None` where there is none. Source: proc(5), the 22nd field, counted behind the name in brackets,
/// which may hold anything.
fn began(id: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_whitespace().nth(19)?.parse().ok()
}

/// Removes the folders whose process has ended, and nothing else: no links, and nobody else's.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let owner = entry.file_name().to_str().and_then(Owner::of);
        let is_left = owner.is_some_and(|owner| owner.has_ended());
        // `metadata` of an entry does not follow links.
        if is_left && entry.metadata().is_ok_and(|metadata| metadata.is_dir() && is_ours(&metadata)) {
            let removed = fs::remove_dir_all(entry.path());
            tracing::debug!(
                "{}, left by a miner that was killed, is removed: {removed:?}",
                entry.path().display()
            );
        }
    }
}

#[cfg(target_os = "linux")]
fn is_ours(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    [rustix::process::geteuid().as_raw(), super::sandbox::model_uid()].contains(&metadata.uid())
}

#[cfg(not(target_os = "linux"))]
fn is_ours(_: &fs::Metadata) -> bool {
    false
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_says_whose_it_is() {
        let folder = make().unwrap();
        let name = folder.path().file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(Owner::of(&name), Owner::own());
        assert!(!Owner::of(&name).unwrap().has_ended());
        for name in ["signalcore-model-abc", "signalcore-model-1-2", "other-1-2-3-x", "signalcore-model-"] {
            assert_eq!(Owner::of(name), None, "{name}");
        }
    }

    #[test]
    fn folders_of_ended_processes_are_removed_and_all_others_are_left() {
        let folder = tempfile::tempdir().unwrap();
        let own = Owner::own().unwrap();
        let named = |owner: Owner| format!("{PREFIX}{owner}-Ab3x");
        let ended = named(Owner { began: own.began + 1, ..own });
        let elsewhere = named(Owner { namespace: own.namespace + 1, began: own.began + 1, ..own });
        let kept = [named(own), elsewhere, "signalcore-model-abc".to_owned(), "precious".to_owned()];
        for name in kept.iter().chain([&ended]) {
            fs::create_dir_all(folder.path().join(name).join("within")).unwrap();
        }
        // A link of such a name leads anywhere.
        let link = named(Owner { began: own.began + 2, ..own });
        std::os::unix::fs::symlink(folder.path().join("precious"), folder.path().join(&link)).unwrap();
        sweep(folder.path());
        let is_there = |name: &String| folder.path().join(name).symlink_metadata().is_ok();
        assert!(!is_there(&ended));
        assert!(kept.iter().chain([&link]).all(is_there));
        assert!(folder.path().join("precious/within").is_dir());
    }
}

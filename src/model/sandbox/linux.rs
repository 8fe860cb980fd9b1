//! What Linux can hold back: files and ports by Landlock, system calls by seccomp.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::process::{Gid, Signal, Uid, getuid, set_parent_process_death_signal};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};

use super::Plan;

/// The user that root's models run as: the one of no rights.
const NOBODY: u32 = 65_534;

/// What every program needs to run.
const SYSTEM: [&str; 6] = ["/usr", "/lib", "/lib32", "/lib64", "/bin", "/opt"];
/// What it has to read besides.
const FILES: [&str; 8] = [
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/urandom",
    "/dev/random",
    "/dev/zero",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
];
const NETWORK_FILES: [&str; 5] =
    ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl", "/etc/ca-certificates"];

/// The newest rules that are asked for; older kernels know fewer, and that is told.
const NEWEST: ABI = ABI::V6;

/// Landlock's rules, with what they allow already looked up.
pub(super) struct Rules(RulesetCreated);

impl Rules {
    /// Errors: the kernel has no Landlock.
    pub(super) fn new(plan: &Plan) -> io::Result<Self> {
        let reading = AccessFs::from_read(NEWEST);
        let file_reading = AccessFs::ReadFile | AccessFs::Execute;
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(NEWEST))
            .map_err(io::Error::other)?;
        if !plan.network {
            rules = rules.handle_access(AccessNet::from_all(NEWEST)).map_err(io::Error::other)?;
        }
        let rules = rules.scope(Scope::from_all(NEWEST)).map_err(io::Error::other)?;
        let mut rules = rules.create().map_err(io::Error::other)?;
        let network = NETWORK_FILES.iter().filter(|_| plan.network || !plan.allow_ports.is_empty());
        let fixed = SYSTEM.iter().chain(&FILES).chain(network).map(|path| (PathBuf::from(path), reading));
        let program = plan.argv.first().map(|program| (PathBuf::from(program), reading));
        let readable = plan.readable.iter().map(|path| (path.clone(), reading));
        let null = (PathBuf::from("/dev/null"), AccessFs::ReadFile | AccessFs::WriteFile);
        let scratch = (plan.scratch.clone(), AccessFs::from_all(NEWEST) & !AccessFs::Execute);
        for (path, access) in fixed.chain(program).chain(readable).chain([null, scratch]) {
            let access = if path.is_dir() { access } else { access & (file_reading | AccessFs::WriteFile) };
            rules = allow(rules, &path, access)?;
        }
        for port in &plan.allow_ports {
            rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp)).map_err(io::Error::other)?;
        }
        Ok(Self(rules))
    }

    /// From now on, for this thread and all that comes of it. Errors: not all of it holds.
    pub(super) fn enter(self) -> io::Result<()> {
        let status = self.0.restrict_self().map_err(io::Error::other)?;
        match status.ruleset {
            RulesetStatus::FullyEnforced => Ok(()),
            RulesetStatus::PartiallyEnforced => Err(io::Error::other("this kernel knows only some of it")),
            RulesetStatus::NotEnforced => Err(io::Error::other("this kernel has no Landlock")),
        }
    }
}

/// What is not there need not be allowed.
fn allow(rules: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> io::Result<RulesetCreated> {
    match PathFd::new(path) {
        Ok(opened) => rules.add_rule(PathBeneath::new(opened, access)).map_err(io::Error::other),
        Err(_) => Ok(rules),
    }
}

/// The user that a model runs as.
pub(in crate::model) fn model_uid() -> u32 {
    let own = getuid();
    if own.is_root() { NOBODY } else { own.as_raw() }
}

/// Root becomes nobody: limits of processes do not hold for root, and no model needs its rights.
pub(super) fn leave_root() -> io::Result<()> {
    if !getuid().is_root() {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// Killed when the miner is, whatever killed that. After the change of user, which would undo it.
pub(super) fn end_with_parent() -> io::Result<()> {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Calls that no model needs: into other processes, the kernel's insides, other namespaces.
const FORBIDDEN: [i64; 45] = [
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_perf_event_open,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    // What outlives the process, or changes mounts in newer ways.
    libc::SYS_shmget,
    libc::SYS_semget,
    libc::SYS_msgget,
    libc::SYS_mount_setattr,
    libc::SYS_fsconfig,
    libc::SYS_fspick,
    // What another process of the same user may do and how fast: the miner is one where it is not root.
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setaffinity,
    libc::SYS_process_madvise,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
];

/// The bit of a call's number that asks a 64-bit x86 for the older form of the same call.
const X32: i64 = 0x4000_0000;

/// Namespaces that `clone` would make.
const NEW_NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

/// Low bits of a socket's type; the others are flags. Source: Linux `include/linux/net.h`.
const TYPE_MASK: u64 = 0xf;
/// Kinds of sockets other than streams.
const NO_STREAMS: [i32; 5] = [libc::SOCK_DGRAM, libc::SOCK_RAW, libc::SOCK_RDM, libc::SOCK_SEQPACKET, 10];

/// Forbids what it must not call: those calls fail as without permission.
pub(super) fn filter_calls(plan: &Plan) -> io::Result<()> {
    let mut forbidden: BTreeMap<i64, Vec<SeccompRule>> =
        FORBIDDEN.iter().map(|call| (*call, vec![])).collect();
    let flag = |bit: i32| rule(&[(0, SeccompCmpOp::MaskedEq(bit as u64), bit as u64)]);
    let namespaces = (0..32).map(|bit| 1 << bit).filter(|bit| NEW_NAMESPACES & bit != 0);
    forbidden.insert(libc::SYS_clone, namespaces.map(flag).collect::<io::Result<_>>()?);
    // Its own limits it may read and lower.
    forbidden.insert(libc::SYS_prlimit64, vec![rule(&[(0, SeccompCmpOp::Ne, 0)])?]);
    if !plan.network {
        // Pairs of sockets need none of these.
        let rules = if plan.allow_ports.is_empty() { vec![] } else { only_streams()? };
        forbidden.insert(libc::SYS_socket, rules);
    }
    if cfg!(target_arch = "x86_64") {
        let others: Vec<_> = forbidden.iter().map(|(call, rules)| (call | X32, rules.clone())).collect();
        forbidden.extend(others);
    }
    filter(forbidden, libc::EPERM)?;
    // Its arguments cannot be looked at; what is told that it is unknown uses `clone`.
    filter([(libc::SYS_clone3, vec![])].into(), libc::ENOSYS)
}

fn only_streams() -> io::Result<Vec<SeccompRule>> {
    // None of Unix: behind their paths are services of this machine, which do as they are told.
    let families = [libc::AF_INET, libc::AF_INET6];
    let mut rules = vec![rule(&families.map(|family| (0, SeccompCmpOp::Ne, family as u64)))?];
    for family in [libc::AF_INET, libc::AF_INET6] {
        for kind in NO_STREAMS {
            let is_kind = (1, SeccompCmpOp::MaskedEq(TYPE_MASK), kind as u64);
            rules.push(rule(&[(0, SeccompCmpOp::Eq, family as u64), is_kind])?);
        }
    }
    Ok(rules)
}

/// All of these hold: the argument, how it is compared, with what.
fn rule(conditions: &[(u8, SeccompCmpOp, u64)]) -> io::Result<SeccompRule> {
    let condition = |(argument, operator, value): &(u8, SeccompCmpOp, u64)| {
        SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, operator.clone(), *value)
    };
    let conditions = conditions.iter().map(condition).collect::<Result<_, _>>().map_err(io::Error::other)?;
    SeccompRule::new(conditions).map_err(io::Error::other)
}

fn filter(forbidden: BTreeMap<i64, Vec<SeccompRule>>, error: i32) -> io::Result<()> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let refuse = SeccompAction::Errno(error as u32);
    let filter =
        SeccompFilter::new(forbidden, SeccompAction::Allow, refuse, arch).map_err(io::Error::other)?;
    let program: BpfProgram = filter.try_into().map_err(io::Error::other)?;
    apply_filter(&program).map_err(io::Error::other)
}

"""Tries what a model's program must not do, and tells line by line what became of it."""

import ctypes
import json
import os
import platform
import resource
import signal
import socket
import subprocess
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
# x86-64 and aarch64. Source: Linux, arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
NUMBERS = {
    "x86_64": {"ptrace": 101, "process_vm_readv": 310, "unshare": 272, "mount": 165, "bpf": 321, "io_uring_setup": 425,
               "userfaultfd": 323, "keyctl": 250, "clone": 56},
    "aarch64": {"ptrace": 117, "process_vm_readv": 270, "unshare": 97, "mount": 40, "bpf": 280, "io_uring_setup": 425,
                "userfaultfd": 282, "keyctl": 219, "clone": 220},
}[platform.machine()]
CLONE_NEWUSER = 0x10000000
PTRACE_ATTACH = 16


def tell(what, result):
    print(json.dumps({"try": what, "result": result}), flush=True)


def attempt(what, action):
    try:
        tell(what, f"done: {action()}")
    except (OSError, MemoryError, ValueError, subprocess.SubprocessError) as error:
        tell(what, f"refused: {error}")


def call(name, *arguments):
    ctypes.set_errno(0)
    # Every argument in the width of a register.
    result = LIBC.syscall(ctypes.c_long(NUMBERS[name]), *(ctypes.c_long(a) for a in arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def write(path, size=1):
    with open(path, "wb") as file:
        for _ in range(size):
            file.write(b"x" * 1024)
    return path


def fork_bomb():
    children = []
    try:
        for _ in range(200):
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return len(children)


def on_another(action):
    """On a process of the same user, as the miner is one where it is not root."""
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        return action(child)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def new_user_namespace():
    child = call("clone", CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return child


def run_outside():
    path = os.path.join(os.environ.get("TMPDIR", os.getcwd()), "program")
    write(path)
    with open(path, "w") as file:
        file.write("#!/bin/sh\nexit 0\n")
    os.chmod(path, 0o755)
    return subprocess.run([path], check=True, timeout=10).returncode


def open_many():
    files = [open("/dev/null", "rb") for _ in range(100)]
    return len(files)


def regain():
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000))
    return "limits raised"


def connect(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10):
        return port


def listen():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()


def everything(secret):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    tell("descriptors", " ".join(sorted(fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}"))))
    tell("environment", " ".join(sorted(os.environ)))
    tell("scheduling", str(os.sched_getscheduler(0)))
    attempt("read the system's files", lambda: open("/etc/ld.so.cache", "rb").read(4))
    attempt("write to the scratch folder", lambda: write("own"))
    attempt("pair of sockets", lambda: socket.socketpair())
    attempt("unix socket", lambda: socket.socket(socket.AF_UNIX))
    attempt("read a file outside", lambda: open(secret).read())
    attempt("write beside the script", lambda: write(os.path.join(os.path.dirname(__file__), "x")))
    attempt("write to /tmp", lambda: write("/tmp/signalcore-hostile"))
    attempt("run a program outside", run_outside)
    attempt("internet socket", lambda: connect(9))
    attempt("raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
    attempt("netlink socket", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
    attempt("allocate 2 GiB", lambda: len(bytearray(2 << 30)))
    attempt("fork bomb", fork_bomb)
    attempt("ptrace", lambda: call("ptrace", PTRACE_ATTACH, os.getppid(), 0, 0))
    attempt("read another's memory", lambda: call("process_vm_readv", os.getppid(), 0, 0, 0, 0, 0))
    attempt("unshare", lambda: call("unshare", CLONE_NEWUSER))
    attempt("new user namespace", new_user_namespace)
    attempt("mount", lambda: call("mount", 0, 0, 0, 0, 0))
    attempt("bpf", lambda: call("bpf", 0, 0, 0))
    attempt("io_uring", lambda: call("io_uring_setup", 1, 0))
    attempt("userfaultfd", lambda: call("userfaultfd", 1))
    attempt("keyctl", lambda: call("keyctl", 0, -3, 0, 0, 0))
    attempt("kill the parent", lambda: os.kill(os.getppid(), signal.SIGTERM))
    attempt("limit another", lambda: on_another(lambda pid: resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, 3))))
    attempt("slow another down", lambda: on_another(lambda pid: os.setpriority(os.PRIO_PROCESS, pid, 19)))
    attempt("bind another to a core", lambda: on_another(lambda pid: os.sched_setaffinity(pid, {0})))
    attempt("let another rest", lambda: on_another(lambda pid: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))))
    attempt("open 100 files", open_many)
    attempt("write 32 MiB", lambda: write("large", 32 << 10))
    attempt("regain rights", regain)


def ports(allowed, other):
    attempt(f"connect to {allowed}", lambda: connect(allowed))
    attempt(f"connect to {other}", lambda: connect(other))
    attempt("datagram socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    attempt("listen", listen)


if __name__ == "__main__":
    if sys.argv[1] == "ports":
        ports(int(sys.argv[2]), int(sys.argv[3]))
    else:
        everything(sys.argv[1])

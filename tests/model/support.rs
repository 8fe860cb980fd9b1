//! Programs in Python that are started as models, and how.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use signalcore::model::process::Program;
use tempfile::TempDir;

/// A program in a folder that everybody may read: what root starts runs as nobody.
pub(crate) struct Script {
    folder: TempDir,
}

impl Script {
    pub(crate) fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        std::fs::write(folder.path().join("model.py"), text).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> String {
        self.folder.path().join("model.py").to_str().unwrap().to_owned()
    }

    pub(crate) fn program(&self) -> Program {
        Program {
            argv: vec!["python3".to_owned(), "-u".to_owned(), self.path()],
            helper: PathBuf::from(env!("CARGO_BIN_EXE_signalcore")),
            readable: Vec::new(),
            memory: 1 << 30,
            processes: 8,
            network: false,
            allow_ports: Vec::new(),
            require: true,
        }
    }
}

/// What every program that answers line by line begins with; `answer(question)` follows.
pub(crate) const HELLO: &str = r#"
import json, sys, time, os
print(json.dumps({"hello": 1, "name": "test", "version": "1"}), flush=True)
def reply(question, **more):
    answer = {"v": 1, "id": question["id"], "state_id": question["state_id"], "decision": "PROCEED", "reason": "fine"}
    print(json.dumps({**answer, **more}), flush=True)
"#;

/// Long enough for a busy machine to start a Python.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// A deadline that is meant to pass, once the program runs.
pub(crate) fn short() -> Instant {
    Instant::now() + Duration::from_millis(300)
}

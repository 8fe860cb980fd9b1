//! Layers for a test: files in a folder of their own, an environment and flags.

use std::path::{Path, PathBuf};

use signalcore::config::{ConfigError, Environment, Flags, Loaded, load};
use tempfile::TempDir;

pub(crate) struct Setup {
    folder: TempDir,
    variables: Vec<(String, String)>,
    flags: Flags,
}

impl Setup {
    /// Nothing but a user's configuration file with this text.
    pub(crate) fn with_file(text: impl AsRef<[u8]>) -> Self {
        let folder = TempDir::new().unwrap();
        let xdg = folder.path().to_str().unwrap().to_owned();
        let setup =
            Self { folder, variables: vec![("XDG_CONFIG_HOME".into(), xdg)], flags: Flags::default() };
        setup.beside("config.toml", text)
    }

    /// Another file in the folder of the configuration file.
    pub(crate) fn beside(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    pub(crate) fn flags(mut self, change: impl FnOnce(&mut Flags)) -> Self {
        change(&mut self.flags);
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join("signalcore").join(name)
    }

    pub(crate) fn load(&self) -> Result<Loaded, ConfigError> {
        load(&self.flags, &self.variables.iter().cloned().collect::<Environment>())
    }

    /// The effective configuration of layers without a mistake.
    pub(crate) fn loaded(&self) -> Loaded {
        self.load().unwrap()
    }

    /// Text without the folder's own name.
    pub(crate) fn relative(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.path("").display()).replace("//", "/"), "")
    }
}

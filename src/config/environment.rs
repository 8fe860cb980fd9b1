//! The environment as a value, so that reading the configuration is a function of its arguments.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// The variables that matter to us. An empty variable counts as unset.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        let named = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        std::env::vars_os().filter_map(named).collect()
    }

    pub(super) fn value(&self, name: &str) -> Option<&OsStr> {
        self.0.get(name).map(OsString::as_os_str)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl<N: Into<String>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        const OTHERS: [&str; 3] = ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"];
        let ours = |(name, value): &(String, OsString)| {
            !value.is_empty() && (name.starts_with("SIGNALCORE_") || OTHERS.contains(&name.as_str()))
        };
        Self(variables.into_iter().map(|(n, v)| (n.into(), v.into())).filter(ours).collect())
    }
}

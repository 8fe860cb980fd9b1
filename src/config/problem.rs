//! What can be wrong with a configuration, and where: place, value found, what is expected, the remedy.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::kind::ADDRESSES;
use super::{ArrayKind, PoolUrlError, ProxyError, pool_url, proxy, solo};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A line of a file.
    File {
        /// The file as it was named or found.
        path: Arc<Path>,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable, by its name.
    Environment(String),
    /// A flag of the command line, by its name.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One thing that is wrong. No part of it repeats a secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Where.
    pub origin: Origin,
    /// The setting or table, such as `cpu.threads`; empty when a whole file is meant.
    pub field: String,
    /// What.
    pub mistake: Mistake,
}

/// The kinds of mistakes, all for the operator to correct.
#[derive(Debug, Clone, PartialEq)]
pub enum Mistake {
    /// The file is not TOML.
    Syntax {
        /// Counted from 1, in characters.
        column: usize,
        /// The parser's words, which never quote the file.
        message: String,
    },
    /// No such setting or table.
    UnknownName {
        /// What stands there.
        name: String,
        /// What could.
        known: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// An environment variable that is almost one of ours.
    UnknownVariable {
        /// What was probably meant.
        nearest: String,
    },
    /// A value of the wrong type or out of range.
    Value {
        /// The value.
        found: String,
        /// Type, unit and range.
        expected: String,
        /// What to do.
        remedy: String,
    },
    /// A text that is no address of a pool.
    Url {
        /// The text without credentials.
        found: String,
        /// Why.
        error: PoolUrlError,
    },
    /// A text that is no proxy. It may hold a password wherever it is misspelt, so it is not repeated.
    Proxy(ProxyError),
    /// An item of a list that is no address of Bitcoin.
    Address {
        /// The item.
        found: String,
    },
    /// An environment variable that is not UTF-8.
    NotUtf8Variable,
    /// A `[[pool]]` or the like without what it must have.
    Missing {
        /// Of what.
        of: ArrayKind,
        /// The setting that is not there.
        name: &'static str,
    },
    /// A pool with the url and the user of one before it, or the like.
    Twice {
        /// What stands there twice.
        kind: ArrayKind,
        /// Where the one before stands.
        first: Origin,
    },
    /// Credentials for an upstream that nothing names, or settings of a board.
    CredentialsWithoutUrl(ArrayKind),
    /// Both `password` and `password_file`.
    TwoPasswords,
    /// A cookie beside a user or password of a node.
    TwoLogins,
    /// A user of a node without a password, or the other way round.
    HalfLogin {
        /// The setting that is not there.
        missing: &'static str,
    },
    /// Nodes, but nobody whom their blocks pay.
    NoPayout,
    /// A payout on the command line, but no node.
    PayoutWithoutNode,
    /// A setting of a pool that its url has too.
    InUrlToo(&'static str),
    /// A setting for TLS, and a url that is not.
    NoTls,
    /// A file without certificates in PEM.
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A file that cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        error: String,
    },
    /// A file past the limit.
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Unit: bytes.
        limit: u64,
    },
    /// A file that is not UTF-8.
    NotUtf8File {
        /// The file.
        path: PathBuf,
    },
    /// A password file without a password in it.
    EmptyPasswordFile {
        /// The file.
        path: PathBuf,
    },
}

impl Problem {
    /// The value or thing found.
    pub fn found(&self) -> String {
        match &self.mistake {
            Mistake::Syntax { column, message } => format!("invalid TOML at column {column} ({message})"),
            Mistake::UnknownName { name, .. } => format!("the unknown name {name}"),
            Mistake::UnknownVariable { .. } => "an unknown variable".into(),
            Mistake::Value { found, .. } | Mistake::Url { found, .. } | Mistake::Address { found } => {
                found.clone()
            }
            Mistake::Proxy(_) => "***".into(),
            Mistake::NotUtf8Variable => "a value that is not UTF-8".into(),
            Mistake::Missing { of, name } => format!("a {of} without {name}"),
            Mistake::Twice { kind: ArrayKind::Pool, first } => {
                format!("the same url and user as at {first}")
            }
            Mistake::Twice { kind, first } => format!("the same {} as at {first}", kind.key()),
            Mistake::CredentialsWithoutUrl(ArrayKind::Board) => "settings without a board".into(),
            Mistake::CredentialsWithoutUrl(kind) => format!("credentials without a {kind}"),
            Mistake::TwoPasswords => "both password and password_file".into(),
            Mistake::TwoLogins => "it beside user or password".into(),
            Mistake::HalfLogin { missing } => format!("it without {missing}"),
            Mistake::NoPayout => "a node, but nobody whom its blocks pay".into(),
            Mistake::PayoutWithoutNode => "an address, but no node to mine on".into(),
            Mistake::InUrlToo(inside) => format!("it beside {inside} in the url"),
            Mistake::NoTls => "it beside a url in plain text".into(),
            Mistake::NoCertificate { path } => {
                format!("{} has no certificate that can be read", path.display())
            }
            Mistake::Unreadable { path, error } => format!("{} cannot be read ({error})", path.display()),
            Mistake::TooLarge { path, .. } => format!("{} is too large", path.display()),
            Mistake::NotUtf8File { path } => format!("{} is not UTF-8", path.display()),
            Mistake::EmptyPasswordFile { path } => format!("{} has an empty first line", path.display()),
        }
    }

    /// What would be right.
    pub fn expected(&self) -> String {
        match &self.mistake {
            Mistake::Syntax { .. } => "a line of TOML".into(),
            Mistake::UnknownName { known, .. } => format!("one of {known}"),
            Mistake::UnknownVariable { nearest } => nearest.clone(),
            Mistake::Value { expected, .. } => expected.clone(),
            Mistake::Url { .. } => pool_url::EXPECTED.into(),
            Mistake::Missing { of, name } => of.expected(name).into(),
            Mistake::Proxy(_) => proxy::EXPECTED.into(),
            Mistake::Address { .. } => ADDRESSES.into(),
            Mistake::Twice { kind, .. } => format!("each {kind} once"),
            Mistake::NotUtf8Variable | Mistake::NotUtf8File { .. } => "text in UTF-8".into(),
            Mistake::CredentialsWithoutUrl(kind) => format!("{} beside them", kind.key_variable()),
            Mistake::TwoPasswords | Mistake::TwoLogins | Mistake::InUrlToo(_) => "one of them".into(),
            Mistake::HalfLogin { .. } => "both, or none of them for the node's cookie".into(),
            Mistake::NoPayout => solo::EXPECTED.into(),
            Mistake::PayoutWithoutNode => ArrayKind::Node.expected("url").into(),
            Mistake::NoTls => "stratum+ssl://HOST:PORT".into(),
            Mistake::NoCertificate { .. } => "one or more in PEM".into(),
            Mistake::Unreadable { .. } => "a readable file".into(),
            Mistake::TooLarge { limit, .. } => format!("at most {limit} bytes"),
            Mistake::EmptyPasswordFile { .. } => "the password there".into(),
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        match &self.mistake {
            Mistake::Syntax { .. } => "correct this line or the one before it".into(),
            Mistake::UnknownName { nearest: Some(nearest), .. } => format!("did you mean {nearest}?"),
            Mistake::UnknownName { nearest: None, .. } => "delete it".into(),
            Mistake::UnknownVariable { nearest } => format!("did you mean {nearest}? Otherwise unset it"),
            Mistake::Value { remedy, .. } => remedy.clone(),
            Mistake::Url { error, .. } => error.to_string(),
            Mistake::Proxy(error) => error.to_string(),
            Mistake::Address { .. } => {
                "it is mistyped, cut or of another coin; copy it again from your wallet".into()
            }
            Mistake::Twice { kind: ArrayKind::Pool, .. } => {
                "delete one of the two, or give them different users to mine for both".into()
            }
            Mistake::NotUtf8Variable => "correct it or unset it".into(),
            Mistake::Missing { of, name } => {
                format!("add a line {name} = \"{}\" to this [[{of}]]", of.to_write(name))
            }
            Mistake::CredentialsWithoutUrl(kind @ ArrayKind::Board) => {
                format!("give {} too, or unset them", kind.key_variable())
            }
            Mistake::CredentialsWithoutUrl(kind) => {
                let url = kind.key_variable();
                format!("give {url} too; credentials are never sent to a {kind} they were not given for")
            }
            Mistake::Twice { .. } | Mistake::TwoPasswords | Mistake::InUrlToo(_) => {
                "delete one of the two".into()
            }
            Mistake::TwoLogins => "delete it, or user and password".into(),
            Mistake::HalfLogin { missing: "password" } => {
                "add password or password_file, or delete it".into()
            }
            Mistake::HalfLogin { missing } => format!("add {missing}, or delete it"),
            Mistake::NoPayout => {
                "give an address of your wallet with --payout or as payout below [solo]".into()
            }
            Mistake::PayoutWithoutNode => "name the node with --solo or as [[node]]".into(),
            Mistake::NoTls => "write the pool's address for TLS as url, or delete this setting".into(),
            Mistake::NoCertificate { .. } => {
                "it must have lines BEGIN CERTIFICATE and END CERTIFICATE".into()
            }
            Mistake::Unreadable { .. } => "correct the path or the file's permissions".into(),
            Mistake::TooLarge { .. } => "check that it is the right file".into(),
            Mistake::NotUtf8File { .. } => "save it as UTF-8".into(),
            Mistake::EmptyPasswordFile { .. } => "write it into the first line".into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "found {}, expected {}; {}", self.found(), self.expected(), self.remedy())
    }
}

/// Everything that is wrong with a configuration; never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigError {
    /// In the order of the layers, within a file by line.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// Whether the command line alone is to blame: a mistake in usage, not in the configuration.
    pub fn is_usage(&self) -> bool {
        self.problems.iter().all(|problem| matches!(problem.origin, Origin::Flag(_)))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

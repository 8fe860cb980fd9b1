//! The layers on top of each other: defaults, files, environment, flags. Pure, but for [`load`].

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::{self, Fault};
use super::field::{self, FIELDS, Field, MAX_PRIORITY, POOL_FIELDS, PoolDraft};
use super::files::{self, SourceFile};
use super::kind::{Given, Kind, Refusal, quoted};
use super::pool_address::PoolAddress;
use super::pool_url::without_credentials;
use super::problem::{ConfigError, Mistake, Origin, Problem};
use super::{Config, Environment, Flags, Pool, Terms};

/// The longest value that a message repeats. Unit: characters.
const MAX_SHOWN: usize = 80;
/// How many letters may differ for a variable to be a slip of one of ours. Small on purpose: variables that
/// others set must not stop us, such as the SIGNALCORE_PORT that Kubernetes makes from a service's name.
const MAX_SLIPS: usize = 2;

/// A checked configuration and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The effective values.
    pub config: Config,
    /// Where each comes from.
    pub origins: Origins,
    /// The files read, in the order of their layers.
    pub files: Vec<PathBuf>,
}

/// Where each effective value comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    settings: OriginOf,
    pools: Vec<OriginOf>,
}

type OriginOf = BTreeMap<&'static str, Origin>;

impl Origins {
    /// The origin of a setting such as `cpu.threads`.
    pub fn setting(&self, path: &str) -> Origin {
        self.settings.get(path).cloned().unwrap_or(Origin::Default)
    }

    /// The origin of a setting of the pool at `index` in [`Config::pools`], such as `url`.
    pub fn pool(&self, index: usize, name: &str) -> Origin {
        self.pools.get(index).and_then(|pool| pool.get(name)).cloned().unwrap_or(Origin::Default)
    }
}

/// Reads and checks the configuration. Errors: all problems of all layers at once.
pub fn load(flags: &Flags, environment: &Environment) -> Result<Loaded, ConfigError> {
    let mut layers = Layers::with_defaults();
    let sources = files::read_all(flags.config.as_deref(), environment, &mut layers.problems);
    for source in &sources {
        layers.file(source);
    }
    layers.environment(environment);
    layers.flags(flags);
    layers.read_named_files();
    let files = sources.into_iter().map(|source| source.path).collect();
    layers.finish(files)
}

/// Reads and checks a text as if it were the only file: no environment, no flags, and none of the files that it names.
/// Touches nothing outside, so that any text can be tried. Errors: all problems at once.
pub fn load_text(text: &str) -> Result<Loaded, ConfigError> {
    let mut layers = Layers::with_defaults();
    layers.file(&SourceFile { path: "text.toml".into(), text: text.to_owned() });
    layers.finish(Vec::new())
}

/// A pool and the origins of its settings.
type SourcedPool = (Pool, OriginOf);

struct Layers {
    config: Config,
    origins: OriginOf,
    pools: Vec<SourcedPool>,
    problems: Vec<Problem>,
}

impl Layers {
    fn with_defaults() -> Self {
        Self { config: Config::default(), origins: OriginOf::new(), pools: Vec::new(), problems: Vec::new() }
    }

    /// Settings of a later file win; its pools come after those of the files before it.
    fn file(&mut self, source: &SourceFile) {
        let path: Arc<Path> = source.path.as_path().into();
        let base = source.path.parent();
        let at = |line| Origin::File { path: path.clone(), line };
        let before = self.problems.len();
        let document = document::parse(&source.text);
        for fault in document.faults {
            let Fault { line, field, mistake } = fault;
            self.problems.push(Problem { origin: at(line), field, mistake });
        }
        for document::Entry { path, given, line } in document.settings {
            self.set(&path, &given, at(line), base);
        }
        for pool in document.pools {
            let entries = pool.entries.into_iter().map(|entry| (entry.path, entry.given, at(entry.line)));
            let pool = self.pool(entries, at(pool.line), base);
            self.pools.extend(pool);
        }
        self.problems[before..].sort_by_key(|problem| match problem.origin {
            Origin::File { line, .. } => line,
            _ => 0,
        });
    }

    /// Variables of settings win over files; those of the pool make one that replaces the files' pools.
    fn environment(&mut self, environment: &Environment) {
        self.unknown_variables(environment);
        for field in FIELDS {
            if let Some((given, origin)) = self.variable(environment, field.env, field.path) {
                self.set(field.path, &given, origin, None);
            }
        }
        let mut entries = Vec::new();
        for field in POOL_FIELDS {
            if let Some((given, origin)) = self.variable(environment, field.env, &pool_path(field.path)) {
                entries.push((field.path.to_owned(), given, origin));
            }
        }
        let Some((_, _, origin)) = entries.first() else { return };
        let origin = origin.clone();
        if environment.value(URL_VARIABLE).is_none() {
            let mistake = Mistake::CredentialsWithoutUrl { url: URL_VARIABLE };
            self.problems.push(Problem { origin, field: "pool".into(), mistake });
        } else {
            self.pools = self.pool(entries.into_iter(), origin, None).into_iter().collect();
        }
    }

    fn variable(&mut self, environment: &Environment, name: &str, field: &str) -> Option<(Given, Origin)> {
        let value = environment.value(name)?;
        let origin = Origin::Environment(name.to_owned());
        if let Some(text) = value.to_str() {
            return Some((Given::Word(text.to_owned()), origin));
        }
        self.problems.push(Problem { origin, field: field.to_owned(), mistake: Mistake::NotUtf8Variable });
        None
    }

    fn unknown_variables(&mut self, environment: &Environment) {
        let ours = FIELDS.iter().map(|field| field.env).chain(POOL_FIELDS.iter().map(|field| field.env));
        let known: Vec<_> = ours.chain([files::VARIABLE]).collect();
        for name in environment.names().filter(|name| name.starts_with("SIGNALCORE_")) {
            let slips = |candidate: &&&str| strsim::damerau_levenshtein(name, candidate);
            let nearest = known.iter().min_by_key(slips).filter(|n| (1..=MAX_SLIPS).contains(&slips(n)));
            if let Some(nearest) = nearest {
                let mistake = Mistake::UnknownVariable { nearest: (*nearest).to_owned() };
                let origin = Origin::Environment(name.to_owned());
                self.problems.push(Problem { origin, field: String::new(), mistake });
            }
        }
    }

    /// Flags win over everything; if they name pools, no other layer's pool is left.
    fn flags(&mut self, flags: &Flags) {
        let words = [
            ("cpu.threads", "--cpu-threads", &flags.cpu_threads),
            ("upstreams.strategy", "--strategy", &flags.strategy),
            ("stratum.suggest_difficulty", "--suggest-difficulty", &flags.suggest_difficulty),
            ("log.file", "--log-file", &flags.log_file),
            ("stop.seconds", "--seconds", &flags.seconds),
            ("stop.shares", "--shares", &flags.shares),
        ];
        for (path, flag, word) in words {
            if let Some(word) = word {
                self.set(path, &Given::Word(word.clone()), Origin::Flag(flag), None);
            }
        }
        if flags.require_upstream {
            let given = Given::Word("true".to_owned());
            self.set("stop.require_upstream", &given, Origin::Flag("--require-upstream"), None);
        }
        if !flags.devices.is_empty() {
            self.set("device", &Given::List(flags.devices.clone()), Origin::Flag("--device"), None);
        }
        if flags.pools.is_empty() {
            return;
        }
        self.pools.clear();
        for pool in &flags.pools {
            let password = pool.password.as_ref().map(|password| password.expose().to_owned());
            let words = [
                ("url", "--pool", Some(pool.url.clone())),
                ("user", "--user", pool.user.clone()),
                ("password", "--password", password),
                ("weight", "--pool-weight", pool.weight.clone()),
                ("proxy", "--proxy", pool.proxy.as_ref().map(|proxy| proxy.expose().to_owned())),
                ("tls_ca", "--tls-ca", pool.tls_ca.clone()),
                ("tls_pin", "--tls-pin", pool.tls_pin.clone()),
            ];
            let entries = words.into_iter().filter_map(|(name, flag, word)| {
                Some((name.to_owned(), Given::Word(word?), Origin::Flag(flag)))
            });
            let pool = self.pool(entries, Origin::Flag("--pool"), None);
            self.pools.extend(pool);
        }
    }

    fn set(&mut self, path: &str, given: &Given, origin: Origin, base: Option<&Path>) {
        let stored = store(FIELDS, path, &mut self.config, given, &origin, base);
        match stored {
            Ok(path) => _ = self.origins.insert(path, origin),
            Err(mistake) => self.problems.push(Problem { origin, field: path.to_owned(), mistake }),
        }
    }

    /// A pool from its entries, `None` and problems if it is not a whole one. `place` is where it begins.
    fn pool(
        &mut self,
        entries: impl Iterator<Item = (String, Given, Origin)>,
        place: Origin,
        base: Option<&Path>,
    ) -> Option<SourcedPool> {
        let mut draft = PoolDraft::default();
        field::store_defaults(POOL_FIELDS, &mut draft);
        let mut origins = OriginOf::new();
        let mut has_url = false;
        for (name, given, origin) in entries {
            has_url |= name == "url";
            match store(POOL_FIELDS, &name, &mut draft, &given, &origin, base) {
                Ok(name) => _ = origins.insert(name, origin),
                Err(mistake) => self.problems.push(Problem { origin, field: pool_path(&name), mistake }),
            }
        }
        if !has_url {
            self.problems.push(Problem {
                origin: place,
                field: pool_path("url"),
                mistake: Mistake::MissingUrl,
            });
        }
        for (name, mistake) in conflicts(&draft, &origins) {
            let origin = origins.get(name).cloned().unwrap_or(Origin::Default);
            self.problems.push(Problem { origin, field: pool_path(name), mistake });
        }
        let PoolDraft { url, user, password, password_file, tls, proxy, priority, terms } = draft;
        let address = url?;
        for (name, inside) in [
            ("proxy", address.proxy.is_some()),
            ("extranonce_subscribe", address.extranonce_subscribe.is_some()),
        ] {
            if let Some(origin) = origins.get("url").filter(|_| inside).cloned() {
                origins.insert(name, origin);
            }
        }
        let pool = Pool {
            url: address.url,
            user,
            password,
            password_file,
            tls,
            proxy: proxy.or(address.proxy),
            terms: Terms {
                priority: priority.unwrap_or_default(), // its place in the list is not known yet
                extranonce_subscribe: terms.extranonce_subscribe.or(address.extranonce_subscribe),
                ..terms
            },
        };
        Some((pool, origins))
    }

    /// Reads the files that pools name: passwords and certificates.
    fn read_named_files(&mut self) {
        for (pool, origins) in &mut self.pools {
            let mut problem = |name, mistake| {
                let origin = origins.get(name).cloned().unwrap_or(Origin::Default);
                self.problems.push(Problem { origin, field: pool_path(name), mistake });
            };
            if let Some(path) = &pool.password_file {
                match files::read_password(path) {
                    Ok(password) => pool.password = password,
                    Err(mistake) => problem("password_file", mistake),
                }
            }
            if let Some(path) = &pool.tls.ca {
                match files::read_certificates(path) {
                    Ok(authorities) => pool.tls.authorities = authorities,
                    Err(mistake) => problem("tls_ca", mistake),
                }
            }
        }
    }

    /// A second connection for the same user is no standby, for both fail together; so it is a slip of the hand.
    fn repeated_pools(&mut self) {
        let mut seen = BTreeMap::new();
        for (pool, origins) in &self.pools {
            let origin = origins.get("url").cloned().unwrap_or(Origin::Default);
            match seen.entry((pool.url.to_string(), &pool.user)) {
                Entry::Vacant(entry) => _ = entry.insert(origin),
                Entry::Occupied(first) => {
                    let mistake = Mistake::SamePool { first: first.get().clone() };
                    self.problems.push(Problem { origin, field: pool_path("url"), mistake });
                }
            }
        }
    }

    /// The best pool first; those without a priority have their place in the list for one.
    fn sort_pools(&mut self) {
        for (place, (pool, origins)) in (0..).zip(&mut self.pools) {
            if !origins.contains_key("priority") {
                pool.terms.priority = MAX_PRIORITY.min(place);
            }
        }
        self.pools.sort_by_key(|(pool, _)| pool.terms.priority);
    }

    fn finish(mut self, files: Vec<PathBuf>) -> Result<Loaded, ConfigError> {
        self.repeated_pools();
        if !self.problems.is_empty() {
            return Err(ConfigError { problems: self.problems });
        }
        self.sort_pools();
        let (pools, pool_origins) = self.pools.into_iter().unzip();
        self.config.pools = pools;
        let origins = Origins { settings: self.origins, pools: pool_origins };
        Ok(Loaded { config: self.config, origins, files })
    }
}

const URL_VARIABLE: &str = "SIGNALCORE_POOL_URL";

/// Settings of a pool that contradict each other, by the name of the one that is to go.
fn conflicts(draft: &PoolDraft, origins: &OriginOf) -> Vec<(&'static str, Mistake)> {
    let is_given = |name| origins.contains_key(name);
    let in_url = |is_there: fn(&PoolAddress) -> bool| draft.url.as_ref().is_some_and(is_there);
    let is_plain = in_url(|address| !address.url.is_tls());
    let in_url_too =
        |name, inside, is_there| (is_given(name) && in_url(is_there), name, Mistake::InUrlToo(inside));
    let rules = [
        (is_given("password") && is_given("password_file"), "password_file", Mistake::TwoPasswords),
        (is_given("tls_ca") && is_plain, "tls_ca", Mistake::NoTls),
        (is_given("tls_pin") && is_plain, "tls_pin", Mistake::NoTls),
        in_url_too("proxy", "the proxy", |address| address.proxy.is_some()),
        in_url_too("extranonce_subscribe", "#xnsub", |address| address.extranonce_subscribe.is_some()),
    ];
    rules.into_iter().filter(|(holds, ..)| *holds).map(|(_, name, mistake)| (name, mistake)).collect()
}

fn pool_path(name: &str) -> String {
    format!("pool.{name}")
}

/// Stores a value in the setting at `path`; gives the table's own spelling of the path.
fn store<T: Clone>(
    fields: &'static [Field<T>],
    path: &str,
    target: &mut T,
    given: &Given,
    origin: &Origin,
    base: Option<&Path>,
) -> Result<&'static str, Mistake> {
    let field =
        fields.iter().find(|field| field.path == path).expect("every layer names settings of the table");
    let text = match given {
        Given::Text(text) | Given::Word(text) => text.as_str(),
        _ => "",
    };
    match field.kind.store(target, given, base) {
        Ok(()) => Ok(field.path),
        Err(Refusal::Url(error)) => {
            Err(Mistake::Url { found: shown(&quoted(&without_credentials(text))), error })
        }
        Err(Refusal::Proxy(error)) => Err(Mistake::Proxy(error)),
        Err(Refusal::Address(found)) => Err(Mistake::Address { found: shown(&quoted(&found)) }),
        Err(Refusal::Value) => {
            let found = if field.kind.is_secret() { "***".into() } else { shown(&given.to_toml()) };
            let remedy = remedy(field, target, given, origin);
            Err(Mistake::Value { found, expected: field.kind.expected(), remedy })
        }
    }
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn remedy<T: Clone>(field: &Field<T>, target: &T, given: &Given, origin: &Origin) -> String {
    let fits = |other: Given| field.kind.store(&mut target.clone(), &other, None).is_ok();
    match (given, origin, field.default()) {
        (Given::Text(text), ..) if matches!(field.kind, Kind::Texts(_) | Kind::Addresses(_)) => {
            format!("write [{}]", quoted(text))
        }
        (Given::Text(text), ..) if fits(Given::Word(text.clone())) => "write it without quotes".into(),
        (Given::Integer(_) | Given::Number(_) | Given::Bool(_), ..) if fits(Given::Text(given.to_toml())) => {
            "put it in quotes".into()
        }
        (_, Origin::Environment(_), _) => "correct it or unset the variable".into(),
        (_, Origin::Flag(_), _) => "correct it or leave the flag out".into(),
        (_, _, Some(default)) => format!("correct it, or delete the line for the default {default}"),
        (_, _, None) => "correct it or delete the line".into(),
    }
}

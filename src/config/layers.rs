//! The layers on top of each other: defaults, files, environment, flags. Pure, but for [`load`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::array::{self, ArrayKind, Element, OriginOf, Sourced, origin_of};
use super::boards::BOARD_FIELDS;
use super::document::{self, Fault};
use super::field::{self, fields};
use super::files::{self, SourceFile};
use super::kind::Given;
use super::nodes::NODE_FIELDS;
use super::pools::{MAX_PRIORITY, POOL_FIELDS};
use super::problem::{ConfigError, Mistake, Origin, Problem};
use super::store::store;
use super::{Board, Config, Environment, Flags, Node, NodeLogin, Pool, Secret};

/// How many letters may differ for a variable to be a slip of one of ours. Small on purpose: variables that
/// others set must not stop us, such as the SIGNALCORE_PORT that Kubernetes makes from a service's name.
const MAX_SLIPS: usize = 2;

/// The setting that says whom blocks pay; there is no node without it.
const PAYOUT: &str = "solo.payout";

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
    nodes: Vec<OriginOf>,
    boards: Vec<OriginOf>,
}

impl Origins {
    /// The origin of a setting such as `cpu.threads`.
    pub fn setting(&self, path: &str) -> Origin {
        origin_of(&self.settings, path)
    }

    /// The origin of a setting of the pool at `index` in [`Config::pools`], such as `url`.
    pub fn pool(&self, index: usize, name: &str) -> Origin {
        self.pools.get(index).map_or(Origin::Default, |pool| origin_of(pool, name))
    }

    /// The origin of a setting of the node at `index` in [`Config::nodes`], such as `url`.
    pub fn node(&self, index: usize, name: &str) -> Origin {
        self.nodes.get(index).map_or(Origin::Default, |node| origin_of(node, name))
    }

    /// The origin of a setting of the board at `index` in [`Config::boards`], such as `port`.
    pub fn board(&self, index: usize, name: &str) -> Origin {
        self.boards.get(index).map_or(Origin::Default, |board| origin_of(board, name))
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

struct Layers {
    config: Config,
    origins: OriginOf,
    pools: Vec<Sourced<Pool>>,
    nodes: Vec<Sourced<Node>>,
    boards: Vec<Sourced<Board>>,
    problems: Vec<Problem>,
}

impl Layers {
    fn with_defaults() -> Self {
        Self {
            config: Config::default(),
            origins: OriginOf::new(),
            pools: Vec::new(),
            nodes: Vec::new(),
            boards: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Settings of a later file win; its pools and nodes come after those of the files before it.
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
        for element in document.elements {
            let entries = element.entries.into_iter().map(|entry| (entry.path, entry.given, at(entry.line)));
            let (place, problems) = (at(element.line), &mut self.problems);
            match element.kind {
                ArrayKind::Pool => self.pools.extend(array::read(entries, place, base, problems)),
                ArrayKind::Node => self.nodes.extend(array::read(entries, place, base, problems)),
                ArrayKind::Board => self.boards.extend(array::read(entries, place, base, problems)),
            }
        }
        self.problems[before..].sort_by_key(|problem| match problem.origin {
            Origin::File { line, .. } => line,
            _ => 0,
        });
    }

    /// Variables of settings win over files; those of the pool make one that replaces the files' pools, and so do those of
    /// the node and the board.
    fn environment(&mut self, environment: &Environment) {
        self.unknown_variables(environment);
        for field in fields() {
            if let Some((given, origin)) = self.variable(environment, field.env, field.path) {
                self.set(field.path, &given, origin, None);
            }
        }
        if let Some(pools) = self.element_of(environment) {
            self.pools = pools;
        }
        if let Some(nodes) = self.element_of(environment) {
            self.nodes = nodes;
        }
        if let Some(boards) = self.element_of(environment) {
            self.boards = boards;
        }
    }

    /// The one element of its kind that variables make, `None` when there is nothing of one.
    fn element_of<T: Element>(&mut self, environment: &Environment) -> Option<Vec<Sourced<T>>> {
        let mut entries = Vec::new();
        for field in T::fields() {
            if let Some((given, origin)) = self.variable(environment, field.env, &T::KIND.path(field.path)) {
                entries.push((field.path.to_owned(), given, origin));
            }
        }
        let origin = entries.first()?.2.clone();
        if environment.value(T::KIND.key_variable()).is_some() {
            let element = array::read(entries.into_iter(), origin, None, &mut self.problems);
            return Some(element.into_iter().collect());
        }
        let mistake = Mistake::CredentialsWithoutUrl(T::KIND);
        self.problems.push(Problem { origin, field: T::KIND.table().to_owned(), mistake });
        None
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
        let ours = fields().map(|field| field.env).chain(POOL_FIELDS.iter().map(|field| field.env));
        let ours = ours.chain(NODE_FIELDS.iter().map(|field| field.env));
        let ours = ours.chain(BOARD_FIELDS.iter().map(|field| field.env));
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

    /// Flags win over everything; if they name pools or nodes, no other layer's pool or node is left: whom we mine for is
    /// on the command line then. So are the boards if they name devices.
    fn flags(&mut self, flags: &Flags) {
        let words = [
            ("cpu.threads", "--cpu-threads", &flags.cpu_threads),
            ("upstreams.strategy", "--strategy", &flags.strategy),
            ("stratum.suggest_difficulty", "--suggest-difficulty", &flags.suggest_difficulty),
            ("solo.coinbase_tag", "--coinbase-tag", &flags.coinbase_tag),
            ("model.backend", "--backend", &flags.model.backend),
            ("model.url", "--url", &flags.model.url),
            ("model.name", "--name", &flags.model.name),
            ("model.deadline", "--deadline", &flags.model.deadline),
            ("log.file", "--log-file", &flags.log_file),
            ("stop.seconds", "--seconds", &flags.seconds),
            ("stop.shares", "--shares", &flags.shares),
            ("stop.blocks", "--blocks", &flags.blocks),
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
        let lists = [
            ("device", "--device", &flags.devices),
            ("model.command", "--command", &flags.model.command),
            (PAYOUT, "--payout", &flags.payouts),
        ];
        for (path, flag, list) in lists.into_iter().filter(|(_, _, list)| !list.is_empty()) {
            self.set(path, &Given::List(list.clone()), Origin::Flag(flag), None);
        }
        if !flags.devices.is_empty() {
            self.boards.clear();
        }
        if flags.pools.is_empty() && flags.nodes.is_empty() {
            return;
        }
        (self.pools, self.nodes) = (Vec::new(), Vec::new());
        for pool in &flags.pools {
            let words = [
                ("url", "--pool", Some(pool.url.clone())),
                ("user", "--user", pool.user.clone()),
                ("password", "--password", exposed(pool.password.as_ref())),
                ("weight", "--pool-weight", pool.weight.clone()),
                ("proxy", "--proxy", exposed(pool.proxy.as_ref())),
                ("tls_ca", "--tls-ca", pool.tls_ca.clone()),
                ("tls_pin", "--tls-pin", pool.tls_pin.clone()),
            ];
            let pool = array::read(typed(words), Origin::Flag("--pool"), None, &mut self.problems);
            self.pools.extend(pool);
        }
        for node in &flags.nodes {
            let words = [
                ("url", "--solo", Some(node.url.clone())),
                ("cookie", "--rpc-cookie", node.cookie.clone()),
                ("user", "--rpc-user", node.user.clone()),
                ("password", "--rpc-password", exposed(node.password.as_ref())),
            ];
            let zmq = Some(Given::List(node.zmq.clone())).filter(|_| !node.zmq.is_empty());
            let zmq = zmq.map(|given| ("zmq".to_owned(), given, Origin::Flag("--zmq")));
            let entries = typed(words).chain(zmq);
            let node = array::read(entries, Origin::Flag("--solo"), None, &mut self.problems);
            self.nodes.extend(node);
        }
    }

    fn set(&mut self, path: &str, given: &Given, origin: Origin, base: Option<&Path>) {
        let field = field::named(fields(), path);
        if let Err(mistake) = store(field, &mut self.config, given, &origin, base) {
            self.problems.push(Problem { origin: origin.clone(), field: path.to_owned(), mistake });
        }
        self.origins.insert(field.path, origin);
    }

    /// Reads the files that pools and nodes name: passwords and certificates. A cookie is no such file, for it is new
    /// after each start of its node.
    fn read_named_files(&mut self) {
        for (pool, origins) in &mut self.pools {
            let mut problem = problem_of::<Pool>(origins, &mut self.problems);
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
        for (node, origins) in &mut self.nodes {
            let mut problem = problem_of::<Node>(origins, &mut self.problems);
            if let NodeLogin::Password { password, password_file: Some(path), .. } = &mut node.login {
                match files::read_password(path) {
                    Ok(read) => *password = read,
                    Err(mistake) => problem("password_file", mistake),
                }
            }
        }
    }

    /// A block without an address to pay would be lost, and an address on the command line without a node is a slip.
    /// Neither is said where the payouts or the nodes themselves are wrong.
    fn payouts_and_nodes(&mut self) {
        let node = ArrayKind::Node.path("");
        if self.problems.iter().any(|problem| problem.field == PAYOUT || problem.field.starts_with(&node)) {
            return;
        }
        let given = origin_of(&self.origins, PAYOUT);
        let (origin, mistake) = match (self.nodes.first(), &given) {
            (Some((_, origins)), Origin::Default) => (origin_of(origins, "url"), Mistake::NoPayout),
            (None, Origin::Flag(_)) => (given, Mistake::PayoutWithoutNode),
            _ => return,
        };
        self.problems.push(Problem { origin, field: PAYOUT.to_owned(), mistake });
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
        array::repeated(&self.pools, &mut self.problems);
        array::repeated(&self.nodes, &mut self.problems);
        array::repeated(&self.boards, &mut self.problems);
        self.payouts_and_nodes();
        if !self.problems.is_empty() {
            return Err(ConfigError { problems: self.problems });
        }
        self.sort_pools();
        let (pools, pool_origins) = self.pools.into_iter().unzip();
        let (nodes, node_origins) = self.nodes.into_iter().unzip();
        let (boards, board_origins) = self.boards.into_iter().unzip();
        (self.config.pools, self.config.nodes, self.config.boards) = (pools, nodes, boards);
        let origins = Origins {
            settings: self.origins,
            pools: pool_origins,
            nodes: node_origins,
            boards: board_origins,
        };
        Ok(Loaded { config: self.config, origins, files })
    }
}

/// Tells of a mistake in a setting of an element with these origins.
fn problem_of<T: Element>(
    origins: &OriginOf,
    problems: &mut Vec<Problem>,
) -> impl FnMut(&'static str, Mistake) {
    |name, mistake| {
        problems.push(Problem { origin: origin_of(origins, name), field: T::KIND.path(name), mistake });
    }
}

/// The words of an element's flags as its entries.
fn typed<const N: usize>(
    words: [(&'static str, &'static str, Option<String>); N],
) -> impl Iterator<Item = (String, Given, Origin)> {
    words
        .into_iter()
        .filter_map(|(name, flag, word)| Some((name.to_owned(), Given::Word(word?), Origin::Flag(flag))))
}

/// A secret as an entry has it.
fn exposed(secret: Option<&Secret>) -> Option<String> {
    secret.map(|secret| secret.expose().to_owned())
}

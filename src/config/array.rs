//! Arrays of tables: what `[[pool]]`, `[[node]]` and `[[board]]` have in common while they are read.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::path::Path;

use super::field::{self, Field};
use super::kind::Given;
use super::problem::{Mistake, Origin, Problem};
use super::store::store;
use super::{node_url, pool_url};

/// The kinds of arrays of tables in a file. Prints as the name of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrayKind {
    /// A pool, `[[pool]]` or `--pool`.
    Pool,
    /// A node that we mine on by ourselves, `[[node]]` or `--solo`.
    Node,
    /// A board on a serial port, `[[board]]` or `--device`.
    Board,
}

impl ArrayKind {
    /// The table's name.
    pub(super) const fn table(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Node => "node",
            Self::Board => "board",
        }
    }

    /// The flag that names one.
    pub(super) fn flag(self) -> &'static str {
        match self {
            Self::Pool => "--pool",
            Self::Node => "--solo",
            Self::Board => "--device",
        }
    }

    /// The setting without which there is none.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Pool | Self::Node => "url",
            Self::Board => "port",
        }
    }

    /// The variable of the key.
    pub(super) fn key_variable(self) -> &'static str {
        match self {
            Self::Pool => "SIGNALCORE_POOL_URL",
            Self::Node => "SIGNALCORE_NODE_URL",
            Self::Board => "SIGNALCORE_BOARD_PORT",
        }
    }

    /// What the key, or another setting that must be given, must be.
    pub(super) fn expected(self, name: &str) -> &'static str {
        match (self, name) {
            (Self::Pool, _) => pool_url::EXPECTED,
            (Self::Node, _) => node_url::EXPECTED,
            (Self::Board, "kind") => "the kind of the board",
            (Self::Board, _) => "the path of a serial port",
        }
    }

    /// An example of that.
    pub(super) fn to_write(self, name: &str) -> &'static str {
        match (self, name) {
            (Self::Pool, _) => "stratum+tcp://HOST:PORT",
            (Self::Node, _) => "http://HOST:PORT",
            (Self::Board, "kind") => "bm1370",
            (Self::Board, _) => "/dev/ttyACM1",
        }
    }

    /// A setting's place, for messages.
    pub(super) fn path(self, name: &str) -> String {
        format!("{self}.{name}")
    }
}

impl fmt::Display for ArrayKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.table())
    }
}

/// Where the settings of one table come from, also those that were not taken.
pub(super) type OriginOf = BTreeMap<&'static str, Origin>;

/// An element and the origins of its settings.
pub(super) type Sourced<T> = (T, OriginOf);

/// A pool or a node, as the layers see it.
pub(super) trait Element: Sized {
    /// One while its settings come in; the url may still be missing.
    type Draft: Clone + Default + 'static;

    const KIND: ArrayKind;

    /// Its settings.
    fn fields() -> &'static [Field<Self::Draft>];

    /// Settings that could contradict each other: whether they do, the name of the one that is to go, and what is wrong.
    fn conflicts(draft: &Self::Draft, origins: &OriginOf) -> Vec<(bool, &'static str, Mistake)>;

    /// The whole one, `None` without a url. Settings that came with another one get their origins.
    fn from_draft(draft: Self::Draft, origins: &mut OriginOf) -> Option<Self>;

    fn to_draft(&self) -> Self::Draft;

    /// What no two of them may have in common.
    fn identity(&self) -> String;
}

/// An element from its entries, `None` and problems if it is not a whole one. `place` is where it begins.
pub(super) fn read<T: Element>(
    entries: impl Iterator<Item = (String, Given, Origin)>,
    place: Origin,
    base: Option<&Path>,
    problems: &mut Vec<Problem>,
) -> Option<Sourced<T>> {
    let mut draft = T::Draft::default();
    field::store_defaults(T::fields(), &mut draft);
    let mut origins = OriginOf::new();
    let mut problem =
        |origin, name, mistake| problems.push(Problem { origin, field: T::KIND.path(name), mistake });
    for (name, given, origin) in entries {
        let field = field::named(T::fields(), &name);
        if let Err(mistake) = store(field, &mut draft, &given, &origin, base) {
            problem(origin.clone(), field.path, mistake);
        }
        origins.insert(field.path, origin);
    }
    let key = T::KIND.key();
    if !origins.contains_key(key) {
        problem(place, key, Mistake::Missing { of: T::KIND, name: key });
    }
    let conflicts = T::conflicts(&draft, &origins);
    for (_, name, mistake) in conflicts.into_iter().filter(|(holds, ..)| *holds) {
        problem(origin_of(&origins, name), name, mistake);
    }
    Some((T::from_draft(draft, &mut origins)?, origins))
}

/// A second element of the same kind and place is a slip of the hand: it is no standby, for both fail together.
pub(super) fn repeated<T: Element>(elements: &[Sourced<T>], problems: &mut Vec<Problem>) {
    let mut seen = BTreeMap::new();
    for (element, origins) in elements {
        let origin = origin_of(origins, T::KIND.key());
        match seen.entry(element.identity()) {
            Entry::Vacant(entry) => _ = entry.insert(origin),
            Entry::Occupied(first) => {
                let mistake = Mistake::Twice { kind: T::KIND, first: first.get().clone() };
                problems.push(Problem { origin, field: T::KIND.path(T::KIND.key()), mistake });
            }
        }
    }
}

pub(super) fn origin_of(origins: &OriginOf, name: &str) -> Origin {
    origins.get(name).cloned().unwrap_or(Origin::Default)
}

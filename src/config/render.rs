//! The configuration in print: the annotated default file, and the effective values with their origins.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::array::Element;
use super::boards::BOARD_FIELDS;
use super::field::{Field, Preset, TABLES, fields};
use super::nodes::NODE_FIELDS;
use super::pools::POOL_FIELDS;
use super::{Loaded, Origin};

const HEAD: &str = r"# Configuration of signalcore.
#
# Read from the first of: --config FILE, $SIGNALCORE_CONFIG, $XDG_CONFIG_HOME/signalcore/config.toml
# (~/.config/signalcore/config.toml), /etc/signalcore/config.toml; then conf.d/*.toml beside it, by name.
# A setting of a later file wins, its pools come after those before it. Environment variables win over files,
# flags win over both. Relative paths count from the folder of the file they stand in.
# Every setting stands here with its default; those without one are commented out.
# `signalcore config check` finds mistakes, `signalcore config show` tells where each value comes from.
";

const POOL_DOC: &str = "\n# The pools, the best first unless a priority says otherwise: one [[pool]] each. SIGNALCORE_POOL_URL\n\
                        # and the other variables make one pool that replaces all of them, and so does --pool.\n# [[pool]]\n";

const NODE_DOC: &str = "\n# The nodes that we mine on by ourselves, the best first: one [[node]] each, and solo.payout below.\n\
                        # SIGNALCORE_NODE_URL and the other variables make one node that replaces all of them, and so\n\
                        # does --solo. Pools or nodes on the command line replace both kinds.\n# [[node]]\n";

const BOARD_DOC: &str = "\n# The boards on serial ports, beside those of device: one [[board]] each. SIGNALCORE_BOARD_PORT and the\n\
                         # other variables make one board that replaces all of them, and --device replaces them too.\n# [[board]]\n";

/// The default configuration file, every setting with its unit, range and default.
pub fn annotated_default() -> String {
    let mut text = HEAD.to_owned();
    for field in fields().filter(|field| field.table_and_name().0.is_empty()) {
        annotate(&mut text, field, "");
    }
    text.push_str(POOL_DOC);
    for field in POOL_FIELDS {
        annotate(&mut text, field, "# ");
    }
    text.push_str(NODE_DOC);
    for field in NODE_FIELDS {
        annotate(&mut text, field, "# ");
    }
    text.push_str(BOARD_DOC);
    for field in BOARD_FIELDS {
        annotate(&mut text, field, "# ");
    }
    for (table, doc) in TABLES {
        _ = writeln!(text, "\n# {doc}\n[{table}]");
        for field in fields().filter(|field| field.table_and_name().0 == *table) {
            annotate(&mut text, field, "");
        }
    }
    text
}

fn annotate<T>(text: &mut String, field: &Field<T>, comment: &str) {
    let (comment, value, default) = match field.preset {
        Preset::Value(value) => (comment, value, format!("Default: {value}.")),
        Preset::Versioned(_, shown) => ("# ", shown, format!("Default: {shown}.")),
        Preset::Unset(example) => ("# ", example, "No default.".into()),
        Preset::Required(example) => ("# ", example, "Must be given.".into()),
    };
    let (_, name) = field.table_and_name();
    _ = writeln!(text, "\n# {}\n# Value: {}. {default}", field.doc, field.kind.expected());
    _ = writeln!(text, "# Environment: {}\n{comment}{name} = {value}", field.env);
}

/// The effective configuration as TOML, the origin of each value as a comment, secrets as comments of stars.
pub fn show_toml(loaded: &Loaded) -> String {
    let mut text = String::new();
    let settings = |text: &mut String, table: &str| {
        for field in fields().filter(|field| field.table_and_name().0 == table) {
            show(text, field, &mut loaded.config.clone(), &loaded.origins.setting(field.path));
        }
    };
    settings(&mut text, "");
    show_elements(&mut text, &loaded.config.pools, |i, name| loaded.origins.pool(i, name));
    show_elements(&mut text, &loaded.config.nodes, |i, name| loaded.origins.node(i, name));
    show_elements(&mut text, &loaded.config.boards, |i, name| loaded.origins.board(i, name));
    for (table, _) in TABLES {
        _ = writeln!(text, "\n[{table}]");
        settings(&mut text, table);
    }
    text
}

fn show_elements<T: Element>(text: &mut String, all: &[T], origin: impl Fn(usize, &str) -> Origin) {
    for (i, element) in all.iter().enumerate() {
        _ = writeln!(text, "\n[[{}]]", T::KIND);
        for field in T::fields() {
            show(text, field, &mut element.to_draft(), &origin(i, field.path));
        }
    }
}

fn show<T>(text: &mut String, field: &Field<T>, target: &mut T, origin: &Origin) {
    let (_, name) = field.table_and_name();
    let comment = if field.kind.is_hidden(target) { "# " } else { "" };
    _ = match field.kind.stored(target) {
        Some(value) => writeln!(text, "{comment}{name} = {}  # {origin}", value.to_toml()),
        None => writeln!(text, "# {name} is not set"),
    };
}

/// The effective configuration as JSON: the files, and value and origin of each setting.
pub fn show_json(loaded: &Loaded) -> Value {
    let mut settings = Map::new();
    for field in fields() {
        let value = value_json(field, &mut loaded.config.clone(), &loaded.origins.setting(field.path));
        settings.insert(field.path.to_owned(), value);
    }
    let pools = elements_json(&loaded.config.pools, |i, name| loaded.origins.pool(i, name));
    let nodes = elements_json(&loaded.config.nodes, |i, name| loaded.origins.node(i, name));
    let boards = elements_json(&loaded.config.boards, |i, name| loaded.origins.board(i, name));
    let files: Vec<_> = loaded.files.iter().map(|path| path.display().to_string()).collect();
    json!({ "files": files, "pools": pools, "nodes": nodes, "boards": boards, "settings": settings })
}

fn elements_json<T: Element>(all: &[T], origin: impl Fn(usize, &str) -> Origin) -> Value {
    let settings = |(i, element): (usize, &T)| -> Value {
        let value = |f: &Field<_>| value_json(f, &mut element.to_draft(), &origin(i, f.path));
        T::fields().iter().map(|field| (field.path.to_owned(), value(field))).collect::<Map<_, _>>().into()
    };
    all.iter().enumerate().map(settings).collect()
}

fn value_json<T>(field: &Field<T>, target: &mut T, origin: &Origin) -> Value {
    json!({ "value": field.kind.stored(target).map(|value| value.to_json()), "origin": origin.to_string() })
}

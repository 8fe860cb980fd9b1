//! One file: from TOML to entries of known names, each with its line.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::array::{ArrayKind, Element};
use super::field::{Field, TABLES, fields};
use super::kind::Given;
use super::problem::Mistake;
use super::{Board, Node, Pool};

/// How alike two names must be, by Jaro and Winkler, for one to be a slip of the other.
const ALIKE: f64 = 0.8;

/// A setting as a file wrote it.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    /// `table.name`, or the bare name at the top and in a pool.
    pub(super) path: String,
    pub(super) given: Given,
    /// Counted from 1.
    pub(super) line: usize,
}

/// An element of an array of tables and the line it begins on.
#[derive(Debug, PartialEq)]
pub(super) struct ElementEntries {
    pub(super) kind: ArrayKind,
    pub(super) line: usize,
    pub(super) entries: Vec<Entry>,
}

/// A mistake, its line and the setting or table it is in.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) field: String,
    pub(super) mistake: Mistake,
}

/// What a file says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Document {
    pub(super) settings: Vec<Entry>,
    pub(super) elements: Vec<ElementEntries>,
    pub(super) faults: Vec<Fault>,
}

/// Reads a file. What a broken syntax leaves over is not looked at: its faults would be echoes.
pub(super) fn parse(text: &str) -> Document {
    let (root, errors) = DeTable::parse_recoverable(text);
    let newlines = text.match_indices('\n').map(|(offset, _)| offset + 1);
    let line_starts = std::iter::once(0).chain(newlines).collect();
    let mut reader = Reader { text, line_starts, document: Document::default() };
    for error in &errors {
        let offset = error.span().map_or(text.len(), |span| span.start);
        let mistake = Mistake::Syntax { column: reader.column(offset), message: error.message().to_owned() };
        // Further ones on a line are echoes of the first.
        if reader.document.faults.last().is_none_or(|fault| fault.line < reader.line(offset)) {
            reader.fault("", offset, mistake);
        }
    }
    if errors.is_empty() {
        reader.root(root.get_ref());
    }
    reader.document
}

struct Reader<'t> {
    text: &'t str,
    /// The offset of each line's first byte.
    line_starts: Vec<usize>,
    document: Document,
}

impl Reader<'_> {
    fn root(&mut self, root: &DeTable<'_>) {
        for (key, value) in root {
            let name = key.get_ref().as_ref();
            if let Some((kind, known)) = arrays().into_iter().find(|(kind, _)| kind.table() == name) {
                self.array(kind, &known, value);
            } else if TABLES.iter().any(|(table, _)| *table == name) {
                self.table(name, value);
            } else if fields().any(|field| field.path == name) {
                let entry = self.entry(name.to_owned(), key.span().start, value);
                self.document.settings.push(entry);
            } else {
                let top = fields().map(|f| f.path).filter(|path| !path.contains('.'));
                let arrays = arrays().map(|(kind, _)| kind.table());
                let known: Vec<_> = top.chain(arrays).chain(TABLES.iter().map(|(table, _)| *table)).collect();
                self.unknown("", name, key.span().start, &known);
            }
        }
    }

    fn table(&mut self, table: &str, value: &Spanned<DeValue<'_>>) {
        let DeValue::Table(entries) = value.get_ref() else {
            let remedy = format!("write [{table}] on a line of its own and its settings below");
            return self.wrong_shape(table, value, &format!("the table [{table}]"), &remedy);
        };
        for (key, value) in entries {
            let path = format!("{table}.{}", key.get_ref());
            if fields().any(|field| field.path == path) {
                let entry = self.entry(path, key.span().start, value);
                self.document.settings.push(entry);
            } else {
                let fields = fields().map(Field::table_and_name);
                let known: Vec<_> = fields.filter(|(t, _)| *t == table).map(|(_, name)| name).collect();
                self.unknown(table, key.get_ref(), key.span().start, &known);
            }
        }
    }

    fn array(&mut self, kind: ArrayKind, known: &[&str], value: &Spanned<DeValue<'_>>) {
        let expected = format!("[[{kind}]] tables");
        let remedy = format!("write [[{kind}]] on a line of its own for each {kind}");
        let DeValue::Array(elements) = value.get_ref() else {
            return self.wrong_shape(kind.table(), value, &expected, &remedy);
        };
        for element in elements {
            let DeValue::Table(table) = element.get_ref() else {
                self.wrong_shape(kind.table(), element, &expected, &remedy);
                continue;
            };
            let mut entries = Vec::new();
            for (key, value) in table {
                if known.contains(&key.get_ref().as_ref()) {
                    entries.push(self.entry(key.get_ref().to_string(), key.span().start, value));
                } else {
                    self.unknown(kind.table(), key.get_ref(), key.span().start, known);
                }
            }
            entries.sort_by_key(|entry| entry.line);
            let line = self.line(element.span().start);
            self.document.elements.push(ElementEntries { kind, line, entries });
        }
    }

    fn entry(&self, path: String, offset: usize, value: &Spanned<DeValue<'_>>) -> Entry {
        Entry { path, given: given(value.get_ref()), line: self.line(offset) }
    }

    fn unknown(&mut self, table: &str, name: &str, offset: usize, known: &[&str]) {
        let nearest = elsewhere(name).or_else(|| Some(nearest(name, known)?.to_owned()));
        let mistake =
            Mistake::UnknownName { name: name.escape_debug().to_string(), known: known.join(", "), nearest };
        self.fault(table, offset, mistake);
    }

    fn wrong_shape(&mut self, table: &str, value: &Spanned<DeValue<'_>>, expected: &str, remedy: &str) {
        let found = type_name(value.get_ref()).to_owned(); // never the value: it may hold a password
        let mistake = Mistake::Value { found, expected: expected.to_owned(), remedy: remedy.to_owned() };
        self.fault(table, value.span().start, mistake);
    }

    fn fault(&mut self, field: &str, offset: usize, mistake: Mistake) {
        let line = self.line(offset);
        self.document.faults.push(Fault { line, field: field.to_owned(), mistake });
    }

    /// The line of a byte, counted from 1.
    fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// The column of a byte, counted from 1, in characters.
    fn column(&self, offset: usize) -> usize {
        let start = self.line_starts[self.line(offset) - 1];
        self.text[start..self.text.floor_char_boundary(offset)].chars().count() + 1
    }
}

/// A value of TOML, without what no setting takes.
pub(super) fn given(value: &DeValue<'_>) -> Given {
    let other = Given::Other(type_name(value));
    match value {
        DeValue::String(text) => Given::Text(text.to_string()),
        DeValue::Integer(number) => {
            let beyond = Given::Other("a whole number beyond 64 bits");
            i64::from_str_radix(number.as_str(), number.radix()).map_or(beyond, Given::Integer)
        }
        DeValue::Float(number) => number.as_str().parse().map_or(other, Given::Number),
        DeValue::Boolean(value) => Given::Bool(*value),
        DeValue::Array(items) => {
            items.iter().map(|i| item(i.get_ref())).collect::<Option<_>>().map_or(other, Given::List)
        }
        DeValue::Datetime(_) | DeValue::Table(_) => other,
    }
}

/// An item of a list: a text, or a table such as `[[device]]` that holds nothing but `spec`.
fn item(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Table(table) if table.len() == 1 => Some(table.get("spec")?.get_ref().as_str()?.to_owned()),
        _ => None,
    }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The arrays of tables, each with the names of its settings.
fn arrays() -> [(ArrayKind, Vec<&'static str>); 3] {
    fn array<T: Element>() -> (ArrayKind, Vec<&'static str>) {
        (T::KIND, T::fields().iter().map(|field| field.path).collect())
    }
    [array::<Pool>(), array::<Node>(), array::<Board>()]
}

/// The setting of that name in another table.
fn elsewhere(name: &str) -> Option<String> {
    let setting = fields().map(|field| field.path).find(|path| path.ends_with(&format!(".{name}")));
    let has_it = |(_, known): &(_, Vec<&str>)| known.contains(&name);
    let of_element = || arrays().into_iter().find(has_it).map(|(kind, _)| kind.path(name));
    setting.map(str::to_owned).or_else(of_element)
}

/// The known name that `name` is most probably a slip of.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let likeness = |candidate: &str| strsim::jaro_winkler(&name.to_lowercase(), candidate);
    let best = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= ALIKE).then_some(*best)
}

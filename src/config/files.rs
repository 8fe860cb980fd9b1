//! Which files make up the configuration, and reading them: the only place here that touches the disk.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::problem::{Mistake, Origin, Problem};
use super::{Environment, Secret};

/// The most a configuration file may hold; a larger one is another file.
const MAX_FILE: u64 = 1 << 20;
/// The most a password file may hold.
const MAX_PASSWORD_FILE: u64 = 4096;

/// The environment variable that names the main file.
pub(super) const VARIABLE: &str = "SIGNALCORE_CONFIG";

const SYSTEM_FILE: &str = "/etc/signalcore/config.toml";

/// A file of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SourceFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// The user's own configuration file, `None` without a home. Source: XDG base directories, where a
/// relative `$XDG_CONFIG_HOME` is to be ignored.
pub fn user_file(environment: &Environment) -> Option<PathBuf> {
    let xdg = environment.value("XDG_CONFIG_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let home = || environment.value("HOME").map(|home| Path::new(home).join(".config"));
    Some(xdg.or_else(home)?.join("signalcore/config.toml"))
}

/// Where what is learnt of pools is kept unless `state.file` names another place, `None` without a home.
pub fn state_file(environment: &Environment) -> Option<PathBuf> {
    in_state_folder(environment, "pools.json")
}

/// Where it is written down which model may amend: beside `state.file` where that is named, `None` without a home.
pub fn promotion_file(environment: &Environment, state_file: Option<&Path>) -> Option<PathBuf> {
    const NAME: &str = "model.promoted";
    state_file.map(|file| file.with_file_name(NAME)).or_else(|| in_state_folder(environment, NAME))
}

/// Where found blocks are kept unless `state.journal` names another place, `None` without a home.
pub fn journal_file(environment: &Environment) -> Option<PathBuf> {
    in_state_folder(environment, "blocks.journal")
}

/// Source: XDG base directories, where a relative `$XDG_STATE_HOME` is to be ignored.
fn in_state_folder(environment: &Environment, name: &str) -> Option<PathBuf> {
    let xdg = environment.value("XDG_STATE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let home = || environment.value("HOME").map(|home| Path::new(home).join(".local/state"));
    Some(xdg.or_else(home)?.join("signalcore").join(name))
}

/// The file that was named by flag or environment, and by which.
fn named_file(flag: Option<&Path>, environment: &Environment) -> Option<(PathBuf, Origin)> {
    let by_flag = flag.map(|path| (path.to_owned(), Origin::Flag("--config")));
    by_flag.or_else(|| Some((environment.value(VARIABLE)?.into(), Origin::Environment(VARIABLE.into()))))
}

/// Reads the main file, which must be there if it was named, and the drop-ins beside it in name order.
pub(super) fn read_all(
    flag: Option<&Path>,
    environment: &Environment,
    problems: &mut Vec<Problem>,
) -> Vec<SourceFile> {
    let (main, origin) = if let Some((path, origin)) = named_file(flag, environment) {
        (path, origin)
    } else {
        let searched = user_file(environment).into_iter().chain([PathBuf::from(SYSTEM_FILE)]);
        let is_used = |path: &PathBuf| is_there(path) || drop_in_directory(path).is_dir();
        let Some(path) = searched.into_iter().find(is_used) else {
            return Vec::new();
        };
        let origin = first_line(&path);
        (path, origin)
    };
    let directory = drop_in_directory(&main);
    // A folder of drop-ins may stand alone, but a file that was named must be there.
    let is_wanted = is_there(&main) || !matches!(origin, Origin::File { .. });
    let mut paths: Vec<_> = Some((main, origin)).filter(|_| is_wanted).into_iter().collect();
    match drop_ins(&directory) {
        Ok(drop_ins) => paths.extend(drop_ins.into_iter().map(|path| (path.clone(), first_line(&path)))),
        Err(error) => problems.push(unreadable(first_line(&directory), &directory, &error)),
    }
    let mut files = Vec::new();
    for (path, origin) in paths {
        match read_text(&path, MAX_FILE) {
            Ok(text) => files.push(SourceFile { path, text }),
            Err(mistake) => problems.push(Problem { origin, field: String::new(), mistake }),
        }
    }
    files
}

/// Also what cannot be looked at is there, and will be a problem when it is read.
fn is_there(path: &Path) -> bool {
    let absent =
        |error: &std::io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    !path.symlink_metadata().is_err_and(|error| absent(&error))
}

fn drop_in_directory(main: &Path) -> PathBuf {
    main.parent().unwrap_or(Path::new("")).join("conf.d")
}

/// The `*.toml` files in `directory` by name; none if it is not there. Hidden ones are editors' leavings.
fn drop_ins(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for entry in directory.read_dir()? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|extension| extension == "toml") && !hidden {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// The first line of a password file, without the line's end.
pub(super) fn read_password(path: &Path) -> Result<Secret, Mistake> {
    let text = read_text(path, MAX_PASSWORD_FILE)?;
    match text.lines().next() {
        Some(password) if !password.is_empty() => Ok(Secret::new(password)),
        _ => Err(Mistake::EmptyPasswordFile { path: path.to_owned() }),
    }
}

/// The first line of `model.key_file`. Errors: why there is none, for the operator.
pub fn read_key(path: &Path) -> Result<Secret, String> {
    read_password(path).map_err(|mistake| {
        let origin = Origin::File { path: path.into(), line: 1 };
        Problem { origin, field: "model.key_file".to_owned(), mistake }.to_string()
    })
}

/// The certificates of a file in PEM, each in DER.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<Vec<u8>>, Mistake> {
    let text = read_text(path, MAX_FILE)?;
    let read = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    match read {
        Ok(certificates) if !certificates.is_empty() => {
            Ok(certificates.iter().map(|certificate| certificate.to_vec()).collect())
        }
        _ => Err(Mistake::NoCertificate { path: path.to_owned() }),
    }
}

fn read_text(path: &Path, limit: u64) -> Result<String, Mistake> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(Mistake::Unreadable { path: path.to_owned(), error: error.to_string() }),
        Ok(_) if bytes.len() as u64 > limit => Err(Mistake::TooLarge { path: path.to_owned(), limit }),
        Ok(_) => String::from_utf8(bytes).map_err(|_| Mistake::NotUtf8File { path: path.to_owned() }),
    }
}

fn first_line(path: &Path) -> Origin {
    Origin::File { path: path.into(), line: 1 }
}

fn unreadable(origin: Origin, path: &Path, error: &std::io::Error) -> Problem {
    let mistake = Mistake::Unreadable { path: path.to_owned(), error: error.to_string() };
    Problem { origin, field: String::new(), mistake }
}

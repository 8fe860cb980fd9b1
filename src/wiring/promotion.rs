//! Which model may amend, written down with what its program was: another program, or the same one changed, has not earned it.

use std::fmt::Write as _;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::model::backend::Choice;

/// Longest file of a promotion. Unit: bytes.
const MOST_BYTES: u64 = 1 << 20;
/// Longest file of a program, as an argument may be a model of some gigabytes. Unit: bytes.
const MOST_PROGRAM: u64 = 16 << 30;
/// Bytes read at once.
const CHUNK: usize = 1 << 16;
/// Others may not write to the file. Source: inode(7), `S_IWGRP` and `S_IWOTH`.
#[cfg(unix)]
const OTHERS_WRITE: u32 = 0o022;

/// Writes down that a model may amend, for its user alone to read and write. Errors: a file cannot be read or written.
pub fn write(place: &Path, choice: &Choice) -> io::Result<()> {
    let text = identity(choice)?;
    let folder = place.parent().ok_or_else(|| io::Error::other("it has no folder"))?;
    fs::create_dir_all(folder)?;
    // Made with mode 0600, and there as a whole or not at all.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(place).map_err(|error| error.error)?;
    Ok(())
}

/// Whether a promotion holds for this model. Errors: why one that is there does not, in words for the operator.
pub(super) fn holds(place: &Path, choice: &Choice) -> Result<bool, String> {
    let text = match read(place) {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(false),
        Err(error) => return Err(format!("{}: {error}", place.display())),
    };
    let now = identity(choice).map_err(|error| format!("its program cannot be read: {error}"))?;
    if text == now {
        return Ok(true);
    }
    if text.lines().next() != now.lines().next() {
        return Err("it is another one, or is asked otherwise, than the one that was promoted".to_owned());
    }
    let known: Vec<_> = text.lines().collect();
    let other = now.lines().find(|line| !known.contains(line)).or_else(|| {
        let now: Vec<_> = now.lines().collect();
        text.lines().find(|line| !now.contains(line))
    });
    let file = other.and_then(|line| line.split_once(' ')).map_or("a file of it", |(_, path)| path);
    Err(format!("{file} is not what it was when the model was promoted"))
}

/// The file, `None` where there is none. Errors: it is not to be trusted.
fn read(place: &Path) -> io::Result<Option<String>> {
    let file = match File::open(place) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !is_private(&file.metadata()?) {
        return Err(io::Error::other(
            "others may write to it; it was not written by signalcore model promote",
        ));
    }
    let mut text = String::new();
    file.take(MOST_BYTES).read_to_string(&mut text)?;
    Ok(Some(text))
}

#[cfg(unix)]
fn is_private(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    metadata.mode() & OTHERS_WRITE == 0
}

#[cfg(not(unix))]
fn is_private(_: &Metadata) -> bool {
    true
}

/// What a model is: how it is asked, and for a program the SHA-256 of each file that it consists of, as far as its command
/// and `model.paths` name them, one a line. Of a server nothing but its address and the model's name can be known.
fn identity(choice: &Choice) -> io::Result<String> {
    // Names and preferences come from a configuration, and may have any characters.
    let mut text = format!("{:?}\n", choice.who());
    let (Choice::Process(program) | Choice::OneShot(program, _)) = choice else { return Ok(text) };
    for path in program.files() {
        let hash = hash(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        writeln!(text, "{hash} {:?}", path.display().to_string()).expect("a string takes everything");
    }
    Ok(text)
}

fn hash(path: &PathBuf) -> io::Result<String> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() > MOST_PROGRAM {
        return Err(io::Error::other(format!("it has more than {MOST_PROGRAM} bytes")));
    }
    let (mut hasher, mut chunk, mut read) = (Sha256::new(), vec![0; CHUNK], 0);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            length => hasher.update(&chunk[..length]),
        }
        read += CHUNK as u64;
        if read > 2 * MOST_PROGRAM {
            return Err(io::Error::other("it has no end"));
        }
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tempfile::TempDir;

    use super::*;
    use crate::model::process::Program;

    /// A script, how it is started, and where its promotion is.
    fn promoted() -> (TempDir, Choice, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("model.sh");
        fs::write(&script, "echo 1").unwrap();
        let program = Program {
            argv: vec!["sh".to_owned(), "-e".to_owned(), script.display().to_string()],
            helper: PathBuf::new(),
            readable: Vec::new(),
            memory: 0,
            processes: 0,
            network: false,
            allow_ports: Vec::new(),
            require: true,
        };
        let (choice, place) = (Choice::Process(program), folder.path().join("state/model.promoted"));
        write(&place, &choice).unwrap();
        (folder, choice, place)
    }

    #[test]
    fn a_promotion_holds_for_the_same_program_and_is_its_users_alone() {
        let (_folder, choice, place) = promoted();
        assert_eq!(holds(&place, &choice), Ok(true));
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&place).unwrap();
        assert_eq!(text.lines().count(), 3, "who, the shell and the script: {text}");
        assert_eq!(holds(&place.with_extension("none"), &choice), Ok(false));
    }

    #[test]
    fn a_program_that_has_changed_is_named_and_has_not_earned_it() {
        let (folder, choice, place) = promoted();
        fs::write(folder.path().join("model.sh"), "echo 2").unwrap();
        let word = holds(&place, &choice).unwrap_err();
        assert!(word.contains("model.sh\" is not what it was"), "{word}");
        fs::remove_file(folder.path().join("model.sh")).unwrap();
        let word = holds(&place, &choice).unwrap_err();
        assert!(word.contains("model.sh\" is not what it was"), "{word}");
    }

    #[test]
    fn another_command_and_a_file_that_others_may_write_are_refused() {
        let (_folder, choice, place) = promoted();
        let Choice::Process(mut program) = choice.clone() else { unreachable!() };
        program.argv.push("--more".to_owned());
        assert!(holds(&place, &Choice::Process(program)).unwrap_err().contains("another one"));
        fs::set_permissions(&place, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(holds(&place, &choice).unwrap_err().contains("others may write"));
    }
}

//! `signalcore devices`: the serial ports of this machine, and why a port is not taken.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use signalcore_drivers::port::PortFault;
use signalcore_drivers::registry::{self, Found, KINDS, Role};
use signalcore_drivers::usb::UsbIdentity;

use super::{exit, print};

const EXAMPLES: &str = "\
Examples:
  signalcore devices
  signalcore devices --json | jq 'select(.state == \"ready\")'

States: ready (auto opens it), part (a port of a board that is listed with another one), unnamed (nothing tells what hangs
on it: name it with --device KIND:PORT), unsupported, busy, no permission. No port is opened for that.

Exit codes: 0 shown, also when there is none.";

/// List serial ports and the boards on them.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// USB devices with a board that is known and not driven: vendor, product, name, and why.
const UNSUPPORTED: &[(u16, u16, &str, &str)] =
    &[(0xc0de, 0xcafe, "BitaxeBonanza", "a BitaxeBonanza has Intel's chips behind a line of nine bits")];

/// Converters that miners and many other things have: vendor, product, what it is, and which boards are behind such ones.
/// Source: cgminer `usbutils.c`; that of the CH340 is the vendor's.
const CONVERTERS: &[(u16, u16, &str, &str)] = &[
    (0x10c4, 0xea60, "CP2102", "compac, 2pac, block-erupter, antminer-u1, antminer-u2 or antminer-u3"),
    (0x10c4, 0xea70, "CP2105", "compac-a1 or compac-a2"),
    (0x0403, 0x6015, "FT230X", "newpac, compac-f or r909"),
    (0x0403, 0x6001, "FT232", "lancelot"),
    (0x0403, 0x6014, "FT232H", "cairnsmore"),
    (0x067b, 0x2303, "PL2303", "icarus"),
    (0x1a86, 0x7523, "CH340", "no board that is sold"),
];

/// Whether a port can be opened, and if not, why.
#[derive(Debug, PartialEq)]
enum State {
    /// `auto` opens it.
    Ready,
    /// A port of a board that is opened by its other one, which is there or not.
    Part { other: Option<PathBuf> },
    /// More ports than such a board has.
    Surplus,
    /// Nobody knows what it is; perhaps which converter is between.
    Unnamed { converter: Option<(&'static str, &'static str)> },
    /// A board that cannot be driven, and why.
    Unsupported(&'static str),
    /// A process has it open.
    Busy { process: u32, name: String },
    /// The system would refuse.
    NoPermission,
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Part { .. } => "part",
            Self::Surplus => "surplus",
            Self::Unnamed { .. } => "unnamed",
            Self::Unsupported(_) => "unsupported",
            Self::Busy { .. } => "busy",
            Self::NoPermission => "no permission",
        }
    }
}

/// The reason with its remedy.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("--device auto, the default, opens it"),
            Self::Part { other: Some(data) } => {
                write!(f, "the control port of the board whose chips are at {}", data.display())
            }
            Self::Part { other: None } => {
                f.write_str("a control port, and the port of the chips is not there; plug the board in again")
            }
            Self::Surplus => f.write_str("more ports than such a board has; name the two that are its own"),
            Self::Unnamed { converter: Some((converter, boards)) } => write!(
                f,
                "a {converter}, which anything may have, and its name is that of no board; is it {boards}? Name it with \
                 --device KIND:PORT"
            ),
            Self::Unnamed { converter: None } => {
                let kinds = KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
                write!(
                    f,
                    "nothing tells what hangs on it; name it with --device KIND:PORT, KIND is one of {kinds}"
                )
            }
            Self::Unsupported(what) => write!(f, "{what}, which this version does not drive"),
            Self::Busy { process, name } => {
                write!(f, "process {process} ({name}) has it open; end that program, or leave the port to it")
            }
            Self::NoPermission => PortFault::NoPermission.fmt(f),
        }
    }
}

/// Runs `signalcore devices`; gives the exit code.
pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    let root = Path::new("/");
    let devices: Vec<_> =
        registry::scan(root).into_iter().map(|found| (state(root, &found), found)).collect();
    let text = if args.json {
        devices
            .iter()
            .fold(String::new(), |text, (state, found)| text + &object(state, found).to_string() + "\n")
    } else {
        text(&devices)
    };
    print(&text)?;
    Ok(exit::DONE)
}

fn object(state: &State, Found { port, kind, .. }: &Found) -> Value {
    let usb = port.usb.as_ref().map(|usb| {
        json!({
            "vendor": format!("{:04x}", usb.vendor),
            "product": format!("{:04x}", usb.product),
            "manufacturer": usb.manufacturer,
            "name": usb.name,
            "serial": usb.serial,
            "interface": usb.interface,
        })
    });
    json!({
        "port": port.path,
        "usb": usb,
        "kind": kind.map(|kind| kind.name),
        "state": state.name(),
        "reason": state.to_string(),
    })
}

fn text(devices: &[(State, Found)]) -> String {
    if devices.is_empty() {
        return "No serial port. A board that is plugged in shows up here at once; `dmesg` tells what the system \
                makes of it.\n"
            .to_owned();
    }
    let mut text = String::new();
    for (state, Found { port, kind, .. }) in devices {
        let kind = kind.map_or(String::new(), |kind| format!(", {}: {}", kind.name, kind.summary));
        let usb = port.usb.as_ref().map_or("not USB".to_owned(), ToString::to_string);
        writeln!(text, "{} ({usb}{kind})\n  {}: {state}", port.path.display(), state.name())
            .expect("a String takes all");
    }
    text
}

fn state(root: &Path, Found { port, kind, role }: &Found) -> State {
    let is_unsupported = |row: &&(u16, u16, &str, &str)| {
        port.usb.as_ref().is_some_and(|usb| is(usb, row.0, row.1) && usb.name == row.2)
    };
    if let Some((.., what)) = UNSUPPORTED.iter().find(is_unsupported) {
        return State::Unsupported(what);
    }
    if let Some((process, name)) = holder(root, &port.path) {
        return State::Busy { process, name };
    }
    if !may_open(&port.path) {
        return State::NoPermission;
    }
    match (kind, role) {
        (Some(_), Role::Whole | Role::Data { .. }) => State::Ready,
        (Some(_), Role::Control { data }) => State::Part { other: data.clone() },
        (Some(_), Role::Surplus) => State::Surplus,
        (None, _) => {
            let row = port.usb.as_ref().and_then(|usb| CONVERTERS.iter().find(|row| is(usb, row.0, row.1)));
            State::Unnamed { converter: row.map(|row| (row.2, row.3)) }
        }
    }
}

fn is(usb: &UsbIdentity, vendor: u16, product: u16) -> bool {
    (usb.vendor, usb.product) == (vendor, product)
}

/// A process that has the port open, with its name: among those that we may look into.
fn holder(root: &Path, port: &Path) -> Option<(u32, String)> {
    let processes = fs::read_dir(root.join("proc")).ok()?.flatten();
    let numbered = |entry: fs::DirEntry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path()));
    processes.filter_map(numbered).find_map(|(process, folder): (u32, PathBuf)| {
        let mut files = fs::read_dir(folder.join("fd")).ok()?.flatten();
        files.find(|file| fs::read_link(file.path()).is_ok_and(|target| target == port))?;
        let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
        Some((process, name.chars().filter(|letter| !letter.is_control()).collect()))
    })
}

#[cfg(unix)]
fn may_open(port: &Path) -> bool {
    use rustix::fs::{Access, access};

    access(port, Access::READ_OK | Access::WRITE_OK).is_ok()
}

#[cfg(not(unix))]
fn may_open(_: &Path) -> bool {
    true
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::symlink;

    use signalcore_drivers::registry::Kind;
    use signalcore_drivers::usb::SerialPort;

    use super::*;

    fn found(path: PathBuf, vendor: u16, product: u16, kind: Option<&'static Kind>) -> Found {
        let usb = UsbIdentity {
            vendor,
            product,
            manufacturer: "GekkoScience".to_owned(),
            name: "Compac F".to_owned(),
            serial: String::new(),
            interface: 0,
            device: "1-1".into(),
        };
        Found { port: SerialPort { path, usb: Some(usb) }, kind, role: Role::Whole }
    }

    #[test]
    fn each_port_has_its_state_and_what_to_do_about_it() {
        let root = tempfile::tempdir().unwrap();
        let port = root.path().join("port");
        fs::write(&port, "").unwrap();
        let kind = Kind::named("compac-f");
        let stick = found(port.clone(), 0x0403, 0x6015, kind);
        assert_eq!(state(root.path(), &stick), State::Ready);
        let other = found(port.clone(), 0x0403, 0x6001, None);
        let unnamed = state(root.path(), &other);
        assert_eq!(unnamed, State::Unnamed { converter: Some(("FT232", "lancelot")) });
        assert!(unnamed.to_string().contains("is it lancelot? Name it with --device KIND:PORT"));
        let unknown = state(root.path(), &found(port.clone(), 0x1234, 0x5678, None));
        assert!(unknown.to_string().contains("--device KIND:PORT, KIND is one of bm1370"));
        let mut bonanza = found(port.clone(), 0xc0de, 0xcafe, None);
        bonanza.port.usb.as_mut().unwrap().name = "BitaxeBonanza".to_owned();
        assert_eq!(state(root.path(), &bonanza).name(), "unsupported");
        let mut bitaxe = found(port.clone(), 0xc0de, 0xcafe, Kind::named("bitaxe"));
        bitaxe.role = Role::Data { control: "/dev/ttyACM0".into() };
        assert_eq!(state(root.path(), &bitaxe), State::Ready);
        bitaxe.role = Role::Control { data: Some("/dev/ttyACM1".into()) };
        assert!(state(root.path(), &bitaxe).to_string().ends_with("whose chips are at /dev/ttyACM1"));
        bitaxe.role = Role::Control { data: None };
        assert_eq!(state(root.path(), &bitaxe).name(), "part");

        let files = root.path().join("proc/123/fd");
        fs::create_dir_all(&files).unwrap();
        fs::create_dir_all(root.path().join("proc/self")).unwrap();
        fs::write(root.path().join("proc/123/comm"), "cgminer\n").unwrap();
        symlink(&port, files.join("7")).unwrap();
        let busy = state(root.path(), &stick);
        assert_eq!(busy, State::Busy { process: 123, name: "cgminer".to_owned() });
        assert!(busy.to_string().starts_with("process 123 (cgminer) has it open; end that program"));

        let gone = found(root.path().join("gone"), 0x0403, 0x6015, kind);
        assert!(state(root.path(), &gone).to_string().contains("usermod -aG dialout"));
    }

    #[test]
    fn text_and_objects_say_the_same() {
        let device = found("/dev/ttyUSB0".into(), 0x0403, 0x6015, Kind::named("compac-f"));
        let said = object(&State::Ready, &device);
        assert_eq!((&said["kind"], &said["state"]), (&json!("compac-f"), &json!("ready")));
        assert_eq!(said["usb"]["vendor"], "0403");
        let text = text(&[(State::Ready, device)]);
        let expected = "/dev/ttyUSB0 (0403:6015 GekkoScience Compac F, compac-f: GekkoScience Compac F, one BM1397)\n  \
                        ready: --device auto, the default, opens it\n";
        assert_eq!(text, expected);
    }
}

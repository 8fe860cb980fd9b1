//! Which serial ports there are, and what hangs on them, as the kernel's folders tell it. Nothing is opened for that.
//!
//! Source of the layout: Linux `Documentation/ABI/testing/sysfs-bus-usb` and `sysfs-tty`; a port's `device` is the USB
//! interface (CDC-ACM) or a folder in it (USB serial converters), and the USB device is the folder around it.

use std::fmt;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Ports that are looked at: no machine has more, and a folder that is no sysfs must not hold us up.
const MOST_PORTS: usize = 256;
/// Folders above a port in which its USB device is looked for.
const MOST_LEVELS: usize = 5;
/// Bytes of an attribute that are read. A USB string has 126 characters at most.
const LONGEST_ATTRIBUTE: u64 = 512;

/// A serial port of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialPort {
    /// What to open, such as `/dev/ttyUSB0`.
    pub path: PathBuf,
    /// What hangs on it; `None` for a port that is not USB.
    pub usb: Option<UsbIdentity>,
}

/// What a USB device says of itself. Its texts have no control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsbIdentity {
    /// Number of its vendor.
    pub vendor: u16,
    /// Number of the product.
    pub product: u16,
    /// Name of its manufacturer; may be empty, as the texts below.
    pub manufacturer: String,
    /// Name of the product.
    pub name: String,
    /// Serial number.
    pub serial: String,
    /// Which of the device's interfaces the port is, from 0.
    pub interface: u8,
    /// The device's folder in sysfs: ports with the same one are of one device.
    pub device: PathBuf,
}

impl fmt::Display for UsbIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x}", self.vendor, self.product)?;
        let texts = [&self.manufacturer, &self.name, &self.serial];
        texts.into_iter().filter(|text| !text.is_empty()).try_for_each(|text| write!(f, " {text}"))
    }
}

/// The serial ports with something behind them, by their names. Shape: `root` is `/`, or in tests a folder that holds a
/// `sys`. A machine without such a folder has none.
pub fn serial_ports(root: &Path) -> Vec<SerialPort> {
    let Ok(folder) = fs::read_dir(root.join("sys/class/tty")) else { return Vec::new() };
    let mut ports: Vec<_> =
        folder.flatten().filter_map(|entry| port(root, &entry.path())).take(MOST_PORTS).collect();
    // ttyUSB2 before ttyUSB10.
    ports.sort_by_key(|port| (port.path.as_os_str().len(), port.path.clone()));
    ports
}

fn port(root: &Path, class: &Path) -> Option<SerialPort> {
    // Consoles and pseudo-terminals have no device.
    let device = fs::canonicalize(class.join("device")).ok()?;
    let path = root.join("dev").join(class.file_name()?);
    let usb = usb(&device);
    // The kernel makes ports for UARTs that are not there; those have type 0.
    let is_there = usb.is_some() || attribute(class, "type").is_some_and(|kind| kind != "0");
    is_there.then_some(SerialPort { path, usb })
}

fn usb(device: &Path) -> Option<UsbIdentity> {
    let mut interface = 0;
    for folder in device.ancestors().take(MOST_LEVELS) {
        let number = |name| u16::from_str_radix(&attribute(folder, name)?, 16).ok();
        if let Some(number) = number("bInterfaceNumber") {
            interface = number as u8;
        }
        if let (Some(vendor), Some(product)) = (number("idVendor"), number("idProduct")) {
            let text = |name| attribute(folder, name).unwrap_or_default();
            return Some(UsbIdentity {
                vendor,
                product,
                manufacturer: text("manufacturer"),
                name: text("product"),
                serial: text("serial"),
                interface,
                device: folder.to_owned(),
            });
        }
    }
    None
}

/// An attribute without control characters: whoever built the device chose its texts.
fn attribute(folder: &Path, name: &str) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(folder.join(name)).ok()?.take(LONGEST_ATTRIBUTE).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    Some(text.trim().chars().filter(|letter| !letter.is_control()).collect())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A machine with its folder `sys`.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Self {
            let machine = Self(tempfile::tempdir().unwrap());
            fs::create_dir_all(machine.path("sys/class/tty")).unwrap();
            machine
        }

        fn path(&self, inner: &str) -> PathBuf {
            self.0.path().join(inner)
        }

        fn write(&self, file: &str, text: &str) {
            fs::create_dir_all(self.path(file).parent().unwrap()).unwrap();
            fs::write(self.path(file), text).unwrap();
        }

        /// A USB device with a port in one of its interfaces, as a converter or as CDC-ACM.
        fn plug(&self, tty: &str, ids: (&str, &str), texts: [&str; 3], is_converter: bool) {
            let usb = format!("sys/devices/usb1/1-{tty}");
            self.write(&format!("{usb}/idVendor"), &format!("{}\n", ids.0));
            self.write(&format!("{usb}/idProduct"), &format!("{}\n", ids.1));
            for (name, text) in ["manufacturer", "product", "serial"].into_iter().zip(texts) {
                self.write(&format!("{usb}/{name}"), &format!("{text}\n"));
            }
            let interface = format!("{usb}/1-{tty}:1.1");
            self.write(&format!("{interface}/bInterfaceNumber"), "01\n");
            let device = if is_converter { format!("{interface}/{tty}") } else { interface };
            let class = format!("{device}/tty/{tty}");
            fs::create_dir_all(self.path(&class)).unwrap();
            symlink(self.path(&device), self.path(&class).join("device")).unwrap();
            symlink(self.path(&class), self.path("sys/class/tty").join(tty)).unwrap();
        }
    }

    #[test]
    fn a_converter_and_a_cdc_port_are_found_with_what_their_devices_say_of_themselves() {
        let machine = Machine::new();
        machine.plug("ttyUSB10", ("10c4", "ea70"), ["GekkoScience", "Compac A1", "42"], true);
        machine.plug("ttyUSB2", ("0403", "6015"), ["FTDI", "Bad\u{1b}[2JName", ""], true);
        machine.plug("ttyACM0", ("c0de", "cafe"), ["OSMU", "Bitaxe", "0011aabb"], false);
        let ports = serial_ports(machine.0.path());
        let names: Vec<_> =
            ports.iter().map(|port| port.path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["ttyACM0", "ttyUSB2", "ttyUSB10"]);
        let texts: Vec<_> = ports.iter().map(|port| port.usb.as_ref().unwrap().to_string()).collect();
        let expected = [
            "c0de:cafe OSMU Bitaxe 0011aabb",
            "0403:6015 FTDI Bad[2JName",
            "10c4:ea70 GekkoScience Compac A1 42",
        ];
        assert_eq!(texts, expected);
        assert!(ports.iter().all(|port| port.usb.as_ref().unwrap().interface == 1));
    }

    #[test]
    fn a_uart_of_the_board_is_a_port_and_one_that_is_not_there_and_a_console_are_none() {
        let machine = Machine::new();
        for (tty, kind) in [("ttyS0", "4"), ("ttyS1", "0")] {
            machine.write(&format!("sys/devices/platform/serial8250/{tty}/type"), &format!("{kind}\n"));
            let class = machine.path(&format!("sys/devices/platform/serial8250/{tty}"));
            symlink(machine.path("sys/devices/platform/serial8250"), class.join("device")).unwrap();
            symlink(class, machine.path("sys/class/tty").join(tty)).unwrap();
        }
        fs::create_dir(machine.path("sys/class/tty/console")).unwrap();
        let expected = SerialPort { path: machine.path("dev/ttyS0"), usb: None };
        assert_eq!(serial_ports(machine.0.path()), [expected]);
    }

    #[test]
    fn numbers_that_are_none_and_a_machine_without_such_a_folder_upset_nobody() {
        let machine = Machine::new();
        machine.plug("ttyUSB0", ("zzzz", "ea60"), ["", "", ""], true);
        assert_eq!(serial_ports(machine.0.path()), []);
        assert_eq!(serial_ports(Path::new("/no/such/folder")), []);
    }
}

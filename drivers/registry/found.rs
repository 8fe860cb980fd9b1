//! The ports of this machine, and what each is good for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{BoardSpec, Kind};
use crate::usb::{SerialPort, serial_ports};

/// A port of this machine, and what it is good for.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The port.
    pub port: SerialPort,
    /// The kind of its board, where it says one.
    pub kind: Option<&'static Kind>,
    /// What the port is of that board.
    pub role: Role,
}

/// What a port is of its board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// All there is.
    Whole,
    /// The control port; the port of the chips may not be there yet.
    Control {
        /// The port of the chips.
        data: Option<PathBuf>,
    },
    /// The port of the chips.
    Data {
        /// The control port.
        control: PathBuf,
    },
    /// One more than such a board has.
    Surplus,
}

impl Found {
    /// How the board at this port is named; `None` where it is named by its other port or nobody knows it.
    pub fn spec(&self) -> Option<BoardSpec> {
        let spec = BoardSpec::new(self.kind?, self.port.path.clone());
        match &self.role {
            Role::Whole => Some(spec),
            Role::Data { control } => Some(BoardSpec { control: Some(control.clone()), ..spec }),
            Role::Control { .. } | Role::Surplus => None,
        }
    }
}

/// All serial ports with the boards that are known by their USB identity. Nothing is opened for that. Of a board with two
/// ports the one with the lower interface is the control port (bitaxe-raw). Shape: `root` is `/`, see [`serial_ports`].
pub fn scan(root: &Path) -> Vec<Found> {
    pair(serial_ports(root))
}

fn pair(ports: Vec<SerialPort>) -> Vec<Found> {
    let kind_of = |port: &SerialPort| port.usb.as_ref().and_then(Kind::of);
    // Ports of each device that has two, in the order of its interfaces.
    let mut devices: BTreeMap<PathBuf, Vec<(u8, PathBuf)>> = BTreeMap::new();
    for port in &ports {
        if let (Some(usb), Some(kind)) = (&port.usb, kind_of(port))
            && kind.has_control()
        {
            devices.entry(usb.device.clone()).or_default().push((usb.interface, port.path.clone()));
        }
    }
    for ports in devices.values_mut() {
        ports.sort();
    }
    let role = |port: &SerialPort| {
        let Some(of_device) = port.usb.as_ref().and_then(|usb| devices.get(&usb.device)) else {
            return Role::Whole;
        };
        let path = |at: usize| of_device.get(at).map(|(_, path)| path.clone());
        match (of_device.iter().position(|(_, path)| *path == port.path), path(0)) {
            (Some(0), _) => Role::Control { data: path(1) },
            (Some(1), Some(control)) => Role::Data { control },
            _ => Role::Surplus,
        }
    };
    ports.into_iter().map(|port| Found { kind: kind_of(&port), role: role(&port), port }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usb::UsbIdentity;

    fn port(path: &str, device: &str, interface: u8, name: &str) -> SerialPort {
        let (vendor, product) = if name == "Bitaxe" { (0xc0de, 0xcafe) } else { (0x10c4, 0xea60) };
        let usb = UsbIdentity {
            vendor,
            product,
            manufacturer: "OSMU".to_owned(),
            name: name.to_owned(),
            serial: String::new(),
            interface,
            device: device.into(),
        };
        SerialPort { path: path.into(), usb: Some(usb) }
    }

    #[test]
    fn two_boards_with_two_ports_each_are_paired_by_their_devices_in_the_order_of_interfaces() {
        let found = pair(vec![
            port("/dev/ttyACM0", "1-2", 2, "Bitaxe"),
            port("/dev/ttyACM1", "1-1", 0, "Bitaxe"),
            port("/dev/ttyACM2", "1-2", 0, "Bitaxe"),
            port("/dev/ttyACM3", "1-1", 2, "Bitaxe"),
            port("/dev/ttyUSB0", "1-3", 0, "Antminer"),
        ]);
        let specs: Vec<_> = found.iter().filter_map(Found::spec).collect();
        let ports: Vec<_> = specs.iter().map(|spec| (spec.port.to_str(), spec.control.as_deref())).collect();
        let expected = [
            (Some("/dev/ttyACM0"), Some(Path::new("/dev/ttyACM2"))),
            (Some("/dev/ttyACM3"), Some(Path::new("/dev/ttyACM1"))),
            (Some("/dev/ttyUSB0"), None),
        ];
        assert_eq!(ports, expected);
        assert_eq!(found[1].role, Role::Control { data: Some("/dev/ttyACM3".into()) });
    }

    #[test]
    fn a_board_whose_second_port_is_missing_is_not_opened_and_a_third_port_is_left_alone() {
        let one = pair(vec![port("/dev/ttyACM0", "1-1", 0, "Bitaxe")]);
        assert_eq!((one[0].role.clone(), one[0].spec()), (Role::Control { data: None }, None));
        let three: Vec<_> =
            (0..3).map(|at| port(&format!("/dev/ttyACM{at}"), "1-1", 2 * at, "Bitaxe")).collect();
        let found = pair(three);
        assert_eq!(found[2].role, Role::Surplus);
        assert_eq!(found.iter().filter_map(Found::spec).count(), 1);
    }
}

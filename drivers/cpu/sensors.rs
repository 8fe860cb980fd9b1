//! What the system says of heat and power. Source: Documentation/hwmon/sysfs-interface.rst and
//! Documentation/ABI/testing/sysfs-class-power of the Linux kernel; other systems have no such files, hence no sensors.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

/// Where Linux shows its devices by kind.
const SYSTEM: &str = "/sys/class";
/// Entries of a folder that are looked at, far more than any machine has.
const MOST_ENTRIES: usize = 512;
/// Bytes of a file that are read; numbers and names are shorter.
const MOST_BYTES: u64 = 64;
/// What a sensor of a running machine can show, in °C; one that is not connected shows its end of scale.
const PLAUSIBLE: std::ops::RangeInclusive<f64> = -40.0..=150.0;
/// Drivers of sensors in processors, by the name they give themselves. Source: drivers/hwmon and drivers/thermal there.
const OF_PROCESSORS: &[&str] = &[
    "coretemp",
    "k10temp",
    "k8temp",
    "zenpower",
    "via_cputemp",
    "cpu_thermal",
    "soc_thermal",
    "cpu-thermal",
];

/// What was read at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reading {
    /// The hottest sensor in °C: of the processor's, or of all where none is known to be one of those. `None` where there
    /// is none.
    pub(super) hottest: Option<f64>,
    /// The machine runs on a battery of its own. One without a battery never does.
    pub(super) is_on_battery: bool,
}

/// Where to read it.
#[derive(Debug, Clone)]
pub(super) struct Sensors {
    /// The folder of `hwmon` and `power_supply`.
    root: PathBuf,
}

impl Sensors {
    pub(super) fn of_system() -> Self {
        Self::below(Path::new(SYSTEM))
    }

    pub(super) fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Reads all of them, which some take milliseconds for.
    pub(super) fn read(&self) -> Reading {
        Reading { hottest: self.hottest(), is_on_battery: self.is_on_battery() }
    }

    fn hottest(&self) -> Option<f64> {
        let (of_processor, others): (Vec<_>, Vec<_>) = entries(&self.root.join("hwmon"))
            .into_iter()
            .filter_map(|device| Some((hottest_of(&device)?, text(&device.join("name")))))
            .partition(|(_, name)| name.as_deref().is_some_and(|name| OF_PROCESSORS.contains(&name)));
        let hottest =
            |devices: Vec<(f64, _)>| devices.into_iter().map(|(degrees, _)| degrees).reduce(f64::max);
        hottest(of_processor).or(hottest(others))
    }

    fn is_on_battery(&self) -> bool {
        let supplies: Vec<_> = entries(&self.root.join("power_supply"))
            .into_iter()
            // A mouse has a battery too.
            .filter(|supply| text(&supply.join("scope")).as_deref() != Some("Device"))
            .filter_map(|supply| Some((text(&supply.join("type"))?, supply)))
            .collect();
        let is = |supply: &Path, name: &str, value: &str| text(&supply.join(name)).as_deref() == Some(value);
        let batteries: Vec<_> = supplies
            .iter()
            .filter(|(kind, supply)| kind == "Battery" && !is(supply, "present", "0"))
            .collect();
        let lines: Vec<_> =
            supplies.iter().filter(|(kind, _)| kind == "Mains" || kind.starts_with("USB")).collect();
        match (&batteries[..], &lines[..]) {
            ([], _) => false,
            (batteries, []) => batteries.iter().any(|(_, battery)| is(battery, "status", "Discharging")),
            (_, lines) => !lines.iter().any(|(_, line)| {
                // 1 is plugged in, 2 is plugged in and programmable.
                is(line, "online", "1") || is(line, "online", "2")
            }),
        }
    }
}

fn hottest_of(device: &Path) -> Option<f64> {
    let is_input = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("temp") && name.ends_with("_input"))
    };
    let inputs = entries(device).into_iter().filter(is_input);
    let degrees = inputs.filter_map(|input| Some(text(&input)?.parse::<f64>().ok()? / 1000.0));
    degrees.filter(|degrees| PLAUSIBLE.contains(degrees)).reduce(f64::max)
}

/// What is in a folder; nothing where there is none.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().take(MOST_ENTRIES);
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// The text of a short file, without white space around it.
fn text(file: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(file).ok()?.take(MOST_BYTES).read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of devices. Shape: path below it, content.
    fn sensors(files: &[(&str, &str)]) -> (tempfile::TempDir, Sensors) {
        let folder = tempfile::tempdir().unwrap();
        for (file, content) in files {
            let file = folder.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        let sensors = Sensors::below(folder.path());
        (folder, sensors)
    }

    fn hottest(files: &[(&str, &str)]) -> Option<f64> {
        sensors(files).1.read().hottest
    }

    fn is_on_battery(files: &[(&str, &str)]) -> bool {
        sensors(files).1.read().is_on_battery
    }

    #[test]
    fn the_hottest_sensor_of_the_processor_counts_whatever_else_is_hotter() {
        let of_disk = [("hwmon/hwmon0/name", "nvme\n"), ("hwmon/hwmon0/temp1_input", "71850\n")];
        let of_processor = [
            ("hwmon/hwmon1/name", "coretemp\n"),
            ("hwmon/hwmon1/temp1_input", "55000\n"),
            ("hwmon/hwmon1/temp2_input", "61500\n"),
            ("hwmon/hwmon1/temp2_crit", "100000\n"),
        ];
        assert_eq!(hottest(&[&of_disk[..], &of_processor].concat()), Some(61.5));
        assert_eq!(hottest(&of_disk), Some(71.85), "where there is no other");
    }

    #[test]
    fn what_is_no_temperature_is_no_sensor() {
        for content in ["", "hot", "-128000", "255000", "NaN", "inf", "1e9", &"9".repeat(100)] {
            let files = [("hwmon/hwmon0/name", "k10temp"), ("hwmon/hwmon0/temp1_input", content)];
            assert_eq!(hottest(&files), None, "{content:?}");
        }
        assert_eq!(Sensors::below(Path::new("/nonexistent")).read().hottest, None);
    }

    #[test]
    fn a_machine_is_on_battery_when_it_has_one_and_no_line_that_is_plugged_in() {
        let battery =
            |status| [("power_supply/BAT0/type", "Battery\n"), ("power_supply/BAT0/status", status)];
        let line = |online| [("power_supply/AC/type", "Mains\n"), ("power_supply/AC/online", online)];
        assert!(is_on_battery(&battery("Discharging\n")));
        assert!(!is_on_battery(&battery("Charging\n")));
        assert!(is_on_battery(&[battery("Not charging\n"), line("0\n")].concat()));
        assert!(!is_on_battery(&[battery("Discharging\n"), line("1\n")].concat()), "a weak charger is one");
    }

    #[test]
    fn a_machine_without_a_battery_of_its_own_is_never_on_battery() {
        assert!(!is_on_battery(&[]));
        assert!(!is_on_battery(&[("power_supply/AC/type", "Mains"), ("power_supply/AC/online", "0")]));
        let battery = [("power_supply/hid/type", "Battery"), ("power_supply/hid/status", "Discharging")];
        assert!(!is_on_battery(&[&battery[..], &[("power_supply/hid/scope", "Device")]].concat()), "a mouse");
        assert!(
            !is_on_battery(&[&battery[..], &[("power_supply/hid/present", "0")]].concat()),
            "an empty bay"
        );
    }
}

//! `signalcore bench`: what it measures, what it refuses, and how it is ended.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{PATIENCE, signalcore};

/// Runs `signalcore bench --json`, which must end well, and gives its object.
fn bench(arguments: &[&str]) -> Value {
    let output = signalcore(&[&["bench", "--json"], arguments].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "a bar only where somebody watches");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn kernels(object: &Value) -> &[Value] {
    object["kernels"].as_array().unwrap()
}

fn named<'a>(object: &'a Value, name: &Value) -> &'a Value {
    kernels(object).iter().find(|kernel| kernel["kernel"] == *name).unwrap()
}

fn number(object: &Value, member: &str) -> f64 {
    object[member].as_f64().unwrap_or_else(|| panic!("{member} is no number in {object:#}"))
}

#[test]
fn figures_of_a_kernel_agree_with_each_other_and_the_chosen_one_is_among_those_timed() {
    let object = bench(&["--threads", "1", "--seconds", "2"]);
    assert_eq!((&object["threads"], &object["end"]), (&json!(1), &json!("time")), "{object:#}");
    assert!((2.0..30.0).contains(&number(&object, "seconds")), "{object:#}");
    let portable = named(&object, &json!("scalar"));
    assert_eq!(number(portable, "ratio_to_portable"), 1.0);
    for kernel in kernels(&object) {
        if kernel["state"] == "unsupported" {
            assert!(kernel["hash_rate"].is_null(), "{kernel:#}");
            continue;
        }
        assert_eq!(kernel["state"], "timed", "{kernel:#}");
        let [p10, median, p90] = ["hash_rate_p10", "hash_rate", "hash_rate_p90"].map(|p| number(kernel, p));
        assert!(0.0 < p10 && p10 <= median && median <= p90, "{kernel:#}");
        // The median of ratios and the ratio of medians: the same where the machine is steady.
        let of_medians = number(kernel, "hashes_per_cpu_second") / number(portable, "hashes_per_cpu_second");
        let ratio = number(kernel, "ratio_to_portable");
        assert!((ratio / of_medians - 1.0).abs() < 0.3, "{ratio} and {of_medians} in {object:#}");
        if !kernel["clock_hz"].is_null() {
            let cycles = number(kernel, "clock_hz") / number(kernel, "hashes_per_cpu_second");
            assert!((number(kernel, "cycles_per_hash") / cycles - 1.0).abs() < 0.3, "{kernel:#}");
        }
    }
    let chosen = named(&object, &object["chosen"]);
    assert_eq!(chosen["state"], "timed", "{object:#}");
    let take_up = &object["take_up"];
    let [median, worst] = ["median_ms", "worst_ms"].map(|time| number(take_up, time));
    assert!(0.0 < median && median <= worst, "{object:#}");
    // Where other programs leave next to nothing of the cores, the time is over before the hundredth.
    assert!((1.0..=100.0).contains(&number(take_up, "changes")), "{object:#}");
}

#[test]
fn without_version_bits_only_a_kernel_of_one_version_is_chosen() {
    let object = bench(&["--seconds", "0.2", "--versions", "0", "--pin"]);
    assert_eq!(named(&object, &object["chosen"])["versions"], 1, "{object:#}");
}

#[test]
fn a_kernel_that_is_named_is_measured_beside_the_portable_one_alone() {
    let object = bench(&["--seconds", "0.2", "--kernel", "scalar"]);
    assert_eq!((kernels(&object).len(), &object["fastest"]), (1, &json!("scalar")), "{object:#}");
    // Of a part of the kernels nobody knows which one a board would choose.
    let has_others =
        signalcore_drivers::cpu::measure::kernels().iter().any(|k| k.is_supported && k.name != "scalar");
    assert_eq!(object["chosen"].is_null(), has_others, "{object:#}");
}

#[test]
fn a_kernel_that_is_named_before_all_stays_the_first_which_the_others_are_compared_with() {
    let best = bench(&["--seconds", "0.2"])["chosen"].as_str().unwrap().to_owned();
    let object = bench(&["--seconds", "0.2", "--kernel", &best, "--kernel", "all"]);
    assert_eq!(kernels(&object)[0]["kernel"], best);
    assert!(kernels(&object)[1..].iter().all(|kernel| kernel["kernel"] != best), "{object:#}");
    assert_eq!(number(&kernels(&object)[0], "ratio_to_first"), 1.0);
}

#[test]
fn what_cannot_be_measured_is_refused_with_what_can_be() {
    for (arguments, text) in [
        (&["--kernel", "abacus"][..], "no kernel \"abacus\", there are: scalar"),
        (&["--kernel", "all", "--kernel", "abacus"], "no kernel \"abacus\", there are: scalar"),
        (&["--seconds", "1e-12"], "expected a number of seconds from 0.1 to 3600"),
        (&["--seconds", "nan"], "expected a number of seconds from 0.1 to 3600"),
        (&["--threads", "0"], "0 is not in 1..="),
        (&["--versions", "17"], "17 is not in 0..=16"),
    ] {
        let output = signalcore(&[&["bench"], arguments].concat()).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(text), "{errors} lacks {text}");
        assert!(output.stdout.is_empty());
    }
}

/// Waits until a process watches for a signal: before that it would just die of it.
#[cfg(target_os = "linux")]
fn wait_until_caught(process: u32, signal: Signal) {
    let caught = || {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
        u64::from_str_radix(mask, 16).unwrap() >> (signal.as_raw() - 1) & 1 == 1
    };
    let give_up_at = Instant::now() + PATIENCE;
    while !caught() {
        assert!(Instant::now() < give_up_at, "it never watches for {signal:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_ends_it_with_what_was_measured_until_then() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut command = signalcore(&["bench", "--seconds", "3600", "--json"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        wait_until_caught(child.id(), signal);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let object: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(object["end"], "asked");
        assert!(number(&object, "seconds") < 600.0 && object["take_up"].is_null(), "{object:#}");
        // Which kernels had a slice until then is a matter of chance; the others must not be judged.
        if kernels(&object).iter().any(|kernel| kernel["state"] == "untimed") {
            assert!(object["chosen"].is_null() && object["fastest"].is_null(), "{object:#}");
        }
        let is_judged = |kernel: &Value| !kernel["hash_rate"].is_null();
        assert!(
            kernels(&object).iter().all(|kernel| is_judged(kernel) == (kernel["state"] == "timed")),
            "{object:#}"
        );
    }
}

#[test]
fn a_person_gets_a_table_of_80_columns_without_colours_in_a_pipe() {
    let output = signalcore(&["bench", "--seconds", "0.2"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in [
        "kernel",
        "MH/s",
        "cycles",
        "scalar",
        "▶",
        "is fastest for jobs with 16 version bits",
        "job taken up in: median",
    ] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

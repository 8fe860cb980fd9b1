//! A board that gets too hot: it pauses, says so, and goes on.

use std::path::Path;

use tokio::sync::mpsc::error::TryRecvError;

use super::*;
use crate::cpu;

/// Shows a temperature at once and whole, as the system does.
fn show(folder: &Path, degrees: u32) {
    let (new, shown) = (folder.join("new"), folder.join("hwmon/hwmon0/temp1_input"));
    std::fs::write(&new, format!("{degrees}000\n")).unwrap();
    std::fs::rename(new, shown).unwrap();
}

#[test]
fn a_board_that_gets_too_hot_says_so_pauses_and_goes_on_with_the_newest_job_when_it_is_cooler() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("hwmon/hwmon0")).unwrap();
    show(folder.path(), 70);
    let guard = GuardOptions { max_temperature: Some(80), ..GuardOptions::default() };
    let sensors = (Sensors::below(folder.path()), Duration::from_millis(5));
    let kernels: Vec<_> = supported().copied().collect();
    let (options, all) = (CpuOptions { guard, ..options(2) }, space::ALL_NONCES);
    let mut board = cpu::start(&options, ranking(&kernels), vec![], all, sensors).unwrap();
    let told = |event| if let BoardEvent::Fault(text) = event { Some(text) } else { None };

    board.job.send_replace(Some(job(1, 40)));
    wait_for(&mut board, started(1));
    show(folder.path(), 81);
    let text = wait_for(&mut board, told);
    assert!(text.starts_with("hashing pauses until it has 75 °C"), "{text}");
    // Whatever was hashed before is reported at the beginning of the pause, and nothing comes after that.
    thread::sleep(Duration::from_millis(300));
    while board.events.try_recv().is_ok() {}
    for id in [2, 3] {
        board.job.send_replace(Some(job(id, 40)));
        thread::sleep(Duration::from_millis(300));
        assert_eq!(board.events.try_recv(), Err(TryRecvError::Empty), "it has not begun to hash");
    }
    show(folder.path(), 75);
    assert_eq!(wait_for(&mut board, told), "hashing goes on at 75 °C");
    wait_for(&mut board, started(3));
    assert!(sum_of_hashes(&stop(board)) > 0);
}

#[test]
fn a_board_that_pauses_ends_at_once_when_it_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("hwmon/hwmon0")).unwrap();
    show(folder.path(), 90);
    let guard = GuardOptions { max_temperature: Some(80), ..GuardOptions::default() };
    let (options, sensors) = (CpuOptions { guard, ..options(2) }, Sensors::below(folder.path()));
    for job in [None, Some(job(1, 40))] {
        let sensors = (sensors.clone(), PATIENCE);
        let board = cpu::start(&options, ranking(&[SCALAR]), vec![], 1000, sensors).unwrap();
        board.job.send_replace(job);
        let events = stop(board);
        assert!(matches!(&events[..], [BoardEvent::Fault(_)]), "{events:?}");
    }
}

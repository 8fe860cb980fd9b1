//! The shell of a board over lines in memory, when its driver fails.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{sleep, timeout};

use super::super::board::{BoardSettings, LineSettings, OwnLimits};
use super::super::boards::board;
use super::super::packet::{Command, Request};
use super::super::shell::{Opener, Ports, open};
use super::super::tuner::{Point, Results};
use super::power::well;
use crate::BoardEvent;
use crate::port::Port;

/// A gamma's control port that answers as one that is well and writes down what it is told.
fn control(told: Arc<Mutex<Vec<Command>>>, speed: Arc<Mutex<Arc<AtomicU32>>>) -> Opener {
    Arc::new(move || {
        let (port, mut line, baud) = Port::pipe();
        *speed.lock().unwrap() = baud;
        let told = Arc::clone(&told);
        tokio::spawn(async move {
            let mut buffer = [0; 256];
            let well = well(board("gamma").unwrap());
            while let Ok(count @ 1..) = line.read(&mut buffer).await {
                let Ok(Request { id, command }) = Request::parse(&buffer[..count]) else { continue };
                let data = well(&command).unwrap();
                told.lock().unwrap().push(command);
                let reply = [&(data.len() as u16).to_le_bytes()[..], &[id], &data].concat();
                line.write_all(&reply).await.unwrap();
            }
        });
        Ok(port)
    })
}

#[tokio::test(start_paused = true)]
async fn a_board_whose_driver_panics_loses_its_power_and_says_so_and_its_task_tells_of_the_panic() {
    let kind = board("gamma").unwrap();
    let (told, speed) = (Arc::<Mutex<Vec<Command>>>::default(), Arc::default());
    let lines = Arc::<Mutex<Vec<DuplexStream>>>::default();
    let held_open = Arc::clone(&lines);
    let data: Opener = Arc::new(move || {
        let (port, line, _) = Port::pipe();
        held_open.lock().unwrap().push(line);
        Ok(port)
    });
    let ports = Ports { control: control(Arc::clone(&told), Arc::clone(&speed)), data };
    let settings = BoardSettings {
        kind,
        point: Point { megahertz: kind.megahertz.default, millivolts: kind.millivolts.default },
        line: LineSettings::default(),
        limits: OwnLimits::default(),
        goal: None,
        known: Results::default(),
    };
    let (mut handle, ended) = open("test".to_owned(), settings, ports).await.unwrap();
    let write = |bytes: [u8; 2]| Command::I2cWrite { address: 0x24, bytes: bytes.to_vec() };
    let (on, off) = (write([0x01, 0x80]), write([0x01, 0x00]));
    let is_on = async {
        while !told.lock().unwrap().contains(&on) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), is_on).await.expect("the chips get power");
    sleep(Duration::from_secs(1)).await;
    let before = told.lock().unwrap().len();
    speed.lock().unwrap().store(Port::BREAKS, Ordering::Relaxed);
    let mut faults = Vec::new();
    while let Some(event) = handle.events.recv().await {
        if let BoardEvent::Fault(text) = event {
            faults.push(text);
        }
    }
    assert!(ended.await.unwrap_err().is_panic());
    let expected =
        "its driver has failed (as the test wants it); please report this; its power is taken away";
    assert_eq!(faults, [expected]);
    assert_eq!(lines.lock().unwrap().len(), 1);
    let told = told.lock().unwrap();
    let after = &told[before..];
    assert!(after.contains(&Command::SetPin { pin: 0, high: false }) && after.contains(&off), "{after:?}");
    assert!(!after.contains(&on), "{after:?}");
}

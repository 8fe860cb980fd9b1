//! The shell of a board over lines in memory, when its driver fails and when it ends.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep, timeout};

use super::super::board::{BoardSettings, LineSettings, OwnLimits};
use super::super::boards::board;
use super::super::packet::{Command, Request};
use super::super::shell::{Opener, POWER_OFF, Ports, open};
use super::super::tuner::{Point, Results};
use super::power::well;
use crate::bm13xx::board::Running;
use crate::bm13xx::bring_up::halt;
use crate::bm13xx::chip::BM1370;
use crate::bm13xx::frame::Frame;
use crate::port::Port;
use crate::{BoardEndError, BoardEvent};

/// A gamma on two lines.
#[derive(Clone, Default)]
struct Gamma {
    /// What its control port was told, as one that is well.
    told: Arc<Mutex<Vec<Command>>>,
    /// Whether that port does not answer any more.
    is_silent: Arc<AtomicBool>,
    speed: Arc<Mutex<Arc<AtomicU32>>>,
    /// The chips' ends of its data port, which are never read.
    lines: Arc<Mutex<Vec<DuplexStream>>>,
}

impl Gamma {
    fn control(&self) -> Opener {
        let gamma = self.clone();
        Arc::new(move || {
            let (port, mut line, baud) = Port::pipe();
            *gamma.speed.lock().unwrap() = baud;
            let Self { told, is_silent, .. } = gamma.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 256];
                let well = well(board("gamma").unwrap());
                while let Ok(count @ 1..) = line.read(&mut buffer).await {
                    let Ok(Request { id, command }) = Request::parse(&buffer[..count]) else { continue };
                    let data = well(&command).unwrap();
                    told.lock().unwrap().push(command);
                    if is_silent.load(Ordering::Relaxed) {
                        continue;
                    }
                    let reply = [&(data.len() as u16).to_le_bytes()[..], &[id], &data].concat();
                    line.write_all(&reply).await.unwrap();
                }
            });
            Ok(port)
        })
    }

    /// Its driver, once the chips have power.
    async fn with_power(&self) -> Running {
        let kind = board("gamma").unwrap();
        let held_open = Arc::clone(&self.lines);
        let data: Opener = Arc::new(move || {
            let (port, line, _) = Port::pipe();
            held_open.lock().unwrap().push(line);
            Ok(port)
        });
        let settings = BoardSettings {
            kind,
            point: Point { megahertz: kind.megahertz.default, millivolts: kind.millivolts.default },
            line: LineSettings::default(),
            limits: OwnLimits::default(),
            goal: None,
            known: Results::default(),
        };
        let ports = Ports { control: self.control(), data };
        let running = open("test".to_owned(), settings, ports).await.unwrap();
        let is_on = async {
            while !self.told.lock().unwrap().contains(&operation(0x80)) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(10), is_on).await.expect("the chips get power");
        sleep(Duration::from_secs(1)).await;
        running
    }
}

/// Switches the regulator on or off.
fn operation(value: u8) -> Command {
    Command::I2cWrite { address: 0x24, bytes: vec![0x01, value] }
}

/// The faults that are told to the end.
async fn faults(events: &mut Receiver<BoardEvent>) -> Vec<String> {
    let mut faults = Vec::new();
    while let Some(event) = events.recv().await {
        if let BoardEvent::Fault(text) = event {
            faults.push(text);
        }
    }
    faults
}

#[tokio::test(start_paused = true)]
async fn a_board_whose_driver_panics_loses_its_power_and_says_so_and_its_task_tells_of_the_panic() {
    let gamma = Gamma::default();
    let (mut handle, ended) = gamma.with_power().await;
    let before = gamma.told.lock().unwrap().len();
    gamma.speed.lock().unwrap().store(Port::BREAKS, Ordering::Relaxed);
    let faults = faults(&mut handle.events).await;
    assert!(ended.await.unwrap_err().is_panic());
    let expected =
        "its driver has failed (as the test wants it); please report this; its power is taken away";
    assert_eq!(faults, [expected]);
    assert_eq!(gamma.lines.lock().unwrap().len(), 1);
    let told = gamma.told.lock().unwrap();
    let after = &told[before..];
    let reset = Command::SetPin { pin: 0, high: false };
    assert!(after.contains(&reset) && after.contains(&operation(0x00)), "{after:?}");
    assert!(!after.contains(&operation(0x80)), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_board_whose_control_port_is_silent_at_the_end_gets_all_orders_again_and_again_and_its_chips_the_last_word()
 {
    let gamma = Gamma::default();
    let (mut handle, ended) = gamma.with_power().await;
    let before = gamma.told.lock().unwrap().len();
    gamma.is_silent.store(true, Ordering::Relaxed);
    let start = Instant::now();
    drop(handle.job);
    assert_eq!(faults(&mut handle.events).await.last(), Some(&BoardEndError::MayHavePower.to_string()));
    assert_eq!(ended.await.unwrap(), Some(BoardEndError::MayHavePower));
    assert!(start.elapsed() <= POWER_OFF, "{:?}", start.elapsed());
    let told = gamma.told.lock().unwrap().clone();
    let reset = Command::SetPin { pin: 0, high: false };
    for order in [operation(0x00), reset] {
        assert!(told[before..].iter().filter(|command| **command == order).count() >= 4, "{told:?}");
    }
    let mut line = gamma.lines.lock().unwrap().pop().unwrap();
    let mut said = Vec::new();
    line.read_to_end(&mut said).await.unwrap();
    let halt: Vec<_> = halt(&BM1370).iter().flat_map(Frame::emit).collect();
    assert!(said.ends_with(&halt), "{}", hex::encode(said));
}

//! The shell of a Bitaxe on pseudo-terminals: a virtual board in a thread of its own, real time, real ports.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use signalcore_drivers::bitaxe::board::LineSettings;
use signalcore_drivers::bitaxe::shell::{OpenError, Ports, open};
use signalcore_drivers::bm13xx::board::Running;
use signalcore_drivers::port::{Port, PortFault};
use signalcore_drivers::{BoardEndError, BoardEvent, BoardHandle, ChipJob, ChipJobId, Order, OrderError};
use signalcore_hil::virtual_board::{Board, BoardConfig, BoardKind, Event, Fault, Pace, Shell};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::bench::settings;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
const ZERO_BITS: u32 = 4;

/// A gamma on pseudo-terminals, until it is dropped.
struct Played {
    folder: TempDir,
    stop: Arc<AtomicBool>,
    events: Arc<Mutex<Vec<Event>>>,
    thread: Option<JoinHandle<()>>,
}

impl Played {
    fn start(faults: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let faults = faults.iter().map(|text| text.parse::<Fault>().unwrap()).collect();
        let kind = BoardKind::named("gamma").unwrap();
        let config = BoardConfig {
            zero_bits: ZERO_BITS,
            pace: Pace::PerSecond(20.0),
            faults,
            ..BoardConfig::new(kind)
        };
        let (stop, events) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (stopped, told, prefix) = (Arc::clone(&stop), Arc::clone(&events), folder.path().join("gamma"));
        let (opened, is_open) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut shell = Shell::open(Board::new(config).unwrap(), &prefix, 1e6).unwrap();
            opened.send(()).unwrap();
            shell.run(&stopped, |_, event| told.lock().unwrap().push(event)).unwrap();
        });
        is_open.recv().unwrap();
        Self { folder, stop, events, thread: Some(thread) }
    }

    fn path(&self, port: &str) -> PathBuf {
        self.folder.path().join(format!("gamma-{port}"))
    }

    async fn open(&self) -> Result<Running, OpenError> {
        let opener = |path: PathBuf| Arc::new(move || Port::open(&path, 115_200));
        let ports = Ports { control: opener(self.path("control")), data: opener(self.path("data")) };
        let line = LineSettings { zero_bits: ZERO_BITS, ..LineSettings::default() };
        let settings = signalcore_drivers::bitaxe::board::BoardSettings { line, ..settings("gamma") };
        open("gamma".to_owned(), settings, ports).await
    }

    /// Whether the chips have power, as far as it has been told.
    fn has_power(&self) -> bool {
        let power = |event: &Event| match event {
            Event::Power { on, .. } => Some(*on),
            _ => None,
        };
        self.events.lock().unwrap().iter().rev().find_map(power).unwrap_or(false)
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn job(id: u64) -> ChipJob {
    ChipJob {
        id: ChipJobId(id),
        version: 0x2000_0000,
        prev_hash: [3; 32],
        merkle_root: [id as u8; 32],
        ntime: 1_700_000_000,
        nbits: 0x1703_4219,
        version_mask: 0x1fff_e000,
        target: [0xff; 32],
    }
}

/// Takes events until so many nonces have come; answers the end of a job with another one.
async fn nonces(board: &mut BoardHandle, count: usize) {
    let (mut found, mut jobs) = (0, 0);
    board.job.send_replace(Some(job(jobs)));
    while found < count {
        match timeout(PATIENCE, board.events.recv()).await.expect("events").expect("a board") {
            BoardEvent::Nonce { .. } => found += 1,
            BoardEvent::JobEnding(_) => {
                jobs += 1;
                board.job.send_replace(Some(job(jobs)));
            }
            BoardEvent::Fault(fault) => panic!("{fault}"),
            _ => {}
        }
    }
}

/// Gives an order and says what became of it.
async fn order(board: &BoardHandle, order: Order) -> Result<(), OrderError> {
    let (answer, answered) = oneshot::channel();
    board.controls.orders.as_ref().unwrap().send((order, answer)).await.unwrap();
    answered.await.unwrap()
}

#[tokio::test]
async fn a_gamma_on_two_ports_hashes_follows_orders_and_is_left_without_power() {
    let played = Played::start(&[]);
    let (mut board, ended) = played.open().await.unwrap();
    assert!((board.expected_rate * 2f64.powi(28) / 1.071e12 - 1.0).abs() < 0.001);
    nonces(&mut board, 40).await;
    let set = |millivolts| Order::Set { megahertz: Some(500.0), millivolts: Some(millivolts) };
    let refused = order(&board, set(1251)).await.unwrap_err();
    assert!(refused.to_string().contains("bears 1000 to 1250"));
    order(&board, set(1100)).await.unwrap();
    let lower = async {
        loop {
            if let Some(BoardEvent::Status(status)) = board.events.recv().await
                && status.power.set_millivolts == Some(1100.0)
            {
                return status;
            }
        }
    };
    let status = timeout(PATIENCE, lower).await.expect("a lower voltage");
    assert!(status.heat.chip_celsius.is_some() && played.has_power());
    drop(board);
    assert_eq!(ended.await.unwrap(), None);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!played.has_power(), "{:?}", played.events.lock().unwrap());
}

#[tokio::test]
async fn an_unplugged_board_ends_with_the_port_that_is_gone_and_can_be_opened_again() {
    let played = Played::start(&["unplug@20+2"]);
    let (mut board, ended) = played.open().await.unwrap();
    assert!(matches!(played.open().await, Err(OpenError::Port(error)) if error.fault == PortFault::Busy));
    nonces(&mut board, 5).await;
    let ended = timeout(PATIENCE, ended).await.expect("the board ends").unwrap();
    assert!(
        matches!(&ended, Some(BoardEndError::Port(error)) if error.fault == PortFault::Gone),
        "{ended:?}"
    );
    while board.events.recv().await.is_some() {}
    let again = async {
        loop {
            match played.open().await {
                Ok(board) => return board,
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    };
    let (mut board, _ended) = timeout(PATIENCE, again).await.expect("the ports come back");
    nonces(&mut board, 5).await;
}

//! A device on its port: the shell around a [`Device`], one task on the runtime. It moves bytes and keeps time, and waits
//! for nobody: events that find no room wait here.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Device, ScannerEvent};
use crate::bm13xx::board::Running;
use crate::caught::caught;
use crate::cpu::outbox::{Delivery, Outbox};
use crate::port::{Port, PortError};
use crate::status::StatusTimes;
use crate::{BoardEndError, BoardEvent, BoardHandle, ChipJob, Controls, EVENT_CAPACITY};

/// Bytes taken from the port at once.
const BUFFER: usize = 4096;
/// Pause between two tries to hand over events that found no room.
const RETRY: Duration = Duration::from_millis(10);
/// How long it tries to hand over its last events.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// Starts a device on its open port; it is found out in its own task. What is wrong with it is a [`BoardEvent::Fault`],
/// and it is tried again; it ends when its port does. Shape: what the engine gets, and what tells how it ended, `None`
/// when the engine has stopped it.
pub fn start(name: String, device: impl Device, port: Port) -> Running {
    let (job_sender, job) = watch::channel(None);
    let (event_sender, events) = mpsc::channel(EVENT_CAPACITY);
    let (detail, expected_rate) = (device.detail(), device.expected_rate());
    let controls = Controls::default();
    let handle = BoardHandle { name, detail, expected_rate, job: job_sender, events, controls };
    let (outbox, times) = (Outbox::new(event_sender), StatusTimes::new(now()));
    let shell = Shell { device, port, job, outbox, times };
    (handle, tokio::spawn(shell.run()))
}

/// Opens a port for a device on a thread that may block. Errors: see [`Port::open`].
pub async fn open_port(
    opener: impl FnOnce() -> Result<Port, PortError> + Send + 'static,
) -> Result<Port, PortError> {
    spawn_blocking(opener).await.expect("opening a port does not panic")
}

#[derive(Debug)]
struct Shell<D> {
    device: D,
    port: Port,
    job: watch::Receiver<Option<ChipJob>>,
    outbox: Outbox,
    times: StatusTimes,
}

impl<D: Device> Shell<D> {
    async fn run(mut self) -> Option<BoardEndError> {
        let ended = caught(Box::pin(self.drive())).await;
        self.port.say_last(&self.device.last_orders()).await;
        if let Err(panic) = &ended {
            self.outbox.push(BoardEvent::Fault(panic.to_string()));
        }
        let give_up_at = Instant::now() + LAST_EVENTS;
        while self.outbox.report() == Delivery::Waiting && Instant::now() < give_up_at {
            sleep(RETRY).await;
        }
        ended.unwrap_or_else(|panic| panic.resume()).err().map(BoardEndError::from)
    }

    /// Runs until the engine lets go of the device, or the port does.
    async fn drive(&mut self) -> Result<(), PortError> {
        let mut buffer = [0; BUFFER];
        loop {
            while let Some(bytes) = self.device.poll_transmit() {
                self.port.write(&bytes).await?;
            }
            while let Some(event) = self.device.poll_event() {
                self.tell(event);
            }
            if self.times.is_due(self.device.state(), now()) {
                self.outbox.tell(self.device.status());
            }
            let delivery = self.outbox.report();
            if delivery == Delivery::Closed {
                return Ok(());
            }
            let due = self.device.poll_timeout().into_iter().chain([self.times.next_at()]).min();
            let due = due.map(Instant::from_std);
            let retry = (delivery == Delivery::Waiting).then(|| Instant::now() + RETRY);
            tokio::select! {
                biased;
                changed = self.job.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let job = self.job.borrow_and_update().clone();
                    self.device.set_job(job, now());
                }
                count = self.port.read(&mut buffer) => self.device.handle_bytes(&buffer[..count?], now()),
                () = until(due) => self.device.handle_timeout(now()),
                () = until(retry) => {}
            }
        }
    }

    fn tell(&mut self, event: ScannerEvent<D::Fault>) {
        match event {
            ScannerEvent::Board(BoardEvent::Hashes(hashes)) => self.outbox.count(hashes),
            ScannerEvent::Board(event) => self.outbox.push(event),
            ScannerEvent::Failed(fault) => {
                self.outbox.push(BoardEvent::Fault(format!("{fault}; it is tried again")));
            }
            ScannerEvent::Parked { reason, until } => {
                let seconds = until.saturating_duration_since(now()).as_secs_f64().round();
                self.outbox.push(BoardEvent::Fault(format!("{reason}; it is tried again in {seconds} s")));
            }
            ScannerEvent::Ready { .. } => {}
        }
    }
}

/// The clock of the runtime, which tests can pause.
pub(crate) fn now() -> std::time::Instant {
    Instant::now().into_std()
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

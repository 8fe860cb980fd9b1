//! A board of BM13xx chips on a serial port: the shell around [`Chain`], one task on the runtime.
//!
//! It moves bytes and keeps time, and waits for nobody: events that find no room wait here. Of the reset pin it has none, so
//! the port is closed while the chain wants its chips in reset; sticks that watch the port are reset by that, and chips that
//! are not take the commands of a bring-up as well. Before it is closed the chips are told to hash as little as can be.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until};

use super::bring_up::halt;
use super::chain::{Chain, ChainConfig, ChainConfigError, ChainEvent};
use super::chip::MOST_MEGAHERTZ;
use super::frame::Frame;
use super::pll::Frequency;
use crate::caught::caught;
use crate::cpu::outbox::{Delivery, Outbox};
use crate::order::{Controls, ORDER_CAPACITY, Order, OrderError, OrderRequest};
use crate::port::{Port, PortError};
use crate::status::StatusTimes;
use crate::{BoardEndError, BoardEvent, BoardHandle, ChipJob, EVENT_CAPACITY};

/// Bytes taken from the port at once: a third of a second at 115 200 baud.
const BUFFER: usize = 4096;
/// Pause between two tries to hand over events that found no room.
const RETRY: Duration = Duration::from_millis(10);
/// How long a board that is told to stop listens for answers on their way: several at 115 200 baud.
const LAST_ANSWERS: Duration = Duration::from_millis(20);
/// How long it tries to hand over its last events. An engine that takes events at all is far quicker.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// Opens the board's port, at the speed that chips have after a reset. It may block.
pub type Opener = Arc<dyn Fn() -> Result<Port, PortError> + Send + Sync>;

/// Why a board did not start.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// For the operator: it cannot be as it is configured.
    #[error(transparent)]
    Config(#[from] ChainConfigError),
    /// The port cannot be opened.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// A board that runs: what the engine gets, and what tells how it ended. Shape: `None` when the engine has stopped it, and
/// all is well.
pub type Running = (BoardHandle, JoinHandle<Option<BoardEndError>>);

/// Opens the port and starts the board; its chips are brought up in its own task. What is wrong with them is a
/// [`BoardEvent::Fault`], and they are tried again; the board ends when its port does.
///
/// Errors: `Config`, `Port`.
pub async fn open(name: String, config: ChainConfig, opener: Opener) -> Result<Running, BoardError> {
    let chain = Chain::new(&config, now())?;
    let port = open_port(&opener).await?;
    let (job_sender, job) = watch::channel(None);
    let (event_sender, events) = mpsc::channel(EVENT_CAPACITY);
    let (order_sender, orders) = mpsc::channel(ORDER_CAPACITY);
    let chip = config.bring_up.chip.name;
    let detail = format!("{} × {chip} at {} MHz", config.chips, config.frequency.mhz());
    let controls = Controls { orders: Some(order_sender), results: None };
    let expected_rate = chain.expected_rate();
    let handle = BoardHandle { name, detail, expected_rate, job: job_sender, events, controls };
    let outbox = Outbox::new(event_sender);
    let times = StatusTimes::new(now());
    let halt = halt(config.bring_up.chip).iter().map(Frame::emit).collect();
    let board = Board { chain, opener, port: Some(port), halt, job, orders, outbox, times };
    Ok((handle, tokio::spawn(board.run())))
}

struct Board {
    chain: Chain,
    opener: Opener,
    /// `None` while the chips are to be in reset.
    port: Option<Port>,
    /// What the chips are told before the port is closed.
    halt: Vec<Vec<u8>>,
    job: watch::Receiver<Option<ChipJob>>,
    orders: mpsc::Receiver<OrderRequest>,
    outbox: Outbox,
    times: StatusTimes,
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").field("chain", &self.chain).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Board {
    async fn run(mut self) -> Option<BoardEndError> {
        let ended = caught(Box::pin(self.drive())).await;
        self.close().await;
        if let Err(panic) = &ended {
            self.outbox.push(BoardEvent::Fault(format!("{panic}; the chips are slowed down")));
        }
        let give_up_at = Instant::now() + LAST_EVENTS;
        while self.outbox.report() == Delivery::Waiting && Instant::now() < give_up_at {
            sleep(RETRY).await;
        }
        ended.unwrap_or_else(|panic| panic.resume()).err().map(BoardEndError::from)
    }

    /// Closes the port. Chips that are not reset by that would hash on what they have, and nobody watches their heat.
    async fn close(&mut self) {
        if let Some(mut port) = self.port.take() {
            port.say_last(&self.halt).await;
        }
    }

    /// Runs until the engine lets go of the board, or the port does.
    async fn drive(&mut self) -> Result<(), PortError> {
        let mut buffer = [0; BUFFER];
        loop {
            let delivery = self.carry_out().await?;
            if delivery == Delivery::Closed {
                return Ok(());
            }
            let due = self.chain.poll_timeout().into_iter().chain([self.times.next_at()]).min();
            let due = due.map(Instant::from_std);
            let retry = (delivery == Delivery::Waiting).then(|| Instant::now() + RETRY);
            // A job first: whatever else there is belongs to the one before.
            tokio::select! {
                biased;
                changed = self.job.changed() => {
                    if changed.is_err() {
                        return self.hear_last(&mut buffer).await;
                    }
                    let job = self.job.borrow_and_update().clone();
                    self.chain.set_job(job, now());
                }
                count = read(&mut self.port, &mut buffer) => self.chain.handle_bytes(&buffer[..count?], now()),
                Some((order, answer)) = self.orders.recv() => {
                    // Who asked may have gone.
                    _ = answer.send(follow(&mut self.chain, order));
                }
                () = until(due) => self.chain.handle_timeout(now()),
                () = until(retry) => {}
            }
        }
    }

    /// Takes the answers that are on their way, for a board that is to end.
    async fn hear_last(&mut self, buffer: &mut [u8]) -> Result<(), PortError> {
        let end = Some(Instant::now() + LAST_ANSWERS);
        loop {
            tokio::select! {
                biased;
                () = until(end) => return Ok(()),
                count = read(&mut self.port, buffer) => self.chain.handle_bytes(&buffer[..count?], now()),
            }
            while let Some(event) = self.chain.poll_event() {
                self.tell(event);
            }
        }
    }

    /// Does what the chain wants. A change of speed or a reset comes before bytes: the chain gives no bytes out for which
    /// it would be too early.
    async fn carry_out(&mut self) -> Result<Delivery, PortError> {
        while let Some(event) = self.chain.poll_event() {
            match event {
                ChainEvent::ResetLine { held: true } => self.close().await,
                ChainEvent::ResetLine { held: false } => self.port = Some(open_port(&self.opener).await?),
                ChainEvent::HostSpeed(baud) => {
                    if let Some(port) = &mut self.port {
                        port.set_speed(baud).await?;
                    }
                }
                other => self.tell(other),
            }
        }
        while let Some(bytes) = self.chain.poll_transmit() {
            if let Some(port) = &mut self.port {
                port.write(&bytes).await?;
            }
        }
        if self.times.is_due(self.chain.state(), now()) {
            self.outbox.tell(self.chain.status(now()));
        }
        Ok(self.outbox.report())
    }

    /// What of it is for the engine.
    fn tell(&mut self, event: ChainEvent) {
        match event {
            ChainEvent::Board(BoardEvent::Hashes(hashes)) => self.outbox.count(hashes),
            ChainEvent::Board(event) => self.outbox.push(event),
            ChainEvent::Failed(fault) => {
                self.outbox.push(BoardEvent::Fault(format!("{fault}; it is tried again")));
            }
            ChainEvent::Parked { reason, until } => {
                let seconds = until.saturating_duration_since(now()).as_secs_f64().round();
                self.outbox.push(BoardEvent::Fault(format!("{reason}; it is tried again in {seconds} s")));
            }
            _ => {}
        }
    }
}

/// Errors: nothing around the chips does it, or they cannot have it.
fn follow(chain: &mut Chain, order: Order) -> Result<(), OrderError> {
    match order {
        Order::Set { millivolts: Some(_), .. } => Err(OrderError::NotOfChain("voltage")),
        Order::Set { megahertz: Some(asked), .. } if !(0.0..=MOST_MEGAHERTZ).contains(&asked) => {
            Err(OrderError::Limit {
                what: "frequency",
                asked,
                least: 0.0,
                most: MOST_MEGAHERTZ,
                board: "chips whose heat nothing here watches".to_owned(),
            })
        }
        Order::Set { megahertz: Some(megahertz), .. } => {
            Ok(chain.set_frequency(Frequency::from_mhz(megahertz), now())?)
        }
        Order::Set { .. } | Order::Tune(None) => Ok(()),
        Order::LimitPower(_) => Err(OrderError::NotOfChain("power")),
        Order::LimitTemperature(_) => Err(OrderError::NotOfChain("temperature")),
        Order::Tune(Some(_)) => Err(OrderError::NotOfChain("tuner")),
    }
}

/// The clock of the runtime, which tests can pause.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}

async fn open_port(opener: &Opener) -> Result<Port, PortError> {
    let opener = Arc::clone(opener);
    spawn_blocking(move || opener()).await.expect("opening a port does not panic")
}

async fn read(port: &mut Option<Port>, buffer: &mut [u8]) -> Result<usize, PortError> {
    match port {
        Some(port) => port.read(buffer).await,
        None => std::future::pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

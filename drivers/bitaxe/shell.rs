//! A Bitaxe on its two ports: the shell around [`Board`], one task on the runtime.
//!
//! It moves bytes and keeps time, and waits for nobody: events that find no room wait here. However it ends, it first takes
//! the power away as far as its ports still allow.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};

use super::board::{Board, BoardError, BoardSettings, DataOut};
use super::boards::BoardKind;
use super::identify::{Identification, Unidentified};
use super::tuner::{Fault, Point, Results, TunerEvent};
use crate::bm13xx::board::Running;
use crate::caught::caught;
use crate::cpu::outbox::{Delivery, Outbox};
use crate::order::{Controls, ORDER_CAPACITY, OrderRequest};
use crate::port::{ORDERS_WITHIN, Port, PortError};
use crate::status::StatusTimes;
use crate::{BoardEndError, BoardEvent, BoardHandle, ChipJob, EVENT_CAPACITY};

/// Bytes taken from a port at once.
const BUFFER: usize = 4096;
/// Pause between two tries to hand over events that found no room.
const RETRY: Duration = Duration::from_millis(10);
/// How long it tries to hand over its last events.
const LAST_EVENTS: Duration = Duration::from_secs(2);
/// How long taking the power away may last when a board ends: several rounds of orders, each of which may be late, and then
/// the last word to its chips.
pub const POWER_OFF: Duration = Duration::from_secs(5);

/// Opens a port. It may block.
pub type Opener = Arc<dyn Fn() -> Result<Port, PortError> + Send + Sync>;

/// How the two ports of a board are opened.
pub struct Ports {
    /// Reset, regulator, fan and sensors.
    pub control: Opener,
    /// The chips, at the speed that they have after a reset.
    pub data: Opener,
}

/// Why a board did not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// For the operator: it cannot be as it is configured.
    #[error(transparent)]
    Settings(#[from] BoardError),
    /// A port cannot be opened.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Why nobody knows which board it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentifyError {
    /// What was found out does not tell.
    #[error(transparent)]
    Unidentified(#[from] Unidentified),
    /// A port cannot be opened, or is gone.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Finds out which board is at these ports, see [`Identification`]. Takes up to seconds. Shape: the board, and its ports,
/// which stay open and are given out once by these openers: to open them again might move their modem lines.
///
/// Errors: `Unidentified`, `Port`.
pub async fn identify(ports: Ports) -> Result<(&'static BoardKind, Ports), IdentifyError> {
    let mut control = Some(open_port(Arc::clone(&ports.control)).await?);
    let mut data = Some(open_port(Arc::clone(&ports.data)).await?);
    let mut board = Identification::new(now());
    let (mut of_control, mut of_data) = ([0; BUFFER], [0; BUFFER]);
    while board.outcome().is_none() {
        while let Some(bytes) = board.poll_control() {
            write(&mut control, &bytes).await?;
        }
        while let Some(bytes) = board.poll_data() {
            write(&mut data, &bytes).await?;
        }
        let due = board.poll_timeout().map(Instant::from_std);
        tokio::select! {
            count = read(&mut control, &mut of_control) => board.handle_control(&of_control[..count?], now()),
            count = read(&mut data, &mut of_data) => board.handle_data(&of_data[..count?]),
            () = until(due) => board.handle_timeout(now()),
        }
    }
    let kind = board.outcome().expect("the loop ends with one").clone()?;
    Ok((kind, Ports { control: kept(control, ports.control), data: kept(data, ports.data) }))
}

/// Gives out a port that is open already, and later ones as before.
fn kept(port: Option<Port>, opener: Opener) -> Opener {
    let port = Mutex::new(port);
    Arc::new(move || {
        let open = port.lock().unwrap_or_else(PoisonError::into_inner).take();
        open.map_or_else(|| opener(), Ok)
    })
}

/// Opens both ports and starts the board; it is powered up in its own task. What goes wrong with it is a
/// [`BoardEvent::Fault`], and it is tried again; the board ends when one of its ports does.
///
/// Errors: `Settings`, `Port`.
pub async fn open(name: String, settings: BoardSettings, ports: Ports) -> Result<Running, OpenError> {
    let kind = settings.kind;
    let board = Board::new(settings, now())?;
    let (control, data) = (open_port(ports.control).await?, open_port(ports.data).await?);
    let (job_sender, job) = watch::channel(None);
    let (event_sender, events) = mpsc::channel(EVENT_CAPACITY);
    let (order_sender, orders) = mpsc::channel(ORDER_CAPACITY);
    let (results, results_receiver) = watch::channel(board.tuning_results().clone());
    let detail = format!("{}, {} × {}", kind.title, kind.chips.count, kind.list().chip.name);
    let controls = Controls { orders: Some(order_sender), results: Some(results_receiver) };
    let expected_rate = board.expected_rate();
    let handle = BoardHandle { name, detail, expected_rate, job: job_sender, events, controls };
    let shell = Shell {
        board,
        control: Some(control),
        data: Some(data),
        commands: Commands { job, orders },
        told: Telling { times: StatusTimes::new(now()), results },
        outbox: Outbox::new(event_sender),
    };
    Ok((handle, tokio::spawn(shell.run())))
}

#[derive(Debug)]
struct Shell {
    board: Board,
    /// `None` once it is gone.
    control: Option<Port>,
    data: Option<Port>,
    commands: Commands,
    told: Telling,
    outbox: Outbox,
}

#[derive(Debug)]
struct Commands {
    job: watch::Receiver<Option<ChipJob>>,
    orders: mpsc::Receiver<OrderRequest>,
}

#[derive(Debug)]
struct Telling {
    times: StatusTimes,
    results: watch::Sender<Results>,
}

/// Why the board ends.
enum End {
    Stopped,
    Port(PortError),
}

/// Which port it was.
enum Which {
    Control,
    Data,
}

impl Shell {
    async fn run(mut self) -> Option<BoardEndError> {
        let end = caught(Box::pin(self.drive())).await;
        if let Err(panic) = &end {
            self.outbox.push(BoardEvent::Fault(format!("{panic}; its power is taken away")));
            self.board.abandon(now());
        }
        self.power_off().await;
        let may_have_power = self.board.may_have_power();
        if may_have_power {
            self.outbox.push(BoardEvent::Fault(BoardEndError::MayHavePower.to_string()));
        }
        let give_up_at = Instant::now() + LAST_EVENTS;
        while self.outbox.report() == Delivery::Waiting && Instant::now() < give_up_at {
            sleep(RETRY).await;
        }
        match end {
            Ok(End::Stopped) => may_have_power.then_some(BoardEndError::MayHavePower),
            Ok(End::Port(error)) => Some(error.into()),
            Err(panic) => panic.resume(),
        }
    }

    /// Runs until the engine lets go of the board, or a port does.
    async fn drive(&mut self) -> End {
        let (mut control, mut data) = ([0; BUFFER], [0; BUFFER]);
        loop {
            if let Err(error) = self.carry_out().await {
                return End::Port(error);
            }
            self.tell();
            self.tell_status();
            let delivery = self.outbox.report();
            if delivery == Delivery::Closed {
                return End::Stopped;
            }
            let due = self.board.poll_timeout().into_iter().chain([self.told.times.next_at()]).min();
            let due = due.map(Instant::from_std);
            let retry = (delivery == Delivery::Waiting).then(|| Instant::now() + RETRY);
            // A job first: whatever else there is belongs to the one before.
            tokio::select! {
                biased;
                changed = self.commands.job.changed() => {
                    if changed.is_err() {
                        return End::Stopped;
                    }
                    let job = self.commands.job.borrow_and_update().clone();
                    self.board.set_job(job, now());
                }
                count = read(&mut self.control, &mut control) => match count {
                    Ok(count) => self.board.handle_control(&control[..count], now()),
                    Err(error) => return self.lose(&Which::Control, error),
                },
                count = read(&mut self.data, &mut data) => match count {
                    Ok(count) => self.board.handle_data(&data[..count], now()),
                    Err(error) => return self.lose(&Which::Data, error),
                },
                Some((order, answer)) = self.commands.orders.recv() => {
                    // Who asked may have gone.
                    _ = answer.send(self.board.order(order, now()));
                }
                () = until(due) => self.board.handle_timeout(now()),
                () = until(retry) => {}
            }
        }
    }

    fn lose(&mut self, which: &Which, error: PortError) -> End {
        match which {
            Which::Control => self.control = None,
            Which::Data => self.data = None,
        }
        End::Port(error)
    }

    /// Takes the power away over what ports there still are, and hears the last answers meanwhile.
    async fn power_off(&mut self) {
        self.board.shut_down(now());
        let (mut control, mut data) = ([0; BUFFER], [0; BUFFER]);
        let end = Instant::now() + POWER_OFF.saturating_sub(ORDERS_WITHIN);
        while !self.board.is_off() && Instant::now() < end {
            // What one port does not take any more the other may.
            _ = self.carry_out().await;
            if self.control.is_none() {
                break;
            }
            let due = self.board.poll_timeout().map_or(end, |due| Instant::from_std(due).min(end));
            tokio::select! {
                count = read(&mut self.control, &mut control) => match count {
                    Ok(count) => self.board.handle_control(&control[..count], now()),
                    Err(_) => self.control = None,
                },
                count = read(&mut self.data, &mut data) => match count {
                    Ok(count) => self.board.handle_data(&data[..count], now()),
                    Err(_) => self.data = None,
                },
                () = sleep_until(due) => self.board.handle_timeout(now()),
            }
        }
        // There is no time left for a ramp down.
        if let (true, Some(data)) = (self.board.may_have_power(), &mut self.data) {
            data.say_last(&self.board.last_orders()).await;
        }
        self.tell();
    }

    /// Writes what the board wants written. Errors: a port is gone, which is then known to be.
    async fn carry_out(&mut self) -> Result<(), PortError> {
        while let Some(bytes) = self.board.poll_control() {
            if let Some(port) = &mut self.control
                && let Err(error) = port.write(&bytes).await
            {
                self.control = None;
                return Err(error);
            }
        }
        while let Some(out) = self.board.poll_data() {
            let Some(port) = &mut self.data else { continue };
            let done = match out {
                DataOut::Bytes(bytes) => port.write(&bytes).await,
                DataOut::Speed(baud) => port.set_speed(baud).await,
            };
            if let Err(error) = done {
                self.data = None;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Events for the engine, and what the tuner has learnt.
    fn tell(&mut self) {
        while let Some(event) = self.board.poll_event() {
            match event {
                BoardEvent::Hashes(hashes) => self.outbox.count(hashes),
                event => self.outbox.push(event),
            }
        }
        let mut has_learnt = false;
        while let Some(event) = self.board.poll_tuner() {
            has_learnt = true;
            if let TunerEvent::BackedOff { from: Point { megahertz, millivolts }, fault } = event {
                let why = match fault {
                    Fault::Limit => "it gets too hot or takes too much power",
                    Fault::Unstable => "nonces are wrong or missing",
                };
                let text =
                    format!("{megahertz} MHz at {millivolts} mV do not hold any more: {why}; backs off");
                self.outbox.push(BoardEvent::Fault(text));
            }
        }
        if has_learnt {
            self.told.results.send_replace(self.board.tuning_results().clone());
        }
    }

    /// How the board stands, unless it has been told to stop: the last one is that of a board at work.
    fn tell_status(&mut self) {
        if self.told.times.is_due(self.board.state(), now()) {
            self.outbox.tell(self.board.report(now()));
        }
    }
}

/// The clock of the runtime, which tests can pause.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}

async fn open_port(opener: Opener) -> Result<Port, PortError> {
    spawn_blocking(move || opener()).await.expect("opening a port does not panic")
}

async fn write(port: &mut Option<Port>, bytes: &[u8]) -> Result<(), PortError> {
    match port {
        Some(port) => port.write(bytes).await,
        None => Ok(()),
    }
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

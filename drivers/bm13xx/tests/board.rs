//! The shell of a board over a line in memory, with a clock that goes when everybody waits.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep, timeout};
use tokio_serial::{SerialPort as _, SerialStream};

use super::super::answer::{Answer, AnswerSize, RawNonce};
use super::super::board::{BoardError, Opener, Running, open};
use super::super::bring_up::{BM1370_LIST, RESET_BAUD};
use super::super::chain::ChainConfig;
use super::super::dissect::{Content, dissect};
use super::super::frame::Frame;
use super::super::job_frame::JobFrame;
use super::super::pll::Frequency;
use super::super::register::Register;
use super::super::ticket::ALWAYS_ZERO;
use super::proofs::gamma;
use crate::order::{Goal, Order, OrderError, Results};
use crate::port::{Port, PortError, PortFault};
use crate::registry::BoardSpec;
use crate::{
    BoardEndError, BoardEvent, BoardHandle, BoardState, BoardStatus, ChipJob, ChipJobId, EVENT_CAPACITY,
};

/// One BM1370 behind a line, which finds the recorded nonce of each job.
#[derive(Clone)]
struct Chips {
    log: Arc<Mutex<Log>>,
    silent: bool,
}

#[derive(Default)]
struct Log {
    opened: usize,
    jobs: usize,
    /// What the line is set to, and was when the last job came.
    baud: u32,
    job_baud: u32,
    unplugged: bool,
    /// Clocks and sweep lengths that the chips were told, whichever it is, in order.
    rates: Vec<(Register, u32)>,
    /// What the host's side of the line is set to.
    speed: Arc<AtomicU32>,
}

impl Chips {
    fn new() -> Self {
        Self { log: Arc::default(), silent: false }
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    fn opener(&self) -> Opener {
        let chips = self.clone();
        Arc::new(move || {
            if chips.log().unplugged {
                return Err(PortError { path: "pipe".into(), fault: PortFault::NotThere });
            }
            let (port, line, baud) = Port::pipe();
            chips.log().opened += 1;
            chips.log().speed = Arc::clone(&baud);
            tokio::spawn(chips.clone().play(line, baud));
            Ok(port)
        })
    }

    async fn play(self, mut line: DuplexStream, baud: Arc<AtomicU32>) {
        let mut buffer = [0; 4096];
        let mut address = 0;
        while let Ok(count @ 1..) = line.read(&mut buffer).await {
            self.log().baud = baud.load(Ordering::Relaxed);
            if self.hear(&buffer[..count], &mut address, &mut line).await.is_err() {
                return;
            }
        }
    }

    /// On a pseudo-terminal, which nobody has open now and then.
    async fn play_on(self, mut line: SerialStream) {
        let mut buffer = [0; 4096];
        let mut address = 0;
        loop {
            match line.read(&mut buffer).await {
                Ok(count @ 1..) => self.hear(&buffer[..count], &mut address, &mut line).await.unwrap(),
                _ => sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// Answers whole frames. Errors: nobody hears the answers, or the board is unplugged.
    async fn hear(
        &self,
        bytes: &[u8],
        address: &mut u8,
        line: &mut (impl AsyncWrite + Unpin),
    ) -> std::io::Result<()> {
        for piece in dissect(BM1370_LIST.chip, bytes) {
            if self.log().unplugged {
                return Err(std::io::ErrorKind::NotConnected.into());
            }
            let mut answers = Vec::new();
            match piece.content {
                Content::ToChip(Frame::SetAddress(given)) => *address = given,
                Content::ToChip(Frame::Write {
                    register: register @ (Register::PLL0 | Register::HASH_COUNTING_NUMBER),
                    value,
                    ..
                }) => self.log().rates.push((register, value)),
                Content::ToChip(Frame::Read { register: Register::CHIP_ID, .. }) if !self.silent => {
                    let register = Register::CHIP_ID;
                    answers.push(Answer::Register { value: 0x1370_0000, chip_address: *address, register });
                }
                Content::ToChip(Frame::Job(JobFrame::Header(job))) => {
                    let mut log = self.log();
                    log.jobs += 1;
                    log.job_baud = log.baud;
                    let tag = BM1370_LIST.chip.tag(2, job.job_byte >> 3, 0);
                    answers.push(Answer::Nonce(RawNonce { tag, ..gamma().1 }));
                }
                _ => {}
            }
            for answer in answers {
                line.write_all(&answer.emit(AnswerSize::Eleven)).await?;
            }
        }
        Ok(())
    }

    async fn board(&self, baud: u32) -> Running {
        let frequency = Frequency::from_mhz(525.0);
        let config =
            ChainConfig { bring_up: &BM1370_LIST, chips: 1, frequency, baud, zero_bits: ALWAYS_ZERO };
        open("test".to_owned(), config, self.opener()).await.unwrap()
    }
}

/// The recorded job under another name, with a target that its nonce meets.
fn job(id: u64) -> ChipJob {
    ChipJob { id: ChipJobId(id), ..gamma().0 }
}

/// But for what tells how it stands.
async fn next(events: &mut Receiver<BoardEvent>) -> Option<BoardEvent> {
    loop {
        let event = timeout(Duration::from_secs(100), events.recv());
        match event.await.expect("something happens within 100 s") {
            Some(BoardEvent::Status(_)) => {}
            event => return event,
        }
    }
}

async fn next_status(board: &mut BoardHandle) -> BoardStatus {
    loop {
        let event = timeout(Duration::from_secs(100), board.events.recv()).await.expect("a status in time");
        if let BoardEvent::Status(status) = event.expect("the board runs") {
            return *status;
        }
    }
}

/// The next nonce, and the hashes told on the way to it.
async fn nonce(board: &mut BoardHandle) -> (BoardEvent, u64) {
    let mut hashes = 0;
    loop {
        match next(&mut board.events).await.expect("the board runs") {
            BoardEvent::Hashes(more) => hashes += more,
            event @ BoardEvent::Nonce { .. } => {
                return (event, hashes);
            }
            _ => {}
        }
    }
}

fn expected(id: u64) -> BoardEvent {
    BoardEvent::Nonce { job: ChipJobId(id), nonce: 0x7552_034c, version: 0x20b4_4000 }
}

#[tokio::test(start_paused = true)]
async fn a_board_is_brought_up_and_brings_the_nonces_of_its_job() {
    let chips = Chips::new();
    let (mut board, _ended) = chips.board(RESET_BAUD).await;
    assert_eq!((board.name.as_str(), board.detail.as_str()), ("test", "1 × BM1370 at 525 MHz"));
    assert_eq!(board.expected_rate, 1.071e12);
    board.job.send_replace(Some(job(1)));
    let (found, hashes) = nonce(&mut board).await;
    assert_eq!(found, expected(1));
    // The target of the recorded job is easier than any ticket.
    assert_eq!(hashes, 1 << 32);
    // Closed for the reset, and opened again after it.
    assert_eq!(chips.log().opened, 2);
    board.job.send_replace(Some(job(2)));
    assert_eq!(nonce(&mut board).await.0, expected(2));
}

#[tokio::test(start_paused = true)]
async fn jobs_go_out_at_the_speed_that_the_board_is_configured_for() {
    let chips = Chips::new();
    let (mut board, _ended) = chips.board(1_000_000).await;
    board.job.send_replace(Some(job(1)));
    nonce(&mut board).await;
    assert_eq!(chips.log().job_baud, 1_000_000);
}

#[tokio::test(start_paused = true)]
async fn a_board_without_a_job_only_tells_how_it_stands_and_a_dropped_sender_ends_it() {
    let (mut board, ended) = Chips::new().board(RESET_BAUD).await;
    sleep(Duration::from_secs(300)).await;
    drop(board.job);
    assert_eq!(next(&mut board.events).await, None);
    assert_eq!(ended.await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_board_that_is_told_to_stop_hands_over_what_it_holds_and_ends() {
    let chips = Chips::new();
    let (mut board, ended) = chips.board(RESET_BAUD).await;
    board.job.send_replace(Some(job(1)));
    while chips.log().jobs == 0 {
        sleep(Duration::from_millis(100)).await;
    }
    drop(board.job);
    let mut events = Vec::new();
    while let Some(event) = board.events.recv().await {
        events.push(event);
    }
    assert!(events.contains(&expected(1)), "{events:?}");
    assert_eq!(ended.await.unwrap(), None);
}

/// What chips are told that are to be left alone.
const HALT: [(Register, u32); 2] = [(Register::HASH_COUNTING_NUMBER, 0), (Register::PLL0, 0x40a8_0265)];

#[tokio::test(start_paused = true)]
async fn chips_whose_board_ends_are_told_to_hash_as_little_as_can_be() {
    let chips = Chips::new();
    let (mut board, ended) = chips.board(RESET_BAUD).await;
    board.job.send_replace(Some(job(1)));
    nonce(&mut board).await;
    assert!(!chips.log().rates.ends_with(&HALT));
    drop(board);
    assert_eq!(ended.await.unwrap(), None);
    sleep(Duration::from_millis(10)).await;
    assert!(chips.log().rates.ends_with(&[HALT, HALT, HALT].concat()), "{:x?}", chips.log().rates);
}

#[tokio::test(start_paused = true)]
async fn chips_without_work_are_told_so_before_their_port_is_closed() {
    let chips = Chips::new();
    let (board, _ended) = chips.board(RESET_BAUD).await;
    sleep(Duration::from_secs(300)).await;
    assert!(chips.log().rates.ends_with(&HALT), "{:x?}", chips.log().rates);
    drop(board);
}

#[tokio::test(start_paused = true)]
async fn chips_whose_driver_panics_are_slowed_down_and_its_task_tells_of_the_panic() {
    let chips = Chips::new();
    let (mut board, ended) = chips.board(RESET_BAUD).await;
    board.job.send_replace(Some(job(1)));
    nonce(&mut board).await;
    chips.log().speed.store(Port::BREAKS, Ordering::Relaxed);
    board.job.send_replace(Some(job(2)));
    let mut faults = Vec::new();
    while let Some(event) = next(&mut board.events).await {
        if let BoardEvent::Fault(text) = event {
            faults.push(text);
        }
    }
    assert!(ended.await.unwrap_err().is_panic());
    let said = "its driver has failed (as the test wants it); please report this; the chips are slowed down";
    assert_eq!(faults, [said]);
    sleep(Duration::from_millis(10)).await;
    assert!(chips.log().rates.ends_with(&HALT), "{:x?}", chips.log().rates);
}

#[tokio::test(start_paused = true)]
async fn a_board_whose_port_goes_ends_and_says_what_became_of_the_port() {
    let chips = Chips::new();
    let (mut board, ended) = chips.board(RESET_BAUD).await;
    board.job.send_replace(Some(job(1)));
    nonce(&mut board).await;
    chips.log().unplugged = true;
    board.job.send_replace(Some(job(2)));
    while next(&mut board.events).await.is_some() {}
    let end = ended.await.unwrap();
    assert!(matches!(&end, Some(BoardEndError::Port(error)) if error.fault == PortFault::Gone), "{end:?}");
    let config = ChainConfig {
        bring_up: &BM1370_LIST,
        chips: 1,
        frequency: Frequency::from_mhz(525.0),
        baud: RESET_BAUD,
        zero_bits: ALWAYS_ZERO,
    };
    let refused = open("test".to_owned(), config, chips.opener()).await.unwrap_err();
    assert!(matches!(refused, BoardError::Port(PortError { fault: PortFault::NotThere, .. })));
}

#[tokio::test(start_paused = true)]
async fn chips_that_say_nothing_are_told_of_and_tried_again_and_left_alone_after_three_times() {
    let chips = Chips { silent: true, ..Chips::new() };
    let (mut board, _ended) = chips.board(RESET_BAUD).await;
    let start = Instant::now();
    let mut faults = Vec::new();
    while faults.len() < 4 {
        let event = timeout(Duration::from_secs(400), board.events.recv()).await.unwrap();
        if let Some(BoardEvent::Fault(text)) = event {
            faults.push((text, start.elapsed().as_secs()));
        }
    }
    let missing = "0 of 1 chips answer, the first one missing is number 0 counted from 0; check its power and the line before it";
    assert_eq!(faults[0].0, format!("{missing}; it is tried again"));
    assert_eq!(faults[2].0, format!("{missing}; it is tried again in 300 s"));
    assert!(faults[2].1 < 10 && faults[3].1 > 300, "{faults:?}");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_takes_no_events_does_not_hold_up_the_board() {
    let chips = Chips::new();
    let (mut board, _ended) = chips.board(RESET_BAUD).await;
    let count = EVENT_CAPACITY as u64 * 2;
    for id in 0..count {
        board.job.send_replace(Some(job(id)));
        sleep(Duration::from_millis(if id == 0 { 15_000 } else { 100 })).await;
    }
    // Every job has gone out although nobody has listened since the channel was full.
    assert_eq!(chips.log().jobs, count as usize);
    let mut hashes = 0;
    while let Ok(event) = timeout(Duration::from_secs(1), board.events.recv()).await {
        if let Some(BoardEvent::Hashes(more)) = event {
            hashes += more;
        }
    }
    assert_eq!(hashes, count << 32);
}

#[tokio::test(start_paused = true)]
async fn a_board_tells_how_it_stands_at_each_change_and_now_and_then_while_there_is_none() {
    let chips = Chips::new();
    let (mut board, _ended) = chips.board(RESET_BAUD).await;
    let status = next_status(&mut board).await;
    assert_eq!((status.state, status.clock.megahertz), (BoardState::Starting, None));
    let mut status = next_status(&mut board).await;
    while status.state == BoardState::Starting {
        status = next_status(&mut board).await;
    }
    assert_eq!((status.state, status.clock.megahertz), (BoardState::Idle, Some(525.0)));
    board.job.send_replace(Some(job(1)));
    assert_eq!(next_status(&mut board).await.state, BoardState::Hashing);
    let before = Instant::now();
    let status = next_status(&mut board).await;
    assert_eq!(before.elapsed().as_secs(), 5);
    assert_eq!((status.chips.len(), status.chips[0].nonces), (1, 1));
    assert!(status.chips[0].rate.is_some_and(|rate| rate.low == 0.0 && rate.high > rate.hashes_per_second));
}

#[tokio::test(start_paused = true)]
async fn chips_that_do_not_answer_are_parked_with_the_reason() {
    let chips = Chips { silent: true, ..Chips::new() };
    let (mut board, _ended) = chips.board(RESET_BAUD).await;
    let mut status = next_status(&mut board).await;
    while status.state == BoardState::Starting {
        status = next_status(&mut board).await;
    }
    let reason = status.state.reason().unwrap();
    assert!(reason.starts_with("0 of 1 chips answer"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_chain_takes_another_frequency_while_it_runs_and_refuses_what_it_cannot_do() {
    let chips = Chips::new();
    let (mut board, _ended) = chips.board(RESET_BAUD).await;
    board.job.send_replace(Some(job(1)));
    nonce(&mut board).await;
    let orders = board.controls.orders.clone().unwrap();
    let order = async |order| {
        let (answer, answered) = tokio::sync::oneshot::channel();
        orders.send((order, answer)).await.unwrap();
        answered.await.unwrap()
    };
    let set = |megahertz, millivolts| Order::Set { megahertz: Some(megahertz), millivolts };
    assert_eq!(order(set(500.0, Some(1100))).await, Err(OrderError::NotOfChain("voltage")));
    for hot in [651.0, 9000.0, f64::INFINITY, -1.0, f64::NAN] {
        assert!(matches!(order(set(hot, None)).await, Err(OrderError::Limit { .. })), "{hot}");
    }
    assert!(matches!(order(set(0.0, None)).await, Err(OrderError::Frequency(_))));
    let said = order(set(f64::NAN, None)).await.unwrap_err().to_string();
    assert_eq!(said, "frequency = NaN: choose 0 to 650, the limit of chips whose heat nothing here watches");
    assert!(order(Order::LimitPower(Some(9.0))).await.is_err());
    assert!(order(Order::Tune(Some(Goal::HashRate))).await.is_err());
    assert_eq!(order(set(500.0, None)).await, Ok(()));
    let mut status = next_status(&mut board).await;
    while status.clock.megahertz != Some(500.0) {
        status = next_status(&mut board).await;
    }
    assert_eq!(status.clock.set_megahertz, Some(500.0));
}

#[cfg(unix)]
#[tokio::test]
async fn a_board_that_is_named_by_its_port_brings_nonces_over_a_terminal_and_ends_with_it() {
    let (line, slave) = SerialStream::pair().unwrap();
    let spec: BoardSpec = format!("bm1370:{},frequency=50", slave.name().unwrap()).parse().unwrap();
    drop(slave);
    let chips = Chips::new();
    let player = tokio::spawn(chips.clone().play_on(line));
    let (mut board, ended) = spec.open(Results::default()).await.unwrap();
    board.job.send_replace(Some(job(1)));
    assert_eq!(nonce(&mut board).await.0, expected(1));
    assert!(
        spec.open(Results::default()).await.unwrap_err().to_string().contains("another program has it open")
    );
    player.abort();
    assert!(player.await.unwrap_err().is_cancelled());
    while next(&mut board.events).await.is_some() {}
    let end = ended.await.unwrap();
    assert!(matches!(&end, Some(BoardEndError::Port(error)) if error.fault == PortFault::Gone), "{end:?}");
}

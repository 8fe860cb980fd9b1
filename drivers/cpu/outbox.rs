//! Events on their way to the engine, which hashing never waits for.

use std::{
    collections::VecDeque,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::mpsc::{self, error::TrySendError};

use super::kernel::Hits;
use crate::{BoardEvent, BoardStatus};

/// Events a thread keeps while the channel is full; at the dispatcher's ceiling some seconds of work of one thread.
/// More than the hits of one batch and what comes with them, or a batch would lose nonces beside an empty channel.
const CAPACITY: usize = 2 * Hits::CAPACITY;
/// How long a stopped thread tries to hand over what it holds. An engine that takes events at all is far quicker.
const LAST_EVENTS: Duration = Duration::from_secs(2);
/// Pause between two tries of a stopped thread.
const RETRY: Duration = Duration::from_millis(1);

/// Where the events have gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// All are in the channel.
    Done,
    /// Some wait here for room in it.
    Waiting,
    /// Nobody listens any more.
    Closed,
}

/// A thread's end of the event channel, with room for what does not fit into it.
#[derive(Debug)]
pub(crate) struct Outbox {
    channel: mpsc::Sender<BoardEvent>,
    waiting: VecDeque<BoardEvent>,
    hashes: u64,
    lost_nonces: u64,
    counts_are_due: bool,
    /// The newest one, until there is room for it.
    status: Option<Box<BoardStatus>>,
}

impl Outbox {
    pub(crate) fn new(channel: mpsc::Sender<BoardEvent>) -> Self {
        Self {
            channel,
            waiting: VecDeque::with_capacity(CAPACITY),
            hashes: 0,
            lost_nonces: 0,
            counts_are_due: false,
            status: None,
        }
    }

    /// Takes an event for the next delivery. Does not allocate: in a full outbox a nonce is lost and counted, and any
    /// other event takes the place of the newest nonce, or of the oldest event if there is none.
    pub(crate) fn push(&mut self, event: BoardEvent) {
        if self.waiting.len() == CAPACITY {
            let is_nonce = |event: &BoardEvent| matches!(event, BoardEvent::Nonce { .. });
            if is_nonce(&event) {
                self.lost_nonces += 1;
                return;
            }
            let newest_nonce = self.waiting.iter().rposition(is_nonce);
            self.waiting.remove(newest_nonce.unwrap_or(0));
            self.lost_nonces += u64::from(newest_nonce.is_some());
        }
        self.waiting.push_back(event);
    }

    /// Takes how the board stands; an older status that found no room is left out. None is waited for.
    pub(crate) fn tell(&mut self, status: BoardStatus) {
        self.status = Some(Box::new(status));
    }

    /// Counts hashes; [`Outbox::report`] sends them.
    pub(crate) fn count(&mut self, hashes: u64) {
        self.hashes += hashes;
    }

    /// Makes the counts of hashes and lost nonces due, and delivers.
    pub(crate) fn report(&mut self) -> Delivery {
        self.counts_are_due = true;
        self.deliver()
    }

    /// Sends as much as the channel has room for: counts that are due first, or a reader that is always a little too
    /// slow would never see them, then the events in order. The channel keeps events in blocks of 32 and may allocate
    /// one when a block is full: the one allocation of a thread that hashes.
    pub(crate) fn deliver(&mut self) -> Delivery {
        match self.try_deliver() {
            Ok(()) => Delivery::Done,
            Err(TrySendError::Full(())) => Delivery::Waiting,
            Err(TrySendError::Closed(())) => Delivery::Closed,
        }
    }

    fn try_deliver(&mut self) -> Result<(), TrySendError<()>> {
        if self.counts_are_due {
            if self.hashes > 0 {
                self.channel.try_reserve()?.send(BoardEvent::Hashes(self.hashes));
                self.hashes = 0;
            }
            if self.lost_nonces > 0 {
                self.channel.try_reserve()?.send(BoardEvent::Overflow(self.lost_nonces));
                self.lost_nonces = 0;
            }
            self.counts_are_due = false;
        }
        while !self.waiting.is_empty() {
            let place = self.channel.try_reserve()?;
            place.send(self.waiting.pop_front().expect("it is not empty"));
        }
        if self.status.is_some()
            && let Ok(place) = self.channel.try_reserve()
        {
            place.send(BoardEvent::Status(self.status.take().expect("there is one")));
        }
        Ok(())
    }

    /// Hands over everything, waiting a while for room: for a thread that has nothing else to do any more.
    pub(crate) fn close(mut self) {
        let give_up_at = Instant::now() + LAST_EVENTS;
        while self.report() == Delivery::Waiting && Instant::now() < give_up_at {
            thread::sleep(RETRY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BoardState, ChipJobId};

    fn nonce(nonce: u32) -> BoardEvent {
        BoardEvent::Nonce { job: ChipJobId(1), nonce, version: 4 }
    }

    fn received(events: &mut mpsc::Receiver<BoardEvent>) -> Vec<BoardEvent> {
        std::iter::from_fn(|| events.try_recv().ok()).collect()
    }

    #[test]
    fn what_does_not_fit_into_the_channel_is_kept_in_order_and_sent_later() {
        let (channel, mut events) = mpsc::channel(2);
        let mut outbox = Outbox::new(channel);
        (0..5).for_each(|i| outbox.push(nonce(i)));
        assert_eq!(outbox.deliver(), Delivery::Waiting);
        assert_eq!(received(&mut events), [nonce(0), nonce(1)]);
        assert_eq!(outbox.deliver(), Delivery::Waiting);
        assert_eq!(received(&mut events), [nonce(2), nonce(3)]);
        assert_eq!(outbox.deliver(), Delivery::Done);
        assert_eq!(received(&mut events), [nonce(4)]);
    }

    #[test]
    fn nonces_beyond_the_capacity_are_counted_and_those_kept_are_sent() {
        let (channel, mut events) = mpsc::channel(CAPACITY + 1);
        let mut outbox = Outbox::new(channel);
        (0..CAPACITY as u32 + 6).for_each(|i| outbox.push(nonce(i)));
        assert_eq!(outbox.report(), Delivery::Done);
        let received = received(&mut events);
        assert_eq!(received[0], BoardEvent::Overflow(6));
        assert_eq!(received[1..], (0..CAPACITY as u32).map(nonce).collect::<Vec<_>>());
    }

    #[test]
    fn the_end_of_a_job_is_not_lost_behind_nonces() {
        let (channel, mut events) = mpsc::channel(2 * CAPACITY);
        let mut outbox = Outbox::new(channel);
        (0..CAPACITY as u32).for_each(|i| outbox.push(nonce(i)));
        outbox.push(BoardEvent::JobEnding(ChipJobId(1)));
        assert_eq!(outbox.deliver(), Delivery::Done);
        let last_kept = nonce(CAPACITY as u32 - 2);
        assert_eq!(received(&mut events)[CAPACITY - 2..], [last_kept, BoardEvent::JobEnding(ChipJobId(1))]);
        assert_eq!(outbox.report(), Delivery::Done);
        assert_eq!(received(&mut events), [BoardEvent::Overflow(1)]);
    }

    #[test]
    fn hashes_counted_while_the_channel_was_full_come_in_one_sum_before_what_waits() {
        let (channel, mut events) = mpsc::channel(1);
        let mut outbox = Outbox::new(channel);
        (0..2).for_each(|i| outbox.push(nonce(i)));
        assert_eq!(outbox.deliver(), Delivery::Waiting);
        outbox.count(100);
        assert_eq!(outbox.report(), Delivery::Waiting);
        outbox.count(11);
        assert_eq!(received(&mut events), [nonce(0)]);
        assert_eq!(outbox.deliver(), Delivery::Waiting);
        assert_eq!(received(&mut events), [BoardEvent::Hashes(111)]);
        assert_eq!(outbox.deliver(), Delivery::Done);
        assert_eq!(received(&mut events), [nonce(1)]);
    }

    #[test]
    fn a_status_comes_behind_all_else_is_never_waited_for_and_gives_way_to_a_newer_one() {
        let status = |state| BoardStatus::new(state);
        let (channel, mut events) = mpsc::channel(1);
        let mut outbox = Outbox::new(channel);
        outbox.push(nonce(0));
        outbox.tell(status(BoardState::Starting));
        assert_eq!(outbox.deliver(), Delivery::Done, "a status that finds no room holds nobody up");
        outbox.tell(status(BoardState::Hashing));
        assert_eq!(received(&mut events), [nonce(0)]);
        assert_eq!(outbox.deliver(), Delivery::Done);
        assert_eq!(received(&mut events), [BoardEvent::Status(Box::new(status(BoardState::Hashing)))]);
    }

    #[test]
    fn a_closing_outbox_waits_for_room_until_all_is_handed_over() {
        let (channel, mut events) = mpsc::channel(1);
        let mut outbox = Outbox::new(channel);
        (0..5).for_each(|i| outbox.push(nonce(i)));
        outbox.count(7);
        let reader = thread::spawn(move || std::iter::from_fn(|| events.blocking_recv()).collect::<Vec<_>>());
        outbox.close();
        let expected: Vec<_> = [BoardEvent::Hashes(7)].into_iter().chain((0..5).map(nonce)).collect();
        assert_eq!(reader.join().unwrap(), expected);
    }

    #[test]
    fn without_a_listener_the_outbox_says_so() {
        let (channel, events) = mpsc::channel(1);
        drop(events);
        let mut outbox = Outbox::new(channel);
        outbox.count(1);
        assert_eq!(outbox.report(), Delivery::Closed);
        outbox.push(nonce(0));
        assert_eq!(outbox.deliver(), Delivery::Closed);
        outbox.close();
    }
}

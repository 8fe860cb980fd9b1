//! Events on their way to the engine, which hashing never waits for.

use std::{
    collections::VecDeque,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::mpsc::{self, error::TrySendError};

use crate::BoardEvent;

/// Events a thread keeps while the channel is full; at the dispatcher's ceiling some seconds of work of one thread.
const CAPACITY: usize = 64;
/// How long a stopped thread tries to hand over what it holds. An engine that takes events at all is far quicker.
const LAST_EVENTS: Duration = Duration::from_secs(2);
/// Pause between two tries of a stopped thread.
const RETRY: Duration = Duration::from_millis(1);

/// Where the events have gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// All are in the channel.
    Done,
    /// Some wait here for room in it.
    Waiting,
    /// Nobody listens any more.
    Closed,
}

/// A thread's end of the event channel, with room for what does not fit into it.
#[derive(Debug)]
pub(super) struct Outbox {
    channel: mpsc::Sender<BoardEvent>,
    waiting: VecDeque<BoardEvent>,
    hashes: u64,
    lost_nonces: u64,
}

impl Outbox {
    pub(super) fn new(channel: mpsc::Sender<BoardEvent>) -> Self {
        Self { channel, waiting: VecDeque::with_capacity(CAPACITY), hashes: 0, lost_nonces: 0 }
    }

    /// Takes an event for the next delivery. Never allocates: in a full outbox a nonce is lost and counted, and any
    /// other event takes the place of the newest nonce, or of the oldest event if there is none.
    pub(super) fn push(&mut self, event: BoardEvent) {
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

    /// Counts hashes; [`Outbox::report_hashes`] sends them.
    pub(super) fn count(&mut self, hashes: u32) {
        self.hashes += u64::from(hashes);
    }

    /// Sends as much as the channel has room for, in order.
    pub(super) fn deliver(&mut self) -> Delivery {
        while let Some(event) = self.waiting.pop_front() {
            match self.channel.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.waiting.push_front(event);
                    return Delivery::Waiting;
                }
                Err(TrySendError::Closed(_)) => return Delivery::Closed,
            }
        }
        match self.lost_nonces {
            0 => Delivery::Done,
            lost => match self.channel.try_send(BoardEvent::Overflow(lost)) {
                Ok(()) => {
                    self.lost_nonces = 0;
                    Delivery::Done
                }
                Err(TrySendError::Full(_)) => Delivery::Waiting,
                Err(TrySendError::Closed(_)) => Delivery::Closed,
            },
        }
    }

    /// Delivers, then sends the hashes counted since the last report; while the channel is full they are only counted.
    pub(super) fn report_hashes(&mut self) -> Delivery {
        let delivery = self.deliver();
        if delivery != Delivery::Done || self.hashes == 0 {
            return delivery;
        }
        match self.channel.try_send(BoardEvent::Hashes(self.hashes)) {
            Ok(()) => {
                self.hashes = 0;
                Delivery::Done
            }
            Err(TrySendError::Full(_)) => Delivery::Waiting,
            Err(TrySendError::Closed(_)) => Delivery::Closed,
        }
    }

    /// Hands over everything, waiting a while for room: for a thread that has nothing else to do any more.
    pub(super) fn close(mut self) {
        let give_up_at = Instant::now() + LAST_EVENTS;
        while self.report_hashes() == Delivery::Waiting && Instant::now() < give_up_at {
            thread::sleep(RETRY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChipJobId;

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
    fn nonces_beyond_the_capacity_are_counted_and_reported_after_those_that_were_kept() {
        let (channel, mut events) = mpsc::channel(CAPACITY + 1);
        let mut outbox = Outbox::new(channel);
        (0..70).for_each(|i| outbox.push(nonce(i)));
        assert_eq!(outbox.deliver(), Delivery::Done);
        let received = received(&mut events);
        assert_eq!(received[..64], (0..64).map(nonce).collect::<Vec<_>>());
        assert_eq!(received[64..], [BoardEvent::Overflow(6)]);
    }

    #[test]
    fn the_start_of_a_job_is_not_lost_behind_nonces() {
        let (channel, mut events) = mpsc::channel(2 * CAPACITY);
        let mut outbox = Outbox::new(channel);
        (0..64).for_each(|i| outbox.push(nonce(i)));
        outbox.push(BoardEvent::JobEnding(ChipJobId(1)));
        assert_eq!(outbox.deliver(), Delivery::Done);
        assert_eq!(
            received(&mut events)[62..],
            [nonce(62), BoardEvent::JobEnding(ChipJobId(1)), BoardEvent::Overflow(1)]
        );
    }

    #[test]
    fn hashes_counted_while_the_channel_was_full_come_in_one_sum() {
        let (channel, mut events) = mpsc::channel(1);
        let mut outbox = Outbox::new(channel);
        outbox.push(nonce(0));
        outbox.count(100);
        assert_eq!(outbox.report_hashes(), Delivery::Waiting);
        outbox.count(11);
        assert_eq!(outbox.report_hashes(), Delivery::Waiting);
        assert_eq!(received(&mut events), [nonce(0)]);
        assert_eq!(outbox.report_hashes(), Delivery::Done);
        assert_eq!(received(&mut events), [BoardEvent::Hashes(111)]);
    }

    #[test]
    fn without_a_listener_the_outbox_says_so() {
        let (channel, events) = mpsc::channel(1);
        drop(events);
        let mut outbox = Outbox::new(channel);
        outbox.count(1);
        assert_eq!(outbox.report_hashes(), Delivery::Closed);
        outbox.push(nonce(0));
        assert_eq!(outbox.deliver(), Delivery::Closed);
        outbox.close();
    }
}

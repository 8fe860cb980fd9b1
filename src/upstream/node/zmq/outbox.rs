//! What a publisher has to tell, without ever waiting for who listens: what finds no room melts into "ask the node".

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::{Unwanted, ZmqEvent};

/// A sender that remembers what did not fit, in the room of two events.
#[derive(Debug)]
pub(super) struct Outbox {
    number: usize,
    events: mpsc::Sender<(usize, ZmqEvent)>,
    /// The latest of `Up` and `Down` that did not fit.
    state: Option<ZmqEvent>,
    /// Whether something else did not.
    changed: bool,
}

impl Outbox {
    pub(super) fn new(number: usize, events: mpsc::Sender<(usize, ZmqEvent)>) -> Self {
        Self { number, events, state: None, changed: false }
    }

    /// Sends an event, or keeps what matters of it until there is room. What waits already goes first.
    pub(super) fn put(&mut self, event: ZmqEvent) {
        if self.owes() {
            return self.keep(event);
        }
        if let Err(TrySendError::Full((_, event))) = self.events.try_send((self.number, event)) {
            self.keep(event);
        }
    }

    /// Waits for room, if something waits for it, and sends that; else for the end. Cancelling loses nothing. Errors:
    /// nobody listens any more.
    pub(super) async fn deliver(&mut self) -> Result<(), Unwanted> {
        if !self.owes() {
            self.events.closed().await;
            return Err(Unwanted);
        }
        let room = self.events.reserve().await.map_err(|_| Unwanted)?;
        let event = self.state.take().unwrap_or_else(|| {
            self.changed = false;
            ZmqEvent::Changed
        });
        room.send((self.number, event));
        Ok(())
    }

    fn owes(&self) -> bool {
        self.state.is_some() || self.changed
    }

    fn keep(&mut self, event: ZmqEvent) {
        match event {
            ZmqEvent::Up | ZmqEvent::Down { .. } => self.state = Some(event),
            ZmqEvent::Tip { .. } | ZmqEvent::Changed => self.changed = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn tip(n: u8) -> ZmqEvent {
        ZmqEvent::Tip { hash: [n; 32], at: Instant::now() }
    }

    #[tokio::test]
    async fn what_finds_no_room_becomes_the_last_state_and_one_change() {
        let (sender, mut events) = mpsc::channel(2);
        let mut outbox = Outbox::new(7, sender);
        let first = tip(1);
        outbox.put(first.clone());
        outbox.put(ZmqEvent::Changed);
        for _ in 0..1000 {
            outbox.put(tip(2));
            outbox.put(ZmqEvent::Down { reason: "closed".to_owned() });
            outbox.put(ZmqEvent::Up);
        }
        let mut came = Vec::new();
        while outbox.owes() || !events.is_empty() {
            while let Ok((7, event)) = events.try_recv() {
                came.push(event);
            }
            if outbox.owes() {
                assert!(outbox.deliver().await.is_ok());
            }
        }
        assert_eq!(came, [first, ZmqEvent::Changed, ZmqEvent::Up, ZmqEvent::Changed]);
        outbox.put(tip(3));
        assert!(matches!(events.try_recv(), Ok((7, ZmqEvent::Tip { .. }))), "there is room again");
    }

    #[tokio::test]
    async fn it_notices_that_nobody_listens_with_and_without_something_to_tell() {
        let (sender, events) = mpsc::channel(1);
        let (mut idle, mut owing) = (Outbox::new(7, sender.clone()), Outbox::new(7, sender));
        owing.put(tip(1));
        owing.put(tip(2));
        drop(events);
        assert!(idle.deliver().await.is_err() && owing.deliver().await.is_err());
    }
}

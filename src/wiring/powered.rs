//! How many boards on serial ports may have power: whoever ends the program waits for them.

use std::sync::Arc;

use tokio::sync::watch;

/// The count, shared by all who hold it.
#[derive(Debug, Clone, Default)]
pub struct Powered(Arc<watch::Sender<usize>>);

/// One of those boards, until it is dropped.
#[derive(Debug)]
pub(super) struct On(Powered);

impl Powered {
    /// There is one more.
    pub(super) fn one_more(&self) -> On {
        self.0.send_modify(|count| *count += 1);
        On(self.clone())
    }

    /// Whether there is any.
    pub fn is_any(&self) -> bool {
        *self.0.borrow() > 0
    }

    /// Waits until there is none.
    pub async fn none(&self) {
        // The sender is held here: it does not go away.
        _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for On {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_for_boards_waits_for_the_last_of_them() {
        let powered = Powered::default();
        powered.none().await;
        let (first, second) = (powered.one_more(), powered.one_more());
        drop(first);
        assert!(powered.is_any());
        let waiting = powered.none();
        tokio::pin!(waiting);
        assert!(at_once(&mut waiting).await.is_none());
        drop(second);
        assert!(at_once(&mut waiting).await.is_some() && !powered.is_any());
    }

    /// What a future has to give at this moment.
    async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            value = future => Some(value),
            () = std::future::ready(()) => None,
        }
    }
}

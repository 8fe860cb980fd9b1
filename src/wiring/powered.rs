//! Which boards on serial ports may have power: whoever ends the program waits for them, and names those that are left.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

/// The boards, shared by all who hold them.
#[derive(Debug, Clone, Default)]
pub struct Powered(Arc<watch::Sender<Boards>>);

#[derive(Debug, Default)]
struct Boards {
    /// How many run under each name.
    running: BTreeMap<String, usize>,
    /// Those that have ended and may have power all the same.
    left: Vec<String>,
}

impl Boards {
    fn runs_any(&self) -> bool {
        !self.running.is_empty()
    }
}

/// One of those boards, until it is dropped.
#[derive(Debug)]
pub(super) struct On {
    powered: Powered,
    name: String,
}

impl Powered {
    /// There is one more, which takes its power into its own hands again if it was left with it.
    pub(super) fn one_more(&self, name: String) -> On {
        self.0.send_modify(|boards| {
            *boards.running.entry(name.clone()).or_default() += 1;
            boards.left.retain(|left| *left != name);
        });
        On { powered: self.clone(), name }
    }

    /// Whether any runs.
    pub fn is_any(&self) -> bool {
        self.0.borrow().runs_any()
    }

    /// Those that may have power, by their names.
    pub fn names(&self) -> Vec<String> {
        let boards = self.0.borrow();
        boards.running.keys().chain(&boards.left).cloned().collect()
    }

    /// Waits until none runs.
    pub async fn none(&self) {
        // The sender is held here: it does not go away.
        _ = self.0.subscribe().wait_for(|boards| !boards.runs_any()).await;
    }
}

impl On {
    /// It has ended, and its power may have stayed on.
    pub(super) fn stays_on(self) {
        self.powered.0.send_modify(|boards| boards.left.push(self.name.clone()));
    }
}

impl Drop for On {
    fn drop(&mut self) {
        self.powered.0.send_modify(|boards| {
            if let Some(count) = boards.running.get_mut(&self.name) {
                *count -= 1;
            }
            boards.running.retain(|_, count| *count > 0);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(powered: &Powered, name: &str) -> On {
        powered.one_more(name.to_owned())
    }

    #[tokio::test]
    async fn who_waits_for_boards_waits_for_the_last_of_them() {
        let powered = Powered::default();
        powered.none().await;
        let (first, second) = (on(&powered, "gamma:ttyACM1"), on(&powered, "gamma:ttyACM1"));
        drop(first);
        assert!(powered.is_any());
        let waiting = powered.none();
        tokio::pin!(waiting);
        assert!(at_once(&mut waiting).await.is_none());
        drop(second);
        assert!(at_once(&mut waiting).await.is_some() && !powered.is_any());
    }

    #[tokio::test]
    async fn a_board_that_ends_with_its_power_on_is_waited_for_no_more_and_named_until_it_is_opened_again() {
        let powered = Powered::default();
        on(&powered, "gamma:ttyACM1").stays_on();
        drop(on(&powered, "ultra:ttyACM3"));
        powered.none().await;
        assert_eq!(powered.names(), ["gamma:ttyACM1"]);
        drop(on(&powered, "gamma:ttyACM1"));
        assert_eq!(powered.names(), [""; 0]);
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

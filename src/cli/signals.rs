//! SIGINT and SIGTERM: the first one asks for an orderly end, the second one leaves boards the time to switch off and no more,
//! the third one ends at once. So does SIGHUP where there is a terminal, which was closed; without one it asks to read the
//! configuration again, as operators expect of a service.

#[cfg(unix)]
use std::io::{IsTerminal, stderr, stdin, stdout};
use std::sync::Arc;

#[cfg(unix)]
use anyhow::Context;
use signalcore::wiring::powered::Powered;
use signalcore_drivers::bitaxe::shell::POWER_OFF;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

/// What reads the configuration again. It may block.
pub(crate) type Reload = Arc<dyn Fn() + Send + Sync>;

/// The signals that ask for the end.
#[cfg(unix)]
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    reload: Option<Reload>,
}

#[cfg(unix)]
impl Signals {
    fn new(reload: Option<Reload>) -> anyhow::Result<Self> {
        let has_terminal = stdin().is_terminal() || stdout().is_terminal() || stderr().is_terminal();
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("watch for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("watch for SIGTERM")?,
            hangup: signal(SignalKind::hangup()).context("watch for SIGHUP")?,
            reload: reload.filter(|_| !has_terminal),
        })
    }

    /// Waits for the next one. Shape: 128 and its number, as shells report a program that it killed.
    async fn next(&mut self) -> i32 {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return 130,
                _ = self.terminate.recv() => return 143,
                _ = self.hangup.recv() => match &self.reload {
                    Some(reload) => {
                        let reload = Arc::clone(reload);
                        tokio::task::spawn_blocking(move || reload());
                    }
                    None => return 129,
                },
            }
        }
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new(_: Option<Reload>) -> anyhow::Result<Self> {
        Ok(Self)
    }

    /// Waits for the next one. Shape: the exit code that belongs to it.
    async fn next(&mut self) -> i32 {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        130
    }
}

/// Takes over the signals. The future is ready at the first that asks for the end. Errors: the system refuses.
pub(crate) fn first(reload: Option<Reload>, powered: Powered) -> anyhow::Result<impl Future<Output = ()>> {
    let mut signals = Signals::new(reload)?;
    let (asked, stop) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        signals.next().await;
        asked.send(()).ok();
        let code = signals.next().await;
        if powered.is_any() {
            // They were told to with the first signal.
            eprintln!(
                "signalcore: ended at once, but boards get up to {} s to switch off; one more signal does not wait for them",
                POWER_OFF.as_secs()
            );
            tokio::select! {
                () = powered.none() => {}
                () = sleep(POWER_OFF) => {}
                _ = signals.next() => {}
            }
        }
        if powered.is_any() {
            let boards = powered.names().join(", ");
            eprintln!("signalcore: ended at once; boards may still have power: {boards}");
        }
        std::process::exit(code);
    });
    Ok(async move { drop(stop.await) })
}

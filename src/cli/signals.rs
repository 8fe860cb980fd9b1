//! SIGINT and SIGTERM: the first one asks for an orderly end, the second one ends at once. So does SIGHUP where there is a
//! terminal, which was closed; without one it asks to read the configuration again, as operators expect of a service.

use std::io::{IsTerminal, stderr, stdin, stdout};
use std::sync::Arc;

use anyhow::Context;

/// What reads the configuration again. It may block.
pub(crate) type Reload = Arc<dyn Fn() + Send + Sync>;

/// Takes over the signals. The future is ready at the first that asks for the end.
#[cfg(unix)]
pub(crate) fn first(reload: Option<Reload>) -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt()).context("watch for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).context("watch for SIGHUP")?;
    let (asked, stop) = tokio::sync::oneshot::channel();
    let has_terminal = stdin().is_terminal() || stdout().is_terminal() || stderr().is_terminal();
    let reload = reload.filter(|_| !has_terminal);
    tokio::spawn(async move {
        let mut asked = Some(asked);
        loop {
            // 128 and the number of the signal, as shells report a program that it killed.
            let code = tokio::select! {
                _ = interrupt.recv() => 130,
                _ = terminate.recv() => 143,
                _ = hangup.recv() => match &reload {
                    Some(reload) => {
                        let reload = Arc::clone(reload);
                        tokio::task::spawn_blocking(move || reload());
                        continue;
                    }
                    None => 129,
                },
            };
            let Some(asked) = asked.take() else {
                eprintln!("signalcore: ended at once; boards may still have power");
                std::process::exit(code);
            };
            asked.send(()).ok();
        }
    });
    Ok(async move { drop(stop.await) })
}

/// Takes over Ctrl-C. The future is ready at the first.
#[cfg(not(unix))]
pub(crate) fn first(_: Option<Reload>) -> anyhow::Result<impl Future<Output = ()>> {
    let (asked, stop) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.context("watch for Ctrl-C").is_ok() {
            asked.send(()).ok();
        }
        tokio::signal::ctrl_c().await.ok();
        std::process::exit(130);
    });
    Ok(async move { drop(stop.await) })
}

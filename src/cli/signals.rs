//! SIGINT, SIGTERM and SIGHUP (the terminal was closed): the first one asks for an orderly end, the second one ends at once.

use anyhow::Context;

/// Takes over the signals. The future is ready at the first of them.
#[cfg(unix)]
pub(crate) fn first() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt()).context("watch for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).context("watch for SIGHUP")?;
    let (asked, stop) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut asked = Some(asked);
        loop {
            // 128 and the number of the signal, as shells report a program that it killed.
            let code = tokio::select! {
                _ = interrupt.recv() => 130,
                _ = terminate.recv() => 143,
                _ = hangup.recv() => 129,
            };
            match asked.take() {
                Some(asked) => asked.send(()).ok(),
                None => std::process::exit(code),
            };
        }
    });
    Ok(async move { drop(stop.await) })
}

/// Takes over Ctrl-C. The future is ready at the first.
#[cfg(not(unix))]
pub(crate) fn first() -> anyhow::Result<impl Future<Output = ()>> {
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

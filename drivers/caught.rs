//! A board's task that panics: caught, so that its ports are still there to take the power away with.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::Poll;

/// What a panic has left.
pub(crate) struct Panic(Box<dyn Any + Send>);

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| self.0.downcast_ref::<&str>().copied()).unwrap_or("it does not say why");
        write!(f, "its driver has failed ({text}); please report this")
    }
}

impl Panic {
    /// Goes on with it: whoever waits for the task sees that it has panicked.
    pub(crate) fn resume(self) -> ! {
        resume_unwind(self.0)
    }
}

/// Runs a future to its end, or to its panic, after which it is not touched any more. What it has borrowed may contradict
/// itself then, so nothing of that is to be believed.
pub(crate) async fn caught<T>(mut run: impl Future<Output = T> + Unpin) -> Result<T, Panic> {
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut run).poll(context))) {
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panic) => Poll::Ready(Err(Panic(panic))),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_kept_with_its_words_and_can_be_gone_on_with() {
        assert_eq!(caught(Box::pin(async { 7 })).await.ok(), Some(7));
        let after_a_while = Box::pin(async {
            tokio::task::yield_now().await;
            panic!("{} is no number", "x")
        });
        let Err(panic) = caught::<()>(after_a_while).await else { panic!("it was not caught") };
        assert_eq!(panic.to_string(), "its driver has failed (x is no number); please report this");
        assert!(tokio::spawn(async { panic.resume() }).await.unwrap_err().is_panic());
    }
}

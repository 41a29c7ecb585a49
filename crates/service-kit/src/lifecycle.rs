//! From the first signal to the last task.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tasks of a process and the two tokens that end them.
#[derive(Clone, Default)]
pub struct Lifecycle {
    /// Cancelled first: take nothing new, finish what is there.
    pub soft: CancellationToken,
    /// Cancelled last: stop.
    pub hard: CancellationToken,
    /// Tasks that are waited for.
    pub tasks: TaskTracker,
}

impl Lifecycle {
    /// Runs a task that must not end before the process does: its end, by return, error or panic, stops the process
    /// with a failure.
    pub fn spawn_vital<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let soft = self.soft.clone();
        self.tasks.spawn(async move {
            // A guard, so that a panic cancels as well.
            let guard = soft.clone().drop_guard();
            match task.await {
                Ok(()) if soft.is_cancelled() => {}
                Ok(()) => tracing::error!(task = name, "a vital task ended by itself"),
                Err(error) => {
                    tracing::error!(task = name, error = format!("{error:#}"), "a vital task failed");
                }
            }
            drop(guard);
        });
    }

    /// Waits for a signal or a crash, then for the tasks, at most `deadline`. A second signal ends it at once.
    pub async fn run(self, deadline: Duration, drain: impl Future<Output = ()>) -> ExitCode {
        let (Ok(mut terminate), Ok(mut interrupt)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            tracing::error!("signals cannot be listened to");
            return ExitCode::FAILURE;
        };
        let asked = tokio::select! {
            _ = terminate.recv() => true,
            _ = interrupt.recv() => true,
            () = self.soft.cancelled() => false,
        };
        tracing::info!(asked, "stopping");
        self.soft.cancel();
        self.tasks.close();
        let finished = async {
            drain.await;
            self.tasks.wait().await;
        };
        let in_time = tokio::select! {
            () = finished => true,
            () = tokio::time::sleep(deadline) => false,
            _ = terminate.recv() => false,
            _ = interrupt.recv() => false,
        };
        self.hard.cancel();
        if !in_time {
            tracing::warn!("stopped before everything was finished");
        }
        tracing::info!("stopped");
        if asked { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

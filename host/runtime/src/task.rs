//! The handle of a spawned task.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::{AbortHandle, Abortable};
use tokio::sync::oneshot;

use crate::ThreadRole;

/// Why a task gave no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// Its code panicked.
    #[error("{0}")]
    Panicked(TaskPanic),
    /// It was aborted, or its runtime shut down.
    #[error("the task was stopped before it was done")]
    Aborted,
}

/// A panic in a task: its message, and where the task was spawned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskPanic {
    /// The task's role.
    pub role: ThreadRole,
    /// Where it was spawned.
    pub spawned_at: &'static Location<'static>,
    /// The panic's message.
    pub message: String,
}

impl fmt::Display for TaskPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            role,
            spawned_at,
            message,
        } = self;
        write!(
            f,
            "a {role} task (spawned at {spawned_at}) panicked: {message}"
        )
    }
}

/// Called with a panic of a task that no other task awaits. Each runtime has its own function.
pub(crate) type OnLostPanic = Arc<dyn Fn(&TaskPanic) + Send + Sync>;

/// A running task.
///
/// Awaiting it gives its output or the reason why there is none. If it is dropped, or
/// [detached](Task::detach), it runs on. A panic is returned to the task that awaits it. If there
/// is none, the panic ends the process if the role [is core](ThreadRole::is_core), and is logged
/// otherwise.
#[must_use = "await the task, or detach it"]
pub struct Task<T> {
    output: oneshot::Receiver<Result<T, TaskError>>,
    abort: AbortHandle,
    on_lost_panic: OnLostPanic,
}

impl<T> Task<T> {
    /// Wraps `future` for an executor. The executor must run the second value.
    #[track_caller]
    pub(crate) fn wrap<F>(
        role: ThreadRole,
        future: F,
        on_lost_panic: OnLostPanic,
    ) -> (Self, impl Future<Output = ()> + Send + 'static)
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let spawned_at = Location::caller();
        let (sender, output) = oneshot::channel();
        let (abort, registration) = AbortHandle::new_pair();
        let task = Self {
            output,
            abort,
            on_lost_panic: on_lost_panic.clone(),
        };
        let caught = Abortable::new(AssertUnwindSafe(future).catch_unwind(), registration);
        let run = async move {
            let result = match caught.await {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(payload)) => Err(TaskError::Panicked(TaskPanic {
                    role,
                    spawned_at,
                    message: message_of(payload.as_ref()),
                })),
                Err(_) => Err(TaskError::Aborted),
            };
            if let Err(Err(TaskError::Panicked(panic))) = sender.send(result) {
                on_lost_panic(&panic);
            }
        };
        (task, run)
    }

    /// Stops the task at its next await. Code that blocks is not interrupted. A task that is
    /// already done keeps its output.
    pub fn abort(&self) {
        self.abort.abort();
    }

    /// Lets the task run on by itself.
    pub fn detach(self) {}

    /// A guard that aborts the task when it is dropped.
    pub fn abort_on_drop(self) -> AbortOnDrop<T> {
        AbortOnDrop { task: self }
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.output)
            .poll(cx)
            .map(|received| received.unwrap_or(Err(TaskError::Aborted)))
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        // Closed first: a result that comes later goes back to the task, which reports it; one
        // that is already here is found below. So no panic falls between the two.
        self.output.close();
        if let Ok(Err(TaskError::Panicked(panic))) = self.output.try_recv() {
            (self.on_lost_panic)(&panic);
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").finish_non_exhaustive()
    }
}

/// A task that lives no longer than this value. Awaiting it is awaiting the task.
#[must_use = "dropping it aborts the task"]
#[derive(Debug)]
pub struct AbortOnDrop<T> {
    task: Task<T>,
}

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.task).poll(cx)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The message of a panic.
pub(crate) fn message_of(payload: &(dyn Any + Send)) -> String {
    if let Some(message) = payload.downcast_ref::<&str>() {
        (*message).to_owned()
    } else if let Some(message) = payload.downcast_ref::<String>() {
        message.clone()
    } else {
        "(a panic without a message)".to_owned()
    }
}

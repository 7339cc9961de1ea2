//! Proposals: the only way into the log.
//!
//! 1. Submitters put operations into a queue. It is bounded in operations and bytes; a submitter
//!    waits while it is full. An operation whose command would be longer than `command_bytes_max`
//!    is refused. Submitters that number their operations call [`Proposals::fit`] first.
//! 2. The proposer's task of each node knows the node's [standing](crate::standing). On a follower
//!    it numbers and encodes the operations, and a stream takes them to the leader, which takes
//!    from all nodes in turn.
//! 3. The leader's task takes all queued operations as a batch, as soon as fewer than
//!    `batches_in_flight` batches are proposed and not yet applied. There is no timer: operations
//!    that arrive while a sync runs are the next batch.
//! 4. The task adds the time and predicts the zxid of each operation. It refuses a transaction if a
//!    proposal in flight may write what the transaction read, because apply would refuse it later
//!    and an entry of the log would be wasted.
//! 5. The task encodes each command once, compares its exact length with the bound, and hands the
//!    batch to openraft in one message. The batch is bound to the leader's term: if openraft
//!    appends it in another one, its entries do nothing.
//! 6. When the batch's last command is applied, the next batch may go. The
//!    [delivery](crate::Delivery) gives the answers.
//!
//! An operation's number stands in the log beside its command. By it a node sees what of its own
//! was applied, whichever node led. When the first entry of a newer term is applied here, what was
//! sent in older terms and is not applied was lost for certain: along the log terms never fall. It
//! goes out again, in order, except what only a leader decides, which is refused.
//!
//! **Invariant:** each operation is applied at most once, and those of one node in their order,
//! whatever happens to nodes and connections. (test:
//! `every_operation_is_applied_once_and_in_order_whatever_happens`)

mod batch;
mod fairness;
mod flights;
mod intake;
mod outstanding;
mod proposer;
mod size;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use innkeeper_tree::Operation;
use innkeeper_tree::encoding::{self, OperationSize};
use tokio::sync::{Semaphore, mpsc};

use crate::Delivery;
use crate::error::{Failure, Refusal};
use crate::settings::Settings;

pub(crate) use intake::{Forwarded, Intake};
pub(crate) use outstanding::Outstanding;
pub(crate) use proposer::{Around, Proposer};

/// An operation that is not too long to be proposed.
#[derive(Debug)]
pub struct Fitting {
    operation: Operation,
    size: OperationSize,
}

/// One submission in the queue, with the room that it takes.
pub(crate) struct Submission {
    operations: Vec<(Operation, Room)>,
    /// The term in which this node decided on them as the leader. They are refused in another one.
    term: Option<u64>,
}

/// The room that operations take in the queue. Dropping it gives the room back.
pub(crate) struct Room {
    shared: Arc<Shared>,
    operations: usize,
    bytes: usize,
}

impl Room {
    /// Joins two rooms into one.
    pub(crate) fn join(&mut self, mut other: Room) {
        self.operations += std::mem::take(&mut other.operations);
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.operations > 0 {
            self.shared.operations.add_permits(self.operations);
            self.shared.bytes.add_permits(self.bytes);
        }
    }
}

struct Shared {
    operations: Semaphore,
    bytes: Semaphore,
    most_bytes: u32,
    command_bytes_max: usize,
    queue: mpsc::Sender<Submission>,
    /// Nothing more is accepted.
    closed: AtomicBool,
    failure: Failure,
    delivery: Arc<dyn Delivery>,
}

/// Takes operations into the log. Clones share one queue.
///
/// Invariant: operations of one submitter go into the log in the order of its calls.
#[derive(Clone)]
pub struct Proposals {
    shared: Arc<Shared>,
}

impl fmt::Debug for Proposals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proposals").finish_non_exhaustive()
    }
}

impl Proposals {
    pub(crate) fn new(
        settings: &Settings,
        failure: Failure,
        delivery: Arc<dyn Delivery>,
    ) -> (Self, mpsc::Receiver<Submission>) {
        // Each submission holds at least one operation, so the queue never fills before the
        // semaphore does.
        let (queue, receiver) = mpsc::channel(settings.queued_operations);
        let most_bytes = u32::try_from(settings.queued_bytes).unwrap_or(u32::MAX);
        let shared = Arc::new(Shared {
            operations: Semaphore::new(settings.queued_operations),
            bytes: Semaphore::new(most_bytes as usize),
            most_bytes,
            command_bytes_max: settings.command_bytes_max,
            queue,
            closed: AtomicBool::new(false),
            failure,
            delivery,
        });
        (Self { shared }, receiver)
    }

    /// Checks the length of an operation's command; the error is [`Refusal::TooLarge`]. An
    /// operation that passes is not refused for its length later.
    pub fn fit(&self, operation: Operation) -> Result<Fitting, Refusal> {
        let size = self.size(&operation)?;
        Ok(Fitting { operation, size })
    }

    fn size(&self, operation: &Operation) -> Result<OperationSize, Refusal> {
        let size = encoding::operation_size(operation);
        size::check(size::whole(size), self.shared.command_bytes_max)?;
        Ok(size)
    }

    /// Submits operations in their order and waits while the queue is full. The delivery gets the
    /// result of each operation: applied or refused.
    pub async fn submit(&self, operations: Vec<Operation>) {
        self.put(self.fitting(operations), None).await;
    }

    /// Like [`Proposals::submit`], for what this node has decided as the established leader of a
    /// term. If it leads in another term by the time at which they would be proposed, they are
    /// refused: they were right by what the leader of that term knew.
    pub async fn submit_in(&self, term: u64, operations: Vec<Operation>) {
        self.put(self.fitting(operations), Some(term)).await;
    }

    /// Refuses what is too long.
    fn fitting(&self, operations: Vec<Operation>) -> Vec<Fitting> {
        let mut fitting = Vec::with_capacity(operations.len());
        for operation in operations {
            match self.size(&operation) {
                Ok(size) => fitting.push(Fitting { operation, size }),
                Err(refusal) => self.shared.delivery.refused(operation, refusal),
            }
        }
        fitting
    }

    /// Like [`Proposals::submit`], for operations that [`Proposals::fit`] has checked.
    pub async fn submit_fitting(&self, operations: Vec<Fitting>) {
        self.put(operations, None).await;
    }

    async fn put(&self, operations: Vec<Fitting>, term: Option<u64>) {
        let mut submission = Submission {
            operations: Vec::with_capacity(operations.len()),
            term,
        };
        for Fitting { operation, size } in operations {
            if self.shared.closed.load(Ordering::Acquire) {
                self.refuse(operation);
                continue;
            }
            let bytes = size::room(size).min(self.shared.most_bytes);
            let room = match self.room_now(bytes) {
                Some(room) => room,
                None => {
                    // Send the operations that have room: the others may wait for their room.
                    self.send(&mut submission).await;
                    match self.room(bytes).await {
                        Some(room) => room,
                        None => {
                            self.refuse(operation);
                            continue;
                        }
                    }
                }
            };
            submission.operations.push((operation, room));
        }
        self.send(&mut submission).await;
    }

    fn room_now(&self, bytes: u32) -> Option<Room> {
        let operation = self.shared.operations.try_acquire().ok()?;
        let held = self.shared.bytes.try_acquire_many(bytes).ok()?;
        operation.forget();
        held.forget();
        Some(self.taken(bytes))
    }

    async fn room(&self, bytes: u32) -> Option<Room> {
        let operation = self.shared.operations.acquire().await.ok()?;
        let held = self.shared.bytes.acquire_many(bytes).await.ok()?;
        operation.forget();
        held.forget();
        Some(self.taken(bytes))
    }

    fn taken(&self, bytes: u32) -> Room {
        Room {
            shared: self.shared.clone(),
            operations: 1,
            bytes: bytes as usize,
        }
    }

    async fn send(&self, submission: &mut Submission) {
        if submission.operations.is_empty() {
            return;
        }
        let full = Submission {
            operations: std::mem::take(&mut submission.operations),
            term: submission.term,
        };
        if let Err(mpsc::error::SendError(back)) = self.shared.queue.send(full).await {
            for (operation, _room) in back.operations {
                self.refuse(operation);
            }
        }
    }

    fn refuse(&self, operation: Operation) {
        let refusal = self.refusal();
        self.shared.delivery.refused(operation, refusal);
    }

    fn refusal(&self) -> Refusal {
        match self.shared.failure.get() {
            Some(sentence) => Refusal::Stopped(sentence),
            None => Refusal::ShuttingDown,
        }
    }

    /// Accepts nothing more. Waiting operations are refused.
    pub(crate) fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.operations.close();
        self.shared.bytes.close();
    }
}

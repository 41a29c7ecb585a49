//! Tasks at the same time are bounded; those beyond wait, the highest priority first and in order within it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use vtox_protocol::task::Priority;

/// Why a task did not get its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Too many wait with at least its priority.
    Full,
    /// Its time ran out while it waited.
    Deadline,
}

/// The queue before the workers.
#[derive(Clone)]
pub struct Queue(Arc<Mutex<Inner>>);

struct Inner {
    running: usize,
    limit: usize,
    bound: usize,
    waiting: BTreeMap<Place, oneshot::Sender<Slot>>,
    arrivals: u64,
}

/// Place in the queue: the first goes next, the last is refused first.
type Place = (Reverse<Priority>, u64);

/// A turn; dropped, it goes to the next task.
pub struct Slot(Queue);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.inner().running -= 1;
        self.0.grant();
    }
}

/// Leaves the queue when whoever waits goes away.
struct Waiting<'a>(&'a Queue, Place);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.inner().waiting.remove(&self.1);
    }
}

impl Queue {
    /// At most `limit` tasks at the same time and `bound` waiting.
    pub fn new(limit: usize, bound: usize) -> Self {
        let waiting = BTreeMap::new();
        Self(Arc::new(Mutex::new(Inner { running: 0, limit: limit.max(1), bound, waiting, arrivals: 0 })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes how many tasks run at the same time, at least one.
    pub fn set_limit(&self, limit: usize) {
        self.inner().limit = limit.max(1);
        self.grant();
    }

    /// Tasks running and waiting.
    pub fn lengths(&self) -> (usize, usize) {
        let inner = self.inner();
        (inner.running, inner.waiting.len())
    }

    /// Waits for a turn.
    pub async fn turn(&self, priority: Priority, deadline: Instant) -> Result<Slot, Refused> {
        let (place, turn) = {
            let mut inner = self.inner();
            if inner.running < inner.limit && inner.waiting.is_empty() {
                inner.running += 1;
                return Ok(Slot(self.clone()));
            }
            if inner.waiting.len() >= inner.bound {
                match inner.waiting.last_key_value() {
                    Some(((Reverse(lowest), _), _)) if *lowest < priority => {
                        inner.waiting.pop_last();
                    }
                    _ => return Err(Refused::Full),
                }
            }
            inner.arrivals += 1;
            let place = (Reverse(priority), inner.arrivals);
            let (sender, turn) = oneshot::channel();
            inner.waiting.insert(place, sender);
            (place, turn)
        };
        let _waiting = Waiting(self, place);
        match timeout_at(deadline, turn).await {
            Ok(Ok(slot)) => Ok(slot),
            // Its sender was dropped for a task of a higher priority.
            Ok(Err(_)) => Err(Refused::Full),
            Err(_) => Err(Refused::Deadline),
        }
    }

    /// Gives free turns to those that wait. Never with the lock held: a slot nobody takes gives itself back.
    fn grant(&self) {
        loop {
            let next = {
                let mut inner = self.inner();
                if inner.running >= inner.limit {
                    return;
                }
                let Some((_, next)) = inner.waiting.pop_first() else { return };
                inner.running += 1;
                next
            };
            drop(next.send(Slot(self.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test]
    async fn the_highest_priority_goes_first_and_the_first_within_it() {
        let queue = Queue::new(1, 10);
        let running = queue.turn(Priority::Normal, soon()).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (n, priority) in
            [Priority::Low, Priority::Normal, Priority::Critical, Priority::Normal].into_iter().enumerate()
        {
            let (waiting, order) = (queue.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                let _slot = waiting.turn(priority, soon()).await.unwrap();
                order.lock().unwrap().push(n);
            }));
            while queue.lengths().1 <= n {
                tokio::task::yield_now().await;
            }
        }
        drop(running);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [2, 1, 3, 0]);
        assert_eq!(queue.lengths(), (0, 0));
    }

    #[tokio::test]
    async fn a_full_queue_refuses_the_lowest_priority() {
        let queue = Queue::new(1, 2);
        let running = queue.turn(Priority::Normal, soon()).await.unwrap();
        let wait = |priority| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.turn(priority, soon()).await.map(drop) })
        };
        let low = wait(Priority::Low);
        let normal = wait(Priority::Normal);
        while queue.lengths().1 < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(queue.turn(Priority::Low, soon()).await.err(), Some(Refused::Full));
        let high = wait(Priority::High);
        assert_eq!(low.await.unwrap(), Err(Refused::Full));
        drop(running);
        assert_eq!((high.await.unwrap(), normal.await.unwrap()), (Ok(()), Ok(())));
    }

    #[tokio::test]
    async fn who_waits_too_long_or_goes_away_leaves_nothing_behind() {
        let queue = Queue::new(1, 10);
        let running = queue.turn(Priority::Normal, soon()).await.unwrap();
        let late = queue.turn(Priority::Critical, Instant::now() + Duration::from_millis(50)).await;
        assert_eq!(late.err(), Some(Refused::Deadline));
        let gone = tokio::spawn({
            let queue = queue.clone();
            async move { queue.turn(Priority::Critical, soon()).await.map(drop) }
        });
        while queue.lengths().1 == 0 {
            tokio::task::yield_now().await;
        }
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        assert_eq!(queue.lengths(), (1, 0));
        drop(running);
        assert!(queue.turn(Priority::Low, soon()).await.is_ok());
        let first = queue.turn(Priority::Low, soon()).await.unwrap();
        queue.set_limit(2);
        let second = queue.turn(Priority::Low, soon()).await.unwrap();
        drop((first, second));
        assert_eq!(queue.lengths(), (0, 0));
    }
}

//! The byte stream under a connection: who does not take what is sent is let go, and what arrives can be counted.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::pool::Taken;

/// Counts what arrives against what all may take of memory, while somebody has asked it to; every request has the one of its
/// connection among its extensions. What a WebSocket buffers of an unfinished message is seen nowhere else.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Mutex<Option<Taken<String>>>>);

impl Meter {
    /// Counts from now on, or from nothing again: into `taken`, until there is no more. Then reading fails.
    pub fn count_into(&self, taken: Taken<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken);
    }

    /// Gives back what was counted, and goes on: a message is whole.
    pub fn settle(&self) {
        if let Some(taken) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            taken.give_back();
        }
    }

    fn count(&self, bytes: usize) -> Result<()> {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(taken) => taken
                .more(bytes)
                .map_err(|_| Error::new(ErrorKind::OutOfMemory, "there is no memory left for what arrives")),
            None => Ok(()),
        }
    }
}

/// A stream that is watched.
pub struct Wire<S> {
    stream: S,
    meter: Meter,
    limit: Duration,
    /// Until when the other end must take something; there while it takes nothing.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<S> Wire<S> {
    /// Ends with an error once the other end has taken nothing for `limit` although there is something to send.
    pub fn new(stream: S, limit: Duration, meter: Meter) -> Self {
        Self { stream, meter, limit, stuck: None }
    }

    /// What became of an attempt to send.
    fn watched<T>(&mut self, context: &mut Context<'_>, sent: Poll<Result<T>>) -> Poll<Result<T>> {
        if sent.is_ready() {
            self.stuck = None;
            return sent;
        }
        let limit = self.limit;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(stuck.as_mut().poll(context));
        Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the other end takes nothing")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(self.meter.count(buffer.filled().len() - before))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(context, sent)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let sent = Pin::new(&mut self.stream).poll_flush(context);
        self.watched(context, sent)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let sent = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watched(context, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watched(context, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::pool::Pool;

    #[tokio::test]
    async fn who_takes_nothing_is_let_go_and_who_is_slow_is_not() {
        let (ours, mut theirs) = duplex(4);
        let mut wire = Wire::new(ours, Duration::from_secs(1), Meter::default());
        let slow = async {
            for _ in 0..5 {
                sleep(Duration::from_millis(400)).await;
                theirs.read_exact(&mut [0; 4]).await.unwrap();
            }
        };
        let (sent, ()) = tokio::join!(wire.write_all(&[0; 20]), slow);
        sent.unwrap();
        wire.write_all(&[0; 4]).await.unwrap();
        assert_eq!(wire.write_all(&[0; 4]).await.unwrap_err().kind(), ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn what_arrives_is_counted_until_there_is_no_more() {
        let pool = Pool::new(10, 1.0);
        let (ours, mut theirs) = duplex(64);
        let meter = Meter::default();
        let mut wire = Wire::new(ours, Duration::from_secs(30), meter.clone());
        theirs.write_all(&[0; 40]).await.unwrap();
        wire.read_exact(&mut [0; 12]).await.unwrap();
        meter.count_into(pool.take(None, 0).unwrap());
        wire.read_exact(&mut [0; 8]).await.unwrap();
        assert_eq!(pool.take(None, 3).unwrap_err(), crate::pool::Full::All);
        meter.settle();
        drop(pool.take(None, 10).unwrap());
        wire.read_exact(&mut [0; 9]).await.unwrap();
        assert_eq!(wire.read_exact(&mut [0; 2]).await.unwrap_err().kind(), ErrorKind::OutOfMemory);
        drop((wire, meter));
        drop(pool.take(None, 10).unwrap());
    }
}

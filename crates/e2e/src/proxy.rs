//! A TCP proxy between a service and Redis that can be made bad: a network to break on purpose.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Network {
    /// It carries everything at once.
    Fine,
    /// Connections stay open and nothing arrives, in either direction.
    HalfOpen,
    /// What is asked arrives, answers do not.
    AnswersLost,
    /// Connections are reset, and new ones at once.
    Reset,
    /// Every piece arrives late by so much, give or take so much, ms.
    Delay(u64, u64),
    /// Of so many pieces in a hundred the first transmission is lost: they and what is behind them arrive a
    /// retransmission timeout later, as TCP shows loss to its users.
    Loss(u32),
}

/// Least retransmission timeout of Linux.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// A proxy, closed when dropped.
pub struct Proxy {
    address: SocketAddr,
    network: Arc<watch::Sender<Network>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy on a free port of loopback to `port`; what it does by chance comes from `seed`.
    pub async fn start(port: u16, seed: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let network = Arc::new(watch::Sender::new(Network::Fine));
        let task = tokio::spawn(accept(listener, port, network.clone(), seed));
        Self { address, network, task }
    }

    /// URL of the Redis behind it.
    pub fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    /// Changes the network.
    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, port: u16, network: Arc<watch::Sender<Network>>, seed: u64) {
    for number in 0_u64.. {
        let seed = seed.wrapping_add(2 * number);
        let Ok((near, _)) = listener.accept().await else { continue };
        let network = network.clone();
        tokio::spawn(async move {
            let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
            drop((near.set_nodelay(true), far.set_nodelay(true)));
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            let asking = carry(near_in, far_out, network.subscribe(), Way::There, seed);
            let answering = carry(far_in, near_out, network.subscribe(), Way::Back, seed + 1);
            let mut state = network.subscribe();
            tokio::select! {
                () = asking => {}
                () = answering => {}
                // Dropping the halves closes both ends.
                _ = state.wait_for(|n| *n == Network::Reset) => {}
            }
        });
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    There,
    Back,
}

/// Carries one way: what was read waits in line until it is due.
async fn carry(
    from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    network: watch::Receiver<Network>,
    way: Way,
    seed: u64,
) {
    let (line, mut waiting) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    // Whichever end gives up first ends the other through the line.
    let write = async move {
        while let Some((due, piece)) = waiting.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read(from, line, network, way, StdRng::seed_from_u64(seed)), write);
}

async fn read(
    mut from: OwnedReadHalf,
    line: mpsc::UnboundedSender<(Instant, Vec<u8>)>,
    mut network: watch::Receiver<Network>,
    way: Way,
    mut random: StdRng,
) {
    let mut piece = vec![0; 1 << 16];
    let mut last_due = Instant::now();
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let now = *network.borrow();
        let mut late = Duration::ZERO;
        match now {
            Network::Fine | Network::Reset => {}
            Network::Delay(mean_ms, spread_ms) => {
                let ms = random.random_range(mean_ms.saturating_sub(spread_ms)..=mean_ms + spread_ms);
                late = Duration::from_millis(ms);
            }
            Network::Loss(percent) => {
                let mut timeout = RETRANSMISSION;
                while random.random_range(0..100) < percent {
                    late += timeout;
                    timeout *= 2;
                }
            }
            Network::AnswersLost if way == Way::There => {}
            // What was under way is gone for good; the connection ends when the network is well again.
            Network::AnswersLost | Network::HalfOpen => {
                drop(network.wait_for(|n| *n != now).await);
                return;
            }
        }
        // TCP keeps the order.
        last_due = last_due.max(Instant::now() + late);
        if line.send((last_due, piece[..length].to_vec())).is_err() {
            return;
        }
    }
}

//! A bounded number of places, of which nobody may have more than a share.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Places (or bytes, or connections) that many take from. `K` tells apart who takes.
#[derive(Debug)]
pub struct Pool<K: Eq + Hash>(Arc<Mutex<State<K>>>);

#[derive(Debug)]
struct State<K> {
    free: usize,
    most_of_one: usize,
    taken: HashMap<K, usize>,
}

/// Why there is none to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// All are taken.
    All,
    /// Whoever asks has its share already.
    Share,
}

/// What was taken; given back when dropped.
#[derive(Debug)]
pub struct Taken<K: Eq + Hash> {
    pool: Pool<K>,
    who: Option<K>,
    amount: usize,
}

impl<K: Eq + Hash> Clone for Pool<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Eq + Hash + Clone> Pool<K> {
    /// So many places, of which one may have `share` (0 to 1), and always at least one place.
    pub fn new(places: usize, share: f64) -> Self {
        let most_of_one = ((places as f64 * share) as usize).max(1);
        Self(Arc::new(Mutex::new(State { free: places, most_of_one, taken: HashMap::new() })))
    }

    /// Takes `amount`; one that is nobody in particular has no share.
    ///
    /// # Errors
    /// Where there are not so many.
    pub fn take(&self, who: Option<K>, amount: usize) -> Result<Taken<K>, Full> {
        self.count(who.as_ref(), amount)?;
        Ok(Taken { pool: self.clone(), who, amount })
    }

    /// Whether all are taken.
    pub fn is_empty(&self) -> bool {
        self.state().free == 0
    }

    fn count(&self, who: Option<&K>, amount: usize) -> Result<(), Full> {
        let mut state = self.state();
        if amount > state.free {
            return Err(Full::All);
        }
        if let Some(who) = who {
            let has = state.taken.get(who).copied().unwrap_or(0) + amount;
            if has > state.most_of_one {
                return Err(Full::Share);
            }
            state.taken.insert(who.clone(), has);
        }
        state.free -= amount;
        Ok(())
    }
}

impl<K: Eq + Hash> Pool<K> {
    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone> Taken<K> {
    /// Takes more beside it.
    ///
    /// # Errors
    /// Where there is not so much more; what was taken stays.
    pub fn more(&mut self, amount: usize) -> Result<(), Full> {
        self.pool.count(self.who.as_ref(), amount)?;
        self.amount += amount;
        Ok(())
    }
}

impl<K: Eq + Hash> Taken<K> {
    /// Gives back all that was taken; more can be taken again.
    pub fn give_back(&mut self) {
        let mut state = self.pool.state();
        state.free += self.amount;
        if let Some(who) = &self.who
            && let Some(has) = state.taken.get_mut(who)
        {
            *has -= self.amount;
            if *has == 0 {
                state.taken.remove(who);
            }
        }
        self.amount = 0;
    }
}

impl<K: Eq + Hash> Drop for Taken<K> {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Who an address is: of IPv6 its /64, for whoever has one address of that has all.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nobody_has_more_than_its_share() {
        let pool = Pool::new(4, 0.5);
        let mut mine = pool.take(Some("a"), 1).unwrap();
        mine.more(1).unwrap();
        assert_eq!(mine.more(1), Err(Full::Share));
        let _others = [pool.take(Some("b"), 1).unwrap(), pool.take(None, 1).unwrap()];
        assert_eq!(pool.take(Some("b"), 1).unwrap_err(), Full::All);
        assert!(pool.is_empty());
        drop(mine);
        assert!(pool.take(Some("a"), 2).is_ok());
        assert!(Pool::new(1, 0.1).take(Some("a"), 1).is_ok(), "at least one");
    }

    #[test]
    fn addresses_of_one_network_are_one() {
        let of = |address: &str| network_of(address.parse().unwrap()).to_string();
        assert_eq!(of("::ffff:10.0.0.7"), "10.0.0.7");
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:9::9"));
        assert_ne!(of("2001:db8:1:2::"), of("2001:db8:1:3::"));
    }

    proptest! {
        #[test]
        fn what_is_taken_comes_back(asks in prop::collection::vec((0_u8..3, 1_usize..6), 0..40)) {
            let pool = Pool::new(20, 0.5);
            let taken: Vec<_> = asks.iter().filter_map(|(who, n)| pool.take(Some(*who), *n).ok()).collect();
            for who in 0..3 {
                let has: usize = taken.iter().filter(|t| t.who == Some(who)).map(|t| t.amount).sum();
                prop_assert!(has <= 10);
            }
            prop_assert!(taken.iter().map(|t| t.amount).sum::<usize>() <= 20);
            drop(taken);
            prop_assert!(pool.take(None, 20).is_ok());
            prop_assert!(pool.state().taken.is_empty());
        }
    }
}

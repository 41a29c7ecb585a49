//! Passwords of people.

use std::sync::Arc;

use argon2::password_hash::SaltString;
use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::Semaphore;

use crate::Denied;

/// Shortest password, characters.
const SHORTEST: usize = 10;
/// Longest password, bytes.
const LONGEST_BYTES: usize = 256;
/// Log-ins that may wait while others are worked on.
const WAITING: usize = 16;

/// Why a password cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPassword {
    /// Easily guessed.
    #[error("the password has {0} characters; at least {SHORTEST} are needed")]
    TooShort(usize),
    /// Longer than is ever read.
    #[error("the password has {0} bytes; at most {LONGEST_BYTES} are allowed")]
    TooLong(usize),
    /// It could not be hashed.
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
}

/// Hashes a password with argon2id into a PHC string. Takes some 20 ms and 19 MiB: not for async threads.
///
/// # Errors
/// When it is too short or too long.
pub fn hash_password(password: &str) -> Result<String, InvalidPassword> {
    match (password.chars().count(), password.len()) {
        (characters, _) if characters < SHORTEST => return Err(InvalidPassword::TooShort(characters)),
        (_, bytes) if bytes > LONGEST_BYTES => return Err(InvalidPassword::TooLong(bytes)),
        _ => {}
    }
    let mut salt = [0; 16];
    let randomness = |_| InvalidPassword::Hash("the system gives no random bytes".to_owned());
    SystemRandom::new().fill(&mut salt).map_err(randomness)?;
    let hashed = SaltString::encode_b64(&salt)
        .and_then(|salt| Ok(Argon2::default().hash_password(password.as_bytes(), &salt)?.to_string()));
    hashed.map_err(|error| InvalidPassword::Hash(error.to_string()))
}

fn is_right(password: &str, phc: &str) -> bool {
    PasswordHash::new(phc)
        .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// Hash of a password nobody has, with the costs of [`hash_password`]: who does not exist takes as long as who does.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5aGFzdGhpc3NhbA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Checks passwords off the async threads, few at a time, so that a flood of log-ins takes neither memory nor cores.
#[derive(Debug)]
pub struct Checker {
    /// Those who wait or are worked on.
    seats: Semaphore,
    workers: Arc<Semaphore>,
}

impl Checker {
    /// That works on half of the cores, and on four at most.
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_workers((cores / 2).clamp(1, 4))
    }

    fn with_workers(workers: usize) -> Self {
        Self { seats: Semaphore::new(workers + WAITING), workers: Arc::new(Semaphore::new(workers)) }
    }

    /// Whether a password belongs to a hash; without a hash it never does, and takes as long.
    ///
    /// # Errors
    /// [`Denied::Busy`] when too many wait already.
    pub async fn check(&self, password: &str, phc: Option<&str>) -> Result<bool, Denied> {
        if password.len() > LONGEST_BYTES {
            return Ok(false);
        }
        let _seat = self.seats.try_acquire().map_err(|_| Denied::Busy)?;
        let permit = self.workers.clone().acquire_owned().await.map_err(|_| Denied::Busy)?;
        let (password, known, phc) = (password.to_owned(), phc.is_some(), phc.unwrap_or(NOBODY).to_owned());
        // The permit goes along: who hangs up does not free the worker before it is done.
        let work = move || {
            let right = is_right(&password, &phc);
            drop(permit);
            right
        };
        let right = tokio::task::spawn_blocking(work).await.map_err(|_| Denied::Busy)?;
        Ok(right && known)
    }
}

#[cfg(test)]
mod tests {
    use argon2::Params;

    use super::*;

    /// `printf 'correct horse' | argon2 saltsaltsaltsalt -id -v 13 -m 12 -t 2 -p 1 -e` gives such strings.
    #[test]
    fn a_password_belongs_to_its_hash_alone() {
        let phc = hash_password("correct horse").unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert_ne!(hash_password("correct horse").unwrap(), phc, "the same salt twice");
        assert!(is_right("correct horse", &phc));
        for wrong in ["correct hors", "Correct horse", "correct horse ", ""] {
            assert!(!is_right(wrong, &phc), "{wrong:?}");
        }
        assert!(!is_right("correct horse", "") && !is_right("correct horse", "$argon2id$v=19$m=1$a$b"));
    }

    #[test]
    fn nobody_costs_what_a_person_costs() {
        let costs = |phc: &str| Params::try_from(&PasswordHash::new(phc).unwrap()).unwrap();
        let person = hash_password("correct horse").unwrap();
        let (person, nobody) = (costs(&person), costs(NOBODY));
        assert_eq!(
            (person.m_cost(), person.t_cost(), person.p_cost(), person.output_len()),
            (nobody.m_cost(), nobody.t_cost(), nobody.p_cost(), nobody.output_len())
        );
    }

    #[test]
    fn short_and_endless_passwords_are_refused() {
        assert_eq!(hash_password("short"), Err(InvalidPassword::TooShort(5)));
        assert_eq!(hash_password(&"x".repeat(300)), Err(InvalidPassword::TooLong(300)));
    }

    #[tokio::test]
    async fn a_flood_is_told_to_come_back() {
        let checker = Arc::new(Checker::with_workers(1));
        let phc = hash_password("correct horse").unwrap();
        let flood: Vec<_> = (0..100)
            .map(|_| {
                let (checker, phc) = (checker.clone(), phc.clone());
                tokio::spawn(async move { checker.check("correct horse", Some(&phc)).await })
            })
            .collect();
        let mut answers = Vec::new();
        for one in flood {
            answers.push(one.await.unwrap());
        }
        let right = answers.iter().filter(|a| **a == Ok(true)).count();
        let busy = answers.iter().filter(|a| **a == Err(Denied::Busy)).count();
        assert_eq!((right, busy), (1 + WAITING, 100 - 1 - WAITING));
        assert_eq!(checker.check("correct horse", Some(&phc)).await, Ok(true));
        assert_eq!(checker.check("correct horse", None).await, Ok(false));
    }
}

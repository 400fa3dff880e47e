//! How many connections the system's limit of descriptors leaves: each is one descriptor, and beyond the limit accepting
//! fails for everybody, and so do connections to the database.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is raised to where the hard limit is none: Linux's own bound for a process (fs.nr_open).
const MOST: u64 = 1 << 20;

/// Descriptors that are no client's: standard streams, the runtime, the listening socket, LISTEN, one for each tail,
/// certificates, requests to an issuer, and connections that are only being refused.
const RESERVE: u64 = 192;

/// Sessions of the pool that publishes, beside that of `--pool-size`.
const PUBLISHING: u64 = 4;

/// Raises the soft limit of this process to the hard one, and returns what holds then.
pub fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(MOST);
    match current {
        None => MOST,
        Some(current) if current >= wanted => current,
        Some(current) => {
            let raised = setrlimit(
                Resource::Nofile,
                Rlimit {
                    current: Some(wanted),
                    maximum,
                },
            );
            raised.map_or(current, |()| wanted)
        }
    }
}

/// Connections of clients that `descriptors` leave beside `pool_size` sessions of the database: all but a reserve, or
/// half where there are so few.
pub fn connections(descriptors: u64, pool_size: usize) -> usize {
    let others = RESERVE + PUBLISHING + pool_size as u64;
    let left = descriptors.saturating_sub(others).max(descriptors / 2).max(1);
    usize::try_from(left).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_leaves_room_for_the_database() {
        assert_eq!(connections(20_000, 8), 20_000 - 204);
        assert_eq!(connections(256, 8), 128);
        assert_eq!(connections(0, 8), 1);
    }

    #[test]
    fn raising_ends_at_the_hard_limit() {
        let raised = raise();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current.unwrap_or(MOST), raised);
        assert!(maximum.is_none_or(|maximum| raised <= maximum));
        assert_eq!(raise(), raised);
    }
}

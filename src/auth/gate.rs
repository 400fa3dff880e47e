//! The gate: who asks, and may they?

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::access::{Access, Rooms, Via};
use super::claims::{Claims, Pattern};
use super::failures::{Consequence, Failures};
use super::keys::KeyError;
use super::lease::{Lease, Register};
use super::token::{TokenError, Verifier};
use crate::config::{Auth, JwtConfig};
use crate::pg::Database;
use crate::pg::authorize::Authorizer;
use crate::pg::source::Source;
use crate::pg::tickets::{GoodFor, TicketError, Tickets};
use crate::relay::LiveSource;
use crate::room::Room;

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Nothing was shown.
    #[error("no credential")]
    Absent,
    /// What was shown is no good; why, in words that say nothing of its contents.
    #[error("{0}")]
    Bad(String),
    /// What was shown was good once: nobody guessed it.
    #[error("the token is over")]
    Over,
    /// What a ticket is asked for is too much for one.
    #[error("too much for a ticket")]
    TooMuch,
    /// They may not do this.
    #[error("not among the rooms that are admitted")]
    Forbidden,
    /// It can't be found out now; the log has why.
    #[error("it can't be found out")]
    Unavailable,
}

/// Lets in, hands out leases, and takes them back.
pub struct Gate {
    /// `None`: everybody who reaches the address may do everything.
    pub(super) guard: Option<Guard>,
}

pub(super) struct Guard {
    pub config: JwtConfig,
    pub verifier: Verifier,
    pub tickets: Tickets,
    pub authorizer: Option<Authorizer>,
    pub register: Arc<Register>,
    pub failures: Failures,
}

/// What the options say of access, with its keys loaded.
pub struct Keyring {
    /// `None`: nobody is asked for a token.
    jwt: Option<(JwtConfig, Verifier)>,
}

impl Keyring {
    /// Loads the keys: to be done before anything is changed in the database.
    ///
    /// # Errors
    /// Keys that can't be used; one line that names the option.
    pub fn load(auth: &Auth) -> Result<Self, KeyError> {
        let jwt = match auth {
            Auth::None => None,
            Auth::Jwt(config) => Some((JwtConfig::clone(config), Verifier::new(config)?)),
        };
        Ok(Self { jwt })
    }
}

impl Gate {
    /// One that stands open: everybody who reaches the address may do everything.
    pub fn open() -> Self {
        Self { guard: None }
    }

    /// The gate that the options ask for.
    pub fn new(keyring: Keyring, database: &Database) -> Self {
        let guard = keyring.jwt.map(|(config, verifier)| Guard {
            verifier,
            tickets: Tickets::new(database.clone()),
            authorizer: config
                .authorize_sql
                .as_ref()
                .map(|sql| Authorizer::new(database.clone(), sql.clone())),
            register: Arc::default(),
            failures: Failures::default(),
            config,
        });
        Self { guard }
    }

    /// How tokens are taken; `None`: nobody is asked for one.
    pub fn config(&self) -> Option<&JwtConfig> {
        self.guard.as_ref().map(|guard| &guard.config)
    }

    /// Whether the question to the database fits the rooms of this source; why not, where nobody can read them. `None`: the
    /// database can't say now.
    pub async fn fits(&self, source: &Source) -> Option<Result<(), String>> {
        let Some(authorizer) = self.guard.as_ref().and_then(|guard| guard.authorizer.as_ref()) else {
            return Some(Ok(()));
        };
        match authorizer.check_statement(source).await {
            Ok(()) => Some(Ok(())),
            Err(error) => error.is_misfit().then(|| Err(error.to_string())),
        }
    }

    /// Of the bearer of a token. Where nobody is asked for one it is not looked at.
    ///
    /// # Errors
    /// [`Refusal::Bad`], [`Refusal::Unavailable`] where the keys can't be had.
    pub async fn admit_token(&self, token: &str, via: Via) -> Result<Access, Refusal> {
        let Some(guard) = &self.guard else {
            return Ok(Access::open());
        };
        match guard.verifier.verify(token).await {
            Ok(claims) => Ok(guard.access(claims, via)),
            Err(TokenError::Expired) => Err(Refusal::Over),
            Err(error @ TokenError::KeysUnavailable) => Err(guard.unavailable("", &error)),
            Err(error) => Err(Refusal::Bad(error.to_string())),
        }
    }

    /// Of the bearer of a ticket, which is only looked at: what it is good for says whether the request can be answered. Who is
    /// let in then [uses it up](Gate::use_up).
    ///
    /// # Errors
    /// [`Refusal::Bad`], [`Refusal::Over`], [`Refusal::Unavailable`] where the database can't be asked.
    pub async fn admit_ticket(&self, ticket: &str) -> Result<Access, Refusal> {
        let Some(guard) = &self.guard else {
            return Ok(Access::open());
        };
        let good_for = guard.tickets.look_at(ticket).await;
        let good_for = good_for.map_err(|error| guard.unavailable("", &error))?;
        let GoodFor {
            source,
            rooms,
            claims,
            token_expires_at,
        } = good_for.ok_or_else(no_ticket)?;
        let now = SystemTime::now();
        if token_expires_at.is_some_and(|at| at + guard.config.leeway <= now) {
            return Err(Refusal::Over);
        }
        let exactly = |room: &Room| Pattern::Exact(room.as_str().to_owned());
        Ok(Access {
            subject: subject(&claims),
            claims: Some(claims.into()),
            expires_at: token_expires_at,
            read: Rooms {
                patterns: rooms.iter().map(exactly).collect(),
                sources: Some(vec![Pattern::Exact(source)]),
            },
            publish: Rooms::default(),
            via: Via::Ticket,
        })
    }

    /// Uses up a ticket that was admitted: of several who were admitted by it one can.
    ///
    /// # Errors
    /// [`Refusal::Bad`] for the others, [`Refusal::Unavailable`] where the database can't be asked.
    pub async fn use_up(&self, ticket: &str) -> Result<(), Refusal> {
        let Some(guard) = &self.guard else {
            return Ok(());
        };
        let used = guard.tickets.redeem(ticket).await;
        let used = used.map_err(|error| guard.unavailable("", &error))?;
        used.map(drop).ok_or_else(no_ticket)
    }

    /// Lets `access` read all of these rooms, for as long as the lease lasts.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`], [`Refusal::Unavailable`] where the database can't be asked.
    pub async fn read(
        &self,
        access: &Access,
        source: &Arc<LiveSource>,
        rooms: &[Room],
    ) -> Result<Lease, Refusal> {
        let Some(guard) = &self.guard else {
            return Ok(Lease::endless());
        };
        // Before it is asked: a revocation that comes in between is then seen by the lease.
        let lease = guard.register.lease(access, source, rooms);
        guard.check(access, source, rooms).await?;
        Ok(lease)
    }

    /// Whether `access` may publish into this room.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`]
    pub fn publish(&self, access: &Access, source: &LiveSource, room: &Room) -> Result<(), Refusal> {
        match access.publish.admit(&source.definition().name, room) {
            true => Ok(()),
            false => Err(Refusal::Forbidden),
        }
    }

    /// A ticket for these rooms, good for the time given with it. `None`: nobody is asked for one.
    ///
    /// # Errors
    /// As [`Gate::read`]; [`Refusal::TooMuch`].
    pub async fn issue(
        &self,
        access: &Access,
        source: &Arc<LiveSource>,
        rooms: &[Room],
    ) -> Result<Option<(String, Duration)>, Refusal> {
        let Some(guard) = &self.guard else { return Ok(None) };
        let Some(claims) = &access.claims else {
            return Err(Refusal::Forbidden);
        };
        guard.check(access, source, rooms).await?;
        let lifetime = guard.config.ticket_lifetime;
        let name = &source.definition().name;
        let issued = guard
            .tickets
            .issue(name, rooms, claims, access.expires_at, lifetime)
            .await;
        let ticket = issued.map_err(|error| match error {
            TicketError::TooLarge { .. } => Refusal::TooMuch,
            TicketError::Database(error) => guard.unavailable(name, &error),
        })?;
        Ok(Some((ticket, lifetime)))
    }
}

impl Guard {
    fn access(&self, claims: Claims, via: Via) -> Access {
        let Claims {
            subject,
            expires_at,
            json,
            rooms,
        } = claims;
        let (read, publish) = match rooms {
            Some(rooms) => {
                let of = |patterns| Rooms {
                    patterns,
                    sources: rooms.sources.clone(),
                };
                (of(rooms.read), of(rooms.publish))
            }
            // The database is asked about each room.
            None if self.authorizer.is_some() => (Rooms::all(), Rooms::default()),
            None => (Rooms::default(), Rooms::default()),
        };
        Access {
            subject: subject.map(Into::into),
            claims: Some(json.get().into()),
            expires_at: Some(expires_at),
            read,
            publish,
            via,
        }
    }

    /// # Errors
    /// [`Refusal::Forbidden`] where one of the rooms may not be read.
    async fn check(&self, access: &Access, source: &LiveSource, rooms: &[Room]) -> Result<(), Refusal> {
        let definition = source.definition();
        if !rooms.iter().all(|room| access.read.admit(&definition.name, room)) {
            return Err(Refusal::Forbidden);
        }
        let (Some(authorizer), Some(claims)) = (&self.authorizer, &access.claims) else {
            return Ok(());
        };
        // The question is about one room: none can be asked about all of them.
        if rooms.iter().any(Room::is_all) {
            return Err(Refusal::Forbidden);
        }
        let may_read = authorizer.may_read(&definition, rooms, claims).await;
        let may_read = may_read.map_err(|error| self.unavailable(&definition.name, &error))?;
        match may_read.iter().all(|may| *may) {
            true => Ok(()),
            false => Err(Refusal::Forbidden),
        }
    }

    /// `source` is empty where it is about none.
    fn unavailable(&self, source: &str, error: &dyn std::fmt::Display) -> Refusal {
        self.failures
            .note(Consequence::NotAdmitted, source, error.to_string(), 1);
        Refusal::Unavailable
    }
}

fn no_ticket() -> Refusal {
    Refusal::Bad("the ticket is used, over, or none".to_owned())
}

/// `sub` of claims that were verified when the ticket was issued.
fn subject(claims: &str) -> Option<Arc<str>> {
    #[derive(serde::Deserialize)]
    struct Subject<'a> {
        #[serde(borrow)]
        sub: Option<std::borrow::Cow<'a, str>>,
    }
    let subject: Subject<'_> = serde_json::from_str(claims).ok()?;
    subject.sub.map(|sub| sub.as_ref().into())
}

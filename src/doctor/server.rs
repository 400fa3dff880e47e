//! The server: its version, schema `rowcast`, settings, open transactions, the queue of notifications, connections.

use std::time::Duration;

use super::{Examination, Finding, followed, in_words};
use crate::pg::examine::{self, Connections, Server, Setting, Transaction};
use crate::pg::migrate::{MigrateError, is_current};
use crate::pg::source::{self, Listed};
use crate::pg::{AUTHORIZE_POOL_SIZE, HOST_POOL_SIZE, server::unsupported_by};

/// Of the queue of notifications. From half on, bells are silent (`rowcast.ring`); a queue that grows at all has a listener
/// that does not read.
const FULL_QUEUE: f64 = 0.5;
const GROWING_QUEUE: f64 = 0.05;

/// After this time a transaction that was there before is no short one.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Which those alone need who have tokens.
const TICKETS: &str = "rowcast.tickets";

impl Examination<'_> {
    /// Which server it is, and as whom it is asked. With the settings of the role: those of a writer.
    pub(super) async fn server(&mut self) {
        let (database, server_at) = (self.database.clone(), self.database.server().to_owned());
        let mut role = String::new();
        self.check("the server", None, async |_| {
            let session = database.host_session().await?;
            if let Some(reason) = unsupported_by(&session).await? {
                return Ok(vec![Finding::error("server_version", reason)]);
            }
            let server = examine::server(&session).await?;
            role.clone_from(&server.role);
            Ok(judge_server(&server, &server_at))
        })
        .await;
        self.role = role;
    }

    /// Returns whether schema `rowcast` is of this program's version, so that the rest can be asked.
    pub(super) async fn schema(&mut self) -> bool {
        let mut stands = false;
        let role = self.role.clone();
        let is_done = self
            .check("schema rowcast", None, async |session| {
                let found = match is_current(session).await {
                    Ok(true) => {
                        stands = true;
                        Finding::ok("schema", "Schema rowcast is of this program's version")
                    }
                    Ok(false) => Finding::warning("schema", "Schema rowcast is missing, or of an older Rowcast")
                        .why("`rowcast serve` brings it to its version when it starts. What is attached was not looked at.")
                        .remedy("rowcast migrate"),
                    Err(MigrateError::Postgres(error)) => return Err(error.into()),
                    Err(MigrateError::Connect(error)) => return Err(error),
                    Err(error) => judge_schema(&error, &role),
                };
                Ok(vec![found])
            })
            .await;
        is_done && stands
    }

    /// What is attached, and what the role may not do with it.
    pub(super) async fn registry(&mut self) -> Vec<Listed> {
        let mut listed = Vec::new();
        self.check("what is attached", None, async |session| {
            listed = source::list(session).await?;
            Ok(match listed.is_empty() {
                false => Vec::new(),
                true => vec![
                    Finding::note("nothing_attached", "No table is attached")
                        .remedy("rowcast attach TABLE --room COLUMN"),
                ],
            })
        })
        .await;
        let publishes = self.options.allow_publish;
        self.check("the role's privileges", None, async |session| {
            let mut found: Vec<Finding> = Vec::new();
            for lacking in examine::lacking(session, publishes).await? {
                let what = format!(
                    "The role lacks {} on {}, to {}",
                    lacking.privileges, lacking.name, lacking.purpose
                );
                let finding = match lacking.name.as_str() {
                    TICKETS => Finding::warning("missing_privilege", what)
                        .why("POST /v1/tickets fails until it is granted."),
                    _ => Finding::error("missing_privilege", what)
                        .why("The relay does not begin to follow, or fails at that, until it is granted."),
                };
                let finding = finding.remedy(lacking.remedy);
                found.push(match &lacking.source {
                    Some(source) => finding.of(source),
                    None => finding,
                });
            }
            if found.is_empty() {
                found.push(Finding::ok(
                    "missing_privilege",
                    "The role has the privileges that it needs",
                ));
            }
            Ok(found)
        })
        .await;
        self.check("functions", None, async |session| {
            let missing = examine::functions(session).await?;
            let found = missing.into_iter().map(|(name, remedy)| {
                Finding::error(
                    "function_not_public",
                    format!("Not every role may execute {name}"),
                )
                .why("The triggers call it as whoever inserts: the inserts of roles that may not fail.")
                .remedy(remedy)
            });
            Ok(found.collect())
        })
        .await;
        listed
    }

    /// Settings of the server that end what is promised. `listed` tells whether anybody rings.
    pub(super) async fn settings(&mut self, listed: &[Listed]) {
        let database = self.database.clone();
        let rings = followed(listed).any(|source| !source.never_ring);
        self.check("settings", None, async |_| {
            let session = database.host_session().await?;
            let server = examine::server(&session).await?;
            let settings = examine::settings(&session).await?;
            let mut found: Vec<Finding> = settings.iter().map(judge_setting).collect();
            found.extend(durability(&server));
            if rings && server.max_prepared_transactions > 0 {
                let what = "PREPARE TRANSACTION is allowed, and fails after an insert that rings a bell";
                found.push(
                    Finding::note("prepare_transaction", what)
                        .why("PostgreSQL forbids it after a NOTIFY. Where the application prepares transactions, let the bell be away.")
                        .remedy("rowcast attach … --never-ring    # or max_prepared_transactions = 0, if nobody prepares any"),
                );
            }
            Ok(found)
        })
        .await;
        self.check("notifications", None, async |session| {
            Ok(vec![queue(examine::queue_usage(session).await?)])
        })
        .await;
    }

    /// Transactions that hold ids open.
    pub(super) async fn transactions(&mut self, listed: &[Listed]) {
        let oids: Vec<u32> = followed(listed)
            .flat_map(|source| [source.relation_oid, source.followed_oid()])
            .collect();
        let longest = self.options.long_transaction;
        let role = self.role.clone();
        self.check("open transactions", None, async |session| {
            let first = examine::transactions(session, &oids).await?;
            let mut found: Vec<Finding> = first
                .iter()
                .filter(|open| open.age.is_some_and(|age| age >= longest))
                .map(judge_transaction)
                .collect();
            let hidden: Vec<_> = first.iter().filter(|open| open.age.is_none()).collect();
            if !hidden.is_empty() {
                tokio::time::sleep(BETWEEN_LOOKS).await;
                let now = examine::transactions(session, &oids).await?;
                let still = |open: &&Transaction| now.iter().any(|other| other.xid == open.xid);
                found.extend(hidden_transactions(hidden.iter().copied().filter(still), &role));
            }
            if found.is_empty() {
                let what = format!("No transaction is open for longer than {}", in_words(longest));
                found.push(Finding::ok("long_transaction", what));
            }
            Ok(found)
        })
        .await;
    }

    /// Whether the connections of a relay fit in.
    pub(super) async fn budget(&mut self, listed: &[Listed], is_pooled: bool) {
        if is_pooled {
            let what = "The connections of the relay are the pooler's: its limits count (default_pool_size, max_client_conn)";
            self.findings.push(Finding::ok("connections", what));
            return;
        }
        let options = self.options;
        let of_pools = [
            options.pool_size,
            if options.allow_publish { HOST_POOL_SIZE } else { 0 },
            if options.authorize_sql.is_some() {
                AUTHORIZE_POOL_SIZE
            } else {
                0
            },
        ];
        // One for LISTEN.
        let needed = of_pools.iter().sum::<usize>() + listed.len() + 1;
        self.check("connections", None, async |session| {
            Ok(connections(&examine::connections(session).await?, needed as i64))
        })
        .await;
    }
}

fn judge_server(server: &Server, at: &str) -> Vec<Finding> {
    let what = format!(
        "PostgreSQL {} at {at}, database {}, role {}",
        server.version, server.database, server.role
    );
    let mut found = vec![Finding::ok("server_version", what)];
    if server.is_superuser {
        found.push(
            Finding::note("superuser", format!("Role {} is a superuser", server.role))
                .why(
                    "Rows are rendered with the relay's rights, and a cast of somebody else's type is somebody else's code. README, \
                     section Roles, has the statements that make a role for relays.",
                ),
        );
    }
    found
}

/// `role`: SQL text.
fn judge_schema(error: &MigrateError, role: &str) -> Finding {
    let found = Finding::error("schema", error.to_string());
    let why = "The relay does not start. What is attached was not looked at.";
    match error {
        MigrateError::NotReadable { .. } => found.why(why).remedy(format!(
            "grant usage on schema rowcast to {role}; grant select, insert, update, delete on all tables in schema rowcast to {role}; \
             grant select, update on all sequences in schema rowcast to {role};"
        )),
        MigrateError::NotAllowed { owner, .. } => found
            .why(why)
            .remedy(format!("rowcast migrate    # with a --database-url of role {owner}")),
        _ => found.why(why),
    }
}

fn judge_setting(setting: &Setting) -> Finding {
    let Setting {
        whom,
        name,
        value,
        remedy,
        ..
    } = setting;
    let what = format!("{name} = {value} {whom}");
    let found = match name.as_str() {
        "synchronous_commit" => Finding::warning("synchronous_commit", what).why(
            "Commits are shown before they are on disk: after a crash of the server, rows that subscribers have seen are gone and \
             their ids are used again.",
        ),
        _ => Finding::warning("replication_role", what)
            .why("Triggers do not fire in such sessions: their rows are seen late, or with a journal never."),
    };
    found.remedy(remedy)
}

/// What a crash or a failover may take back.
fn durability(server: &Server) -> Vec<Finding> {
    let mut found = Vec::new();
    if !server.fsync {
        found.push(
            Finding::note("fsync", "fsync is off")
                .why(
                    "After a crash of the machine rows that subscribers have seen can be gone, or the database damaged: right for \
                     a server to throw away, and no other.",
                )
                .remedy("alter system set fsync = on; select pg_catalog.pg_reload_conf();"),
        );
    }
    if server.standbys > 0 && !server.has_synchronous_standby {
        found.push(
            Finding::note("asynchronous_standby", "Standbys follow, and no commit waits for one")
                .why(
                    "After a failover to a standby that lagged, rows that subscribers have seen are gone and their ids are used \
                     again. Where the sequence stands lower than before, subscribers are reset.",
                )
                .remedy("alter system set synchronous_standby_names = '*'; select pg_catalog.pg_reload_conf();"),
        );
    }
    found
}

fn queue(usage: f64) -> Finding {
    let what = format!("The queue of notifications is {:.0} % full", usage * 100.0);
    let why = "Somebody has called LISTEN and stays in a transaction, so nothing can leave the queue.";
    let remedy = "select pid, application_name, state, xact_start from pg_stat_activity where datname = current_database() \
                  and state like 'idle in transaction%' order by xact_start;    -- then pg_terminate_backend(pid)";
    if usage >= FULL_QUEUE {
        Finding::error("notification_queue", what)
            .why(format!(
                "{why} Bells are silent by now; once it is full, whoever notifies can't commit."
            ))
            .remedy(remedy)
    } else if usage >= GROWING_QUEUE {
        Finding::warning("notification_queue", what)
            .why(format!(
                "{why} At 50 % bells fall silent; once it is full, whoever notifies can't commit."
            ))
            .remedy(remedy)
    } else {
        Finding::ok("notification_queue", what)
    }
}

fn judge_transaction(open: &Transaction) -> Finding {
    let age = in_words(open.age.unwrap_or_default());
    let has_written = if open.writes {
        ", and has written what is attached"
    } else {
        ""
    };
    let why = match open.writes {
        true => {
            "The ids that it drew stay open: cursors carry them, and what a journal must keep for them is not pruned. Its rows \
             arrive when it commits."
        }
        false => {
            "Nobody waits for it, but rolled-back ids are looked for longer, and vacuum can't clean up behind it."
        }
    };
    let (code, what) = match (&open.gid, open.pid) {
        (Some(gid), _) => (
            "prepared_transaction",
            format!(
                "Prepared transaction {gid:?} of role {} in database {} is {age} old{has_written}",
                open.role, open.database
            ),
        ),
        (None, pid) => (
            "long_transaction",
            format!(
                "A transaction of pid {} (role {}, database {}, application {:?}, {}) is open for {age}{has_written}",
                pid.unwrap_or_default(),
                open.role,
                open.database,
                open.application,
                open.state
            ),
        ),
    };
    let found = match open.writes || open.gid.is_some() {
        true => Finding::warning(code, what),
        false => Finding::note(code, what),
    };
    found.why(why).remedy(open.remedy.clone())
}

/// Those that this role (SQL text) knows no age of, and that were there a while ago.
fn hidden_transactions<'a>(open: impl Iterator<Item = &'a Transaction>, role: &str) -> Option<Finding> {
    let pids: Vec<String> = open.filter_map(|open| Some(open.pid?.to_string())).collect();
    if pids.is_empty() {
        return None;
    }
    let what = format!(
        "Transactions of other roles are open, for a second at least (pid {}), and this role may not know for how long",
        pids.join(", ")
    );
    let found = Finding::note("hidden_transactions", what)
        .why("Long ones keep the ids open that they drew.")
        .remedy(format!(
            "grant pg_read_all_stats to {role};    -- as a superuser; then ask again"
        ));
    Some(found)
}

fn connections(now: &Connections, needed: i64) -> Vec<Finding> {
    let mut found = Vec::new();
    let reserved = if now.is_superuser { 0 } else { now.reserved };
    let free = i64::from(now.most - reserved) - now.others;
    let why = "Replays wait for each other or fail, and a relay that starts may find none left.";
    if free < needed {
        let what = format!(
            "A relay takes up to {needed} connections, and {free} are left of max_connections = {} ({} reserved, {} in use by \
             others)",
            now.most, reserved, now.others
        );
        found.push(Finding::warning("connections", what).why(why).remedy(format!(
            "alter system set max_connections = {};    -- and restart the server; or a smaller --pool-size",
            i64::from(now.most) + needed - free
        )));
    }
    for (most, others, what, kind, name) in [
        (
            now.most_of_role,
            now.others_of_role,
            "The role",
            "role",
            &now.role,
        ),
        (
            now.most_of_database,
            now.others_of_database,
            "The database",
            "database",
            &now.database,
        ),
    ] {
        let Some(most) = most.map(i64::from) else { continue };
        if most - others < needed {
            let what = format!(
                "{what} has a limit of {most} connections ({others} in use by others), and a relay takes up to {needed}"
            );
            found.push(
                Finding::warning("connection_limit", what)
                    .why(why)
                    .remedy(format!(
                        "alter {kind} {name} connection limit {};",
                        others + needed
                    )),
            );
        }
    }
    if found.is_empty() {
        let what = format!(
            "A relay takes up to {needed} connections; {free} are left of {}",
            now.most
        );
        found.push(Finding::ok("connections", what));
    }
    found
}

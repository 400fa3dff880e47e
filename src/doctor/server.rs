//! The server: its version, schema `rowcast`, what the role may do, settings, the queue of notifications.

use super::{Examination, Finding, followed};
use crate::pg::examine::{self, Server, Setting};
use crate::pg::migrate::{MigrateError, is_current};
use crate::pg::server::unsupported_by;
use crate::pg::source::{self, Listed};

/// Of the queue of notifications. From half on, bells are silent (`rowcast.ring`); a queue that grows at all has a listener
/// that does not read.
const FULL_QUEUE: f64 = 0.5;
const GROWING_QUEUE: f64 = 0.05;

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

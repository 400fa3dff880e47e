//! The sessions of others: transactions that hold ids open, and whether a relay's connections fit in.

use std::time::Duration;

use super::{Examination, Finding, followed, in_words};
use crate::pg::examine::{self, Connections, Transaction};
use crate::pg::source::Listed;
use crate::pg::{AUTHORIZE_POOL_SIZE, HOST_POOL_SIZE};

/// After this time a transaction that was there before is no short one.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

impl Examination<'_> {
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

//! Which servers Rowcast works on: PostgreSQL 13 or later, whose transaction ids and snapshots the cursor rests on.

use tokio_postgres::Client;

/// The oldest `server_version_num`: `pg_current_xact_id` and `xid8` came with 13.
const OLDEST: i32 = 130_000;

/// Databases that speak PostgreSQL's protocol and keep other transaction ids, by what their `version()` says.
const OTHERS: [(&str, &str); 6] = [
    ("cockroach", "CockroachDB"),
    ("yugabyte", "YugabyteDB"),
    ("-yb-", "YugabyteDB"),
    ("redshift", "Amazon Redshift"),
    ("greenplum", "Greenplum"),
    ("materialize", "Materialize"),
];

/// Why this server can't be used, in words; `None` if it can. `version` is the text of `version()`, `number` the setting
/// `server_version_num`.
pub fn unsupported(version: &str, number: i32, has_citus: bool) -> Option<String> {
    let lower = version.to_lowercase();
    if let Some((_, name)) = OTHERS.iter().find(|(mark, _)| lower.contains(mark)) {
        return Some(format!(
            "the database is {name}; Rowcast rests on PostgreSQL's own transaction ids and needs PostgreSQL 13 or later"
        ));
    }
    if has_citus {
        return Some(
            "the database has the extension citus; a distributed table's transaction ids stand on other servers".to_owned(),
        );
    }
    (number < OLDEST).then(|| format!("the server is older than PostgreSQL 13: {version}"))
}

/// Asks the server what it is and judges it with [`unsupported`].
pub async fn unsupported_by(client: &Client) -> Result<Option<String>, tokio_postgres::Error> {
    let row = client
        .query_typed_one(include_str!("../../sql/server.sql"), &[])
        .await?;
    Ok(unsupported(
        row.get("version"),
        row.get("number"),
        row.get("citus"),
    ))
}

#[cfg(test)]
mod tests {
    use super::unsupported;

    #[test]
    fn postgresql_13_and_later_are_supported() {
        for (version, number) in [
            ("PostgreSQL 13.0 on x86_64-pc-linux-gnu", 130_000),
            (
                "PostgreSQL 15.14 (Debian 15.14-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc",
                150_014,
            ),
            ("PostgreSQL 18.4 on x86_64-linux, compiled by clang-17", 180_004),
        ] {
            assert_eq!(unsupported(version, number, false), None, "{version}");
        }
    }

    #[test]
    fn older_versions_and_other_databases_are_named() {
        for (version, number, name) in [
            (
                "PostgreSQL 12.22 on x86_64-pc-linux-gnu",
                120_022,
                "older than PostgreSQL 13",
            ),
            (
                "CockroachDB CCL v23.1.11 (x86_64-pc-linux-gnu)",
                130_000,
                "CockroachDB",
            ),
            ("PostgreSQL 11.2-YB-2.18.1.0-b0 on x86_64", 110_002, "YugabyteDB"),
            ("PostgreSQL 15.2-YB-2.25.0.0-b0 on x86_64", 150_002, "YugabyteDB"),
            ("PostgreSQL 8.0.2 on i686, Redshift 1.0.1", 80_002, "Redshift"),
            (
                "PostgreSQL 12.12 (Greenplum Database 7.0.0)",
                120_012,
                "Greenplum",
            ),
        ] {
            let reason = unsupported(version, number, false).expect(version);
            assert!(reason.contains(name), "{reason}");
        }
    }

    #[test]
    fn citus_is_named() {
        assert!(unsupported("PostgreSQL 16.1", 160_001, true).is_some_and(|reason| reason.contains("citus")));
    }
}

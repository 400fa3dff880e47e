//! Who may attach and detach what, and what a role is told that may not.

use rowcast::pg::in_words;

use super::refusals::{T, refused_in};
use super::{attached, listed, role, triggers};
use crate::support::{TestDatabase, connect, database};

/// A session of a role that may attach `t` by grants alone.
async fn relay(db: &TestDatabase) -> (String, tokio_postgres::Client) {
    let (name, url) = role(db, "relay").await;
    db.batch_execute(&format!(
        "grant usage, create on schema rowcast to {name};
         grant select, insert, update, delete on rowcast.sources, rowcast.positions to {name};
         grant select, trigger, update on t to {name}; grant select on sequence t_id_seq to {name}"
    ))
    .await
    .expect("grant");
    (name, connect(&url).await)
}

async fn not_allowed(client: &tokio_postgres::Client, sql: &str, words: &[&str]) {
    let error = client.batch_execute(sql).await.expect_err(sql);
    let said = in_words(&error);
    assert_eq!(error.code().map(|code| code.code()), Some("42501"), "{said}");
    for part in words {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
}

#[tokio::test]
async fn a_role_that_attached_by_grants_is_told_who_can_detach_and_they_can() {
    let db = database().await.into_superusers().await;
    let (owner, url) = role(&db, "owner").await;
    db.batch_execute(&format!("{T} alter table t owner to {owner}"))
        .await
        .expect("make");
    let (name, theirs) = relay(&db).await;
    attached(&theirs, "'t', room => 'room'").await;
    let remedy = format!("role {owner}, or: grant {owner} to {name};");
    for call in [
        "select rowcast.detach('t')",
        "select rowcast.attach('t', room => 'room', never_ring => true)",
    ] {
        not_allowed(&theirs, call, &["may not drop the triggers of public.t", &remedy]).await;
    }
    not_allowed(
        &theirs,
        "select rowcast.uninstall()",
        &["may not drop schema rowcast", "role app"],
    )
    .await;

    let owners = connect(&url).await;
    not_allowed(
        &owners,
        "select rowcast.detach('t')",
        &[
            "may not write the registry",
            "grant select, delete on rowcast.sources",
        ],
    )
    .await;
    db.batch_execute(&format!("grant select, delete on rowcast.sources to {owner}"))
        .await
        .expect("the remedy");
    owners
        .batch_execute("select rowcast.detach('t')")
        .await
        .expect("detach");
    assert_eq!(triggers(&db, "t").await, [""; 0]);
    assert!(
        db.query("select from pg_class where relname = 'bell_t'", &[])
            .await
            .expect("ask")
            .is_empty(),
        "the bell was the other role's"
    );
}

#[tokio::test]
async fn a_schema_that_the_role_may_not_use() {
    let db = database().await.into_superusers().await;
    db.batch_execute(&format!(
        r#"{T} create schema "Its Own"; create table "Its Own".x (id serial primary key, room text)"#
    ))
    .await
    .expect("make");
    let (name, theirs) = relay(&db).await;
    refused_in(
        &theirs,
        r#"'"Its Own".x', room => 'room'"#,
        "42501",
        &[
            "may not use schema \"Its Own\"",
            &format!("grant usage on schema \"Its Own\" to {name};"),
        ],
    )
    .await;
}

/// Without them PostgreSQL 17 reads a sequence's last value as null, which is 0, where 13 to 16 raise an error.
#[tokio::test]
async fn a_sequence_that_the_role_may_not_read_breaks_the_source() {
    let db = database().await;
    db.batch_execute(T).await.expect("make");
    let (name, theirs) = relay(&db).await;
    attached(&db, "'t', room => 'room'").await;
    db.batch_execute(&format!("grant update on sequence rowcast.bell_t to {name}"))
        .await
        .expect("grant");
    listed(&theirs)
        .await
        .remove(0)
        .source
        .expect("nothing is missing");
    for (lost, given_back, words) in [
        (
            format!("revoke select on sequence t_id_seq from {name}"),
            format!("grant select on sequence t_id_seq to {name}"),
            "may not read its sequence",
        ),
        (
            "revoke select on sequence rowcast.bell_t from public".to_owned(),
            "grant select on sequence rowcast.bell_t to public".to_owned(),
            "may not look at its bell",
        ),
    ] {
        db.batch_execute(&lost).await.expect("revoke");
        let broken = listed(&theirs).await.remove(0).source.expect_err(&lost);
        assert!(
            broken.to_string().contains(words) && broken.to_string().contains(&given_back),
            "{broken}"
        );
        db.batch_execute(&given_back).await.expect("the remedy");
        listed(&theirs).await.remove(0).source.expect("mended");
    }
}

//! The commands as a person runs them: what they print, and start-up errors as one line.

use serde_json::{Value, json};
use url::Url;

use crate::support::relay::run;
use crate::support::{TestDatabase, empty_database, server};

/// Runs a command that must fail: its one line on stderr.
async fn fails(arguments: &[&str]) -> String {
    let (status, stdout, stderr) = run(arguments).await;
    assert!(!status.success(), "{arguments:?}: {stdout}{stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("rowcast: "), "{stderr}");
    stderr
}

/// Runs a command that must succeed: its stdout.
async fn succeeds(arguments: &[&str]) -> String {
    let (status, stdout, stderr) = run(arguments).await;
    assert!(status.success(), "{arguments:?}: {stderr}");
    stdout
}

async fn with_table() -> TestDatabase {
    let db = empty_database().await;
    db.batch_execute("create table messages (id bigserial primary key, room_id int, body text)")
        .await
        .expect("make");
    db
}

#[tokio::test]
async fn attach_sources_detach_uninstall_say_what_they_did() {
    let db = with_table().await;
    let at = ["--database-url", db.app_url.as_str()];
    let said = succeeds(
        &[
            &["attach", "messages", "--room", "room_id", "--never-ring=false"],
            &at[..],
        ]
        .concat(),
    )
    .await;
    for words in [
        "Attached messages as source messages:",
        "made trigger rowcast_xid_messages on public.messages",
        "create index concurrently on public.messages (room_id, id);",
        "curl -N",
    ] {
        assert!(said.contains(words), "{words:?} is not in: {said}");
    }
    let said = succeeds(&[&["attach", "public.messages", "--room", "room_id"], &at[..]].concat()).await;
    assert!(said.contains("nothing was changed"), "{said}");

    let table = succeeds(&[&["sources"], &at[..]].concat()).await;
    assert_eq!(
        table,
        "SOURCE    TABLE            KIND    CHANGES  KEEP  KEY  ROOM     COLUMNS\n\
         messages  public.messages  direct  insert   -     id   room_id  all\n"
    );
    db.batch_execute("alter table messages disable trigger all")
        .await
        .expect("disable");
    let list: Value =
        serde_json::from_str(&succeeds(&[&["sources", "--json"], &at[..]].concat()).await).expect("JSON");
    assert_eq!(list[0]["table"], "public.messages");
    assert_eq!(list[0]["findings"].as_array().map(Vec::len), Some(3), "{list}");

    assert!(
        fails(&[&["detach", "nope"], &at[..]].concat())
            .await
            .contains("There are: messages")
    );
    succeeds(&[&["detach", "messages"], &at[..]].concat()).await;
    assert!(
        succeeds(&[&["sources"], &at[..]].concat())
            .await
            .starts_with("Nothing is attached.")
    );
    succeeds(&[&["uninstall"], &at[..]].concat()).await;
    assert!(
        succeeds(&[&["uninstall"], &at[..]].concat())
            .await
            .starts_with("Nothing to remove")
    );
}

#[tokio::test]
async fn print_sql_changes_nothing_and_its_script_does_the_same() {
    let db = with_table().await;
    db.batch_execute(r#"alter table messages add "it's" text; alter table messages add "b\s" text"#)
        .await
        .expect("alter");
    let at = ["--database-url", db.app_url.as_str()];
    let attach = [
        "attach",
        "public.messages",
        "--room",
        "room_id",
        "--columns",
        r"id,it's,b\s",
        "--source",
        "odd-name",
        "--never-ring=false",
        "--print-sql",
    ];
    let script = succeeds(&[&attach, &at[..]].concat()).await;
    assert!(
        db.query("select from pg_namespace where nspname = 'rowcast'", &[])
            .await
            .expect("ask")
            .is_empty()
    );
    for _ in 0..2 {
        db.batch_execute(&format!("begin;\n{script}\ncommit;"))
            .await
            .expect("run the script");
    }
    let list = succeeds(&[&["sources"], &at[..]].concat()).await;
    assert!(
        list.contains(r#"odd-name  public.messages  direct  insert   -     id   room_id  id,"it's","b\s""#)
            && !list.contains('!'),
        "{list}"
    );
    assert!(
        succeeds(&[&["migrate"], &at[..]].concat())
            .await
            .contains("of this version already")
    );

    let detach = succeeds(&["detach", "odd-name", "--print-sql"]).await;
    db.batch_execute(&format!("begin;\n{detach}\ncommit;"))
        .await
        .expect("detach");
    assert!(
        succeeds(&[&["sources"], &at[..]].concat())
            .await
            .starts_with("Nothing is attached.")
    );
    let uninstall = succeeds(&["uninstall", "--print-sql"]).await;
    db.batch_execute(&format!("begin;\n{uninstall}\ncommit;"))
        .await
        .expect("uninstall");
    assert!(
        db.query("select from pg_namespace where nspname = 'rowcast'", &[])
            .await
            .expect("ask")
            .is_empty()
    );
}

#[tokio::test]
async fn a_journals_options_are_attached_listed_and_printed() {
    let db = with_table().await;
    let at = ["--database-url", db.app_url.as_str()];
    let attach = [
        "attach",
        "public.messages",
        "--room",
        "lower(body)",
        "--changes",
        "delete,insert,update",
        "--keep",
        "100000 rows",
        "--always",
        "--never-ring=false",
    ];
    let script = succeeds(&[&attach[..], &["--print-sql"]].concat()).await;
    db.batch_execute(&format!("begin;\n{script}\ncommit;"))
        .await
        .expect("run the script");
    let said = succeeds(&[&attach[..], &at[..]].concat()).await;
    assert!(said.contains("nothing was changed"), "{said}");
    let table = succeeds(&[&["sources"], &at[..]].concat()).await;
    assert_eq!(
        table,
        "SOURCE    TABLE            KIND     CHANGES               KEEP         KEY  ROOM         COLUMNS\n\
         messages  public.messages  journal  insert,update,delete  100000 rows  id   lower(body)  all\n"
    );
    let list = succeeds(&[&["sources", "--json"], &at[..]].concat()).await;
    let list: Value = serde_json::from_str(&list).expect("JSON");
    for (name, value) in [
        ("kind", json!("journal")),
        ("changes", json!(["insert", "update", "delete"])),
        ("journal", json!("rowcast.journal_messages")),
        ("keep", json!("100000 rows")),
        ("always", json!(true)),
        ("per_statement", json!(false)),
        ("key", json!(["id"])),
        ("findings", json!([])),
    ] {
        assert_eq!(list[0][name], value, "{name}: {list}");
    }

    let plain = [
        "attach",
        "public.messages",
        "--room",
        "room_id",
        "--journal",
        "--per-statement",
    ];
    let said = succeeds(&[&plain[..], &at[..]].concat()).await;
    assert!(said.contains("source messages begins anew"), "{said}");
    let list = succeeds(&[&["sources"], &at[..]].concat()).await;
    assert!(
        list.contains("journal  insert   7 days  id   room_id  all"),
        "{list}"
    );
    let said = fails(&[&plain[..], &["--keep", "a while"], &at[..]].concat()).await;
    assert!(said.contains("--keep 7d"), "{said}");
    let said = fails(&[&plain[..], &["--changes", "truncate"], &at[..]].concat()).await;
    assert!(said.contains("--changes"), "{said}");
}

#[tokio::test]
async fn no_database_url_names_flag_and_variable() {
    for command in [
        &["serve"][..],
        &["sources"],
        &["migrate"],
        &["attach", "t", "--room", "r"],
    ] {
        let line = fails(command).await;
        assert!(
            line.contains("--database-url") && line.contains("DATABASE_URL"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_database_that_can_not_be_had_is_one_line_with_the_reason() {
    let real = server().url("postgres");
    let with = |change: fn(&mut Url)| {
        let mut url = Url::parse(&real).expect("the server's URL");
        change(&mut url);
        String::from(url)
    };
    for (url, reason) in [
        (with(|url| url.set_path("/absent")), "has no database \"absent\""),
        (
            with(|url| url.set_password(Some("wrong")).expect("set")),
            "password authentication failed",
        ),
        (
            with(|url| url.set_port(Some(1)).expect("set")),
            "Connection refused",
        ),
        ("http:// x".to_owned(), "the database URL is malformed"),
    ] {
        for command in ["serve", "sources", "migrate"] {
            let line = fails(&[command, "--database-url", &url]).await;
            assert!(
                line.contains(reason) && line.contains("--database-url (DATABASE_URL)"),
                "{line}"
            );
            assert!(
                !line.contains("wrong") && !line.contains(server().password()),
                "{line}"
            );
        }
    }
}

#[tokio::test]
async fn a_missing_privilege_is_one_line_with_the_remedy() {
    let db = with_table().await;
    let role = format!("{}_weak", db.name);
    db.admin()
        .await
        .batch_execute(&format!("create role {role} login password 'secret'"))
        .await
        .expect("make a role");
    let mut url = Url::parse(&db.app_url).expect("the server's URL");
    url.set_username(&role).expect("set");
    url.set_password(Some("secret")).expect("set");
    let line = fails(&["serve", "--database-url", url.as_str()]).await;
    assert!(line.contains("`rowcast migrate` once as role postgres"), "{line}");
}

#[tokio::test]
async fn options_that_are_wrong_name_flag_and_variable() {
    let url = server().url("postgres");
    for (arguments, flag, variable) in [
        (&["--listen", "0.0.0.0:0"][..], "--auth", "ROWCAST_AUTH"),
        (&["--listen", "nowhere"], "--listen", "ROWCAST_LISTEN"),
        (&["--auth", "jwt"], "--auth", "ROWCAST_AUTH"),
        (&["--auth", "open"], "--auth", "ROWCAST_AUTH"),
        (&["--heartbeat", "soon"], "--heartbeat", "ROWCAST_HEARTBEAT"),
        (
            &["--max-event-bytes", "huge"],
            "--max-event-bytes",
            "ROWCAST_MAX_EVENT_BYTES",
        ),
        (&["--allow-origin", "*"], "--allow-origin", "ROWCAST_ALLOW_ORIGIN"),
        (
            &["--allow-origin", "https://a.org/path"],
            "--allow-origin",
            "ROWCAST_ALLOW_ORIGIN",
        ),
        (&["--base-path", "/a b"], "--base-path", "ROWCAST_BASE_PATH"),
        (&["--pool-size", "0"], "--pool-size", "ROWCAST_POOL_SIZE"),
        (
            &["--log-level", "rowcast=loud"],
            "--log-level",
            "ROWCAST_LOG_LEVEL",
        ),
    ] {
        let line = fails(&[&["serve", "--database-url", &url], arguments].concat()).await;
        assert!(line.contains(flag) && line.contains(variable), "{line}");
    }
}

#[tokio::test]
async fn help_documents_every_flag_with_its_variable() {
    let help = succeeds(&["serve", "--help"]).await;
    let flags = help
        .lines()
        .filter(|line| line.trim_start().starts_with("--"))
        .count();
    let variables = help
        .lines()
        .filter(|line| line.trim_start().starts_with("[env: "))
        .count();
    assert!(flags > 20, "{help}");
    assert_eq!(flags, variables, "{help}");
}

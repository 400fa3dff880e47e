//! Publish, end to end: what is posted is inserted as the host's own code would, and arrives.

use serde_json::json;

use crate::support::{Relay, Subscriber, Transport, grant_publishing, messages, run, scene};

const PATH: &str = "/v1/rooms/a/events";

#[tokio::test]
async fn what_is_posted_arrives() {
    let (_db, relay) = scene(&["--allow-publish"]).await;
    for (n, transport) in Transport::ALL.into_iter().enumerate() {
        let mut subscriber = Subscriber::new(&relay.client, transport, PATH).await;
        let answer = relay.client.post(PATH, &json!({"body": "hi"})).await;
        let id = n as i64 + 1;
        assert_eq!(
            (answer.status.as_u16(), answer.json()),
            (201, json!({"id": id, "room": "a"}))
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let event = subscriber.next().await;
        assert_eq!(
            event["row"],
            json!({"id": id, "room": "a", "body": "hi"}),
            "{transport:?}"
        );
    }
    let agreed = relay
        .client
        .post("/v1/sources/messages/rooms/b/events", &json!({"room": "b"}))
        .await;
    let id = Transport::ALL.len() + 1;
    assert_eq!(agreed.json(), json!({"id": id, "room": "b"}));
}

#[tokio::test]
async fn the_hosts_triggers_find_what_they_need() {
    let db = messages().await;
    let admin = db.admin().await;
    run(&admin, "create schema shop authorization app").await;
    run(
        &db,
        "create table audit (message bigint, room text);
         create function note_message() returns trigger language plpgsql as $$
         begin insert into audit values (new.id, new.room); new.body := upper(new.body); return new; end $$;
         create trigger note before insert on messages for each row execute function note_message();
         create table shop.settings (suffix text); insert into shop.settings values ('!');
         create function add_suffix() returns trigger language plpgsql as $$
         begin new.body := new.body || (select suffix from settings); return new; end $$;
         create trigger z_suffix before insert on messages for each row execute function add_suffix();
         grant insert on audit to relay; grant usage on schema shop to relay; grant select on shop.settings to relay",
    )
    .await;
    grant_publishing(&db).await;
    run(
        &admin,
        &format!("alter database {} set search_path = public, shop", db.name),
    )
    .await;
    let relay = Relay::serve(&db.relay_url, &["--allow-publish"]).await;
    let answer = relay.client.post(PATH, &json!({"body": "hi"})).await;
    assert_eq!(answer.status, 201, "{}\n{:#?}", answer.body, relay.log());
    assert_eq!(relay.client.get(PATH).await.events()[0]["row"]["body"], "HI!");
    let audited: i64 = db
        .query_one("select message from audit", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(audited, 1);
}

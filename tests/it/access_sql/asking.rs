//! Asking again: which statements a call costs, and who waits for whom.

mod failing;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use rowcast::auth::{Access, Ended, Gate, Keyring, Lease, Refusal, Rooms, Via};
use rowcast::config::{Auth, JwtConfig, KeySource, Secret};
use rowcast::hub::{HubLimits, RingLimits};
use rowcast::metrics::Metrics;
use rowcast::pg::bell::Bell;
use rowcast::pg::reauthorize::Reauthorize;
use rowcast::pg::store::ReadLimits;
use rowcast::relay::{LiveSource, SourceLimits};
use rowcast::room::Room;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{MEMBERS_ONLY, to_database, with_members};
use crate::support::{TestDatabase, eventually, run, within};

/// Nobody is asked about again by the clock.
const NO_CLOCK: Duration = Duration::from_secs(3600);

struct Scene {
    db: TestDatabase,
    gate: Arc<Gate>,
    messages: Arc<LiveSource>,
}

fn configuration(statement: &str, reauthorize_interval: Duration) -> JwtConfig {
    JwtConfig {
        keys: KeySource::Secret(Secret::from("s".repeat(32))),
        algorithms: Vec::new(),
        issuer: None,
        audience: None,
        leeway: Duration::ZERO,
        rooms_claim: "rooms".to_owned(),
        cookie: None,
        query_token: false,
        ticket_lifetime: NO_CLOCK,
        authorize_sql: Some(statement.to_owned()),
        reauthorize_interval,
    }
}

const LIMITS: SourceLimits = SourceLimits {
    hub: HubLimits {
        ring: RingLimits { events: 1, bytes: 1 },
        total_bytes: 1,
        linger: Duration::ZERO,
    },
    reads: ReadLimits {
        event_bytes: 1,
        page_bytes: 1,
    },
    replays_at_once: 1,
    waiting_replays: 1,
};

impl Scene {
    /// A gate that asks this statement, and asks again; nobody has a lease.
    async fn new(statement: &str, interval: Duration) -> Self {
        Self::prepared("", statement, interval).await
    }

    /// The same in a database that was prepared with these statements.
    async fn prepared(sql: &str, statement: &str, interval: Duration) -> Self {
        let (db, source) = with_members().await;
        run(
            &db,
            "create extension if not exists pg_stat_statements;
             insert into members values (0, 0), (-1, -1)",
        )
        .await;
        run(&db, sql).await;
        let database = to_database(&db.admin_url).await;
        let (bell, listening) = Bell::new(database.clone(), database.clone(), CancellationToken::new());
        let mut heard = bell.reauthorizations();
        tokio::spawn(listening);
        let auth = Auth::Jwt(Box::new(configuration(statement, interval)));
        let gate = Arc::new(Gate::new(Keyring::load(&auth).expect("a secret"), &database));
        tokio::spawn({
            let gate = gate.clone();
            async move { gate.watch(&bell, CancellationToken::new()).await }
        });
        let scene = Self {
            db,
            gate,
            messages: LiveSource::new(database, source, LIMITS, &Metrics::new()),
        };
        // That LISTEN is proven counts as a call for all rooms. The second time nothing of that is under way any longer.
        assert_eq!(within(heard.next()).await, Reauthorize::ALL);
        scene.settle().await;
        scene.settle().await;
        scene
    }

    /// Returns when the calls up to now were heard: calls are heard in their order.
    async fn settle(&self) {
        let mut lease = self.lease(r#"{"sub":"0"}"#, &["0"]).await;
        let call = "delete from members where room_id = 0; select rowcast.reauthorize('0')";
        run(&self.db, call).await;
        within(lease.ended()).await;
        run(&self.db, "insert into members values (0, 0)").await;
    }

    async fn lease(&self, claims: &str, rooms: &[&str]) -> Lease {
        let lease = within(self.read(claims, rooms)).await;
        lease.unwrap_or_else(|refusal| panic!("{claims}: {refusal}"))
    }

    async fn read(&self, claims: &str, rooms: &[&str]) -> Result<Lease, Refusal> {
        let access = Access {
            subject: None,
            claims: Some(claims.into()),
            expires_at: None,
            read: Rooms::all(),
            publish: Rooms::default(),
            via: Via::Token,
        };
        let rooms: Vec<Room> = rooms.iter().map(|room| Room::canonical(room)).collect();
        self.gate.read(&access, &self.messages, &rooms).await
    }

    /// How many statements wait for a lock.
    async fn waiting(&self) -> i64 {
        let sql = "select count(*) from pg_stat_activity
                   where datname = current_database() and wait_event = 'advisory'";
        self.db.query_one(sql, &[]).await.expect("count").get(0)
    }

    /// Since when the first of them does; empty if there is none.
    async fn under_way(&self) -> String {
        let sql = "select coalesce(min(xact_start)::text, '') from pg_stat_activity
                   where datname = current_database() and wait_event = 'advisory'";
        self.db.query_one(sql, &[]).await.expect("ask").get(0)
    }

    /// How often the operator's statement was run, and in how many transactions.
    async fn asked(&self) -> (i64, i64) {
        let sql = "select coalesce(sum(calls) filter (where query like 'select exists (select from members%'), 0)::bigint,
                          coalesce(sum(calls) filter (where query like '%begin isolation%, read only%'), 0)::bigint
                   from pg_stat_statements
                   where dbid = (select oid from pg_database where datname = current_database())";
        let counted = self.db.query_one(sql, &[]).await.expect("count");
        (counted.get(0), counted.get(1))
    }

    /// Changes members and calls; then these leases end. What that cost, as [`Scene::asked`] has it.
    async fn cost(&self, sql: &str, leases: &mut [Lease]) -> (i64, i64) {
        let before = self.asked().await;
        let start = Instant::now();
        run(&self.db, sql).await;
        let ended = within(join_all(leases.iter_mut().map(Lease::ended))).await;
        eprintln!(
            "{} leases ended {:?} after {sql:?}",
            leases.len(),
            start.elapsed()
        );
        assert!(ended.iter().all(|ended| *ended == Ended::Revoked));
        let after = self.asked().await;
        (after.0 - before.0, after.1 - before.1)
    }
}

fn has_ended(lease: &mut Lease) -> bool {
    lease.ended().now_or_never().is_some()
}

#[tokio::test]
async fn six_hundred_streams_of_a_bearer_cost_one_question_for_each_room() {
    let scene = Scene::new(MEMBERS_ONLY, NO_CLOCK).await;
    let sql = "insert into members select n, 99 from generate_series(1, 100) n";
    run(&scene.db, sql).await;
    let names: Vec<String> = (1..=100).map(|room| room.to_string()).collect();
    let rooms: Vec<&str> = names.iter().map(String::as_str).collect();
    for (call, questions) in [("rowcast.reauthorize('50')", 1), ("rowcast.reauthorize()", 100)] {
        let mut leases = Vec::new();
        for _ in 0..600 {
            leases.push(scene.lease(r#"{"sub":"99"}"#, &rooms).await);
        }
        let expel = "delete from members where room_id = 50 and user_id = 99";
        let cost = scene.cost(&format!("{expel}; select {call}"), &mut leases).await;
        assert_eq!(cost, (questions, 1), "{call}");
        run(
            &scene.db,
            "insert into members values (50, 99); select rowcast.reauthorize('50')",
        )
        .await;
        scene.settle().await;
    }
}

#[tokio::test]
async fn tokens_of_their_own_are_asked_about_a_hundred_at_a_time() {
    let scene = Scene::new(MEMBERS_ONLY, NO_CLOCK).await;
    let mut leases = Vec::new();
    for number in 0..250 {
        let claims = format!(r#"{{"sub":"7","jti":"{number}"}}"#);
        leases.push(scene.lease(&claims, &["1", "2"]).await);
    }
    let sql = "delete from members where room_id = 1; select rowcast.reauthorize('1', 'messages')";
    assert_eq!(scene.cost(sql, &mut leases).await, (250, 3));
}

/// Holds up whoever asks about user 9, while somebody has the lock.
const NINE_WAITS: &str =
    "select exists (select from members where room_id = $1 and user_id = ($2->>'sub')::int)
    from (select case when $2->>'sub' = '9' then pg_advisory_xact_lock_shared(1) end) waited";

/// Leases of users 100 to 119 for room 1, one for each round of [`a_call_is_answered_meanwhile`].
async fn leases_to_end(scene: &Scene) -> Vec<(i32, Lease)> {
    let sql = "insert into members select 1, n from generate_series(100, 119) n";
    run(&scene.db, sql).await;
    let mut leases = Vec::new();
    for user in 100..120 {
        let claims = format!(r#"{{"sub":"{user}"}}"#);
        leases.push((user, scene.lease(&claims, &["1"]).await));
    }
    leases
}

/// While statements wait for a lock, users are expelled.
async fn a_call_is_answered_meanwhile(scene: &Scene, mut leases: Vec<(i32, Lease)>) {
    // A statement is cut after two seconds. Should that be in between on a slow machine, the round says nothing.
    eventually(async || {
        eventually(async || !scene.under_way().await.is_empty()).await;
        let before = scene.under_way().await;
        let (user, mut lease) = leases.pop().expect("there are more rounds than time for them");
        let expel = format!("delete from members where user_id = {user}; select rowcast.reauthorize('1')");
        run(&scene.db, &expel).await;
        within(lease.ended()).await;
        !before.is_empty() && before == scene.under_way().await
    })
    .await;
}

#[tokio::test]
async fn a_call_does_not_wait_for_a_turn() {
    let scene = Scene::new(NINE_WAITS, Duration::from_millis(160)).await;
    run(&scene.db, "insert into members values (2, 9)").await;
    let leases = leases_to_end(&scene).await;
    let _nine = scene.lease(r#"{"sub":"9"}"#, &["2"]).await;
    let gate = scene.db.connect().await;
    run(&gate, "select pg_advisory_lock(1)").await;
    a_call_is_answered_meanwhile(&scene, leases).await;
}

#[tokio::test]
async fn a_call_does_not_wait_for_those_who_come() {
    let scene = Arc::new(Scene::new(NINE_WAITS, NO_CLOCK).await);
    let leases = leases_to_end(&scene).await;
    let gate = scene.db.connect().await;
    run(&gate, "select pg_advisory_lock(1)").await;
    // Each of them comes again and again: nobody lets them in.
    let _newcomers: Vec<_> = (0..8)
        .map(|number| {
            let scene = scene.clone();
            AbortOnDropHandle::new(tokio::spawn(async move {
                loop {
                    let claims = format!(r#"{{"sub":"9","jti":"{number}"}}"#);
                    assert!(scene.read(&claims, &["2"]).await.is_err());
                }
            }))
        })
        .collect();
    eventually(async || scene.waiting().await >= 3).await;
    a_call_is_answered_meanwhile(&scene, leases).await;
}

#[tokio::test]
async fn a_call_does_not_wait_for_a_room_that_hangs() {
    let scene = Scene::new(NINE_WAITS, NO_CLOCK).await;
    run(&scene.db, "insert into members values (2, 9)").await;
    let leases = leases_to_end(&scene).await;
    let mut nines = Vec::new();
    for number in 0..40 {
        let claims = format!(r#"{{"sub":"9","jti":"{number}"}}"#);
        nines.push(scene.lease(&claims, &["2"]).await);
    }
    let gate = scene.db.connect().await;
    run(&gate, "select pg_advisory_lock(1)").await;
    run(&scene.db, "select rowcast.reauthorize('2')").await;
    // Thrice one of them was given up. What is asked from then on was asked before.
    let mut under_way = String::new();
    for _ in 0..4 {
        eventually(async || {
            let now = scene.under_way().await;
            let is_another = !now.is_empty() && now != under_way;
            if is_another {
                under_way = now;
            }
            is_another
        })
        .await;
    }
    a_call_is_answered_meanwhile(&scene, leases).await;
    // With a call: what is under way has a snapshot of before.
    let expel = "delete from members where user_id = 9; select rowcast.reauthorize('2')";
    run(&scene.db, expel).await;
    run(&gate, "select pg_advisory_unlock(1)").await;
    let ended = within(join_all(nines.iter_mut().map(Lease::ended))).await;
    assert!(ended.iter().all(|ended| *ended == Ended::Revoked));
}

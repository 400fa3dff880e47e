//! The network swallows what is sent, and nobody is told: no RST, no FIN.

use std::net::SocketAddr;
use std::process::{Command, Output};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::trial::{Trial, not_run, set_up};
use super::{is_long, not_ready, outage, ready};
use crate::support::swallow::Swallow;
use crate::support::{Relay, TestDatabase, database, eventually, server};

const BY_A_LINK: &str = "network dropped: the relay's link down";

async fn stage() -> TestDatabase {
    let db = database().await;
    set_up(&db).await;
    db
}

fn postgres_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], server().port()))
}

/// The URL with another server in it.
fn at(url: &str, address: SocketAddr) -> String {
    url.replace(&postgres_address().to_string(), &address.to_string())
}

/// Fails without `Control::answered`: ready for half a minute, and blind. Where it is around the reads alone it fails now and
/// then, since any statement of the tail can be the one that is swallowed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_way_to_postgresql_swallows_everything() {
    let db = stage().await;
    let proxy = Swallow::start("127.0.0.1", postgres_address()).await;
    let relay = Relay::serve(&at(&db.relay_url, proxy.address), &[]).await;
    let fault = "network dropped between relay and PostgreSQL";
    let trial = Trial::begin(fault, [&relay.url; 2], &db.app_url).await;
    proxy.cut();
    let began = Instant::now();
    not_ready(&relay, "has not answered").await;
    trial.is_written().await;
    sleep(outage().saturating_sub(began.elapsed())).await;
    let lasted = began.elapsed();
    let how_it_healed = match is_long() {
        true => {
            proxy.heal();
            "then new connections pass, and the old ones are never told"
        }
        false => {
            proxy.heal_with_resets();
            "then the old connections are reset"
        }
    };
    // Until the relay gives the old ones up: longer than anybody waits for a condition.
    let deadline = Instant::now() + Duration::from_secs(60);
    while relay.client.get("/health/ready").await.status != 200 {
        assert!(Instant::now() < deadline, "the relay does not find back");
        sleep(Duration::from_millis(50)).await;
    }
    trial.goes_on().await;
    let done = format!(
        "a proxy swallows both directions for {:.0} s, {how_it_healed}",
        lasted.as_secs_f64()
    );
    let saw = "streams wait; polls get 503 within 5 s, `/health/ready` as well";
    trial.end(&done, saw).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_way_to_the_clients_swallows_everything() {
    let db = stage().await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    let address = relay
        .url
        .trim_start_matches("http://")
        .parse()
        .expect("an address");
    let proxy = Swallow::start("127.0.0.1", address).await;
    let url = format!("http://{}", proxy.address);
    let fault = "network dropped between clients and relay";
    let trial = Trial::begin(fault, [&url; 2], &db.app_url).await;
    proxy.cut();
    trial.is_written().await;
    sleep(outage()).await;
    proxy.heal();
    trial.goes_on().await;
    ready(&relay).await;
    let done = format!(
        "a proxy swallows both directions for {} s; then new connections pass, and the old ones are never told",
        outage().as_secs()
    );
    trial
        .end(&done, "nothing, until their own patience is over (3 s)")
        .await;
}

/// A cable between this machine and a network namespace with nothing but a relay in it.
struct Cable {
    host: String,
    there: String,
    link: String,
}

fn ip(arguments: &str) -> Output {
    let mut command = Command::new("ip");
    command.args(arguments.split(' '));
    command.output().expect("run ip")
}

fn must(output: &Output) {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

impl Cable {
    /// Two addresses of a network that is for tests of networks (RFC 2544), and the name of its link.
    fn new() -> Self {
        let (third, fourth) = (rand::random::<u8>(), rand::random_range(0..64) * 4);
        Self {
            host: format!("198.18.{third}.{}", fourth + 1),
            there: format!("198.18.{third}.{}", fourth + 2),
            link: format!("rowcast{third:02x}{fourth:02x}"),
        }
    }

    /// Whether this process may make namespaces and links: it tries both.
    fn is_possible() -> bool {
        let succeeds = |words: &str| {
            let mut words = words.split(' ');
            let made = Command::new(words.next().unwrap_or_default())
                .args(words)
                .output();
            made.is_ok_and(|made| made.status.success())
        };
        let link = format!("rc{:08x}", rand::random::<u32>());
        rustix::process::geteuid().is_root()
            && succeeds("unshare --net ip link")
            && succeeds("nsenter --version")
            && succeeds(&format!("ip link add {link}a type veth peer name {link}b"))
            && succeeds(&format!("ip link delete {link}a"))
    }

    /// What a program is to be started by: it waits in a namespace of its own until the cable is laid. The namespace ends
    /// with it, and the cable with the namespace.
    fn namespace(&self) -> [String; 6] {
        let wait = format!(
            "until ip -4 addr show up | grep -q {}; do sleep 0.02; done; exec \"$@\"",
            self.there
        );
        ["unshare", "--net", "--", "/bin/sh", "-c", &wait].map(str::to_owned)
    }

    /// Between here and the namespace of `pid`.
    async fn lay(&self, pid: u32) {
        let network = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        eventually(async || network(&pid.to_string()).is_some_and(|its| network("self") != Some(its))).await;
        let Self { host, there, link } = self;
        must(&ip(&format!(
            "link add {link} type veth peer name uplink netns {pid}"
        )));
        must(&ip(&format!("addr add {host}/30 dev {link}")));
        must(&ip(&format!("link set {link} up")));
        for inside in [
            format!("addr add {there}/30 dev uplink"),
            "link set uplink up".to_owned(),
        ] {
            let net = format!("--net=/proc/{pid}/ns/net");
            let entered = Command::new("nsenter")
                .args([net.as_str(), "ip"])
                .args(inside.split(' '))
                .output();
            must(&entered.expect("run nsenter"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_relays_link_is_down() {
    if !Cable::is_possible() {
        return not_run(BY_A_LINK, "no right to make a network namespace");
    }
    let db = stage().await;
    let cable = Cable::new();
    // The proxy stands for PostgreSQL, on an address that comes with the cable.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    drop(listener);
    let postgres: SocketAddr = format!("{}:{port}", cable.host).parse().expect("an address");
    let (url, listen) = (at(&db.relay_url, postgres), format!("{}:0", cable.there));
    let arguments = [
        "serve",
        "--database-url",
        &url,
        "--listen",
        &listen,
        "--auth",
        "none",
    ];
    let mut relay = Relay::start_by(&cable.namespace(), &arguments);
    cable.lay(relay.pid()).await;
    let _proxy = Swallow::start_at(postgres, postgres_address()).await;
    relay.wait_until_listening().await;
    let trial = Trial::begin(BY_A_LINK, [&relay.url; 2], &db.app_url).await;
    must(&ip(&format!("link set {} down", cable.link)));
    trial.is_written().await;
    sleep(outage()).await;
    must(&ip(&format!("link set {} up", cable.link)));
    trial.goes_on().await;
    ready(&relay).await;
    let done = format!(
        "a network namespace, `ip link set … down` for {} s: to PostgreSQL and to the clients alike",
        outage().as_secs()
    );
    trial
        .end(
            &done,
            "nothing, until the link is back or their own patience is over (3 s)",
        )
        .await;
}

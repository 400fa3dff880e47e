//! What systemd hears of a relay: a socket of the test's stands in for its own.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Relay, TIMEOUT, messages};

/// The next thing that is said, of those that begin with `what`.
fn hear(socket: &UnixDatagram, what: &str) -> String {
    let mut buffer = [0; 1024];
    loop {
        let size = socket.recv(&mut buffer).expect("the relay says it in time");
        let said = String::from_utf8_lossy(&buffer[..size]).into_owned();
        if said.lines().any(|line| line.starts_with(what)) {
            return said;
        }
    }
}

#[tokio::test]
async fn a_service_manager_hears_when_it_is_ready_that_it_lives_and_when_it_ends() {
    let db = messages().await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(TIMEOUT)).expect("a time-out");
    let words = [
        "serve",
        "--database-url",
        &db.relay_url,
        "--listen",
        "127.0.0.1:0",
    ];
    let mut relay = Relay::start_in(
        &words,
        &[
            ("NOTIFY_SOCKET", path.to_str().expect("a path")),
            (
                "WATCHDOG_USEC",
                &Duration::from_millis(100).as_micros().to_string(),
            ),
        ],
    );
    relay.wait_until_listening().await;
    let mut hear = async |what: &'static str| {
        let socket = socket.try_clone().expect("another descriptor");
        tokio::task::spawn_blocking(move || hear(&socket, what))
            .await
            .expect("it is heard")
    };
    assert!(hear("READY=1").await.contains("STATUS=following 1 sources"));
    for _ in 0..3 {
        hear("WATCHDOG=1").await;
    }
    relay.signal(Signal::TERM);
    hear("STOPPING=1").await;
    assert!(relay.exit_status().await.success());
}

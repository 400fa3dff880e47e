//! The disk of PostgreSQL is full: a small tmpfs, where one may be mounted.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use rowcast::demo::postgres::StopMode;
use tempfile::TempDir;
use tokio_postgres::error::SqlState;

use super::server::Server;
use super::trial::{Trial, not_run};
use super::{not_ready, ready};
use crate::support::{Relay, connect, eventually};

const FAULT: &str = "PostgreSQL out of disk";

/// Of the tmpfs, in MiB: twice a fresh data directory, and some write-ahead log.
const SIZE: u32 = 192;

/// A file system of its own, gone when dropped.
struct SmallDisk {
    directory: TempDir,
}

impl SmallDisk {
    /// `None` where this process may not mount.
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let options = format!("size={SIZE}m,mode=0755");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(directory.path())
            .output();
        mounted
            .is_ok_and(|mounted| mounted.status.success())
            .then_some(())?;
        Some(Self { directory })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes until not a byte is left, and returns the file.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("ballast");
        let mut file = File::create(&path).expect("create the ballast");
        for size in [1 << 20, 1 << 12, 1] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process of the server may not be over yet.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).output();
    }
}

/// Moves the data of a server to a directory, as an operator would: stopped, with a link in the old place.
async fn move_data(server: &mut Server, to: &Path) {
    let data = server.postgres().socket_dir().join("data");
    let to = to.join("data");
    server.stop(StopMode::Fast).await;
    let copied = Command::new("cp").arg("-Rp").args([&data, &to]).status();
    assert!(copied.expect("run cp").success());
    std::fs::remove_dir_all(&data).expect("remove the old data");
    std::os::unix::fs::symlink(&to, &data).expect("link to the new data");
    server.start_again().await;
}

/// A table that grows until the disk is full; then log segments that find no room, until PostgreSQL gives up.
async fn use_up(server: &Server) {
    let admin = connect(&server.urls.admin).await;
    let grow = "create table if not exists filler (t text); insert into filler select repeat(n::text, 500) from generate_series(1, 20000) n";
    eventually(async || match admin.batch_execute(grow).await {
        Ok(()) => false,
        Err(error) => {
            let state = error.code().expect("PostgreSQL's own error");
            assert!(
                [SqlState::DISK_FULL, SqlState::OUT_OF_MEMORY].contains(state) || admin.is_closed(),
                "{error:?}"
            );
            true
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_disk_is_full() {
    let Some(disk) = SmallDisk::mount() else {
        return not_run(FAULT, "no right to mount a small file system");
    };
    let settings = [("max_wal_size", "48MB"), ("min_wal_size", "32MB")];
    let mut server = Server::start(&settings).await;
    move_data(&mut server, disk.path()).await;
    let relay = Relay::serve(&server.urls.relay, &[]).await;
    let trial = Trial::begin(FAULT, [&relay.url; 2], &server.urls.app).await;
    let ballast = disk.fill();
    use_up(&server).await;
    // Where the next segment of the log finds no room, every session ends, and recovery finds none either.
    eventually(async || {
        let Some((admin, _driver)) = crate::torture::try_connect(&server.urls.admin).await else {
            return true;
        };
        // Nothing that needs room but the log itself.
        let log =
            "select pg_logical_emit_message(false, 'rowcast', repeat('x', 100000)); select pg_switch_wal()";
        let _ = admin.batch_execute(log).await;
        false
    })
    .await;
    not_ready(&relay, "messages").await;
    std::fs::remove_file(ballast).expect("remove the ballast");
    // What is left of it, if anything.
    let _ = server.with(|postgres| postgres.stop(StopMode::Immediate)).await;
    server.start_again().await;
    trial.goes_on().await;
    ready(&relay).await;
    trial
        .end(
            &format!("data and log on a tmpfs of {SIZE} MiB, filled: inserts fail, then PostgreSQL panics; started again when there is room"),
            "streams wait, polls get 503 while PostgreSQL is down",
        )
        .await;
    drop(server);
}

//! A server of one test's own that can be stopped, killed, started again while the rest of the test goes on.

use rowcast::demo::postgres::{Postgres, StopMode};
use rustix::process::{Pid, Signal, kill_process};

use super::trial::set_up;
use crate::support::roles::prepare;
use crate::support::{Urls, connect, own_server};

/// A server with the table `messages`, attached.
pub struct Server {
    postgres: Option<Postgres>,
    pub urls: Urls,
}

impl Server {
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        let settings: Vec<(&str, &str)> = [&[("max_prepared_transactions", "0")], settings].concat();
        let postgres = tokio::task::block_in_place(|| own_server(&settings));
        let urls = prepare(&postgres, "postgres").await;
        set_up(&connect(&urls.app).await).await;
        Self {
            postgres: Some(postgres),
            urls,
        }
    }

    /// Does something that takes its time with the server, beside the other tasks.
    pub async fn with<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut Postgres) -> T + Send + 'static,
    ) -> T {
        let mut postgres = self.postgres.take().expect("it is put back below");
        let (postgres, outcome) = tokio::task::spawn_blocking(move || {
            let outcome = act(&mut postgres);
            (postgres, outcome)
        })
        .await
        .expect("neither starting nor stopping panics");
        self.postgres = Some(postgres);
        outcome
    }

    pub fn postgres(&self) -> &Postgres {
        self.postgres.as_ref().expect("it is there between two acts")
    }

    pub async fn stop(&mut self, mode: StopMode) {
        self.with(move |postgres| postgres.stop(mode))
            .await
            .expect("stop PostgreSQL");
    }

    /// `kill -9` of the postmaster. Its children find out by themselves.
    pub async fn kill(&mut self) {
        let pid_file = self.postgres().socket_dir().join("data/postmaster.pid");
        let text = std::fs::read_to_string(pid_file).expect("read the postmaster's pid");
        let pid = text.lines().next().and_then(|line| line.trim().parse().ok());
        let pid = pid.and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, Signal::KILL).expect("kill the postmaster");
        self.stop(StopMode::Immediate).await;
    }

    /// Starts it again, as soon as nothing is left of it.
    pub async fn start_again(&mut self) {
        let started = self.with(|postgres| {
            // Children of a killed postmaster hold the shared memory until they have found out.
            let is_held = |log: &str| log.contains("shared memory block") || log.contains("lock file");
            let mut started = postgres.start_again();
            for _ in 0..200 {
                match &started {
                    Err(error) if is_held(&error.to_string()) => {
                        std::thread::sleep(std::time::Duration::from_millis(50));
                        started = postgres.start_again();
                    }
                    _ => break,
                }
            }
            started
        });
        started.await.expect("start PostgreSQL again");
    }
}

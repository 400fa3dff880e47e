//! A standby of a private server, made from a copy of its data.

use std::fs;
use std::process::{Command, Stdio};

use super::{LaunchError, Options, Postgres, StopMode};

impl Postgres {
    /// Starts a second server that follows this one by streaming replication and accepts sessions that only read.
    ///
    /// This server is stopped for the moment that copying its data takes (npm's packages bring no `pg_basebackup`, and
    /// that of another major version refuses to work). The standby takes this server's settings, then those of `options`.
    pub fn start_standby(&mut self, options: &Options) -> Result<Self, LaunchError> {
        let mut settings = self.options.settings.clone();
        settings.extend(options.settings.iter().cloned());
        let socket = self.socket_dir().display();
        settings.push((
            "primary_conninfo".to_owned(),
            format!("host={socket} port={} user=postgres", self.port),
        ));
        let bin_dir = options.bin_dir.clone().or_else(|| self.options.bin_dir.clone());
        let mut standby = Self::prepare(&Options { bin_dir, settings })?;
        standby.password.clone_from(&self.password);

        self.stop(StopMode::Fast)?;
        let copied = standby.copy_data(self);
        self.start_again()?;
        copied?;
        standby.start_on_free_port()?;
        Ok(standby)
    }

    /// Takes over the data of a stopped server and marks it as a standby's.
    fn copy_data(&self, primary: &Self) -> Result<(), LaunchError> {
        let mut copy = Command::new("cp");
        copy.arg("-Rp")
            .arg(primary.data_directory())
            .arg(self.data_directory())
            .stdin(Stdio::null());
        if let Some(account) = &self.account {
            account.lend(&mut copy);
        }
        let output = copy
            .output()
            .map_err(|source| LaunchError::io("run cp", source))?;
        LaunchError::unless_successful("cp", &output)?;
        fs::write(self.data_directory().join("standby.signal"), "")
            .map_err(|source| LaunchError::io("write standby.signal", source))
    }
}

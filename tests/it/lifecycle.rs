//! A relay in the course of time: tables come, change and go, the database goes and returns, the process ends.

mod backup;
mod ending;
mod outage;
mod publish;
mod restart;
mod service_manager;
mod sources;
mod tables;
mod truncate;
mod web;

use crate::support::{Relay, eventually};

/// Waits until `/health/ready` says 503 and a reason that contains `text`.
async fn not_ready(relay: &Relay, text: &str) {
    let mut seen = String::new();
    eventually(async || {
        let answer = relay.client.get("/health/ready").await;
        seen = format!("{} {}", answer.status, answer.body);
        let reasons = answer.json()["reasons"].to_string();
        answer.status == 503 && reasons.contains(text)
    })
    .await;
}

/// Waits until `/health/ready` says 200.
async fn ready(relay: &Relay) {
    eventually(async || relay.client.get("/health/ready").await.status == 200).await;
}

//! A subscriber whose cursor was void fetches what its rooms hold, as README says.

use form_urlencoded::Serializer;
use rand::Rng;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::Subscriber;

impl Subscriber {
    /// Where the newest of its rows stand, of those below `before`.
    fn listing(&mut self, before: Option<i64>) -> String {
        let relay = self.rng.random_range(0..2);
        let received = self.received.lock().unwrap();
        let mut query = Serializer::new("limit=1000".to_owned());
        query.extend_pairs(received.rooms.iter().map(|room| ("room", room)));
        query.extend_pairs(before.map(|before| ("before", before.to_string())));
        format!(
            "{}{}/events?{}",
            self.addresses.of(relay),
            received.path,
            query.finish()
        )
    }

    /// What stands in the rooms now; it may also be behind the cursor, and come once more.
    pub(super) async fn fetch_afresh(&mut self) {
        let mut lowest = None;
        loop {
            let url = self.listing(lowest);
            let answer = timeout(self.patience, async {
                self.http.get(url).send().await?.json().await
            });
            let Some(ids) = answer.await.ok().and_then(|answer| ids_of(&answer.ok()?)) else {
                sleep(self.back_off()).await;
                continue;
            };
            if ids.is_empty() {
                return;
            }
            lowest = ids.iter().min().copied();
            let mut received = self.received.lock().unwrap();
            let session = received.sessions.len() - 1;
            // What came meanwhile does not come again.
            let news: Vec<i64> = ids
                .into_iter()
                .filter(|id| !received.ids.contains_key(id))
                .collect();
            received.ids.extend(news.iter().map(|&id| (id, session)));
            received.listed.extend(news);
        }
    }
}

/// The ids of a poll's events; none where it is a problem.
fn ids_of(answer: &Value) -> Option<Vec<i64>> {
    let events = answer["events"].as_array()?;
    Some(events.iter().filter_map(|event| event["id"].as_i64()).collect())
}

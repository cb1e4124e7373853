//! Replicas of hot keys come and go.

use tokio::time::Instant;

use crate::world::{PATIENCE, World, until_finished};

impl World {
    /// Gives a hot key two to four replicas, or another number of them.
    pub(crate) async fn add_replicas(&mut self) {
        let count = self.random.u32(2..=4);
        self.replicate(Some(count)).await;
    }

    pub(crate) async fn remove_replicas(&mut self) {
        self.replicate(None).await;
    }

    async fn replicate(&mut self, count: Option<u32>) {
        let hot = self.origin.hot();
        let row = match count {
            Some(_) => &hot[self.random.usize(..hot.len())],
            None => hot.iter().find(|row| row.has_replicas()).unwrap_or(&hot[0]),
        };
        row.note_replicas(true);
        until_finished(|| self.publisher.copies(&row.key, count, Instant::now() + PATIENCE)).await;
        row.note_replicas(count.is_some());
    }
}

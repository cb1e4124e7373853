//! Many environments that read and write at once: whoever was answered reads that or something newer ever after.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::support::{House, get, send, version};
use anyhow::Result;
use fastrand::Rng;
use futures_util::future::join_all;
use larder_lambda::http::HttpAnswer;
use larder_write::App;

/// Environments, each of which reads and writes; and what each does.
const ENVIRONMENTS: usize = 6;
const STEPS: usize = 60;

/// The rows that all write, and the latest version of each that a writer was answered.
#[derive(Default)]
struct Shared([AtomicU64; 3]);

struct Environment {
    nth: usize,
    writer: App,
    reader: larder_read::App,
    random: Rng,
}

impl Environment {
    async fn run(mut self, shared: &Shared) {
        let mut own = None;
        for _ in 0..STEPS {
            match self.random.u8(..10) {
                0..3 => self.write_shared(shared).await,
                3..7 => self.read_shared(shared).await,
                7 => own = self.write_own(own).await,
                8 => self.read_own(own).await,
                // Whoever reads what others write alone gets in their way.
                _ => {
                    let other = self.random.usize(..ENVIRONMENTS);
                    get(&self.reader, &own_path(other)).await;
                }
            }
        }
    }

    async fn write_shared(&mut self, shared: &Shared) {
        let at = self.random.usize(..shared.0.len());
        let (method, body) = match self.random.bool() {
            true => ("PUT", r#"{"origin":"EWR","dest":"ORD"}"#),
            false => ("PATCH", r#"{"dest":"JFK"}"#),
        };
        let answer =
            send(&self.writer, method, &format!("/records/flights/{}", at + 1), &[], body).await.answer;
        if is_locked_out(&answer) {
            return;
        }
        assert!(matches!(answer.status_code, 200 | 201), "{answer:?}");
        shared.0[at].fetch_max(version(&answer), SeqCst);
    }

    async fn read_shared(&mut self, shared: &Shared) {
        let at = self.random.usize(..shared.0.len());
        let least = shared.0[at].load(SeqCst);
        let path = match self.random.u8(..4) {
            0 => format!("/records/flights/{}?min-version={least}", at + 1),
            _ => format!("/records/flights/{}", at + 1),
        };
        let answer = get(&self.reader, &path).await;
        assert_eq!(answer.status_code, 200, "{answer:?}");
        assert!(version(&answer) >= least, "{answer:?} was read after {least} was written");
    }

    /// Writes a row that nobody else writes; what it is now.
    async fn write_own(&mut self, own: Option<u64>) -> Option<u64> {
        let (method, body) = match self.random.u8(..3) {
            0 => ("DELETE", ""),
            1 if own.is_some() => ("PATCH", r#"{"dest":"JFK"}"#),
            _ => ("PUT", "{}"),
        };
        let answer = send(&self.writer, method, &own_path(self.nth), &[], body).await.answer;
        if is_locked_out(&answer) {
            return own;
        }
        match method {
            "DELETE" => assert_eq!(answer.status_code, 204, "{answer:?}"),
            _ => assert!(matches!(answer.status_code, 200 | 201), "{answer:?}"),
        }
        let now = (method != "DELETE").then(|| version(&answer));
        self.read_own(now).await;
        now
    }

    async fn read_own(&self, own: Option<u64>) {
        let answer: HttpAnswer = get(&self.reader, &own_path(self.nth)).await;
        let found = (answer.status_code == 200).then(|| version(&answer));
        assert_eq!(found, own, "{answer:?}");
    }
}

/// SQLite lets writers wait for each other in no order, and for so long: nothing was written.
fn is_locked_out(answer: &HttpAnswer) -> bool {
    answer.status_code == 503 && answer.body.contains("origin_unavailable")
}

fn own_path(nth: usize) -> String {
    format!("/records/flights/{}", 100 + nth)
}

#[tokio::test]
async fn whoever_was_answered_reads_that_or_something_newer_ever_after() -> Result<()> {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let house = House::new().await?;
    let shared = Shared::default();
    house.put("/records/flights/3", "{}").await;
    let environments = (0..ENVIRONMENTS).map(|nth| {
        let (writer, reader) = (house.another_writer(&[])?, house.another_reader(&[])?);
        Ok(Environment { nth, writer, reader, random: Rng::with_seed(seed ^ nth as u64) })
    });
    let environments = environments.collect::<Result<Vec<_>>>()?;
    join_all(environments.into_iter().map(|environment| environment.run(&shared))).await;
    assert!(house.queued()?.is_empty());
    assert!(shared.0.iter().all(|version| version.load(SeqCst) > 9));
    Ok(())
}

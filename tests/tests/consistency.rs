//! The house under random load: environments read, write, invalidate and freeze while nodes come, go, restart and stand
//! still, and every answer is held against the versions of the origin.
//!
//! | rule | says | decided in |
//! | --- | --- | --- |
//! | no old value | a read that begins after the cache was told of a write answers that version or a later one; but one that says that it is stale, where the policy allows to answer what was invalidated | `ledger.rs` |
//! | no row for its time | "no such record" is true of a deletion, and answered no longer than it is believed | `ledger.rs` |
//! | a local value for its time | a value from an environment's own memory is at most its time older than that, and never older than what this environment wrote | `environment.rs` |
//! | a documented bound | where one lets an answer be old (a document lost, a predecessor that lives on), it is no older than the begin of that time | `lapse.rs` |
//! | no old list | no list is older than the last refresh that was confirmed, or than its age says | `list.rs` |
//! | no old value for a reader that asks for a version | `get_at_least` answers no earlier one | `reading.rs` |
//! | no value from nowhere | an answer is of its key, and of a version that the origin has had | `ledger.rs` |
//! | no key that cannot be cached | a key that nobody writes is a hit again soon after every change | `quiet.rs` |
//! | no time without end | whatever is asked ends by its deadline, or soon after | `environment.rs` |
//!
//! A new step of an environment is a variant of `deed.rs`, a new change of the nodes one of `changes.rs`, and a safeguard
//! that a run leaves out one of `care.rs`.
//!
//! ```sh
//! LARDER_STEPS=1000000 LARDER_SEED=7 cargo test --release -p larder-tests --test consistency -- --nocapture
//! ```
//!
//! `LARDER_CARE=LeavesReplacementUntold` leaves out that one safeguard in the second test.
//!
//! It has to fail where a safeguard is taken away. What environments and operators have to do is left out by a test
//! beside it. What the crates do was taken away by hand, before rows were deleted and documents lost, each in a run of
//! 40,000 steps with seed 7, which gives up once an environment has seen nine answers that are wrong; environments run
//! side by side, so another run counts others:
//!
//! | taken away | where | wrong answers |
//! | --- | --- | --- |
//! | the token of a [`Fill`](larder_client::Fill): it stores whatever is there by now | `larder-client: batch.rs` | 46 |
//! | the versions that a late writer compares | `larder-cache: write_through.rs`, `compare` | 29 |
//! | that a value which was invalidated is not taken for an earlier one | the same | 12 |
//! | the numbers of tags that a read compares | `larder-cache: reading.rs`, `is_outdated` | 6 |
//! | that a write removes its key from the other owner while it moves | `larder-client: write.rs`, `void` | 19 |

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

#[path = "consistency/care.rs"]
mod care;
#[path = "consistency/changes.rs"]
mod changes;
#[path = "consistency/deed.rs"]
mod deed;
#[path = "consistency/environment.rs"]
mod environment;
#[path = "consistency/founding.rs"]
mod founding;
#[path = "consistency/freezing.rs"]
mod freezing;
#[path = "consistency/kind.rs"]
mod kind;
#[path = "consistency/lapse.rs"]
mod lapse;
#[path = "consistency/ledger.rs"]
mod ledger;
#[path = "consistency/list.rs"]
mod list;
#[path = "consistency/listing.rs"]
mod listing;
#[path = "consistency/nodes.rs"]
mod nodes;
#[path = "consistency/origin.rs"]
mod origin;
#[path = "consistency/quiet.rs"]
mod quiet;
#[path = "consistency/reading.rs"]
mod reading;
#[path = "consistency/replicas.rs"]
mod replicas;
#[path = "consistency/row.rs"]
mod row;
#[path = "consistency/tally.rs"]
mod tally;
#[path = "consistency/world.rs"]
mod world;
#[path = "consistency/writing.rs"]
mod writing;

use std::env;
use std::sync::Arc;
use std::time::Instant;

use care::Care;
use environment::Environment;
use fastrand::Rng;
use freezing::Freezing;
use origin::Origin;
use tally::Tally;
use tokio::task::JoinSet;
use world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_contradicts_the_origin_whatever_happens() {
    let (steps, seed) = (number("LARDER_STEPS").unwrap_or(STEPS), seed());
    println!("{steps} steps, seed {seed}");
    let (tally, wrong) = run(steps, seed, Care::Whole).await;
    assert!(wrong.is_empty(), "seed {seed}: {} are wrong: {:#?}", wrong.len(), &wrong[..wrong.len().min(9)]);
    tally.check();
}

/// Else the run above would say nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_safeguard_is_left_out_answers_are_wrong() {
    let seed = seed();
    for care in Care::less() {
        println!("{care:?}, seed {seed}");
        let (_, wrong) = run(MOST_STEPS_TO_A_FAULT, seed, care).await;
        assert!(!wrong.is_empty(), "seed {seed}: {care:?} goes unnoticed");
    }
}

/// Lets environments work for `steps` together, on one set of nodes after the other, each of which sees all its
/// changes; answers what was wrong. It ends with the first few answers that are.
async fn run(steps: u64, seed: u64, care: Care) -> (Arc<Tally>, Vec<String>) {
    let (tally, begin) = (Arc::new(Tally::default()), Instant::now());
    let mut wrong = Vec::new();
    for era in 0.. {
        if tally.steps() >= steps || !wrong.is_empty() {
            break;
        }
        wrong = run_era(seed.wrapping_add(era * ERA), care, Arc::clone(&tally)).await;
    }
    let rate = tally.steps() as f64 / begin.elapsed().as_secs_f64();
    println!("{tally}; {rate:.0} steps a second; {} wrong: {:?}", wrong.len(), wrong.first());
    (tally, wrong)
}

/// The same on one set of nodes.
async fn run_era(seed: u64, care: Care, tally: Arc<Tally>) -> Vec<String> {
    let origin = Arc::new(Origin::new(seed, tally));
    let mut world = World::begin(seed, care, Arc::clone(&origin)).await;
    let mut environments = JoinSet::new();
    for nth in 0..ENVIRONMENTS {
        let seed = seed.wrapping_add(1 + nth as u64);
        let environment = Environment::new(nth, care, world.config(), Arc::clone(&origin), seed);
        environments.spawn(Freezing::new(environment.work(), Rng::with_seed(!seed)));
    }
    world.change().await;
    origin.end();
    // The nodes stay until all have ended: what has to be forgotten can be.
    let mut wrong = environments.join_all().await.concat();
    wrong.append(&mut world.wrong);
    wrong
}

/// By chance, unless it is told.
fn seed() -> u64 {
    number("LARDER_SEED").unwrap_or_else(|| fastrand::u64(..))
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().expect("a whole number"))
}

const STEPS: u64 = 30_000;
const MOST_STEPS_TO_A_FAULT: u64 = 100_000;
const ENVIRONMENTS: usize = 8;
/// How far the seeds of two sets of nodes are apart.
const ERA: u64 = 1000;

//! Loads the flights data into a SQLite file for the origin to read.
//!
//! ```text
//! cargo run -p larder-origin --example load_flights -- data/flights target/demo/flights.db
//! ```
//!
//! An older file is replaced in one step, so that a function reading it sees the old rows or the new ones.

use std::path::PathBuf;

use anyhow::{Result, bail};

#[path = "../tests/support/flights.rs"]
mod flights;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [data, database] = args.as_slice() else {
        bail!("usage: load_flights DATA_DIR DATABASE_FILE");
    };
    for (table, rows) in flights::load(data, database).await? {
        println!("{table}: {rows} rows");
    }
    Ok(())
}

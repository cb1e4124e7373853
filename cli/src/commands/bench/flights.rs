//! The flights that the origin of a run knows.

use anyhow::{Context, ensure};
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// One flight.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) id: u32,
    /// Its whole row, which begins with its id.
    pub(crate) row: String,
}

/// Reads `flights.csv.gz` in the folder `data`: its head is left out, its order kept.
pub(crate) fn read(data: &Path) -> anyhow::Result<Vec<Flight>> {
    let path = data.join("flights.csv.gz");
    let file = File::open(&path).with_context(|| {
        format!("could not open {}: name the folder of the flights by --data", path.display())
    })?;
    let rows = BufReader::new(GzDecoder::new(file)).lines().enumerate().skip(1);
    let flights: Vec<Flight> = rows
        .map(|(line, row)| {
            let what = || format!("{}, line {}", path.display(), line + 1);
            let row = row.with_context(what)?;
            let id = id_of(&row).with_context(what)?;
            Ok(Flight { id, row })
        })
        .collect::<anyhow::Result<_>>()?;
    ensure!(!flights.is_empty(), "{} holds no flights", path.display());
    Ok(flights)
}

fn id_of(row: &str) -> anyhow::Result<u32> {
    let id = row.split(',').next().unwrap_or_default();
    id.parse().with_context(|| format!("a flight begins with its id, and {:.20?} is none", id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    #[test]
    fn all_flights_are_read_with_their_ids() {
        let flights = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/flights")).unwrap();
        assert_eq!(flights.len(), 27_004);
        assert_eq!(flights[0].id, 1);
        assert!(flights[0].row.starts_with("1,2013,1,1,517,"), "{}", flights[0].row);
    }

    #[test]
    fn what_is_no_flight_is_told_with_its_place() {
        check("id,year\n1,2013\nx,2013\n", "line 3: a flight begins with its id, and \"x\" is none");
        check("id,year\n", "holds no flights");
        let nowhere = format!("{:#}", read(Path::new("no/such/folder")).unwrap_err());
        assert!(nowhere.contains("--data"), "{nowhere}");
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("flights.csv.gz")).unwrap();
        let mut encoder = GzEncoder::new(file, Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap();
        let error = format!("{:#}", read(dir.path()).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
}

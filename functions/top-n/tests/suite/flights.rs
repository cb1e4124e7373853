//! The lists of `demo/lists.json` over the real flights, against what is counted here without a database.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;

use crate::support::{DATABASE, House, done, repository, run, schedule};
use anyhow::Result;
use flate2::read::GzDecoder;
use serde_json::{Value, json};

#[tokio::test]
async fn the_lists_over_the_flights_are_what_counting_them_by_hand_gives() -> Result<()> {
    let dir = tempfile::tempdir()?;
    crate::flight_table::load(&repository("data/flights"), &dir.path().join(DATABASE)).await?;
    let house = House::over(dir, fs::read_to_string(repository("demo/lists.json"))?).await?;
    let app = house.app()?;
    let handled = run(&app, schedule()).await;
    assert_eq!(done(&handled).matches(" refreshed").count(), 4, "{handled:?}");

    let expected = [
        ("busiest-routes", busiest_routes()),
        ("worst-delays", worst_delays()),
        ("airports-by-departures", airports_by_departures()),
        ("planes-by-distance", planes_by_distance()),
    ];
    assert_eq!(app.lists.iter().count(), expected.len());
    for (name, expected) in expected {
        let read = house.read(app.lists.get(name).unwrap()).await?;
        let items: Vec<Value> = serde_json::from_slice(&read.items)?;
        assert_eq!(items, expected, "{name}");
        assert_eq!((read.count as usize, items.is_empty()), (items.len(), false), "{name}");
    }
    Ok(())
}

/// What anybody can look up in the files.
#[test]
fn the_first_of_each_list_is_known() {
    assert_eq!(busiest_routes()[0], json!({ "origin": "JFK", "dest": "LAX", "flights": 937 }));
    assert_eq!(airports_by_departures().len(), 3);
    assert_eq!(airports_by_departures()[0]["faa"], "EWR");
}

fn busiest_routes() -> Vec<Value> {
    let mut flights = HashMap::<_, u64>::new();
    for row in rows("flights.csv.gz") {
        *flights.entry((row["origin"].clone(), row["dest"].clone())).or_default() += 1;
    }
    let mut routes: Vec<_> = flights.into_iter().collect();
    routes.sort_by_key(|(route, flights)| (Reverse(*flights), route.clone()));
    let row = |((origin, dest), flights)| json!({ "origin": origin, "dest": dest, "flights": flights });
    routes.into_iter().take(10).map(row).collect()
}

fn worst_delays() -> Vec<Value> {
    let names = column("airlines.csv", "carrier", "name");
    let mut delays = HashMap::<String, (i64, i64)>::new();
    for row in rows("flights.csv.gz") {
        if let Ok(delay) = row["arr_delay"].parse::<i64>() {
            let (flights, sum) = delays.entry(row["carrier"].clone()).or_default();
            *flights += 1;
            *sum += delay;
        }
    }
    let mut carriers: Vec<_> = delays.into_iter().collect();
    carriers.sort_by(|(one, (flights, sum)), (other, (other_flights, other_sum))| {
        (other_sum * flights, one).cmp(&(sum * other_flights, other))
    });
    let row = |(carrier, (flights, sum)): (String, (i64, i64))| {
        let mean = (sum as f64 / flights as f64 * 10.0).round() / 10.0;
        json!({ "carrier": carrier, "name": names[&carrier], "flights": flights, "mean_arr_delay": mean })
    };
    carriers.into_iter().take(10).map(row).collect()
}

fn airports_by_departures() -> Vec<Value> {
    let names = column("airports.csv", "faa", "name");
    let mut departures = HashMap::<_, u64>::new();
    for row in rows("flights.csv.gz").into_iter().filter(|row| !row["dep_time"].is_empty()) {
        *departures.entry(row["origin"].clone()).or_default() += 1;
    }
    let mut airports: Vec<_> = departures.into_iter().collect();
    airports.sort_by_key(|(faa, departures)| (Reverse(*departures), faa.clone()));
    let row = |(faa, departures): (String, u64)| json!({ "faa": faa, "name": names[&faa], "departures": departures });
    airports.into_iter().take(10).map(row).collect()
}

fn planes_by_distance() -> Vec<Value> {
    let makers = column("planes.csv", "tailnum", "manufacturer");
    let models = column("planes.csv", "tailnum", "model");
    let mut planes = HashMap::<String, (u64, u64)>::new();
    for row in rows("flights.csv.gz") {
        if !row["tailnum"].is_empty() && !row["air_time"].is_empty() {
            let (flights, miles) = planes.entry(row["tailnum"].clone()).or_default();
            *flights += 1;
            *miles += row["distance"].parse::<u64>().unwrap();
        }
    }
    let mut planes: Vec<_> = planes.into_iter().collect();
    planes.sort_by_key(|(tailnum, (_, miles))| (Reverse(*miles), tailnum.clone()));
    let row = |(tailnum, (flights, miles)): (String, (u64, u64))| {
        let (maker, model) = (makers.get(&tailnum), models.get(&tailnum));
        json!({ "tailnum": tailnum, "manufacturer": maker, "model": model, "flights": flights, "miles": miles })
    };
    planes.into_iter().take(10).map(row).collect()
}

/// One column of a file by another one.
fn column(file: &str, key: &str, value: &str) -> HashMap<String, String> {
    rows(file).into_iter().map(|mut row| (row.remove(key).unwrap(), row.remove(value).unwrap())).collect()
}

fn rows(file: &str) -> Vec<HashMap<String, String>> {
    let opened = File::open(repository("data/flights").join(file)).unwrap();
    let text: Box<dyn Read> =
        if file.ends_with(".gz") { Box::new(GzDecoder::new(opened)) } else { Box::new(opened) };
    csv::Reader::from_reader(text).into_deserialize().collect::<Result<_, _>>().unwrap()
}

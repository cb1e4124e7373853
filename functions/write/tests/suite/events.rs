//! Every file in `events/write/` itself, sent to the function over real nodes and a real SQLite file, gives what its
//! table says.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{House, late, text, version};
use anyhow::{Context, Result};
use larder_lambda::http::HttpRequest;
use larder_write::handle;
use serde_json::Value;

#[tokio::test]
async fn every_event_is_answered_as_its_table_says() -> Result<()> {
    let house = House::new().await?;
    for (file, expected, code) in table()? {
        let event = text(&folder().join(&file))?;
        let request: HttpRequest = serde_json::from_str(&event).with_context(|| file.clone())?;
        let path = request.path().to_owned();
        house.get(&path).await;
        let handled = handle(&house.writer, &request, late()).await;
        let answer = &handled.answer;
        assert_eq!(answer.status_code, expected, "{file}: {answer:?}");
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        if let Some(code) = code {
            assert_eq!(body["error"]["code"], code.as_str(), "{file}: {answer:?}");
        }
        let again = handle(&house.writer, &request, late()).await.answer;
        let read = house.get(&path).await;
        match file.as_str() {
            "put-record.json" => {
                assert_eq!(answer.headers["x-cache"], "stored", "{answer:?}");
                assert_eq!((again.status_code, &again.body), (201, &answer.body));
                assert_eq!(again.headers["x-idempotent-replay"], "true");
                assert_eq!(read.body, answer.body);
            }
            "patch-record.json" => {
                assert_eq!((&read.body, &body["name"]), (&answer.body, &"John F. Kennedy Intl".into()))
            }
            "wrong-version.json" => {
                assert_eq!(
                    (&answer.headers["etag"], &body["error"]["version"]),
                    (&"\"5\"".to_owned(), &5.into())
                );
                assert_eq!((again.status_code, version(&read)), (412, 5), "it was not written");
            }
            "delete-record.json" => assert_eq!((again.status_code, read.status_code), (204, 404)),
            _ => {}
        }
    }
    Ok(())
}

#[test]
fn every_event_stands_in_the_table() -> Result<()> {
    let files = fs::read_dir(folder())?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut files = files.collect::<Result<Vec<_>>>()?;
    files.sort();
    let mut told: Vec<_> = table()?.into_iter().map(|(file, ..)| file).collect();
    told.sort();
    assert_eq!(files, told);
    Ok(())
}

/// What the table of `write` in `events/README.md` says: file, status and, of a refusal, its code.
fn table() -> Result<Vec<(String, u16, Option<String>)>> {
    let readme = text(&folder().join("../README.md"))?;
    let (_, section) = readme.split_once("## `write`\n").context("no section about write")?;
    let section = section.lines().take_while(|line| !line.starts_with("## "));
    let rows = section.filter(|line| line.starts_with("| `")).map(|row| {
        let cells: Vec<_> = row.split(" | ").map(|cell| cell.trim_matches([' ', '|'])).collect();
        let [file, _, status, says] = cells[..] else { anyhow::bail!("not four cells: {row}") };
        let status = status.parse()?;
        let code = says.split('`').nth(1).filter(|_| status >= 400).map(str::to_owned);
        Ok((file.trim_matches('`').to_owned(), status, code))
    });
    rows.collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/write")
}

//! The flights data as a SQLite file, for the tests and for `examples/load_flights.rs`.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use csv::StringRecord;
use flate2::read::GzDecoder;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

/// A table, the file it comes from and its columns with their types; the first column is the key.
struct Table {
    name: &'static str,
    file: &'static str,
    columns: &'static [(&'static str, &'static str)],
    /// A column that is not in the file: the version of a row, for a table that is written.
    version: Option<&'static str>,
}

/// Loads the files in `data` into a new SQLite file at `database`, which takes the place of an older one in one
/// step. Gives each table with its number of rows.
pub(crate) async fn load(data: &Path, database: &Path) -> Result<Vec<(&'static str, usize)>> {
    let dir = database.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let file = tempfile::Builder::new().prefix(".flights-").tempfile_in(dir)?.into_temp_path();

    let mut counts = Vec::new();
    let mut connection = open(&file).await?;
    for table in TABLES {
        counts.push((table.name, load_table(&mut connection, data, table).await?));
    }
    // What writes with an idempotency key need.
    sqlx::raw_sql(larder_origin::schema::SQLITE).execute(&mut connection).await?;
    connection.close().await?;

    let_all_read(&file)?;
    file.persist(database).with_context(|| format!("cannot write {}", database.display()))?;
    Ok(counts)
}

/// A temporary file is its owner's alone, but a function reads its layers as somebody else.
fn let_all_read(file: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(file, fs::Permissions::from_mode(0o644))
            .with_context(|| format!("cannot let others read {}", file.display()))?;
    }
    Ok(())
}

/// Opens a file that nobody reads before it is whole: no journal, no waiting for the disk.
async fn open(file: &Path) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off)
        .disable_statement_logging();
    Ok(options.connect().await?)
}

async fn load_table(connection: &mut SqliteConnection, data: &Path, table: &Table) -> Result<usize> {
    let path = data.join(table.file);
    let rows = read(&path, table).with_context(|| format!("cannot read {}", path.display()))?;

    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(AssertSqlSafe(create_statement(table))).execute(&mut *transaction).await?;
    for chunk in rows.chunks(ROWS_PER_STATEMENT) {
        let mut query = sqlx::query(AssertSqlSafe(insert_statement(table, chunk.len())));
        for field in chunk.iter().flatten() {
            query = query.bind((!field.is_empty()).then_some(field));
        }
        query.execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(rows.len())
}

fn read(path: &Path, table: &Table) -> Result<Vec<StringRecord>> {
    let file = File::open(path)?;
    let text: Box<dyn Read> =
        if table.file.ends_with(".gz") { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    let mut reader = csv::Reader::from_reader(text);
    let expected: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    ensure!(reader.headers()? == expected, "the columns are not {}", expected.join(","));
    Ok(reader.records().collect::<Result<_, _>>()?)
}

/// A strict table turns a field into its column's type, or refuses it.
fn create_statement(table: &Table) -> String {
    let version = table.version.map(|name| format!("\"{name}\" INTEGER NOT NULL DEFAULT 1"));
    let columns = table.columns.iter().map(|(name, kind)| format!("\"{name}\" {kind}"));
    let columns: Vec<String> = columns.chain(version).collect();
    format!("CREATE TABLE \"{}\" ({}) STRICT", table.name, columns.join(", "))
}

fn insert_statement(table: &Table, rows: usize) -> String {
    let row = format!("({})", vec!["?"; table.columns.len()].join(","));
    let columns: Vec<String> = table.columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    format!("INSERT INTO \"{}\" ({}) VALUES {}", table.name, columns.join(","), vec![row; rows].join(","))
}

/// Rows of one `INSERT`: 18 columns of them stay below the 32,766 values that SQLite binds.
const ROWS_PER_STATEMENT: usize = 500;

const TABLES: &[Table] = &[
    Table {
        name: "flights",
        file: "flights.csv.gz",
        columns: &[
            ("id", "INTEGER PRIMARY KEY"),
            ("year", "INTEGER"),
            ("month", "INTEGER"),
            ("day", "INTEGER"),
            ("dep_time", "INTEGER"),
            ("sched_dep_time", "INTEGER"),
            ("dep_delay", "INTEGER"),
            ("arr_time", "INTEGER"),
            ("sched_arr_time", "INTEGER"),
            ("arr_delay", "INTEGER"),
            ("carrier", "TEXT"),
            ("flight", "INTEGER"),
            ("tailnum", "TEXT"),
            ("origin", "TEXT"),
            ("dest", "TEXT"),
            ("air_time", "INTEGER"),
            ("distance", "INTEGER"),
            ("time_hour", "TEXT"),
        ],
        version: Some("version"),
    },
    Table {
        name: "airlines",
        file: "airlines.csv",
        columns: &[("carrier", "TEXT PRIMARY KEY"), ("name", "TEXT")],
        version: None,
    },
    Table {
        name: "airports",
        file: "airports.csv",
        columns: &[
            ("faa", "TEXT PRIMARY KEY"),
            ("name", "TEXT"),
            ("lat", "REAL"),
            ("lon", "REAL"),
            ("alt", "INTEGER"),
            ("tz", "INTEGER"),
            ("dst", "TEXT"),
            ("tzone", "TEXT"),
        ],
        version: None,
    },
    Table {
        name: "planes",
        file: "planes.csv",
        columns: &[
            ("tailnum", "TEXT PRIMARY KEY"),
            ("year", "INTEGER"),
            ("type", "TEXT"),
            ("manufacturer", "TEXT"),
            ("model", "TEXT"),
            ("engines", "INTEGER"),
            ("seats", "INTEGER"),
            ("speed", "INTEGER"),
            ("engine", "TEXT"),
        ],
        version: None,
    },
];

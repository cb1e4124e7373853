//! Real servers for tests: one of a kind for a test process, which ends with it, however it ends.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use sqlx::{ConnectOptions, Connection};

/// A server on a loopback port, with its files in a directory of its own.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) dir: PathBuf,
    /// A shell that waits for the end of its input, which is ours, and then ends the server and removes its files.
    _guard: Child,
}

/// The PostgreSQL server of this test process; its superuser is `larder`.
pub(crate) fn postgres() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| start(start_postgres, "postgres", postgres_url))
}

/// The MariaDB server of this test process; its administrator is `larder`.
pub(crate) fn mariadb() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| start(start_mariadb, "mysql", mariadb_url))
}

/// One more MariaDB server, for a test that changes what holds for all of it.
pub(crate) fn another_mariadb() -> Server {
    start(start_mariadb, "mysql", mariadb_url)
}

/// A PostgreSQL server with TLS: `ca.pem` in its directory has signed its certificate, for `localhost`, and the pair
/// `client.pem`, `client.key`.
pub(crate) fn tls_postgres() -> Server {
    start(start_tls_postgres, "postgres", postgres_url)
}

/// A copy of the PostgreSQL server as it is now, which takes no writes.
pub(crate) fn standby() -> Server {
    start(start_standby, "postgres", postgres_url)
}

/// PgBouncer before the PostgreSQL server, which lends two of its connections to each database, for a transaction each.
pub(crate) fn pgbouncer() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    postgres();
    SERVER.get_or_init(|| start(start_pgbouncer, "postgres", postgres_url))
}

/// The emulator of DynamoDB of this test process.
pub(crate) fn ministack() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| start(start_ministack, "DynamoDB", ministack_url))
}

/// The address of the emulator at `port`.
pub(crate) fn ministack_url(port: u16, prefix: &str) -> String {
    format!("dynamodb:eu-west-1?endpoint=http://127.0.0.1:{port}&prefix={prefix}")
}

/// The address of a database of the PostgreSQL server at `port`.
pub(crate) fn postgres_url(port: u16, database: &str) -> String {
    format!("postgres://larder:{PASSWORD}@127.0.0.1:{port}/{database}")
}

/// The address of a database of the MariaDB server at `port`.
pub(crate) fn mariadb_url(port: u16, database: &str) -> String {
    format!("mysql://larder:{PASSWORD}@127.0.0.1:{port}/{database}")
}

/// Starts a server and waits until it lets somebody in.
fn start(start: fn(&Path, u16) -> Child, database: &str, url: fn(u16, &str) -> String) -> Server {
    let dir = tempfile::Builder::new().prefix("larder-").tempdir().unwrap().keep();
    let port = free_port();
    let mut guard = start(&dir, port);
    let url = url(port, database);
    let answers = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(is_open(&url))
    });
    if !answers.join().unwrap() {
        let words = std::fs::read_to_string(dir.join("stderr.log")).unwrap_or_default();
        drop(guard.stdin.take());
        guard.wait().unwrap();
        panic!("a server of {database} did not start within {START:?}; its last words are: {words}");
    }
    Server { port, dir, _guard: guard }
}

/// Waits until a connection to `url` can be made.
async fn is_open(url: &str) -> bool {
    let deadline = Instant::now() + START;
    while Instant::now() < deadline {
        let is_open = match url.split_once(':').unwrap().0 {
            "postgres" => is_connected(postgres_options(url)).await,
            "mysql" => is_connected(url.parse::<sqlx::mysql::MySqlConnectOptions>().unwrap()).await,
            _ => is_healthy(url).await,
        };
        if is_open {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

/// Without the setting that sqlx adds and PgBouncer refuses.
pub(crate) fn postgres_options(url: &str) -> sqlx::postgres::PgConnectOptions {
    let options = url.parse::<sqlx::postgres::PgConnectOptions>().unwrap();
    options.extra_float_digits(None).disable_statement_logging()
}

async fn is_connected<O: ConnectOptions<Connection: Sized>>(options: O) -> bool {
    match options.disable_statement_logging().connect().await {
        Ok(connection) => connection.close().await.is_ok(),
        Err(_) => false,
    }
}

/// Whether the emulator says that it is.
async fn is_healthy(url: &str) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let port: u16 = url.rsplit(':').next().unwrap().split('&').next().unwrap().parse().unwrap();
    let Ok(mut stream) = tokio::net::TcpStream::connect(("127.0.0.1", port)).await else { return false };
    let asked = b"GET /_ministack/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = Vec::new();
    let told = stream.write_all(asked).await.is_ok() && stream.read_to_end(&mut answer).await.is_ok();
    told && answer.starts_with(b"HTTP/1.1 200")
}

fn start_ministack(dir: &Path, port: u16) -> Child {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let program = root.join(".tools/emulator/bin/ministack");
    assert!(
        program.is_file(),
        "there is no MiniStack here: please say `tools/prepare emulator`, or `make test`"
    );
    let settings = [
        "BIND_HOST=127.0.0.1".to_owned(),
        format!("GATEWAY_PORT={port}"),
        "MINISTACK_REGION=eu-west-1".to_owned(),
        "PERSIST_STATE=0".to_owned(),
        "LOG_LEVEL=ERROR".to_owned(),
        format!("TMPDIR={}", dir.display()),
        program.to_str().unwrap().to_owned(),
    ];
    let words: Vec<String> = ["env".to_owned()].into_iter().chain(settings).collect();
    guarded(dir, "TERM", &words)
}

fn start_postgres(dir: &Path, port: u16) -> Child {
    let initdb = program("initdb", "postgresql");
    let user = user_of(dir);
    let password = dir.join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    give_away(&password);
    let mut make = command(&user, &initdb);
    make.args(["--auth=scram-sha-256", "--username=larder", "--encoding=UTF8", "--locale=C", "--no-sync"])
        .args(["--pwfile", password.to_str().unwrap(), "--pgdata", dir.join("data").to_str().unwrap()])
        .current_dir(dir)
        .stdout(Stdio::null());
    assert!(make.status().unwrap().success(), "initdb failed");
    run_postgres(dir, port, user)
}

fn start_tls_postgres(dir: &Path, port: u16) -> Child {
    use std::os::unix::fs::PermissionsExt;
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(dir.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    let authority = rcgen::Issuer::new(params, key);
    for name in ["server", "client"] {
        let host = if name == "server" { "localhost" } else { "larder" };
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new([host.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, host);
        let certificate = params.signed_by(&key, &authority).unwrap();
        let key_file = dir.join(format!("{name}.key"));
        std::fs::write(dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    give_away(&dir.join("server.key"));
    start_postgres(dir, port)
}

fn start_standby(dir: &Path, port: u16) -> Child {
    let user = user_of(dir);
    let data = dir.join("data");
    let mut copy = command(&user, &program("pg_basebackup", "postgresql"));
    copy.args(["--checkpoint=fast", "--no-sync", "--pgdata", data.to_str().unwrap()])
        .args(["--dbname", &postgres_url(postgres().port, "postgres")])
        .current_dir(dir);
    assert!(copy.status().unwrap().success(), "pg_basebackup failed");
    let signal = data.join("standby.signal");
    std::fs::write(&signal, "").unwrap();
    give_away(&signal);
    run_postgres(dir, port, user)
}

fn run_postgres(dir: &Path, port: u16, user: Vec<String>) -> Child {
    let mut words = user;
    words.push(program("initdb", "postgresql").with_file_name("postgres").to_str().unwrap().to_owned());
    let data = dir.join("data");
    words.extend(["-D".to_owned(), data.to_str().unwrap().to_owned(), "-p".to_owned(), port.to_string()]);
    for setting in [
        "listen_addresses=127.0.0.1",
        "fsync=off",
        "max_connections=200",
        "log_min_messages=fatal",
        &format!("unix_socket_directories={}", dir.display()),
    ] {
        words.extend(["-c".to_owned(), setting.to_owned()]);
    }
    if dir.join("server.key").is_file() {
        for (setting, file) in
            [("ssl_cert_file", "server.pem"), ("ssl_key_file", "server.key"), ("ssl_ca_file", "ca.pem")]
        {
            words.extend(["-c".to_owned(), format!("{setting}={}", dir.join(file).display())]);
        }
        words.extend(["-c".to_owned(), "ssl=on".to_owned()]);
    }
    guarded(dir, "INT", &words)
}

fn start_pgbouncer(dir: &Path, port: u16) -> Child {
    let mut words = user_of(dir);
    let (users, settings) = (dir.join("users.txt"), dir.join("pgbouncer.ini"));
    std::fs::write(&users, format!("\"larder\" \"{PASSWORD}\"\n")).unwrap();
    let text = format!(
        "[databases]\n* = host=127.0.0.1 port={}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\n\
         default_pool_size = 2\nmax_client_conn = 200\n",
        postgres().port,
        users.display()
    );
    std::fs::write(&settings, text).unwrap();
    give_away(&users);
    words.push(program("pgbouncer", "pgbouncer").to_str().unwrap().to_owned());
    words.push(settings.to_str().unwrap().to_owned());
    guarded(dir, "TERM", &words)
}

/// What stands before the words of a server that refuses to run as root: a user, to whom `dir` is given.
fn user_of(dir: &Path) -> Vec<String> {
    if !is_root() {
        return Vec::new();
    }
    give_away(dir);
    ["setpriv", "--reuid", other_user(), "--clear-groups"].map(str::to_owned).to_vec()
}

fn give_away(path: &Path) {
    if is_root() {
        std::os::unix::fs::chown(path, id_of(other_user()), None).unwrap();
    }
}

fn other_user() -> &'static str {
    let name = ["postgres", "nobody"].into_iter().find(|name| id_of(name).is_some());
    name.expect("the server does not run as root, and there is no user postgres or nobody")
}

fn start_mariadb(dir: &Path, port: u16) -> Child {
    start_mariadb_with(dir, port, &[])
}

/// Starts MariaDB with `more` settings.
pub(crate) fn start_mariadb_with(dir: &Path, port: u16, more: &[String]) -> Child {
    let install = program("mariadb-install-db", "mariadb-server");
    let server = program("mariadbd", "mariadb-server");
    let data = dir.join("data");
    let user: &[&str] = if is_root() { &["--user=root"] } else { &[] };
    let mut make = Command::new(install);
    make.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
        .arg(format!("--datadir={}", data.display()))
        .args(user)
        .stdout(Stdio::null());
    assert!(make.status().unwrap().success(), "mariadb-install-db failed");
    let init = dir.join("init.sql");
    let grant = format!(
        "CREATE USER larder@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n\
         GRANT ALL ON *.* TO larder@'127.0.0.1' WITH GRANT OPTION;\n"
    );
    std::fs::write(&init, grant).unwrap();
    let words = [
        server.to_str().unwrap().to_owned(),
        "--no-defaults".to_owned(),
        format!("--datadir={}", data.display()),
        // Two servers that share one remove the files of each other.
        format!("--tmpdir={}", data.display()),
        format!("--init-file={}", init.display()),
        format!("--socket={}", dir.join("socket").display()),
        format!("--port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--skip-name-resolve".to_owned(),
        "--innodb-flush-log-at-trx-commit=0".to_owned(),
    ];
    let user = user.iter().map(|word| (*word).to_owned());
    let words: Vec<String> = words.into_iter().chain(user).chain(more.iter().cloned()).collect();
    guarded(dir, "TERM", &words)
}

/// Starts `words` beside a shell that ends it, by its id and with `signal`, once this process is gone, and then removes
/// `dir`.
pub(crate) fn guarded(dir: &Path, signal: &str, words: &[String]) -> Child {
    let script = r#"
        dir=$1 signal=$2; shift 2
        trap '' INT HUP
        "$@" & server=$!
        cat >/dev/null
        kill -s "$signal" "$server" 2>/dev/null
        wait "$server"
        rm -rf "$dir""#;
    Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(dir)
        .arg(signal)
        .args(words)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(dir.join("stderr.log")).unwrap())
        .spawn()
        .unwrap()
}

fn command(before: &[String], program: &Path) -> Command {
    match before {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    }
}

/// The program `name`, on the path or where Debian puts what it does not want there.
fn program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    dirs.push("/usr/sbin".into());
    for place in ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"] {
        let entries = std::fs::read_dir(place).into_iter().flatten();
        let mut versions: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
        versions.sort();
        dirs.extend(versions.into_iter().rev());
    }
    let found = dirs.into_iter().map(|dir| dir.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("there is no {name} here: please install {package}, or say `make test`"))
}

fn is_root() -> bool {
    id_of("").is_some_and(|id| id == 0)
}

/// The id of a user; of ourselves without a name.
fn id_of(name: &str) -> Option<u32> {
    let names: &[&str] = if name.is_empty() { &[] } else { &[name] };
    let output = Command::new("id").arg("-u").args(names).stderr(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().ok()
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What no message may show.
pub(crate) const PASSWORD: &str = "hunter2";

const START: Duration = Duration::from_secs(60);

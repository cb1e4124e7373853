//! The lists that are refreshed on a schedule, as the configuration describes them.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read as _;
use std::ops::RangeInclusive;
use std::time::Duration;

use larder_cache::TimedList;
use larder_client::{InvalidKey, Key};
use larder_lambda::settings::{Reader, Setting, text};
use larder_origin::{Identifier, ListQuery, MAX_LIST};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::records::Records;

/// A list that is refreshed on a schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    name: String,
    query: ListQuery,
    n: usize,
    tables: Vec<Identifier>,
    on_change: OnChange,
    timed: TimedList,
    keys_to_forget: Vec<Key>,
}

/// What becomes of a list where a row that it depends on changes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnChange {
    /// It stays until its next refresh.
    #[default]
    Keep,
    /// It is removed: the next reader computes it.
    Recompute,
}

impl List {
    /// Its name, in requests and in its key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What gives it its rows.
    pub fn query(&self) -> &ListQuery {
        &self.query
    }

    /// How many rows it has at most.
    pub fn n(&self) -> usize {
        self.n
    }

    /// How it is kept: under which key, how often it is refreshed, how long its query may take.
    pub fn timed(&self) -> &TimedList {
        &self.timed
    }

    /// What becomes of it where a row of one of its tables changes.
    pub fn on_change(&self) -> OnChange {
        self.on_change
    }

    /// The keys to forget where it is to be computed anew: its own, and those of the shapes before and after it, which
    /// the other version of a function reads while one is deployed.
    pub fn keys_to_forget(&self) -> &[Key] {
        &self.keys_to_forget
    }
}

/// The lists that there are, in the order of the configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lists(Vec<List>);

impl Lists {
    /// The list called `name`; `None` where there is none.
    pub fn get(&self, name: &str) -> Option<&List> {
        self.iter().find(|list| list.name == name)
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, List> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that are to be computed anew where a row of `table` changes.
    pub fn to_forget(&self, table: &str) -> impl Iterator<Item = &List> {
        self.iter().filter(move |list| {
            list.on_change == OnChange::Recompute && list.tables.iter().any(|own| own.as_str() == table)
        })
    }
}

impl<'a> IntoIterator for &'a Lists {
    type Item = &'a List;
    type IntoIter = std::slice::Iter<'a, List>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Reads which lists there are, none unless told. All that is wrong with them is noted by `reader`, each list by its
/// place, and `None` is answered; `records` are those that are served, where they are known.
pub fn read_lists(reader: &mut Reader<'_>, records: Option<&Records>) -> Option<Lists> {
    let inline = reader.optional(LISTS, text);
    let file = reader.optional(LISTS_FILE, text);
    let (setting, json) = match (inline, file) {
        (None, None) => return (!reader.is_set(LISTS) && !reader.is_set(LISTS_FILE)).then(Lists::default),
        (Some(_), Some(_)) => {
            reader.fault(LISTS_FILE, "stands beside LARDER_LISTS; leave one out");
            return None;
        }
        (Some(json), None) => (LISTS, Ok(json)),
        (None, Some(path)) => (LISTS_FILE, read_file(&path)),
    };
    let parsed = json.map_err(|wrong| vec![wrong]).and_then(|json| parse(&json, records));
    parsed.map_err(|faults| faults.into_iter().for_each(|fault| reader.fault(setting, fault))).ok()
}

fn read_file(path: &str) -> Result<String, String> {
    let mut text = String::new();
    // One byte more than the bound is enough to know that it is passed.
    let file = File::open(path).and_then(|file| file.take(MAX_FILE_LEN + 1).read_to_string(&mut text));
    match file {
        // The path is not repeated, and the error does not.
        Err(wrong) => Err(format!("cannot be read: {}", wrong.kind())),
        Ok(len) if len as u64 > MAX_FILE_LEN => Err(format!("is longer than {MAX_FILE_LEN} bytes")),
        Ok(_) => Ok(text),
    }
}

/// All lists of `json`, or all that is wrong with them.
fn parse(json: &str, records: Option<&Records>) -> Result<Lists, Vec<String>> {
    let wrong = |what: String| Err(vec![what]);
    let entries: Vec<Box<RawValue>> = match serde_json::from_str(json) {
        Ok(entries) => entries,
        Err(error) if error.is_data() => return wrong("is not a list: [{…}, …]".to_owned()),
        Err(error) => {
            return wrong(format!("is not JSON, at line {}, column {}", error.line(), error.column()));
        }
    };
    if !MANY.contains(&entries.len()) {
        return wrong(format!("has not {} to {} lists", MANY.start(), MANY.end()));
    }
    let (mut lists, mut faults, mut names) = (Vec::new(), Vec::new(), HashSet::new());
    for (entry, place) in entries.into_iter().zip(1..) {
        let mut entry = Entry::new(&entry, records);
        let list = entry.list();
        if list.as_ref().is_some_and(|list| !names.insert(list.name.clone())) {
            entry.fault::<()>("has the name of another one");
        }
        faults.extend(entry.faults.iter().map(|what| format!("has a list at place {place} that {what}")));
        lists.extend(list);
    }
    if faults.is_empty() { Ok(Lists(lists)) } else { Err(faults) }
}

/// One list of the configuration, as it is taken apart. What is wrong with it never repeats a value.
struct Entry<'r> {
    /// As they are written: a number in a query keeps all its digits.
    members: HashMap<String, Box<RawValue>>,
    records: Option<&'r Records>,
    faults: Vec<String>,
}

impl<'r> Entry<'r> {
    fn new(entry: &RawValue, records: Option<&'r Records>) -> Self {
        let (members, faults) = match serde_json::from_str(entry.get()) {
            Ok(members) => (members, Vec::new()),
            Err(_) => (HashMap::new(), vec!["is no object".to_owned()]),
        };
        Self { members, records, faults }
    }

    /// The member `name`, which is then taken; NULL for a number that nothing here is, such as `1e999`.
    fn take(&mut self, name: &str) -> Option<Value> {
        let member = self.members.remove(name)?;
        Some(serde_json::from_str(member.get()).unwrap_or_default())
    }

    /// The list; `None` where anything is wrong with it.
    fn list(&mut self) -> Option<List> {
        if !self.faults.is_empty() {
            return None;
        }
        let name = self.name();
        let query = self.query();
        let n = self.required_number("n", 1..=MAX_LIST as u64);
        let period_secs = self.required_number("period_secs", PERIOD_SECS);
        let load_ms = self.number("load_ms", LOAD_MS);
        let schema = self.number("schema", 0..=u64::from(u8::MAX)).map(|schema| schema.unwrap_or(0) as u8);
        let tables = self.tables();
        let on_change = self.on_change(tables.as_ref());
        if !self.members.is_empty() {
            // Their names are not repeated: one may be something secret that went astray.
            self.fault::<()>(&format!("has members that there are not; there are {MEMBERS}"));
        }
        let (name, schema) = (name?, schema?);
        let keys = self.keys(&name, schema);
        let timed = self.timed(keys.first()?.clone(), period_secs?, load_ms?);
        let (query, n, tables, on_change) = (query?, n? as usize, tables?, on_change?);
        Some(List { name, query, n, tables, on_change, timed: timed?, keys_to_forget: keys })
    }

    fn name(&mut self) -> Option<String> {
        match self.take("name") {
            Some(Value::String(name)) if is_name(&name) => Some(name),
            _ => self.fault("has no name of 1 to 64 of a to z, 0 to 9, - and _"),
        }
    }

    fn query(&mut self) -> Option<ListQuery> {
        let query = self.members.remove("query").and_then(|query| serde_json::from_str(query.get()).ok());
        query.or_else(|| {
            self.fault(
                "has no query {\"sql\": {\"statement\": …, \"parameters\": […]}} or {\"index\": {\"table\": …, \
                \"index\": …, \"partition\": …}}",
            )
        })
    }

    fn required_number(&mut self, name: &str, bounds: RangeInclusive<u64>) -> Option<u64> {
        if !self.members.contains_key(name) {
            return self.fault(&format!("has no {name}"));
        }
        self.number(name, bounds)?
    }

    /// `Some(None)` for one that is left out.
    fn number(&mut self, name: &str, bounds: RangeInclusive<u64>) -> Option<Option<u64>> {
        let Some(number) = self.take(name) else { return Some(None) };
        match number.as_u64().filter(|number| bounds.contains(number)) {
            Some(number) => Some(Some(number)),
            None => self.fault(&format!(
                "has a {name} that is not a whole number from {} to {}",
                bounds.start(),
                bounds.end()
            )),
        }
    }

    fn tables(&mut self) -> Option<Vec<Identifier>> {
        let Some(tables) = self.take("tables") else { return Some(Vec::new()) };
        let Ok(tables) = serde_json::from_value::<Vec<Identifier>>(tables) else {
            return self.fault("has tables that are not a list of names");
        };
        let is_served =
            |table: &Identifier| self.records.is_none_or(|records| records.table(table.as_str()).is_some());
        if tables.iter().all(is_served) {
            Some(tables)
        } else {
            self.fault("depends on a table that is not served")
        }
    }

    fn on_change(&mut self, tables: Option<&Vec<Identifier>>) -> Option<OnChange> {
        let on_change = match self.take("on_change") {
            None => OnChange::Keep,
            Some(Value::String(word)) if word == "keep" => OnChange::Keep,
            Some(Value::String(word)) if word == "recompute" => OnChange::Recompute,
            Some(_) => return self.fault("has an on_change that is neither keep nor recompute"),
        };
        if on_change == OnChange::Recompute && tables.is_some_and(Vec::is_empty) {
            return self.fault("is to be recomputed on a change, and names no tables");
        }
        Some(on_change)
    }

    fn timed(&mut self, key: Key, period_secs: u64, load_ms: Option<u64>) -> Option<TimedList> {
        let period = Duration::from_secs(period_secs);
        let load_for = load_ms.map_or(DEFAULT_LOAD, Duration::from_millis);
        match TimedList::new(key, period, load_for) {
            Ok(timed) => Some(timed),
            Err(wrong) => self.fault(&format!("does not do: {wrong}")),
        }
    }

    /// The key of a list, and those of the shapes before and after it.
    fn keys(&mut self, name: &str, schema: u8) -> Vec<Key> {
        let key_prefix = self.records.and_then(|records| records.key_prefix());
        let beside = [schema.checked_sub(1), schema.checked_add(1)].into_iter().flatten();
        let keys = [schema].into_iter().chain(beside).map(|schema| key(key_prefix, name, schema));
        keys.collect::<Result<_, InvalidKey>>().unwrap_or_else(|wrong| {
            self.fault::<()>(&format!("can have no key: {wrong}"));
            Vec::new()
        })
    }

    fn fault<T>(&mut self, what: &str) -> Option<T> {
        self.faults.push(what.to_owned());
        None
    }
}

/// The key of a list: `top-list:name` or `prefix:top-list:name`, of another shape than the first `top-list.shape:name`.
/// No table's record has it, for no table is called so: a hyphen stands in no name of a table.
fn key(key_prefix: Option<&str>, name: &str, schema: u8) -> Result<Key, InvalidKey> {
    let kind = match schema {
        0 => KIND.to_owned(),
        schema => format!("{KIND}.{schema}"),
    };
    Key::compose(key_prefix.into_iter().chain([kind.as_str(), name]))
}

fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
    (1..=MAX_LIST_NAME_LEN).contains(&name.len()) && name.bytes().all(fits)
}

/// Longest name of a list, in bytes.
pub const MAX_LIST_NAME_LEN: usize = 64;
/// How many lists there may be: what a run can look after.
const MANY: RangeInclusive<usize> = 1..=100;
/// Longest file of lists, in bytes: more than a hundred of them with statements of two pages each.
const MAX_FILE_LEN: u64 = 256 << 10;
const PERIOD_SECS: RangeInclusive<u64> = TimedList::MIN_PERIOD.as_secs()..=TimedList::MAX_PERIOD.as_secs();
/// What Lambda lets anything take; a shorter bound follows from the period.
const LOAD_MS: RangeInclusive<u64> = 1..=890_000;
const DEFAULT_LOAD: Duration = Duration::from_secs(10);
const KIND: &str = "top-list";
const MEMBERS: &str = "name, query, n, period_secs, load_ms, tables, on_change, schema";

const LISTS: Setting = Setting {
    name: "LARDER_LISTS",
    example: r#"[{"name":"top-routes","query":{"sql":{"statement":"SELECT …"}},"n":10,"period_secs":300}]"#,
};
const LISTS_FILE: Setting = Setting { name: "LARDER_LISTS_FILE", example: "/opt/lists.json" };

#[cfg(test)]
mod tests {
    use larder_lambda::settings::{InvalidSettings, Variables};
    use larder_origin::Scalar;
    use serde_json::json;

    use super::*;

    fn routes() -> Value {
        let query =
            json!({ "sql": { "statement": "SELECT s3cret FROM flights LIMIT ?", "parameters": [10] } });
        json!({ "name": "busiest-routes", "query": query, "n": 10, "period_secs": 300 })
    }

    /// The list above with `members` in the place of its own; null for none.
    fn list(members: Value) -> Value {
        let mut list = routes();
        for (name, value) in members.as_object().unwrap() {
            match value {
                Value::Null => list.as_object_mut().unwrap().remove(name),
                value => list.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        list
    }

    fn read(more: &[(&str, &str)]) -> Result<Lists, InvalidSettings> {
        let least =
            [("LARDER_ORIGIN_URL", "sqlite:air.db"), ("LARDER_TABLES", "flights:id,airports:faa:86400")];
        let variables: Variables = least.iter().chain(more).copied().collect();
        let mut reader = Reader::new(&variables);
        let records = crate::read(&mut reader, &variables);
        let lists = read_lists(&mut reader, records.as_ref().map(|(_, records)| records));
        reader.finish("LARDER_", || lists)
    }

    fn of(lists: Value) -> Result<Lists, InvalidSettings> {
        read(&[("LARDER_LISTS", &lists.to_string())])
    }

    #[track_caller]
    fn check_faults(lists: Value, expected: &[&str]) {
        let error = of(lists.clone()).unwrap_err();
        assert_eq!(error.faults.len(), expected.len(), "{lists}: {error}");
        for (fault, expected) in error.faults.iter().zip(expected) {
            assert!(fault.name == "LARDER_LISTS" && fault.what.contains(expected), "{expected}: {fault}");
        }
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }

    #[test]
    fn four_members_make_a_list() {
        let lists = of(json!([routes()])).unwrap();
        let list = lists.get("busiest-routes").unwrap();
        let statement = "SELECT s3cret FROM flights LIMIT ?".to_owned();
        assert_eq!(list.query(), &ListQuery::Sql { statement, parameters: vec![Scalar::Integer(10)] });
        assert_eq!((list.n(), list.on_change()), (10, OnChange::Keep));
        let (period, load_for) = (Duration::from_secs(300), Duration::from_secs(10));
        assert_eq!((list.timed().period(), list.timed().load_for()), (period, load_for));
        assert_eq!((lists.iter().count(), lists.get("others")), (1, None));
        assert_eq!(lists.to_forget("flights").count(), 0);
    }

    #[test]
    fn a_number_in_a_query_keeps_all_its_digits() {
        let json = r#"[{"name": "a", "n": 1, "period_secs": 30, "query": {"sql": {"statement": "SELECT 1",
            "parameters": [18446744073709551615, 0.12345678901234567890123456789012345678, 1e400]}}}]"#;
        let lists = read(&[("LARDER_LISTS", json)]).unwrap();
        let ListQuery::Sql { parameters, .. } = lists.get("a").unwrap().query() else { panic!("{lists:?}") };
        let digits: Vec<_> = parameters.iter().map(|value| value.as_number().unwrap().to_string()).collect();
        let expected = ["18446744073709551615", "0.12345678901234567890123456789012345678", "1E400"];
        assert_eq!(digits, expected);
    }

    #[test]
    fn without_a_variable_there_are_no_lists() {
        assert!(read(&[]).unwrap().is_empty());
        assert!(read(&[("LARDER_LISTS", ""), ("LARDER_LISTS_FILE", "")]).unwrap().is_empty());
    }

    #[test]
    fn lists_that_are_to_be_recomputed_are_found_by_their_tables() {
        let lists = of(json!([
            list(json!({ "name": "a", "tables": ["flights"], "on_change": "recompute" })),
            list(json!({ "name": "b", "tables": ["flights"], "on_change": "keep" })),
            list(json!({ "name": "c", "tables": ["airports", "flights"], "on_change": "recompute" })),
        ]))
        .unwrap();
        let names = |table| lists.to_forget(table).map(List::name).collect::<Vec<_>>();
        assert_eq!(
            (names("flights"), names("airports"), names("planes")),
            (vec!["a", "c"], vec!["c"], vec![])
        );
    }

    #[test]
    fn every_bound_is_kept() {
        let fine = [
            json!({ "name": "x".repeat(64), "n": 1000, "period_secs": 604_800, "load_ms": 890_000 }),
            json!({ "name": "_-09az", "n": 1, "period_secs": 30, "load_ms": 27_000, "schema": 255 }),
        ];
        for members in fine {
            assert!(of(json!([list(members.clone())])).is_ok(), "{members}");
        }
        for (members, what) in [
            (json!({ "name": "" }), "has no name"),
            (json!({ "name": "x".repeat(65) }), "has no name"),
            (json!({ "name": "s3cret:" }), "has no name"),
            (json!({ "name": "Top" }), "has no name"),
            (json!({ "name": null }), "has no name"),
            (json!({ "query": null }), "has no query"),
            (json!({ "query": { "s3cret": {} } }), "has no query"),
            (json!({ "query": { "sql": { "statement": "SELECT 1", "limit": 3 } } }), "has no query"),
            (json!({ "n": null }), "has no n"),
            (json!({ "n": 0 }), "has a n that is not a whole number from 1 to 1000"),
            (json!({ "n": 1001 }), "has a n that"),
            (json!({ "n": "s3cret" }), "has a n that"),
            (json!({ "n": 1.5 }), "has a n that"),
            (json!({ "period_secs": null }), "has no period_secs"),
            (json!({ "period_secs": 29 }), "has a period_secs that is not a whole number from 30 to 604800"),
            (json!({ "period_secs": 604_801 }), "has a period_secs"),
            (json!({ "load_ms": 0 }), "has a load_ms"),
            (json!({ "period_secs": 30, "load_ms": 27_001 }), "may take 27s at most"),
            (json!({ "schema": 256 }), "has a schema"),
            (json!({ "tables": "flights" }), "has tables that are not a list"),
            (json!({ "tables": ["s3cret;"] }), "has tables that are not a list"),
            (json!({ "tables": ["s3cret"] }), "depends on a table that is not served"),
            (json!({ "on_change": "s3cret" }), "neither keep nor recompute"),
            (json!({ "on_change": "recompute" }), "names no tables"),
            (json!({ "s3cret": 1 }), "has members that there are not"),
        ] {
            check_faults(json!([list(members)]), &[what]);
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_with_its_place() {
        check_faults(
            json!([routes(), "s3cret", list(json!({ "name": "b", "n": 0, "period_secs": 1 })), routes()]),
            &[
                "has a list at place 2 that is no object",
                "has a list at place 3 that has a n",
                "has a list at place 3 that has a period_secs",
                "has a list at place 4 that has the name of another one",
            ],
        );
    }

    #[test]
    fn there_are_1_to_100_lists() {
        let many =
            |count| (0..count).map(|nth| list(json!({ "name": format!("l{nth}") }))).collect::<Value>();
        assert_eq!(of(many(100)).unwrap().iter().count(), 100);
        check_faults(many(101), &["has not 1 to 100 lists"]);
        check_faults(json!([]), &["has not 1 to 100 lists"]);
        check_faults(json!({ "s3cret": [] }), &["is not a list"]);
        let error = read(&[("LARDER_LISTS", "[\n s3cret]")]).unwrap_err();
        assert_eq!(error.faults[0].what, "is not JSON, at line 2, column 2");
    }

    #[test]
    fn lists_may_stand_in_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s3cret.json");
        let path = path.to_str().unwrap();
        let check_fault = |more: &[(&str, &str)], what: &str| {
            let error = read(more).unwrap_err();
            assert!(error.faults.len() == 1 && error.faults[0].name == "LARDER_LISTS_FILE", "{error}");
            assert!(error.faults[0].what.contains(what) && !error.to_string().contains("s3cret"), "{error}");
        };
        check_fault(&[("LARDER_LISTS_FILE", path)], "cannot be read: entity not found");
        std::fs::write(path, json!([routes()]).to_string()).unwrap();
        assert_eq!(read(&[("LARDER_LISTS_FILE", path)]), of(json!([routes()])));
        check_fault(&[("LARDER_LISTS_FILE", path), ("LARDER_LISTS", "[]")], "leave one out");
        std::fs::write(path, json!([list(json!({ "n": 0 }))]).to_string()).unwrap();
        check_fault(&[("LARDER_LISTS_FILE", path)], "has a n that");
        std::fs::write(path, format!("{}{}", json!([routes()]), " ".repeat(256 << 10))).unwrap();
        check_fault(&[("LARDER_LISTS_FILE", path)], "is longer than 262144 bytes");
        std::fs::write(path, b"[\"\xff\"]").unwrap();
        check_fault(&[("LARDER_LISTS_FILE", path)], "cannot be read: invalid data");
    }

    #[test]
    fn keys_have_their_prefix_and_their_shape_and_are_no_records() {
        check_keys(&[], &[], &["top-list:a", "top-list.1:a"]);
        let prefix = [("LARDER_KEY_PREFIX", "air")];
        let shapes = ["air:top-list.2:a", "air:top-list.1:a", "air:top-list.3:a"];
        check_keys(&prefix, &[("schema", 2)], &shapes);
        check_keys(&[], &[("schema", 255)], &["top-list.255:a", "top-list.254:a"]);
        assert!(Identifier::new(KIND).is_err(), "no table is called so");
    }

    #[track_caller]
    fn check_keys(more: &[(&str, &str)], members: &[(&str, u64)], expected: &[&str]) {
        let mut entry = list(json!({ "name": "a" }));
        entry
            .as_object_mut()
            .unwrap()
            .extend(members.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())));
        let json = json!([entry]).to_string();
        let lists = read(&[more, &[("LARDER_LISTS", json.as_str())]].concat()).unwrap();
        let list = lists.get("a").unwrap();
        let keys: Vec<_> = list.keys_to_forget().iter().map(ToString::to_string).collect();
        assert_eq!(keys, expected);
        assert_eq!(list.timed().key().to_string(), expected[0]);
    }

    /// The tables of the front page are what a deployer reads.
    #[test]
    fn the_documentation_names_both_variables_and_every_member() {
        let documentation = include_str!("lib.rs");
        for name in [LISTS.name, LISTS_FILE.name].into_iter().chain(MEMBERS.split(", ")) {
            assert!(documentation.contains(&format!("| `{name}`")), "{name}");
        }
    }
}

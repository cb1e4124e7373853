//! DynamoDB.
//!
//! A row is an item, its key the partition key of a table that has no sort key. Reads are consistent ones: what fills a
//! cache must not be older than what has invalidated it.

mod address;
mod fault;
mod item;
mod write;

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Builder, Credentials, Region, StalledStreamProtectionConfig,
};
use aws_sdk_dynamodb::types::{KeySchemaElement, KeyType, KeysAndAttributes, ScalarAttributeType};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use tokio::time::sleep;

use crate::aws::AwsSettings;
use crate::database::{IndexList, Rows};
use crate::error::{Misconfigured, OriginError};
use crate::id::{IdKind, Key};
use crate::identifier::Identifier;
use crate::plan::{Column, Plan};
use crate::record::Record;
use crate::tables::TableConfig;

use address::Address;
pub(crate) use fault::Fault;
use fault::{fault, left_over};
use item::{Item, key_text, key_value, scalar_value, to_record};

/// The tables of an account in a region.
pub(crate) struct DynamoDb {
    address: Address,
    aws: Option<AwsSettings>,
    client: OnceLock<Client>,
}

impl DynamoDb {
    /// Takes `dynamodb:region`, and behind a `?` the settings `prefix` and `endpoint`.
    pub(crate) fn from_url(url: &str) -> Result<Self, Misconfigured> {
        Ok(Self { address: Address::read(url)?, aws: None, client: OnceLock::new() })
    }

    pub(crate) fn set_aws(&mut self, settings: AwsSettings) {
        self.aws = Some(settings);
    }

    /// How `config` is read, by what the table says of itself.
    pub(crate) async fn plan(&self, config: &TableConfig) -> Result<Plan, OriginError> {
        let (table, key) = (config.table.clone(), config.key.clone());
        let request = self.client()?.describe_table().table_name(self.name(&config.table));
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if fault::is_missing(&error) => return Err(Misconfigured::NoTable { table }.into()),
            Err(error) => return Err(fault(error).into()),
        };
        let Some(description) = answer.table else { return Err(Misconfigured::NoTable { table }.into()) };
        let partition = partition_of(description.key_schema());
        if partition != Some(key.as_str()) || description.key_schema().len() != 1 {
            return Err(Misconfigured::KeyNotUnique { table, key }.into());
        }
        let mut attributes = description.attribute_definitions().iter();
        let kind = match attributes.find(|attribute| attribute.attribute_name() == key.as_str()) {
            Some(attribute) if *attribute.attribute_type() == ScalarAttributeType::N => IdKind::Number,
            Some(attribute) if *attribute.attribute_type() == ScalarAttributeType::S => IdKind::Text,
            _ => return Err(Misconfigured::KeyType { table, key }.into()),
        };
        let indexes = description.global_secondary_indexes().iter();
        let indexes = indexes.filter_map(|index| {
            Some((index.index_name()?.to_owned(), partition_of(index.key_schema())?.to_owned()))
        });
        let column = |name: &Identifier| Column { name: name.to_string(), ..Column::default() };
        Ok(Plan {
            table: self.name(&config.table),
            key: column(&config.key),
            kind,
            columns: config.columns.iter().flatten().map(column).collect(),
            version: config.version.as_ref().map(column),
            takes_any_column: config.columns.is_none(),
            indexes: indexes.collect(),
        })
    }

    /// The rows of `keys`. What DynamoDB leaves out of an answer is asked for again, a few times.
    pub(crate) async fn select(&self, plan: &Plan, keys: &[Key<'_>]) -> Result<Rows, OriginError> {
        let mut distinct: BTreeMap<String, Item> = BTreeMap::new();
        for key in keys {
            let (text, value) = (key_text(*key), key_value(*key));
            distinct.insert(text, Item::from([(plan.key.name.clone(), value)]));
        }
        let projection = Projection::of(plan);
        let request = KeysAndAttributes::builder()
            .set_keys(Some(distinct.into_values().collect()))
            .set_projection_expression(projection.expression)
            .set_expression_attribute_names(projection.names)
            .consistent_read(true)
            .build()
            .map_err(|_| left_over())?;
        let mut rows = Rows::new();
        let mut asked = HashMap::from([(plan.table.clone(), request)]);
        for round in 1..=MAX_ROUNDS {
            let answer = self.client()?.batch_get_item().set_request_items(Some(asked)).send().await;
            let answer = answer.map_err(fault)?;
            for item in answer.responses.unwrap_or_default().into_values().flatten() {
                if let Some(key) = item.get(&plan.key.name).and_then(item::text) {
                    rows.insert(key, to_record(plan, &item));
                }
            }
            asked = answer.unprocessed_keys.unwrap_or_default();
            asked.retain(|_, keys| !keys.keys().is_empty());
            if asked.is_empty() {
                return Ok(rows);
            }
            sleep(PAUSE * 2_u32.pow(round - 1)).await;
        }
        Err(left_over().into())
    }

    /// Up to `limit` rows of an index, page by page.
    pub(crate) async fn list(
        &self,
        plan: &Plan,
        asked: &IndexList<'_>,
        limit: usize,
    ) -> Result<Vec<Record>, OriginError> {
        let IndexList { index, partition, descending } = *asked;
        let Some((_, attribute)) = plan.indexes.iter().find(|(name, _)| name == index) else {
            let table = plan
                .table
                .strip_prefix(self.address.prefix.as_str())
                .and_then(|name| Identifier::new(name).ok());
            let table = table.expect("a plan's table is the prefix and an identifier");
            return Err(Misconfigured::NoIndex { table }.into());
        };
        let (mut rows, mut start) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let Some(left) = limit.checked_sub(rows.len()).filter(|left| *left > 0) else { break };
            let projection = Projection::of(plan);
            let mut names = projection.names.unwrap_or_default();
            names.insert("#partition".to_owned(), attribute.clone());
            let request = self
                .client()?
                .query()
                .table_name(&plan.table)
                .index_name(index)
                .key_condition_expression("#partition = :partition")
                .set_expression_attribute_names(Some(names))
                .expression_attribute_values(":partition", scalar_value(partition))
                .set_projection_expression(projection.expression)
                .scan_index_forward(!descending)
                .limit(i32::try_from(left).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start);
            let answer = request.send().await.map_err(fault)?;
            rows.extend(answer.items.unwrap_or_default().iter().map(|item| to_record(plan, item)));
            start = answer.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        Ok(rows)
    }

    /// The name of a table in the account.
    fn name(&self, table: &Identifier) -> String {
        format!("{}{table}", self.address.prefix)
    }

    fn client(&self) -> Result<&Client, Misconfigured> {
        let aws = self.aws.as_ref().ok_or(Misconfigured::NoCredentials)?;
        Ok(self.client.get_or_init(|| client(&self.address, aws)))
    }
}

/// The columns that are read, where not all of them are.
struct Projection {
    expression: Option<String>,
    names: Option<HashMap<String, String>>,
}

impl Projection {
    fn of(plan: &Plan) -> Self {
        if plan.takes_any_column {
            return Self { expression: None, names: None };
        }
        let read = plan.columns.iter().chain([&plan.key]).chain(&plan.version);
        // By their names, because a name may stand here only once.
        let distinct: BTreeMap<&str, ()> = read.map(|column| (column.name.as_str(), ())).collect();
        let names: HashMap<String, String> = (0..)
            .zip(distinct.into_keys())
            .map(|(at, name): (usize, _)| (format!("#c{at}"), name.to_owned()))
            .collect();
        let mut places: Vec<&str> = names.keys().map(String::as_str).collect();
        places.sort_unstable();
        Self { expression: Some(places.join(", ")), names: Some(names) }
    }
}

/// The attribute that is hashed.
fn partition_of(schema: &[KeySchemaElement]) -> Option<&str> {
    let element = schema.iter().find(|element| *element.key_type() == KeyType::Hash)?;
    Some(element.attribute_name())
}

fn client(address: &Address, aws: &AwsSettings) -> Client {
    let AwsSettings { access_key_id, secret_access_key, session_token, .. } = aws.clone();
    let credentials = Credentials::new(access_key_id, secret_access_key, session_token, None, "settings");
    let tls = Provider::Rustls(CryptoMode::Ring);
    // A connection that rested for longer may have died in a frozen environment.
    let http =
        aws_smithy_http_client::Builder::new().pool_idle_timeout(MAX_REST).tls_provider(tls).build_https();
    let times = TimeoutConfig::builder()
        .connect_timeout(aws.connect_timeout)
        .operation_attempt_timeout(aws.attempt_timeout)
        .build();
    let builder = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(address.region.clone()))
        .credentials_provider(credentials)
        .http_client(http)
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_TRIES).with_initial_backoff(PAUSE))
        .timeout_config(times)
        // Answers are short, and the timeouts above hold for them, too.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    let builder = match &address.endpoint {
        Some(url) => builder.endpoint_url(url),
        None => builder,
    };
    Client::from_conf(builder.build())
}

/// How often a request is sent at most. A write carries a token by which DynamoDB knows it again.
const MAX_TRIES: u32 = 2;

/// How often keys are asked for that DynamoDB left out.
const MAX_ROUNDS: u32 = 5;

/// The first pause before something is asked again; each later one is twice as long.
const PAUSE: Duration = Duration::from_millis(20);

/// Most pages of one list: each has what fits into a megabyte.
const MAX_PAGES: usize = 20;

/// How long a connection rests before it is given up.
const MAX_REST: Duration = Duration::from_secs(5);

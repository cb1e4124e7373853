//! Tables in the emulator of DynamoDB.
#![allow(dead_code, reason = "each test file takes what it needs")]

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    Projection, ProjectionType, ScalarAttributeType,
};

use crate::place::Stored;
use crate::server::{PASSWORD, ministack};

/// A client of the emulator.
pub(crate) async fn client() -> Client {
    let port = tokio::task::spawn_blocking(|| ministack().port).await.unwrap();
    let config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("nobody", PASSWORD, None, None, "tests"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(format!("http://127.0.0.1:{port}"));
    Client::from_conf(config.build())
}

/// The tables of the tests behind `prefix`: `flights` has an index over its destinations.
pub(crate) async fn make_tables(prefix: &str) {
    let client = client().await;
    let create = |name: &str, key: &str, kind: ScalarAttributeType| {
        client
            .create_table()
            .table_name(format!("{prefix}{name}"))
            .billing_mode(BillingMode::PayPerRequest)
            .key_schema(element(key, KeyType::Hash))
            .attribute_definitions(attribute(key, kind))
    };
    let index = GlobalSecondaryIndex::builder()
        .index_name("by-dest")
        .key_schema(element("dest", KeyType::Hash))
        .key_schema(element("distance", KeyType::Range))
        .projection(Projection::builder().projection_type(ProjectionType::All).build());
    create("flights", "id", ScalarAttributeType::N)
        .attribute_definitions(attribute("dest", ScalarAttributeType::S))
        .attribute_definitions(attribute("distance", ScalarAttributeType::N))
        .global_secondary_indexes(index.build().unwrap())
        .send()
        .await
        .unwrap();
    for name in ["counted", "texts", "numbers"] {
        create(name, "id", ScalarAttributeType::N).send().await.unwrap();
    }
    create("airports", "faa", ScalarAttributeType::S).send().await.unwrap();
    create("larder_writes", "id", ScalarAttributeType::S).send().await.unwrap();
    create("pairs", "id", ScalarAttributeType::S)
        .attribute_definitions(attribute("part", ScalarAttributeType::S))
        .key_schema(element("part", KeyType::Range))
        .send()
        .await
        .unwrap();
    create("blobs", "id", ScalarAttributeType::B).send().await.unwrap();
}

/// One table that is keyed by a number, called `id`.
pub(crate) async fn make_table(prefix: &str, name: &str) {
    let table = client().await.create_table().table_name(format!("{prefix}{name}"));
    let table = table.billing_mode(BillingMode::PayPerRequest).key_schema(element("id", KeyType::Hash));
    table.attribute_definitions(attribute("id", ScalarAttributeType::N)).send().await.unwrap();
}

pub(crate) async fn drop_table(prefix: &str, name: &str) {
    client().await.delete_table().table_name(format!("{prefix}{name}")).send().await.unwrap();
}

/// Puts an item in whose version is `stored`.
pub(crate) async fn set_version(prefix: &str, table: &str, id: &str, stored: Stored) {
    let item = client().await.put_item().table_name(format!("{prefix}{table}"));
    let item =
        item.item("id", AttributeValue::N(id.to_owned())).item("word", AttributeValue::S("a".to_owned()));
    let version = match stored {
        Stored::Nothing => None,
        Stored::Null => Some(AttributeValue::Null(true)),
        Stored::Number(digits) => Some(AttributeValue::N(digits.to_owned())),
        Stored::Text(text) => Some(AttributeValue::S(text.to_owned())),
    };
    let item = match version {
        Some(version) => item.item("version", version),
        None => item,
    };
    item.send().await.unwrap();
}

/// What is kept of the write called `name`.
pub(crate) async fn outcome(prefix: &str, name: &str) -> String {
    let item = client().await.get_item().table_name(format!("{prefix}larder_writes"));
    let item = item.key("id", AttributeValue::S(name.to_owned())).send().await.unwrap().item.unwrap();
    item["outcome"].as_s().unwrap().clone()
}

/// Keeps `outcome` of the write called `name`, in place of what is kept.
pub(crate) async fn set_outcome(prefix: &str, name: &str, outcome: &str) {
    let update = client().await.update_item().table_name(format!("{prefix}larder_writes"));
    let update = update.key("id", AttributeValue::S(name.to_owned())).update_expression("SET outcome = :o");
    update.expression_attribute_values(":o", AttributeValue::S(outcome.to_owned())).send().await.unwrap();
}

fn element(name: &str, kind: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
}

fn attribute(name: &str, kind: ScalarAttributeType) -> AttributeDefinition {
    AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
}

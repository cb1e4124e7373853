//! Tables in the emulator of DynamoDB.
#![allow(dead_code, reason = "each test file takes what it needs")]

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};

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

pub(crate) async fn drop_table(prefix: &str, name: &str) {
    client().await.delete_table().table_name(format!("{prefix}{name}")).send().await.unwrap();
}

fn element(name: &str, kind: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
}

fn attribute(name: &str, kind: ScalarAttributeType) -> AttributeDefinition {
    AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
}

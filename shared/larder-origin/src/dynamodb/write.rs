//! A write: the item is read, and changed on the condition that it is still the same.
//!
//! DynamoDB has no locks. A row of a table with versions is changed only if the attribute that holds its version is as it
//! was read, whatever that is: a count, anything else, or none; without versions only whether there is such a row is compared, and of two writers at once the later one counts.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::config::interceptors::FinalizerInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem, Update};
use tokio::time::sleep;

use super::DynamoDb;
use super::fault::{fault, fault_of_unknown, fault_of_write, is_missing, is_unconnected, left_over};
use super::item::{Item, key_value, scalar_value, text, to_record};
use super::{PAUSE, Projection};
use crate::change::{Change, Effect, Written};
use crate::error::{Misconfigured, OriginError, Outage, Rejected};
use crate::id::Key;
use crate::idempotency::{self, Happened};
use crate::plan::{Column, Plan};
use crate::record::Record;
use crate::scalar::Scalar;
use crate::write::{WriteRequest, named, next_version};

impl DynamoDb {
    /// Writes an item. What somebody else changed in between is tried again.
    pub(crate) async fn write(
        &self,
        plan: &Plan,
        request: &WriteRequest<'_>,
    ) -> Result<Written, OriginError> {
        let set = named(plan, request)?;
        if !plan.takes_any_column {
            let is_known = |name: &str| plan.columns.iter().any(|column| column.name == name);
            if !set.iter().all(|(name, _)| is_known(name)) {
                return Err(OriginError::UnknownColumn);
            }
        }
        if set.iter().any(|(name, _)| name.is_empty()) {
            return Err(OriginError::UnknownColumn);
        }
        let numbers = set.iter().filter_map(|(_, value)| value.as_number());
        if !numbers.into_iter().all(|number| number.is_in_dynamodb()) {
            return Err(Rejected::Value.into());
        }
        let key = request.id.to_key(plan.kind)?;
        for tries in 1..=MAX_TRIES {
            if let Some(written) = self.try_write(plan, request, key, &set).await? {
                return Ok(written);
            }
            sleep(PAUSE * tries).await;
        }
        Err(left_over().into())
    }

    /// `None` if somebody else was faster.
    async fn try_write(
        &self,
        plan: &Plan,
        request: &WriteRequest<'_>,
        key: Key<'_>,
        set: &[(&str, &Scalar)],
    ) -> Result<Option<Written>, OriginError> {
        if let Some(written) = self.repeated(plan, request, key).await? {
            return Ok(Some(written));
        }
        let item = self.item(plan, key).await?;
        let before = item.as_ref().map(|item| to_record(plan, item));
        let present = before.as_ref().and_then(Record::version);
        if request.if_version.is_some_and(|wanted| present != Some(wanted)) {
            // The write that changed it in between may have been this very one.
            let written = self.repeated(plan, request, key).await?;
            return written.map(Some).ok_or(OriginError::VersionConflict { present });
        }
        let effect = match (request.change, &item) {
            (Change::Put(_), None) => Effect::Made,
            (Change::Put(_) | Change::Patch(_), Some(_)) => Effect::Changed,
            (Change::Delete, Some(_)) => Effect::Removed,
            (Change::Patch(_) | Change::Delete, None) => Effect::Nothing,
        };
        let next = match effect {
            Effect::Made | Effect::Changed => Some(next_item(plan, request, key, item.as_ref(), set)?),
            Effect::Removed | Effect::Nothing => None,
        };
        let record = next.as_ref().map(|item| to_record(plan, item));
        let version = record.as_ref().and_then(Record::version);
        let written = Written { record, before, version, effect, repeat: None };

        let mut items = Vec::new();
        if effect != Effect::Nothing {
            let condition = Condition::of(plan, key, item.as_ref());
            items.push(change(plan, request.change, condition, set, next)?);
        }
        items.extend(self.remembered(request, &written)?);
        if items.is_empty() {
            return Ok(Some(written));
        }
        let attempts = Attempts::default();
        let transaction = self.client()?.transact_write_items().set_transact_items(Some(items));
        request.progress.begin_commit();
        let answer = transaction.customize().interceptor(attempts.clone()).send().await;
        request.progress.end_commit();
        match answer {
            Ok(_) => Ok(Some(written)),
            Err(error) => refused(error, &attempts).map(|()| None),
        }
    }

    /// The item as it is now.
    async fn item(&self, plan: &Plan, key: Key<'_>) -> Result<Option<Item>, OriginError> {
        let projection = Projection::of(plan);
        let request = self
            .client()?
            .get_item()
            .table_name(&plan.table)
            .key(&plan.key.name, key_value(key))
            .set_projection_expression(projection.expression)
            .set_expression_attribute_names(projection.names)
            .consistent_read(true);
        Ok(request.send().await.map_err(fault)?.item)
    }

    /// What is answered where the write has happened under this name before: the row as it is now.
    async fn repeated(
        &self,
        plan: &Plan,
        request: &WriteRequest<'_>,
        key: Key<'_>,
    ) -> Result<Option<Written>, OriginError> {
        let Some(happened) = self.happened(request).await? else { return Ok(None) };
        let item = if happened.left_a_row() { self.item(plan, key).await? } else { None };
        Ok(Some(happened.repeated(item.map(|item| to_record(plan, &item)))))
    }

    /// What the write came to when it happened under this name before.
    async fn happened(&self, request: &WriteRequest<'_>) -> Result<Option<Happened>, OriginError> {
        let Some((name, digest)) = &request.name else { return Ok(None) };
        let id = AttributeValue::S(name.as_str().to_owned());
        let query = self.client()?.get_item().table_name(self.writes()).key("id", id).consistent_read(true);
        let answer = match query.send().await {
            Ok(answer) => answer,
            Err(error) if is_missing(&error) => return Err(Misconfigured::NoIdempotencyTable.into()),
            Err(error) => return Err(fault(error).into()),
        };
        let Some(item) = answer.item else { return Ok(None) };
        if item.get("digest").and_then(text).as_ref() != Some(digest) {
            return Err(OriginError::IdempotencyMismatch);
        }
        let outcome = item.get("outcome").and_then(text).and_then(|text| Happened::of_outcome(&text));
        Ok(Some(outcome.ok_or_else(left_over)?))
    }

    /// The item that remembers what the write did under its name; DynamoDB removes it when it is old.
    fn remembered(
        &self,
        request: &WriteRequest<'_>,
        written: &Written,
    ) -> Result<Option<TransactWriteItem>, OriginError> {
        let Some((name, digest)) = &request.name else { return Ok(None) };
        let expires_at = (request.now_ms + 2 * idempotency::KEPT_MS) / 1000;
        let put = Put::builder()
            .table_name(self.writes())
            .item("id", AttributeValue::S(name.as_str().to_owned()))
            .item("digest", AttributeValue::S(digest.clone()))
            .item("outcome", AttributeValue::S(idempotency::to_outcome(written, request.kept)))
            .item("written_at", AttributeValue::N(request.now_ms.to_string()))
            .item("expires_at", AttributeValue::N(expires_at.to_string()))
            .condition_expression("attribute_not_exists(#id)")
            .expression_attribute_names("#id", "id")
            .build()
            .map_err(|_| left_over())?;
        Ok(Some(TransactWriteItem::builder().put(put).build()))
    }

    fn writes(&self) -> String {
        format!("{}{}", self.address.prefix, idempotency::TABLE)
    }
}

/// The item after the write.
fn next_item(
    plan: &Plan,
    request: &WriteRequest<'_>,
    key: Key<'_>,
    item: Option<&Item>,
    set: &[(&str, &Scalar)],
) -> Result<Item, Rejected> {
    let mut next = match request.change {
        Change::Patch(_) => item.cloned().unwrap_or_default(),
        _ => Item::new(),
    };
    next.extend(set.iter().map(|(name, value)| ((*name).to_owned(), scalar_value(value))));
    next.insert(plan.key.name.clone(), key_value(key));
    if let Some(column) = &plan.version {
        let before = item.map(|item| to_record(plan, item));
        let version = next_version(before.as_ref(), request.now_ms)?;
        next.insert(column.name.clone(), AttributeValue::N(version.to_string()));
    }
    Ok(next)
}

/// That an item is as it was read.
struct Condition {
    key: AttributeValue,
    expression: String,
    names: HashMap<String, String>,
    values: Item,
}

impl Condition {
    /// That there still is `item`, with that very attribute as its version, or that there still is none.
    fn of(plan: &Plan, key: Key<'_>, item: Option<&Item>) -> Self {
        let key_name = ("#key".to_owned(), plan.key.name.clone());
        let version_name = |column: &Column| ("#version".to_owned(), column.name.clone());
        let (mut names, mut values) = (HashMap::from([key_name]), Item::new());
        let expression = match (item, &plan.version) {
            (None, _) => "attribute_not_exists(#key)",
            (Some(_), None) => "attribute_exists(#key)",
            (Some(item), Some(column)) => match item.get(&column.name) {
                // A name that the expression does not use is refused.
                Some(present) => {
                    names = HashMap::from([version_name(column)]);
                    values.insert(":present".to_owned(), present.clone());
                    "#version = :present"
                }
                None => {
                    names.extend([version_name(column)]);
                    "attribute_exists(#key) AND attribute_not_exists(#version)"
                }
            },
        };
        Self { key: key_value(key), expression: expression.to_owned(), names, values }
    }

    fn values(&self) -> Option<Item> {
        (!self.values.is_empty()).then(|| self.values.clone())
    }
}

/// The change of the item itself, to what is `next`, or to none.
fn change(
    plan: &Plan,
    change: &Change,
    condition: Condition,
    set: &[(&str, &Scalar)],
    next: Option<Item>,
) -> Result<TransactWriteItem, OriginError> {
    let builder = TransactWriteItem::builder();
    Ok(match next {
        None => builder.delete(deleted(plan, condition)?),
        Some(next) if matches!(change, Change::Put(_)) && plan.takes_any_column => {
            builder.put(replaced(plan, condition, next)?)
        }
        Some(next) => builder.update(updated(plan, change, condition, set, &next)?),
    }
    .build())
}

fn deleted(plan: &Plan, condition: Condition) -> Result<Delete, OriginError> {
    let values = condition.values();
    let delete = Delete::builder()
        .table_name(&plan.table)
        .key(&plan.key.name, condition.key)
        .condition_expression(condition.expression)
        .set_expression_attribute_names(Some(condition.names))
        .set_expression_attribute_values(values);
    delete.build().map_err(|_| left_over().into())
}

fn replaced(plan: &Plan, condition: Condition, next: Item) -> Result<Put, OriginError> {
    let put = Put::builder()
        .table_name(&plan.table)
        .set_item(Some(next))
        .set_expression_attribute_values(condition.values())
        .condition_expression(condition.expression)
        .set_expression_attribute_names(Some(condition.names));
    put.build().map_err(|_| left_over().into())
}

/// Sets what was `set`, and the version where the table has one. Columns of the table that a `Change::Put` leaves out
/// are removed; what the table does not know of stays.
fn updated(
    plan: &Plan,
    change: &Change,
    condition: Condition,
    set: &[(&str, &Scalar)],
    next: &Item,
) -> Result<Update, OriginError> {
    let (mut names, mut values) = (condition.names, condition.values);
    let mut place = |name: &str| {
        let place = format!("c{}", names.len());
        names.insert(format!("#{place}"), name.to_owned());
        place
    };
    let mut sets = Vec::new();
    let counted = plan.version.iter().map(|column| column.name.as_str());
    for name in set.iter().map(|(name, _)| *name).chain(counted) {
        let place = place(name);
        sets.push(format!("#{place} = :{place}"));
        values.insert(format!(":{place}"), next[name].clone());
    }
    let is_put = matches!(change, Change::Put(_));
    let columns = plan.columns.iter().map(|column| column.name.as_str());
    let gone = columns.filter(|name| is_put && !next.contains_key(*name));
    let gone: Vec<String> = gone.map(|name| format!("#{}", place(name))).collect();
    let update = Update::builder()
        .table_name(&plan.table)
        .key(&plan.key.name, condition.key)
        .condition_expression(condition.expression)
        .update_expression(update_expression(&sets, &gone))
        .set_expression_attribute_names(Some(names))
        .set_expression_attribute_values((!values.is_empty()).then_some(values));
    update.build().map_err(|_| left_over().into())
}

fn update_expression(sets: &[String], gone: &[String]) -> String {
    let clauses = [("SET", sets), ("REMOVE", gone)].into_iter().filter(|(_, list)| !list.is_empty());
    clauses.map(|(word, list)| format!("{word} {}", list.join(", "))).collect::<Vec<_>>().join(" ")
}

/// What it means that a transaction was not taken: nothing, if another write was faster and it may be tried again.
fn refused(
    error: SdkError<TransactWriteItemsError, HttpResponse>,
    attempts: &Attempts,
) -> Result<(), OriginError> {
    let service = error.as_service_error();
    if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = service {
        let reasons = cancelled.cancellation_reasons();
        let codes: Vec<&str> = reasons.iter().filter_map(|reason| reason.code()).collect();
        if let Some(invalid) = reasons.iter().find(|reason| reason.code() == Some("ValidationError")) {
            return Err(invalid_value(invalid.message()).into());
        }
        if codes.contains(&"ItemCollectionSizeLimitExceeded") {
            return Err(Rejected::TooLarge.into());
        }
        if codes.iter().any(|code| matches!(*code, "ConditionalCheckFailed" | "TransactionConflict")) {
            return Ok(());
        }
        return Err(fault(error).into());
    }
    if attempts.is_any_unanswered() {
        return Err(fault_of_unknown(error).into());
    }
    let code = service.and_then(ProvideErrorMetadata::code);
    match code {
        Some("ValidationException") => {
            Err(invalid_value(service.and_then(ProvideErrorMetadata::message)).into())
        }
        Some("TransactionInProgressException") => Err(Outage::Unknown(None).into()),
        _ => Err(fault_of_write(error).into()),
    }
}

/// What became of all attempts of a request; its error tells the last one alone.
#[derive(Clone, Debug, Default)]
struct Attempts(Arc<AtomicBool>);

impl Attempts {
    /// Whether the server may have done what an earlier attempt asked for.
    fn is_any_unanswered(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "attempts"
    }

    fn read_after_attempt(
        &self,
        attempt: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let is_unanswered = match (attempt.response(), attempt.output_or_error()) {
            (Some(answer), _) => answer.status().is_server_error(),
            (None, Some(Err(error))) => !is_unconnected(error),
            (None, _) => true,
        };
        self.0.fetch_or(is_unanswered, Ordering::Relaxed);
        Ok(())
    }
}

/// What a value is rejected for that DynamoDB calls invalid. It has no code of its own for an item that is too large.
fn invalid_value(message: Option<&str>) -> Rejected {
    match message.is_some_and(|message| message.contains("size")) {
        true => Rejected::TooLarge,
        false => Rejected::Value,
    }
}

/// How often a write is tried that somebody else is faster than.
const MAX_TRIES: u32 = 8;

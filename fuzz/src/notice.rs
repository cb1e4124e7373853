//! A notice: what is true of every one that is read.

use larder_discovery::{Effect, Event, MAX_EXCERPT_LEN, MAX_ID_LEN, MAX_NAME_LEN, MAX_NOTICE_LEN, Notice};
use serde_json::json;

/// Checks that `text` is refused in few words, or read as a notice about its own cluster that says the same when it
/// is written and read again.
pub fn check(text: &str) {
    let notice = match Notice::parse(text) {
        Ok(notice) => notice,
        Err(error) => {
            // An escaped character has at most ten, and the mark of more to come is one.
            assert!(error.excerpt.chars().count() <= 10 * MAX_EXCERPT_LEN + 1, "{error}");
            return;
        }
    };
    assert!(text.len() <= MAX_NOTICE_LEN);
    assert!((1..=MAX_ID_LEN).contains(&notice.cluster.len()) && is_visible(&notice.cluster), "{notice:?}");
    let name = notice.event.name();
    assert!((1..=MAX_NAME_LEN).contains(&name.len()) && is_visible(name), "{notice:?}");

    assert_eq!(notice.effect_on(&notice.cluster), Some(notice.event.effect()));
    let (longer, member) = (format!("{}x", notice.cluster), member_of(&notice));
    assert!(!notice.is_about(&longer) && !notice.is_about(""), "{notice:?}");
    assert!(member.is_about(&notice.cluster), "{member:?}");
    assert_ne!(member.effect_on(&notice.cluster), Some(Effect::Gone), "{member:?}");

    // Longer than it was, where a detail that was no text is one now.
    let again = Notice::parse(&tidy(&notice));
    assert_eq!(again.unwrap_or_else(|error| panic!("{notice:?} is not read again: {error}")), notice);
}

/// The same event of a member of the cluster, if that were a replication group.
fn member_of(notice: &Notice) -> Notice {
    Notice { cluster: format!("{}-0001-002", notice.cluster), ..notice.clone() }
}

/// The notice as ElastiCache would write it, the event first.
fn tidy(notice: &Notice) -> String {
    let key = match &notice.event {
        Event::Changed => "SourceIdentifier".to_owned(),
        event => format!("ElastiCache:{}", event.name()),
    };
    let mut text = json!(notice.details);
    text[key] = json!(notice.cluster);
    text.to_string()
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

//! What a host records of itself, and the checkpoints that it signs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::audit::{Event, EventKind, PublicKey, SigningKey};
use crate::config::{AuditKey, CheckpointSchedule};
use crate::db::{Db, DbError};
use crate::sandbox::LoadedRole;

/// How often it is looked whether a checkpoint is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the last checkpoint of a host is tried.
const LAST_TRIES: u32 = 3;
const SEED_BYTES: usize = 32;
/// Where `dev` keeps its key.
const KEY_FILE: &str = "audit.key";

/// 32 random bytes in hexadecimal.
pub fn new_audit_seed() -> Result<SecretString> {
    let mut seed = [0_u8; SEED_BYTES];
    getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("the system has no random numbers: {error}"))?;
    Ok(SecretString::from(hex::encode(seed)))
}

pub(super) fn signing_key(key: &AuditKey) -> Result<SigningKey> {
    match key {
        AuditKey::Seed(seed) => Ok(SigningKey::from_seed(seed)?),
        AuditKey::Ephemeral => {
            warn!(
                "JUGGERNAUT_AUDIT_KEY is ephemeral: what this process signs can be checked only with the public key \
                 that it says here; `juggernaut audit keygen` makes a lasting one"
            );
            Ok(SigningKey::from_seed(&new_audit_seed()?)?)
        }
    }
}

/// The key of `dev`, in its folder; made at its first start.
pub(super) fn key_of_dev(home: &Path) -> Result<AuditKey> {
    use std::io::Write as _;

    let path = home.join(KEY_FILE);
    let what = || format!("the audit key {} can not be used", path.display());
    if path.exists() {
        let seed = std::fs::read_to_string(&path).with_context(what)?;
        return Ok(AuditKey::Seed(SecretString::from(seed.trim())));
    }
    let seed = new_audit_seed()?;
    // Private from the start, and in place whole.
    let mut file = tempfile::Builder::new().prefix(".audit").tempfile_in(home).with_context(what)?;
    file.write_all(seed.expose_secret().as_bytes()).with_context(what)?;
    file.persist(&path).with_context(what)?;
    Ok(AuditKey::Seed(seed))
}

/// What this host runs with, by name: whatever changes what a task may do belongs here.
pub(super) fn digests(roles: &[Arc<LoadedRole>], policies: [u8; 32]) -> BTreeMap<String, String> {
    let of_role = |role: &Arc<LoadedRole>| {
        let name = &role.manifest.role.name;
        [
            (format!("role {name} component"), hex::encode(role.component_sha256)),
            (format!("role {name} manifest"), hex::encode(role.manifest.sha256)),
        ]
    };
    let policies = ("policies".to_owned(), hex::encode(policies));
    roles.iter().flat_map(of_role).chain([policies]).collect()
}

/// The start, what differs from the hosts before, and the settings that weaken governance. A host whose start can not
/// be recorded does not start.
pub(super) async fn record_start(
    db: &Db,
    key: PublicKey,
    digests: &BTreeMap<String, String>,
    weakened: &[(&str, &str)],
) -> Result<()> {
    let before = db.recorded_digests().await?;
    let details = json!({
        "version": env!("CARGO_PKG_VERSION"), "audit_public_key": key.to_string(), "digests": digests,
    });
    let mut events = vec![Event::new(EventKind::HostStarted, Event::HOST, details)];
    events.extend(changed(&before, digests).into_iter().map(|details| {
        warn!(%details, "a role or policy is not what the last host ran with");
        Event::new(EventKind::RoleChanged, Event::HOST, details)
    }));
    events.extend(weakened.iter().map(|(setting, value)| {
        Event::new(EventKind::Setting, Event::HOST, json!({ "setting": setting, "value": value }))
    }));
    info!(audit_public_key = %key, "the audit log is open");
    db.record(events).await.context("the start of this host can not be recorded")
}

/// Digests that are not those of the newest host that had one under the same name.
fn changed(before: &[Value], now: &BTreeMap<String, String>) -> Vec<Value> {
    if before.is_empty() {
        return Vec::new();
    }
    let differs = |(what, digest): (&String, &String)| {
        let last = before.iter().find_map(|digests| digests.get(what)).and_then(Value::as_str);
        (last != Some(digest)).then(|| json!({ "what": what, "before": last, "now": digest }))
    };
    now.iter().filter_map(differs).collect()
}

/// Signs checkpoints until the host is down.
pub(super) async fn sign(db: Db, schedule: CheckpointSchedule, mut down: watch::Receiver<bool>) {
    let mut signed_at = Instant::now();
    while !*down.borrow() {
        let many = u64::try_from(db.audit_rows_unsigned().await).unwrap_or(0) >= schedule.rows;
        if many || signed_at.elapsed() >= schedule.every {
            signed_at = Instant::now();
            if let Err(error) = checkpoint(&db).await {
                warn!(%error, "the audit log's checkpoint was not stored; trying again");
            }
        }
        tokio::select! {
            _ = down.changed() => {}
            () = tokio::time::sleep(LOOK_EVERY.min(schedule.every)) => {}
        }
    }
}

/// The end of the host, and the checkpoint over it.
pub(super) async fn record_stop(db: &Db) {
    let stopped = Event::new(EventKind::HostStopped, Event::HOST, json!({}));
    if let Err(error) = db.record(vec![stopped]).await {
        error!(%error, "the end of this host was not recorded");
    }
    for attempt in 1..=LAST_TRIES {
        match checkpoint(db).await {
            Ok(()) => return,
            Err(error) => error!(attempt, %error, "the last checkpoint of the audit log was not stored"),
        }
    }
}

/// The line is what leaves the database's reach: the log stream is kept elsewhere.
async fn checkpoint(db: &Db) -> Result<(), DbError> {
    if let Some(checkpoint) = db.audit_checkpoint().await? {
        info!(target: "audit_checkpoint", checkpoint = %checkpoint, "signed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_from_the_newest_host_that_had_it_is_a_change() {
        let before = [json!({ "a": "2", "b": "1" }), json!({ "a": "1", "c": "1" })];
        let now = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(changed(&before, &now(&[("a", "2"), ("b", "1"), ("c", "1")])), Vec::<Value>::new());
        assert_eq!(changed(&before, &now(&[("a", "1")])), [json!({ "what": "a", "before": "2", "now": "1" })]);
        assert_eq!(changed(&before, &now(&[("d", "1")])), [json!({ "what": "d", "before": null, "now": "1" })]);
        assert_eq!(changed(&[], &now(&[("a", "1")])), Vec::<Value>::new());
    }

    #[test]
    fn the_key_of_dev_stays() {
        use std::os::unix::fs::PermissionsExt as _;

        let home = tempfile::tempdir().unwrap();
        let public = || signing_key(&key_of_dev(home.path()).unwrap()).unwrap().public();
        assert_eq!(public(), public());
        let mode = std::fs::metadata(home.path().join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(home.path().join(KEY_FILE), "nonsense").unwrap();
        assert!(signing_key(&key_of_dev(home.path()).unwrap()).is_err());
    }
}

//! What is done in the background: expire tasks, sign checkpoints, rotate keys, forget the expired.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::authority::Authority;
use crate::feed::closure;
use crate::ops::close_task::expire_tasks;
use crate::ops::rotate_keys::rotate;

/// Seconds between looks at deadlines.
const DEADLINES: Duration = Duration::from_secs(1);
/// Seconds between looks at key age and at what can be forgotten.
const HOUSEKEEPING: Duration = Duration::from_secs(30);

/// Runs until `stopped` says so.
pub(super) fn spawn(authority: Arc<Authority>, stopped: watch::Receiver<bool>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let every = authority.config.ledger.checkpoint_interval_ms.max(10);
        let mut checkpoints = interval(Duration::from_millis(every));
        let mut deadlines = interval(DEADLINES);
        let mut housekeeping = interval(HOUSEKEEPING);
        for timer in [&mut checkpoints, &mut deadlines, &mut housekeeping] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            tokio::select! {
                () = super::until(stopped.clone()) => break,
                _ = checkpoints.tick() => {
                    if let Err(error) = authority.ledger.advance().await {
                        tracing::error!(%error, "no checkpoint could be signed");
                    }
                }
                _ = deadlines.tick() => {
                    if let Err(fault) = expire_tasks(&authority).await {
                        tracing::error!(detail = fault.detail, "expired tasks could not be closed");
                    }
                    closure::settle_all(&authority).await;
                }
                _ = housekeeping.tick() => keep_house(&authority).await,
            }
        }
        // What is durable is published before the process goes.
        if let Err(error) = authority.ledger.advance().await {
            tracing::error!(%error, "no last checkpoint could be signed");
        }
    })
}

async fn keep_house(authority: &Authority) {
    let now = authority.clock.now();
    authority.revoked.prune(now);
    authority.feed.prune();
    let days = authority.config.tokens.key_rotation_days;
    if authority.keys.is_rotation_due(now, days)
        && let Err(fault) = rotate(authority, "schedule").await
    {
        tracing::error!(detail = fault.detail, "the signing keys could not be rotated");
    }
}

//! What tasks have read, and how exposed they are.

use bailiwick_policy::Sensitivity;

use super::{Backend, Rig};
use crate::model::{Effect, Refused, TaskState};
use crate::store::{READS_OF_TASK_BYTES_MAX, READS_OF_TASK_MAX, StoreError};

pub(in crate::store) async fn exposure_only_rises(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (task, token) = rig.task().await;
    let exposure = async |rig: &Rig| rig.store.task(task.id).await.unwrap().unwrap().exposure;
    assert_eq!(exposure(&rig).await, Sensitivity::Public);
    let expose = |level| Effect::Expose { task: task.id, level };
    rig.ok(expose(Sensitivity::Confidential)).await;
    assert_eq!(exposure(&rig).await, Sensitivity::Confidential);
    rig.ok(expose(Sensitivity::Internal)).await;
    assert_eq!(exposure(&rig).await, Sensitivity::Confidential, "it does not fall");
    let debit = |exposes| Effect::Debit {
        task: task.id,
        jti: token.jti,
        entries: Vec::new(),
        proof: None,
        exposes,
        approval: None,
    };
    rig.ok(debit(None)).await;
    assert_eq!(exposure(&rig).await, Sensitivity::Confidential);
    rig.ok(debit(Some(Sensitivity::Restricted))).await;
    assert_eq!(exposure(&rig).await, Sensitivity::Restricted);
    rig.ok(Effect::CloseTask { task: task.id, state: TaskState::Completed }).await;
    rig.refused(expose(Sensitivity::Restricted), Refused::TaskClosed).await;
    let ended = rig.store.task(task.id).await.unwrap().unwrap();
    assert_eq!((ended.exposure, ended.reads_salt.clone()), (Sensitivity::Restricted, None));
}

pub(in crate::store) async fn reads_are_kept_until_the_task_ends(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (task, _) = rig.task().await;
    let (other, _) = rig.task().await;
    let read = |n: usize| format!("read {n}").into_bytes();
    let all = async |rig: &Rig, after| rig.store.reads(task.id, after, 10_000).await.unwrap();
    assert_eq!(rig.store.add_reads(task.id, vec![read(1), read(2)]).await.unwrap(), 2);
    assert_eq!(rig.store.add_reads(other.id, vec![read(9)]).await.unwrap(), 1);
    assert_eq!(all(&rig, 0).await, [(1, read(1)), (2, read(2))]);
    assert_eq!(all(&rig, 1).await, [(2, read(2))]);
    assert_eq!(rig.store.reads(task.id, 0, 1).await.unwrap(), [(1, read(1))]);

    // The same again is the newest, and not twice there.
    assert_eq!(rig.store.add_reads(task.id, vec![read(1)]).await.unwrap(), 3);
    assert_eq!(all(&rig, 0).await, [(2, read(2)), (3, read(1))]);

    // Beyond the bounds the oldest go.
    let many: Vec<Vec<u8>> = (10..10 + READS_OF_TASK_MAX).map(read).collect();
    let last = rig.store.add_reads(task.id, many).await.unwrap();
    let kept = all(&rig, 0).await;
    assert_eq!(kept.len(), READS_OF_TASK_MAX);
    assert_eq!(kept.first(), Some(&(4, read(10))));
    let half = |byte| vec![byte; READS_OF_TASK_BYTES_MAX / 2];
    rig.store.add_reads(task.id, vec![half(1), half(2), half(3)]).await.unwrap();
    let kept = all(&rig, 0).await;
    assert_eq!(kept, [(last + 2, half(2)), (last + 3, half(3))]);
    let large = vec![0; READS_OF_TASK_BYTES_MAX + 1];
    let refused = rig.store.add_reads(task.id, vec![large]).await;
    assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");

    rig.ok(Effect::CloseTask { task: task.id, state: TaskState::Completed }).await;
    assert_eq!(all(&rig, 0).await, []);
    let closed = rig.store.add_reads(task.id, vec![read(1)]).await.unwrap_err();
    assert_eq!(closed.refused(), Some(&Refused::TaskClosed));
    assert_eq!(rig.store.reads(other.id, 0, 9).await.unwrap(), [(1, read(9))]);
}

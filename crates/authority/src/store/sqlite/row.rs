//! Between records and rows.

use bailiwick_core::{
    AgentId, DebitKind, DecisionId, HolderBinding, ReadsSalt, Sha256Hash, SubjectId, TaskId,
    TenantId, Thumbprint, TokenId, UnixMillis, WorkflowId,
};
use bailiwick_ledger::{LeafIndex, ReceiptKind};
use bailiwick_policy::Sensitivity;
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Error, Row};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{
    ReceiptRow, RecordStatus, RevokedToken, TaskRecord, TaskState, TokenKind, TokenRecord,
};

/// Columns of [`receipt`], in order.
pub(super) const RECEIPT_COLUMNS: &str = "idx, kind, time_ms, entry, salt, payload";
/// Columns of [`task`], in order.
pub(super) const TASK_COLUMNS: &str = "id, state, opened_ms, deadline_ms, closed_ms, subject, \
     workflow, workflow_version, tenant, env, sensitivity, root_jti, max_depth, max_fanout, \
     hop_rate, detail, exposure, reads_salt, subject_token";
/// Columns of [`token`], in order, of a `token t` joined to a `revoked r`.
pub(super) const TOKEN_COLUMNS: &str = "t.jti, t.hop, t.task, t.parent, t.lineage, t.kind, \
     t.depth, t.iat, t.exp, t.status_idx, t.agent, t.audience, t.holder_kind, t.holder, \
     t.signing_hash, t.decision, t.grant_hash, t.signing_input, r.at_ms";
/// Columns of [`revoked`], in order.
pub(super) const REVOKED_COLUMNS: &str = "jti, task, exp, at_ms, leaf";

/// A value that does not fit SQLite's signed integers is stored as the largest that does; no
/// time, count or index of ours gets there.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn unreadable(column: usize, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::FromSqlConversionFailure(column, Type::Null, Box::new(cause))
}

pub(super) fn out_of_range(column: usize) -> Error {
    unreadable(column, FromSqlError::InvalidType)
}

pub(super) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.get_ref(column)?
        .as_str()
        .map_err(|cause| unreadable(column, cause))?
        .parse()
        .map_err(|cause| unreadable(column, cause))
}

/// As [`parsed`], of a column that keeps the text as bytes.
pub(super) fn parsed_bytes<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let bytes = row.get_ref(column)?.as_blob().map_err(|cause| unreadable(column, cause))?;
    let text = std::str::from_utf8(bytes).map_err(|cause| unreadable(column, cause))?;
    text.parse().map_err(|cause| unreadable(column, cause))
}

pub(super) fn json<T: for<'a> Deserialize<'a>>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str().map_err(|cause| unreadable(column, cause))?;
    serde_json::from_str(text).map_err(|cause| unreadable(column, cause))
}

pub(super) fn to_json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|cause| Error::ToSqlConversionFailure(Box::new(cause)))
}

pub(super) fn millis(row: &Row<'_>, column: usize) -> rusqlite::Result<UnixMillis> {
    Ok(UnixMillis(unsigned(row.get(column)?)))
}

fn number<T: TryFrom<i64>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    T::try_from(row.get::<_, i64>(column)?).map_err(|_| out_of_range(column))
}

pub(super) fn one_of<T: Copy>(all: &[T], row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let place: usize = number(row, column)?;
    all.get(place).copied().ok_or_else(|| out_of_range(column))
}

/// A closed set's members are stored by their place in its `ALL`, which only ever grows.
pub(super) fn place<T: PartialEq>(all: &[T], value: &T) -> i64 {
    all.iter().position(|each| each == value).and_then(|at| i64::try_from(at).ok()).unwrap_or(-1)
}

pub(super) fn task_id(row: &Row<'_>, column: usize) -> rusqlite::Result<TaskId> {
    Ok(TaskId::from_bytes(row.get(column)?))
}

pub(super) fn token_id(row: &Row<'_>, column: usize) -> rusqlite::Result<TokenId> {
    Ok(TokenId::from_bytes(row.get(column)?))
}

pub(super) fn status(row: &Row<'_>, column: usize) -> rusqlite::Result<RecordStatus> {
    one_of(&RecordStatus::ALL, row, column)
}

pub(super) fn task_state(row: &Row<'_>, column: usize) -> rusqlite::Result<TaskState> {
    one_of(&TaskState::ALL, row, column)
}

pub(super) fn token_kind(row: &Row<'_>, column: usize) -> rusqlite::Result<TokenKind> {
    one_of(&TokenKind::ALL, row, column)
}

pub(super) fn leaf(row: &Row<'_>, column: usize) -> rusqlite::Result<LeafIndex> {
    Ok(LeafIndex(unsigned(row.get(column)?)))
}

pub(super) fn lineage(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<TokenId>> {
    let bytes = row.get_ref(column)?.as_blob().map_err(|cause| unreadable(column, cause))?;
    let (ids, rest) = bytes.as_chunks::<16>();
    if !rest.is_empty() {
        return Err(out_of_range(column));
    }
    Ok(ids.iter().copied().map(TokenId::from_bytes).collect())
}

pub(super) fn lineage_bytes(lineage: &[TokenId]) -> Vec<u8> {
    lineage.iter().flat_map(|id| *id.as_bytes()).collect()
}

pub(super) fn debit_kind(row: &Row<'_>, column: usize) -> rusqlite::Result<DebitKind> {
    one_of(&DEBIT_KINDS, row, column)
}

pub(super) const DEBIT_KINDS: [DebitKind; 2] = [DebitKind::Lifetime, DebitKind::Subtree];

/// What a task row keeps as JSON: nothing that is ever searched for.
#[derive(Serialize, Deserialize)]
pub(super) struct TaskDetail<'a> {
    issuer: std::borrow::Cow<'a, str>,
    groups: std::borrow::Cow<'a, [String]>,
    attributes: std::borrow::Cow<'a, Value>,
    purpose: std::borrow::Cow<'a, str>,
    parameters: std::borrow::Cow<'a, Value>,
    ceiling: std::borrow::Cow<'a, Value>,
    audiences: std::borrow::Cow<'a, [String]>,
}

impl<'a> TaskDetail<'a> {
    pub(super) fn of(task: &'a TaskRecord) -> Self {
        use std::borrow::Cow::Borrowed;
        Self {
            issuer: Borrowed(&task.subject_issuer),
            groups: Borrowed(&task.subject_groups),
            attributes: Borrowed(&task.subject_attributes),
            purpose: Borrowed(&task.purpose),
            parameters: Borrowed(&task.parameters),
            ceiling: Borrowed(&task.ceiling),
            audiences: Borrowed(&task.audiences),
        }
    }
}

pub(super) fn task(row: &Row<'_>) -> rusqlite::Result<TaskRecord> {
    let detail: TaskDetail<'static> = json(row, 15)?;
    Ok(TaskRecord {
        id: task_id(row, 0)?,
        state: task_state(row, 1)?,
        opened_ms: millis(row, 2)?,
        deadline_ms: millis(row, 3)?,
        closed_ms: row.get::<_, Option<i64>>(4)?.map(|ms| UnixMillis(unsigned(ms))),
        subject: parsed::<SubjectId>(row, 5)?,
        workflow: parsed::<WorkflowId>(row, 6)?,
        workflow_version: number(row, 7)?,
        tenant: parsed::<TenantId>(row, 8)?,
        env: row.get(9)?,
        sensitivity: parsed::<Sensitivity>(row, 10)?,
        root_jti: token_id(row, 11)?,
        max_depth: number(row, 12)?,
        max_fanout: number(row, 13)?,
        hop_rate_per_minute: number(row, 14)?,
        subject_issuer: detail.issuer.into_owned(),
        subject_groups: detail.groups.into_owned(),
        subject_attributes: detail.attributes.into_owned(),
        purpose: detail.purpose.into_owned(),
        parameters: detail.parameters.into_owned(),
        ceiling: detail.ceiling.into_owned(),
        audiences: detail.audiences.into_owned(),
        exposure: one_of(Sensitivity::ALL, row, 16)?,
        reads_salt: row.get::<_, Option<[u8; 32]>>(17)?.map(ReadsSalt::new),
        subject_token: row.get::<_, Option<[u8; 32]>>(18)?.map(Sha256Hash),
    })
}

/// The two columns of a holder binding.
pub(super) fn holder_columns(holder: &HolderBinding) -> (i64, &[u8]) {
    match holder {
        HolderBinding::Jkt(thumbprint) => (0, thumbprint.0.as_bytes()),
        HolderBinding::X5tS256(hash) => (1, hash.as_bytes()),
    }
}

fn holder(row: &Row<'_>, kind: usize, value: usize) -> rusqlite::Result<HolderBinding> {
    let hash = Sha256Hash(row.get(value)?);
    match row.get::<_, i64>(kind)? {
        0 => Ok(HolderBinding::Jkt(Thumbprint(hash))),
        1 => Ok(HolderBinding::X5tS256(hash)),
        _ => Err(out_of_range(kind)),
    }
}

pub(super) fn token(row: &Row<'_>) -> rusqlite::Result<TokenRecord> {
    Ok(TokenRecord {
        jti: token_id(row, 0)?,
        hop: token_id(row, 1)?,
        task: task_id(row, 2)?,
        parent: row.get::<_, Option<[u8; 16]>>(3)?.map(TokenId::from_bytes),
        lineage: lineage(row, 4)?,
        kind: token_kind(row, 5)?,
        depth: number(row, 6)?,
        iat: row.get(7)?,
        exp: row.get(8)?,
        status_idx: unsigned(row.get(9)?),
        agent: parsed::<AgentId>(row, 10)?,
        audience: row.get(11)?,
        holder: holder(row, 12, 13)?,
        signing_hash: Sha256Hash(row.get(14)?),
        decision: DecisionId::from_bytes(row.get(15)?),
        grant_hash: row.get::<_, Option<[u8; 32]>>(16)?.map(Sha256Hash),
        signing_input: row.get(17)?,
        revoked_ms: row.get::<_, Option<i64>>(18)?.map(|ms| UnixMillis(unsigned(ms))),
    })
}

pub(super) fn receipt(row: &Row<'_>) -> rusqlite::Result<ReceiptRow> {
    let salt: Option<[u8; 32]> = row.get(4)?;
    let payload: Option<Vec<u8>> = row.get(5)?;
    Ok(ReceiptRow {
        index: leaf(row, 0)?,
        kind: one_of(&ReceiptKind::ALL, row, 1)?,
        time_ms: millis(row, 2)?,
        entry: row.get(3)?,
        opening: salt.zip(payload),
    })
}

pub(super) fn revoked(row: &Row<'_>) -> rusqlite::Result<RevokedToken> {
    Ok(RevokedToken {
        jti: token_id(row, 0)?,
        task: task_id(row, 1)?,
        exp: row.get(2)?,
        at_ms: millis(row, 3)?,
        leaf: leaf(row, 4)?,
    })
}

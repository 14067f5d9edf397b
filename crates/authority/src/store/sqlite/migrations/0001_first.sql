-- Ids are 16 bytes, hashes 32. Times are milliseconds since the Unix epoch unless named `iat` or
-- `exp` (seconds). A row that came with a receipt carries that receipt's leaf.

-- The ledger. `idx` has no gap. Erasing a payload keeps the entry, which is what the tree hashes.
CREATE TABLE leaf (
  idx     INTEGER PRIMARY KEY,
  kind    INTEGER NOT NULL,
  time_ms INTEGER NOT NULL,
  entry   BLOB NOT NULL,
  salt    BLOB,
  payload BLOB,
  CHECK ((salt IS NULL) = (payload IS NULL))
) STRICT;

-- Which leaves name an id. `role`: 0 only named, 1 a token of this task was issued here, 2 this very
-- token was issued here (its first row, since a token is named only after its issue).
CREATE TABLE lookup (
  key  BLOB NOT NULL,
  leaf INTEGER NOT NULL,
  role INTEGER NOT NULL,
  PRIMARY KEY (key, leaf)
) STRICT, WITHOUT ROWID;

CREATE TABLE task (
  id               BLOB NOT NULL PRIMARY KEY,
  leaf             INTEGER NOT NULL REFERENCES leaf (idx),
  state            INTEGER NOT NULL,
  opened_ms        INTEGER NOT NULL,
  deadline_ms      INTEGER NOT NULL,
  closed_ms        INTEGER,
  subject          TEXT NOT NULL,
  workflow         TEXT NOT NULL,
  workflow_version INTEGER NOT NULL,
  tenant           TEXT NOT NULL,
  env              TEXT NOT NULL,
  sensitivity      TEXT NOT NULL,
  root_jti         BLOB NOT NULL,
  max_depth        INTEGER NOT NULL,
  max_fanout       INTEGER NOT NULL,
  hop_rate         INTEGER NOT NULL,
  detail           TEXT NOT NULL
) STRICT;
CREATE INDEX task_subject ON task (subject, id);
CREATE INDEX task_workflow ON task (workflow, id);
CREATE INDEX task_open ON task (deadline_ms) WHERE state = 0;

-- One row a token; `leaf` is that of its issue. Found through `lookup` and `issued`.
CREATE TABLE token (
  leaf          INTEGER PRIMARY KEY REFERENCES leaf (idx),
  jti           BLOB NOT NULL,
  hop           BLOB NOT NULL,
  task          BLOB NOT NULL REFERENCES task (id),
  parent        BLOB,
  lineage       BLOB NOT NULL,
  kind          INTEGER NOT NULL,
  depth         INTEGER NOT NULL,
  iat           INTEGER NOT NULL,
  exp           INTEGER NOT NULL,
  status_idx    INTEGER NOT NULL,
  agent         TEXT NOT NULL,
  audience      TEXT NOT NULL,
  holder_kind   INTEGER NOT NULL,
  holder        BLOB NOT NULL,
  signing_hash  BLOB NOT NULL,
  decision      BLOB NOT NULL,
  grant_hash    BLOB,
  signing_input BLOB NOT NULL
) STRICT;

-- Tokens that have not expired, for what the writer keeps in memory: by the first half of their
-- signing hash, and by their agent (a hash of its id). Pruned from the front.
CREATE TABLE issued (
  leaf  INTEGER PRIMARY KEY REFERENCES token (leaf),
  half  BLOB NOT NULL,
  jti   BLOB NOT NULL,
  agent INTEGER NOT NULL,
  exp   INTEGER NOT NULL
) STRICT;

CREATE TABLE settled_grant (
  leaf    INTEGER PRIMARY KEY REFERENCES token (leaf),
  compact BLOB NOT NULL
) STRICT;

CREATE TABLE budget (
  task BLOB NOT NULL,
  node BLOB NOT NULL,
  kind INTEGER NOT NULL,
  key  TEXT NOT NULL,
  used INTEGER NOT NULL CHECK (used >= 0),
  PRIMARY KEY (task, node, kind, key)
) STRICT, WITHOUT ROWID;

-- Expiry first: new rows go to the end and old ones are pruned from the front.
CREATE TABLE proof (
  expires_ms INTEGER NOT NULL,
  hash       BLOB NOT NULL,
  PRIMARY KEY (expires_ms, hash)
) STRICT, WITHOUT ROWID;

-- Tokens that died before their time.
CREATE TABLE revoked (
  status_idx INTEGER PRIMARY KEY,
  jti        BLOB NOT NULL,
  task       BLOB NOT NULL,
  exp        INTEGER NOT NULL,
  at_ms      INTEGER NOT NULL,
  leaf       INTEGER NOT NULL REFERENCES leaf (idx)
) STRICT;
CREATE INDEX revoked_leaf ON revoked (leaf);

CREATE TABLE revocation (
  id          BLOB NOT NULL PRIMARY KEY,
  leaf        INTEGER NOT NULL REFERENCES leaf (idx),
  target_kind INTEGER NOT NULL,
  target      BLOB NOT NULL,
  at_ms       INTEGER NOT NULL,
  reason      TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Owners (0), agents (1) and workflows (2), every version.
CREATE TABLE registry (
  kind       INTEGER NOT NULL,
  id         TEXT NOT NULL,
  version    INTEGER NOT NULL,
  leaf       INTEGER NOT NULL REFERENCES leaf (idx),
  status     INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  document   TEXT NOT NULL,
  PRIMARY KEY (kind, id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE holder_key (
  agent      TEXT NOT NULL,
  jkt        BLOB NOT NULL,
  expires_ms INTEGER NOT NULL,
  PRIMARY KEY (agent, jkt)
) STRICT, WITHOUT ROWID;

CREATE TABLE policy (
  version    INTEGER PRIMARY KEY,
  hash       TEXT NOT NULL,
  leaf       INTEGER NOT NULL REFERENCES leaf (idx),
  updated_ms INTEGER NOT NULL,
  sources    TEXT NOT NULL
) STRICT;
CREATE INDEX policy_hash ON policy (hash);

CREATE TABLE issuer_key (
  kid        TEXT NOT NULL PRIMARY KEY,
  leaf       INTEGER NOT NULL REFERENCES leaf (idx),
  jwk        TEXT NOT NULL,
  active_ms  INTEGER NOT NULL,
  retired_ms INTEGER
) STRICT;

-- Single values: `time_mark`, the highest time recorded.
CREATE TABLE mark (
  name  TEXT NOT NULL PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

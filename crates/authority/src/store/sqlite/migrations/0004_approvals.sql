-- Questions put to people, and what they said. `state`: 0 pending, 1 approved, 2 refused, 3 used,
-- 4 ended with its task. `expires_ms` is until when it stands like that.
CREATE TABLE approval (
  id            BLOB NOT NULL PRIMARY KEY,
  leaf          INTEGER NOT NULL REFERENCES leaf (idx),
  task          BLOB NOT NULL REFERENCES task (id),
  digest        BLOB NOT NULL,
  state         INTEGER NOT NULL,
  asked_ms      INTEGER NOT NULL,
  expires_ms    INTEGER NOT NULL,
  jti           BLOB NOT NULL,
  agent         TEXT NOT NULL,
  asked_by      TEXT NOT NULL,
  needs         TEXT NOT NULL,
  why           TEXT NOT NULL,
  action        TEXT NOT NULL,
  used_decision BLOB,
  used_by       TEXT,
  CHECK ((state = 3) = (used_decision IS NOT NULL)),
  CHECK ((used_by IS NULL) = (used_decision IS NULL))
) STRICT;
CREATE INDEX approval_task ON approval (task, digest, id);
CREATE INDEX approval_state ON approval (state, id);
CREATE INDEX approval_leaf ON approval (leaf);

CREATE TABLE approval_vote (
  approval BLOB NOT NULL REFERENCES approval (id),
  approver TEXT NOT NULL,
  leaf     INTEGER NOT NULL REFERENCES leaf (idx),
  at_ms    INTEGER NOT NULL,
  approve  INTEGER NOT NULL,
  needs    TEXT NOT NULL,
  reason   TEXT NOT NULL,
  dwell_ms INTEGER,
  PRIMARY KEY (approval, approver)
) STRICT, WITHOUT ROWID;
CREATE INDEX approval_vote_approver ON approval_vote (approver, at_ms);
CREATE INDEX approval_vote_leaf ON approval_vote (leaf);

-- Hash of what was signed of the token that started the task: an agent has held it, so it approves
-- nothing.
ALTER TABLE task ADD COLUMN subject_token BLOB;
CREATE INDEX task_subject_token ON task (subject_token) WHERE subject_token IS NOT NULL;

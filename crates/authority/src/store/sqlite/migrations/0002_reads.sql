-- What a task has read: how sensitive the most sensitive of it was (0 public to 3 restricted), the
-- salt of the digests, and the digests, oldest first. Salt and digests go when the task ends.
ALTER TABLE task ADD COLUMN exposure INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN reads_salt BLOB;
UPDATE task SET reads_salt = randomblob(32) WHERE state = 0;

CREATE TABLE task_read (
  task  BLOB NOT NULL REFERENCES task (id),
  seq   INTEGER NOT NULL,
  bytes BLOB NOT NULL,
  PRIMARY KEY (task, seq)
) STRICT, WITHOUT ROWID;

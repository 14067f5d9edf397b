-- Rows in the order of their leaves, so that a commit writes the last pages of a table and no others.

-- The keys of leaves that are not all in `lookup` yet: role, length and key of each. See lookup.rs.
CREATE TABLE lookup_new (
  leaf INTEGER PRIMARY KEY REFERENCES leaf (idx),
  keys BLOB NOT NULL
) STRICT;

-- Proofs of possession that were used, by the leaf of their use (earlier ones have numbers below zero).
-- Pruned from the front.
CREATE TABLE proof_used (
  leaf       INTEGER PRIMARY KEY,
  expires_ms INTEGER NOT NULL,
  hash       BLOB NOT NULL
) STRICT;
INSERT INTO proof_used
  SELECT -row_number() OVER (ORDER BY expires_ms DESC), expires_ms, hash FROM proof;
DROP TABLE proof;
ALTER TABLE proof_used RENAME TO proof;

-- What is written of one leaf is in as few rows as can be: each table costs its last page with every commit.

-- What the writer keeps in memory of the latest leaves, one row each: by which keys it is found (role,
-- length and key of each; in `lookup` too below the mark `lookup_done`, see lookup.rs); the token that
-- it issued, by the first half of its signing hash and by its agent (a hash of its id); the proof of
-- possession that it used. A row is pruned once all of that is of no use. (Numbers below zero are proofs
-- of before the sixth schema.)
CREATE TABLE recent (
  leaf             INTEGER PRIMARY KEY,
  keys             BLOB NOT NULL,
  half             BLOB,
  jti              BLOB,
  agent            INTEGER,
  exp              INTEGER,
  proof            BLOB,
  proof_expires_ms INTEGER,
  CHECK ((exp IS NULL) = (half IS NULL) AND (exp IS NULL) = (jti IS NULL) AND (exp IS NULL) = (agent IS NULL)),
  CHECK ((proof IS NULL) = (proof_expires_ms IS NULL))
) STRICT;
INSERT INTO recent
  SELECT leaf, coalesce(k.keys, x''), i.half, i.jti, i.agent, i.exp, p.hash, p.expires_ms
  FROM (SELECT leaf FROM lookup_new UNION SELECT leaf FROM issued UNION SELECT leaf FROM proof)
  LEFT JOIN lookup_new k USING (leaf) LEFT JOIN issued i USING (leaf) LEFT JOIN proof p USING (leaf);
DROP TABLE lookup_new;
DROP TABLE issued;
DROP TABLE proof;

-- The delegator's grant, of a token that was settled.
ALTER TABLE token ADD COLUMN settled_grant BLOB;
UPDATE token SET settled_grant = (SELECT compact FROM settled_grant g WHERE g.leaf = token.leaf);
DROP TABLE settled_grant;

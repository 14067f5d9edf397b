-- What gateways report and borrow.

-- One row an opening of a gateway's spool: how many of its records are in the ledger.
CREATE TABLE spool_epoch (
  gateway  TEXT NOT NULL,
  epoch    BLOB NOT NULL,
  leaf     INTEGER NOT NULL REFERENCES leaf (idx),
  next     INTEGER NOT NULL,
  heard_ms INTEGER NOT NULL,
  PRIMARY KEY (gateway, epoch)
) STRICT, WITHOUT ROWID;

-- Parts of budgets that gateways hold. `amount` is in `budget.used`; a returned lease has no row.
CREATE TABLE lease (
  id         BLOB NOT NULL PRIMARY KEY,
  leaf       INTEGER NOT NULL REFERENCES leaf (idx),
  gateway    TEXT NOT NULL,
  epoch      BLOB NOT NULL,
  task       BLOB NOT NULL,
  node       BLOB NOT NULL,
  kind       INTEGER NOT NULL,
  key        TEXT NOT NULL,
  amount     INTEGER NOT NULL CHECK (amount > 0),
  spent      INTEGER NOT NULL CHECK (spent >= 0),
  expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX lease_epoch ON lease (gateway, epoch);
CREATE INDEX lease_task ON lease (task);

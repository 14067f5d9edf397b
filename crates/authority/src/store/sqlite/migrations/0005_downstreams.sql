-- What gateways declare to stand behind them, the latest versions.
CREATE TABLE downstreams (
  gateway     TEXT NOT NULL,
  version     INTEGER NOT NULL,
  leaf        INTEGER NOT NULL REFERENCES leaf (idx),
  declared_ms INTEGER NOT NULL,
  document    TEXT NOT NULL,
  PRIMARY KEY (gateway, version)
) STRICT, WITHOUT ROWID;

-- Allowed calls, counted by day and by what they used: a digest of the leaves. No gateway and no route
-- are empty text.
CREATE TABLE used (
  day     INTEGER NOT NULL,
  gateway TEXT NOT NULL,
  route   TEXT NOT NULL,
  system  TEXT NOT NULL,
  binding TEXT NOT NULL,
  needs   TEXT NOT NULL,
  calls   INTEGER NOT NULL,
  PRIMARY KEY (day, gateway, route, system, binding, needs)
) STRICT, WITHOUT ROWID;

-- What is in the ledger already. (The kind is the place of `decision`; what needs are is known only
-- from here on.)
INSERT INTO used (day, gateway, route, system, binding, needs, calls)
SELECT min(time_ms, coalesce(payload ->> '$.reported.time', time_ms)) / 86400000,
       coalesce(payload ->> '$.reported.by', ''),
       iif(payload ->> '$.reported.by' IS NULL, '', coalesce(payload ->> '$.route', '')),
       payload ->> '$.decision.inputs.facts.resource.system',
       payload ->> '$.decision.inputs.facts.binding',
       '[]',
       count(*)
FROM (SELECT time_ms, CAST(payload AS TEXT) AS payload FROM leaf WHERE kind = 0 AND payload IS NOT NULL)
WHERE payload ->> '$.act' = 'invoke'
  AND payload ->> '$.decision.allow' = 1
  AND payload ->> '$.reported.foreign' IS NULL
  AND payload ->> '$.decision.inputs.facts.resource.system' IS NOT NULL
  AND payload ->> '$.decision.inputs.facts.binding' IS NOT NULL
GROUP BY 1, 2, 3, 4, 5;

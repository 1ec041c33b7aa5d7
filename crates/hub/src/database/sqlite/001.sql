-- Facts about this database: epoch, admin_key_hash.
CREATE TABLE meta (
  name TEXT PRIMARY KEY,
  value NOT NULL
) WITHOUT ROWID;

CREATE TABLE devices (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  type TEXT NOT NULL,
  api_key BLOB NOT NULL UNIQUE,          -- SHA-256
  version TEXT NOT NULL,
  platform TEXT NOT NULL,
  last_sync_at INTEGER,                  -- Unix milliseconds, like all times here
  created_at INTEGER NOT NULL,
  status TEXT NOT NULL DEFAULT 'active', -- active | suspended
  metadata TEXT,                         -- JSON
  registration_id TEXT UNIQUE,           -- made by the client
  enroll_token BLOB                      -- the hash of the token it registered with
);

CREATE TABLE sync_cursors (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  device_id TEXT NOT NULL UNIQUE REFERENCES devices(id) ON DELETE CASCADE,
  last_change_id INTEGER NOT NULL DEFAULT 0,
  last_sync_at INTEGER NOT NULL,
  cursor TEXT
);

-- Only ever appended to. Device ids are plain text and not references: the changes of a deleted device stay.
CREATE TABLE change_log (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  device_id TEXT NOT NULL,
  merged INTEGER NOT NULL DEFAULT 0,     -- holds columns that its device did not send
  operation TEXT NOT NULL,               -- create | update | delete
  entity_type TEXT NOT NULL,
  entity_id TEXT NOT NULL,
  event_id BLOB,                         -- one per change for life; none from clients of the original protocol
  previous INTEGER,                      -- the entry of the same row before this one
  timestamp INTEGER NOT NULL,            -- client clock
  server_timestamp INTEGER NOT NULL,
  deleted_at INTEGER,
  is_synced INTEGER NOT NULL DEFAULT 1,
  conflict_resolved INTEGER NOT NULL DEFAULT 0,
  user_id INTEGER,
  data TEXT                              -- the whole row after the change, JSON; last, so that filters need not read it
);
CREATE UNIQUE INDEX change_log_event ON change_log(event_id) WHERE event_id IS NOT NULL;

-- The newest log entry of every row, also of deleted ones.
CREATE TABLE rows (
  entity_type TEXT NOT NULL,
  entity_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  deleted INTEGER NOT NULL,
  PRIMARY KEY (entity_type, entity_id)
) WITHOUT ROWID;

CREATE TABLE conflict_log (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  change_log_id INTEGER NOT NULL,        -- the entry that stored the change; for a pending one, the entry it contradicts
  device_id TEXT NOT NULL,
  event_id BLOB,
  operation TEXT NOT NULL,
  entity_type TEXT NOT NULL,
  entity_id TEXT NOT NULL,
  timestamp INTEGER NOT NULL,
  base_version INTEGER,
  client_value TEXT,                     -- JSON
  server_value TEXT,                     -- JSON
  reason TEXT,
  resolution TEXT NOT NULL DEFAULT 'pending', -- pending | server-wins | client-wins | merged
  resolved_value TEXT,                   -- JSON
  resolved_at INTEGER,
  created_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX conflict_log_event ON conflict_log(event_id) WHERE event_id IS NOT NULL;
CREATE INDEX conflict_log_pending ON conflict_log(id) WHERE resolution = 'pending';

CREATE TABLE enroll_tokens (
  hash BLOB PRIMARY KEY,                 -- SHA-256
  uses_left INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) WITHOUT ROWID;

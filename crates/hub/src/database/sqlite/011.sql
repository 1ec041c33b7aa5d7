-- Whoever logs in with a name, or comes with a token of their own. Their clients become devices.
CREATE TABLE users (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE COLLATE NOCASE,
  password TEXT,                          -- how it was hashed, with what, and the hash
  token BLOB UNIQUE,                      -- SHA-256
  google TEXT UNIQUE,                     -- the account's id at Google
  role TEXT NOT NULL DEFAULT 'register',  -- register | manager
  entities TEXT,                          -- JSON list; null for all
  created_at INTEGER NOT NULL
);
CREATE TABLE sessions (
  id TEXT PRIMARY KEY,
  user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  refresh BLOB NOT NULL UNIQUE,           -- SHA-256 of the refresh token
  expires_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) WITHOUT ROWID;
ALTER TABLE devices ADD COLUMN user_id INTEGER;
ALTER TABLE devices ADD COLUMN client TEXT;  -- protocol, user and the client's own name for itself
CREATE UNIQUE INDEX devices_client ON devices(client) WHERE client IS NOT NULL;
CREATE INDEX devices_user ON devices(user_id) WHERE user_id IS NOT NULL;
-- How often a row was written, for clients that count versions.
ALTER TABLE rows ADD COLUMN writes INTEGER NOT NULL DEFAULT 1;
-- When the log had come how far: every transaction has a later time than the one before, so that a time names a place in the log.
CREATE TABLE arrivals (
  at INTEGER PRIMARY KEY,
  upto INTEGER NOT NULL UNIQUE
);
INSERT INTO arrivals SELECT max(server_timestamp), max(id) FROM change_log HAVING max(id) IS NOT NULL;
-- Operations that clients left here for later.
CREATE TABLE queued_operations (
  id TEXT NOT NULL,
  user TEXT NOT NULL,
  operation TEXT NOT NULL,                -- JSON as it came
  timestamp INTEGER NOT NULL,
  synced INTEGER NOT NULL DEFAULT 0,
  seq INTEGER NOT NULL,
  PRIMARY KEY (user, id)
) WITHOUT ROWID;
-- Full syncs, each with the entries of the log that it made.
CREATE TABLE full_syncs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  device_id TEXT NOT NULL,
  after INTEGER NOT NULL,
  upto INTEGER NOT NULL,
  at INTEGER NOT NULL,
  undone_at INTEGER
);

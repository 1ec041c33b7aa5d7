-- register | manager
ALTER TABLE devices ADD COLUMN role TEXT NOT NULL DEFAULT 'register';
-- The role that the token binds its devices to; null leaves it to them.
ALTER TABLE enroll_tokens ADD COLUMN role TEXT;
ALTER TABLE change_log ADD COLUMN written_at INTEGER;               -- when, by this hub's clock; null in older entries
ALTER TABLE change_log ADD COLUMN manager INTEGER NOT NULL DEFAULT 0; -- made by a manager's device
ALTER TABLE change_log ADD COLUMN resolves INTEGER;                 -- the conflict that a person decided by this entry
ALTER TABLE conflict_log ADD COLUMN client_at INTEGER;              -- when the pushed value was written, by this hub's clock
ALTER TABLE conflict_log ADD COLUMN base_value TEXT;                -- JSON
ALTER TABLE conflict_log ADD COLUMN server_device_id TEXT;
ALTER TABLE conflict_log ADD COLUMN server_at INTEGER;
ALTER TABLE conflict_log ADD COLUMN updated_fields TEXT;            -- JSON
ALTER TABLE conflict_log ADD COLUMN rules TEXT;                     -- JSON: columns, rules, whose value was kept
ALTER TABLE conflict_log ADD COLUMN resolved_by TEXT;               -- a device or 'admin'; null when a rule decided
CREATE INDEX conflict_log_device ON conflict_log(device_id, id);

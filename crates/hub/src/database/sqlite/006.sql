-- The entities that a device may send and fetch, as a JSON list; null for all.
ALTER TABLE devices ADD COLUMN entities TEXT;
-- The entities that the token binds its devices to; null for all.
ALTER TABLE enroll_tokens ADD COLUMN entities TEXT;

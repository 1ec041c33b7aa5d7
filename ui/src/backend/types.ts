// Written by `TILLSYNC_WRITE_TYPES=1 cargo test -p tillsync-core the_windows_types`; do not edit.

export type Severity = "info" | "attention" | "error";

export type Argument = number | string;

export type Problem = { 
/**
 * A stable word for programs.
 */
code: string, 
/**
 * How much it matters.
 */
severity: Severity, 
/**
 * What is the matter, one sentence.
 */
text: string, 
/**
 * What to do, one sentence.
 */
action: string, 
/**
 * What the sentence is about.
 */
arguments?: { [key in string]: Argument }, };

export type State = "not_set_up" | "synced" | "syncing" | "offline" | "paused" | "attention" | "error";

export type Sentence = { "is": "not_set_up" } | { "is": "synced" } | { "is": "syncing", 
/**
 * Changes still to send and to fetch.
 */
left: number, } | { "is": "offline", 
/**
 * Changes that wait for it.
 */
waiting: number, 
/**
 * Since when.
 */
since_ms: number, } | { "is": "paused", 
/**
 * Until then, or until a person says so.
 */
until_ms: number | null, } | { "is": "attention", 
/**
 * How many things.
 */
count: number, } | { "is": "error", 
/**
 * What is the matter.
 */
problem: Problem, };

export type FullSync = { 
/**
 * Rows done.
 */
done: number, 
/**
 * Rows in all.
 */
total: number, };

export type Status = { 
/**
 * One word.
 */
state: State, 
/**
 * One sentence, in English.
 */
sentence: string, 
/**
 * The same as a value, for other languages.
 */
says: Sentence, 
/**
 * Changes that the server has not confirmed: outbox, journal, and rows of the first full sync.
 */
pending: number, 
/**
 * Changes refused by the server, and rows refused by the store.
 */
parked: number, 
/**
 * Changes that contradict another register's.
 */
conflicts: number, 
/**
 * When the oldest pending change was captured.
 */
oldest_pending_ms: number | null, 
/**
 * When the server last answered.
 */
last_sync_ms: number | null, 
/**
 * The last change of the server that the store holds.
 */
cursor: number, 
/**
 * The id that the server knows this register by.
 */
device_id: string | null, 
/**
 * The server's address.
 */
server: string, 
/**
 * The store.
 */
store: string, 
/**
 * What a person may want to look at, the worst first.
 */
problems: Array<Problem>, 
/**
 * What people call this register.
 */
name: string, 
/**
 * Whether an agent is running.
 */
running: boolean, 
/**
 * The first full sync while it lasts.
 */
full_sync: FullSync | null, 
/**
 * Changes sent and received so far.
 */
synced: number, 
/**
 * Changes sent so far.
 */
sent: number, 
/**
 * Changes received so far.
 */
received: number, };

export type Happening = "sent" | "received" | "started" | "stopped" | "offline" | "online" | "full_sync" | "paused" | "resumed" | "conflict" | "decided" | "parked" | "retried" | "discarded" | "problem";

export type Activity = { 
/**
 * Its number.
 */
id: number, 
/**
 * When it was, last.
 */
at_ms: number, 
/**
 * What happened.
 */
what: Happening, 
/**
 * How many changes.
 */
count: number, 
/**
 * The table.
 */
entity: string | null, 
/**
 * What a person would call the row.
 */
row: string | null, 
/**
 * What is the matter.
 */
problem: Problem | null, };

export type Hour = { 
/**
 * Its beginning.
 */
start_ms: number, 
/**
 * Changes sent.
 */
sent: number, 
/**
 * Changes received.
 */
received: number, };

export type Parked = { 
/**
 * The change's number; absent for a row that comes from the server, which is tried again by itself.
 */
id: number | null, 
/**
 * The table.
 */
entity: string, 
/**
 * What a person would call the row.
 */
row: string, 
/**
 * Why.
 */
reason: string, 
/**
 * When the POS made it.
 */
at_ms: number | null, };

export type Way = "both" | "push" | "pull" | "no";

export type Table = { 
/**
 * Its name.
 */
name: string, 
/**
 * Which way its rows go.
 */
way: Way, 
/**
 * Why it does not sync.
 */
reason: string | null, 
/**
 * Columns that never leave the register.
 */
secrets: Array<string>, };

export type ConflictKind = "update" | "delete" | "create";

export type Column = { 
/**
 * Its name.
 */
name: string, 
/**
 * The value that both started from.
 */
base: string | null, 
/**
 * The value of the register whose change it was.
 */
local: string | null, 
/**
 * The server's value.
 */
server: string | null, 
/**
 * Whether the register changed it.
 */
local_changed: boolean, 
/**
 * Whether the server's differs from what both started from.
 */
server_changed: boolean, };

export type Conflict = { 
/**
 * The server's number.
 */
id: number, 
/**
 * The table.
 */
entity: string, 
/**
 * The row.
 */
key: string, 
/**
 * What a person would call the row.
 */
title: string | null, 
/**
 * What the two did.
 */
kind: ConflictKind, 
/**
 * When the register wrote its value.
 */
local_at_ms: number, 
/**
 * Who; absent when that register is gone.
 */
local_by: string | null, 
/**
 * When the server's value was written.
 */
server_at_ms: number | null, 
/**
 * Who; absent when that register is gone.
 */
server_by: string | null, 
/**
 * The row's version that these values are: what a decision must name.
 */
version: number, 
/**
 * Whether the value that both started from is known.
 */
base_known: boolean, 
/**
 * The register deleted the row.
 */
local_gone: boolean, 
/**
 * The row is deleted on the server.
 */
server_gone: boolean, 
/**
 * Where the two differ.
 */
columns: Array<Column>, 
/**
 * How many columns do not.
 */
same: number, };

export type Side = "local" | "server";

export type Keep = { "keep": "all", 
/**
 * Which.
 */
side: Side, } | { "keep": "each", 
/**
 * Which side, by column; what is not named stays the server's.
 */
columns: { [key in string]: Side }, };

export type Decided = { "decided": "done" } | { "decided": "row_changed", 
/**
 * The conflict with the values of now.
 */
conflict: Conflict, } | { "decided": "before", 
/**
 * Who.
 */
by: string | null, } | { "decided": "refused", 
/**
 * Why.
 */
why: string, } | { "decided": "unreachable", 
/**
 * Why.
 */
why: string, };

export type Ask = { "ask": "status" } | { "ask": "conflicts" } | { "ask": "activity" } | { "ask": "hours" } | { "ask": "parked" } | { "ask": "tables" } | { "ask": "sync_now" } | { "ask": "pause", 
/**
 * For so many minutes, or until [`Ask::Resume`].
 */
minutes: number | null, } | { "ask": "resume" } | { "ask": "decide", 
/**
 * Its number.
 */
id: number, 
/**
 * The row's version that the person saw.
 */
version: number, 
/**
 * What is to stay.
 */
keep: Keep, } | { "ask": "retry", 
/**
 * Its number.
 */
id: number, } | { "ask": "discard", 
/**
 * Its number.
 */
id: number, };

export type Reply = { "reply": "status", 
/**
 * How things are.
 */
status: Status, } | { "reply": "conflicts", 
/**
 * The oldest first.
 */
conflicts: Array<Conflict>, } | { "reply": "activity", 
/**
 * The latest first.
 */
activity: Array<Activity>, } | { "reply": "hours", 
/**
 * The oldest first.
 */
hours: Array<Hour>, } | { "reply": "parked", 
/**
 * The oldest first.
 */
parked: Array<Parked>, } | { "reply": "tables", 
/**
 * In the order of their names.
 */
tables: Array<Table>, } | { "reply": "decided", 
/**
 * What became of it.
 */
decided: Decided, } | { "reply": "discarded", 
/**
 * Where a copy is.
 */
file: string, } | { "reply": "done" } | { "reply": "failed", 
/**
 * Why.
 */
problem: Problem, };

export type Found = { 
/**
 * Where it is.
 */
path: string, 
/**
 * What is in it.
 */
tables: Array<Table>, 
/**
 * Why it cannot be used.
 */
problem: Problem | null, };

export type Secret = string;

export type SetUp = { 
/**
 * The POS's store.
 */
store: string, 
/**
 * The server's address.
 */
server: string, 
/**
 * Permission to register.
 */
code: Secret, 
/**
 * What people call this register.
 */
name: string, 
/**
 * Digits that a manager enters before deciding.
 */
pin: Secret | null, };

export type Setting = { 
/**
 * Whether there is a register.
 */
set_up: boolean, 
/**
 * The language that a person chose; the system's when absent.
 */
language: string | null, 
/**
 * What the system speaks, best first.
 */
system_languages: Array<string>, 
/**
 * Whether it starts at login.
 */
autostart: boolean, 
/**
 * Names of the settings that the administrator has set.
 */
managed: Array<string>, 
/**
 * Whether this is a manager's machine.
 */
manager: boolean, 
/**
 * Whether decisions need a PIN.
 */
has_pin: boolean, 
/**
 * Whether it has been entered.
 */
unlocked: boolean, 
/**
 * The version of the program.
 */
version: string, 
/**
 * What a set-up would use: the name of the machine, and what policy says.
 */
proposed_name: string, 
/**
 * See [`Self::proposed_name`].
 */
proposed_server: string, };

export type Shell = { "ask": "setting" } | { "ask": "language", 
/**
 * Its code.
 */
code: string | null, } | { "ask": "autostart", 
/**
 * Which.
 */
on: boolean, } | { "ask": "unlock", 
/**
 * The PIN.
 */
pin: Secret, } | { "ask": "lock" } | { "ask": "find_stores" } | { "ask": "pick_store" } | { "ask": "test_server", 
/**
 * Its address.
 */
server: string, } | { "ask": "set_up", 
/**
 * With this.
 */
with: SetUp, };

export type ShellReply = { "reply": "setting", 
/**
 * As it is now.
 */
setting: Setting, } | { "reply": "wrong_pin", 
/**
 * No try is taken for so many seconds.
 */
wait_s: number, } | { "reply": "stores", 
/**
 * What was found.
 */
stores: Array<Found>, } | { "reply": "done" } | { "reply": "failed", 
/**
 * Why.
 */
problem: Problem, };

import type { Activity, Conflict, Hour, Parked, Problem, Sentence, Setting, Status, Table } from "../types";

/** Everything that the mock's agent and app would know. */
export interface World {
  status: Status;
  setting: Setting;
  conflicts: Conflict[];
  activity: Activity[];
  hours: Hour[];
  parked: Parked[];
  tables: Table[];
  /** Whether the server can be reached. */
  reachable: boolean;
  /** The row of the next decision has changed meanwhile. */
  moved: boolean;
}

export const scenarios = [
  "synced",
  "syncing",
  "full-sync",
  "offline",
  "paused",
  "attention",
  "error",
  "locked",
  "managed",
  "moved",
  "empty",
  "not-set-up",
] as const;

export type Scenario = (typeof scenarios)[number];

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

export function world(scenario: Scenario, now: number): World {
  const plain: World = {
    status: status({ is: "synced" }, now),
    setting: setting(),
    conflicts: [],
    activity: activity(now),
    hours: hours(now),
    parked: [],
    tables,
    reachable: true,
    moved: false,
  };
  const waiting = { conflicts: conflicts(now), parked: parked(now) };
  switch (scenario) {
    case "synced":
      return plain;
    case "syncing":
      return { ...plain, status: { ...status({ is: "syncing", left: 1284 }, now), pending: 1284, oldest_pending_ms: now - 2 * MINUTE } };
    case "full-sync":
      return {
        ...plain,
        status: {
          ...status({ is: "syncing", left: 33_618 }, now),
          pending: 33_618,
          last_sync_ms: null,
          full_sync: { done: 25_275, total: 58_893 },
        },
        activity: [],
        hours: hours(now).map((hour) => ({ ...hour, sent: 0, received: 0 })),
      };
    case "offline":
      return {
        ...plain,
        reachable: false,
        status: {
          ...status({ is: "offline", waiting: 9, since_ms: now - 46 * MINUTE }, now),
          pending: 9,
          oldest_pending_ms: now - 44 * MINUTE,
          last_sync_ms: now - 46 * MINUTE,
          problems: [problems.unreachable],
        },
      };
    case "paused":
      return {
        ...plain,
        status: { ...status({ is: "paused", until_ms: now + 30 * MINUTE }, now), pending: 2, oldest_pending_ms: now - 3 * MINUTE },
      };
    case "attention":
    case "locked":
    case "moved": {
      const locked = scenario === "locked";
      return {
        ...plain,
        ...waiting,
        moved: scenario === "moved",
        setting: { ...setting(), has_pin: locked },
        status: {
          ...status({ is: "attention", count: 5 }, now),
          conflicts: 4,
          parked: 1,
          problems: [problems.conflicts, problems.parked],
        },
      };
    }
    case "error":
      return {
        ...plain,
        status: {
          ...status({ is: "error", problem: problems.suspended }, now),
          pending: 31,
          oldest_pending_ms: now - 5 * HOUR,
          last_sync_ms: now - 5 * HOUR,
          problems: [problems.suspended, problems.oldest],
        },
      };
    case "managed":
      return { ...plain, setting: { ...setting(), managed: ["server", "autostart", "role"] } };
    case "empty":
      return { ...plain, activity: [], hours: hours(now).map((hour) => ({ ...hour, sent: 0, received: 0 })) };
    case "not-set-up":
      return {
        ...plain,
        setting: { ...setting(), set_up: false, proposed_name: "TILL-3" },
        status: { ...status({ is: "not_set_up" }, now), running: false, name: "" },
        activity: [],
      };
  }
}

function problem(code: string, severity: Problem["severity"], args: NonNullable<Problem["arguments"]> = {}): Problem {
  return { code, severity, text: code, action: code, arguments: args };
}

export const problems = {
  unreachable: problem("server_unreachable", "info", { failures: 7, why: "connection refused" }),
  conflicts: problem("conflicts", "attention", { count: 4 }),
  parked: problem("parked", "attention", { count: 1 }),
  suspended: problem("suspended", "error"),
  oldest: problem("oldest_unsent", "attention", { hours: 5 }),
  notTheServer: problem("not_a_sync_server", "attention", { why: "it answers with a web page" }),
  code: problem("key_refused", "error", { why: "the enrolment code has expired" }),
  busy: problem("store_not_a_database", "error", { why: "/srv/pos/archive.db is not a SQLite database, or it is encrypted" }),
};

function status(says: Sentence, now: number): Status {
  return {
    state: says.is,
    sentence: "",
    says,
    pending: 0,
    parked: 0,
    conflicts: 0,
    oldest_pending_ms: null,
    last_sync_ms: now - 20_000,
    cursor: 90_412,
    device_id: "d-3",
    server: "https://sync.example.com",
    store: "/srv/pos/pos.db",
    problems: [],
    name: "Till 3",
    running: true,
    full_sync: null,
    synced: 90_412,
    sent: 31_007,
    received: 59_405,
  };
}

function setting(): Setting {
  return {
    set_up: true,
    language: null,
    system_languages: ["en-GB"],
    autostart: true,
    managed: [],
    manager: false,
    has_pin: false,
    unlocked: false,
    version: "0.1.0",
    proposed_name: "",
    proposed_server: "",
  };
}

function hours(now: number): Hour[] {
  const sent = [4, 0, 0, 0, 0, 0, 0, 0, 0, 12, 38, 61, 84, 122, 140, 96, 71, 88, 104, 131, 150, 92, 44, 21];
  const received = [9, 2, 0, 0, 0, 0, 0, 40, 66, 31, 52, 80, 122, 171, 202, 143, 99, 120, 160, 188, 213, 140, 77, 36];
  const start = now - (now % HOUR) - 23 * HOUR;
  return sent.map((count, place) => ({ start_ms: start + place * HOUR, sent: count, received: received[place] ?? 0 }));
}

function conflicts(now: number): Conflict[] {
  const plain: Conflict = {
    id: 41,
    entity: "products",
    key: "SKU-10482",
    title: "Oat milk 1 l",
    kind: "update",
    local_at_ms: now - 18 * MINUTE,
    local_by: "Till 3",
    server_at_ms: now - 25 * MINUTE,
    server_by: "Back office",
    version: 90_311,
    base_known: true,
    local_gone: false,
    server_gone: false,
    columns: [
      { name: "price_cents", base: "199", local: "219", server: "209", local_changed: true, server_changed: true },
      { name: "shelf", base: "B4", local: "B4", server: "C1", local_changed: false, server_changed: true },
      { name: "label", base: null, local: "New!", server: null, local_changed: true, server_changed: false },
    ],
    same: 9,
  };
  const price = (id: number, key: string, title: string, local: string, server: string): Conflict => ({
    ...plain,
    id,
    key,
    title,
    local_at_ms: now - (id - 20) * MINUTE,
    columns: [{ name: "price_cents", base: "450", local, server, local_changed: true, server_changed: true }],
    same: 11,
  });
  const gone: Conflict = {
    ...plain,
    id: 44,
    entity: "customers",
    key: "2071",
    title: "ليلى حدّاد",
    kind: "delete",
    server_by: null,
    server_gone: true,
    columns: [
      { name: "phone", base: "0501 223 871", local: "0501 223 872", server: null, local_changed: true, server_changed: false },
      { name: "points", base: "120", local: "135", server: null, local_changed: true, server_changed: false },
    ],
    same: 0,
  };
  return [plain, price(42, "SKU-11730", "عصير برتقال 250 مل", "475", "460"), price(43, "SKU-20911", "Espresso beans 500 g", "1390", "1350"), gone];
}

function parked(now: number): Parked[] {
  return [
    {
      id: 812,
      entity: "sales",
      row: "INV-2026-00871",
      reason: "invoice_number is taken by another sale",
      at_ms: now - 3 * HOUR,
    },
  ];
}

function activity(now: number): Activity[] {
  const plain = { count: 1, entity: null, row: null, problem: null };
  const lines: [number, Partial<Activity> & Pick<Activity, "what">][] = [
    [1, { what: "sent", count: 3 }],
    [4, { what: "received", count: 12 }],
    [18, { what: "conflict", entity: "products", row: "Oat milk 1 l" }],
    [31, { what: "online" }],
    [46, { what: "offline" }],
    [58, { what: "sent", count: 1 }],
    [93, { what: "received", count: 204 }],
    [140, { what: "decided", entity: "products", row: "عصير برتقال 250 مل" }],
    [180, { what: "parked", entity: "sales", row: "INV-2026-00871" }],
    [300, { what: "problem", problem: problem("store_restored", "info") }],
    [420, { what: "started" }],
    [1500, { what: "full_sync" }],
  ];
  return lines.map(([minutes, line], place) => ({ ...plain, ...line, id: 100 - place, at_ms: now - minutes * MINUTE }));
}

export const tables: Table[] = [
  { name: "customers", way: "both", reason: null, secrets: ["pin"] },
  { name: "products", way: "both", reason: null, secrets: [] },
  { name: "sale_items", way: "push", reason: null, secrets: [] },
  { name: "sales", way: "push", reason: null, secrets: [] },
  { name: "temp_print", way: "no", reason: "it has no primary key", secrets: [] },
  { name: "users", way: "pull", reason: null, secrets: ["password_hash", "token"] },
];

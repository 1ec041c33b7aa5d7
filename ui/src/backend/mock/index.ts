import type { Backend, Screen } from "../backend";
import type { Ask, Conflict, Reply, Setting, Shell, ShellReply, Status } from "../types";
import { problems, scenarios, tables, world, type Scenario, type World } from "./scenarios";

export { scenarios, type Scenario } from "./scenarios";

const PIN = "2580";

/** `?scenario=offline&language=ar`: how `npm run dev` and the tests choose what is there. */
export function mockFromAddress(search: string): Mock {
  const wanted = new URLSearchParams(search);
  const scenario = scenarios.find((name) => name === wanted.get("scenario")) ?? "synced";
  const mock = new Mock(scenario, Date.now());
  const language = wanted.get("language");
  if (language) mock.world.setting.system_languages = [language];
  return mock;
}

/** An agent and an app that live in the page. */
export class Mock implements Backend {
  world: World;
  /** Everything that was asked, for tests. */
  readonly asked: (Ask | Shell)[] = [];
  private statusListeners = new Set<(status: Status) => void>();
  private showListeners = new Set<(screen: Screen) => void>();

  constructor(
    scenario: Scenario,
    private readonly now: number,
  ) {
    this.world = world(scenario, now);
  }

  async ask(ask: Ask): Promise<Reply> {
    this.asked.push(ask);
    const { world } = this;
    switch (ask.ask) {
      case "status":
        return { reply: "status", status: world.status };
      case "conflicts":
        return { reply: "conflicts", conflicts: world.conflicts };
      case "activity":
        return { reply: "activity", activity: world.activity };
      case "hours":
        return { reply: "hours", hours: world.hours };
      case "parked":
        return { reply: "parked", parked: world.parked };
      case "tables":
        return { reply: "tables", tables: world.tables };
      case "sync_now":
        if (world.reachable && world.status.says.is !== "error") this.tell({ ...this.counted(), pending: 0, oldest_pending_ms: null });
        return { reply: "done" };
      case "pause":
        this.tell({
          ...world.status,
          state: "paused",
          says: { is: "paused", until_ms: ask.minutes === null ? null : this.now + ask.minutes * 60_000 },
        });
        return { reply: "done" };
      case "resume":
        this.tell(this.counted());
        return { reply: "done" };
      case "decide":
        return this.decide(ask.id);
      case "retry":
        world.parked = world.parked.filter((line) => line.id !== ask.id);
        this.tell(this.counted());
        return { reply: "done" };
      case "discard":
        world.parked = world.parked.filter((line) => line.id !== ask.id);
        this.tell(this.counted());
        return { reply: "discarded", file: `/srv/tillsync/discarded/${ask.id}.json` };
    }
  }

  async shell(ask: Shell): Promise<ShellReply> {
    this.asked.push(ask);
    const { world } = this;
    switch (ask.ask) {
      case "setting":
        return this.set({});
      case "language":
        return this.set({ language: ask.code });
      case "autostart":
        return this.set({ autostart: ask.on });
      case "unlock":
        return ask.pin === PIN ? this.set({ unlocked: true }) : { reply: "wrong_pin", wait_s: ask.pin === "0000" ? 30 : 0 };
      case "lock":
        return this.set({ unlocked: false });
      case "find_stores":
        return {
          reply: "stores",
          stores: [
            { path: "/srv/pos/pos.db", tables, problem: null },
            { path: "/srv/pos/archive.db", tables: [], problem: problems.busy },
          ],
        };
      case "pick_store":
        return { reply: "stores", stores: [{ path: "/media/usb/other.db", tables: tables.slice(0, 3), problem: null }] };
      case "test_server":
        return ask.server.includes("example.com") ? { reply: "done" } : { reply: "failed", problem: problems.notTheServer };
      case "set_up":
        if (ask.with.code === "expired") return { reply: "failed", problem: problems.code };
        this.world = { ...world, ...pick("full-sync", this.now), setting: { ...world.setting, set_up: true } };
        this.tell({ ...this.world.status, name: ask.with.name });
        return { reply: "done" };
    }
  }

  onStatus(listener: (status: Status) => void): () => void {
    this.statusListeners.add(listener);
    return () => this.statusListeners.delete(listener);
  }

  onShow(listener: (screen: Screen) => void): () => void {
    this.showListeners.add(listener);
    return () => this.showListeners.delete(listener);
  }

  /** The tray asks for a part of the window. */
  show(screen: Screen): void {
    for (const listener of this.showListeners) listener(screen);
  }

  /** The agent has another status. */
  tell(status: Status): void {
    this.world.status = status;
    for (const listener of this.statusListeners) listener(status);
  }

  private decide(id: number): Reply {
    const { world } = this;
    const found = world.conflicts.find((conflict) => conflict.id === id);
    if (!found) return { reply: "decided", decided: { decided: "before", by: "Back office" } };
    if (!world.reachable) return { reply: "decided", decided: { decided: "unreachable", why: "connection refused" } };
    if (world.moved) {
      world.moved = false;
      const conflict: Conflict = {
        ...found,
        version: found.version + 7,
        columns: found.columns.map((column) => (column.name === "price_cents" ? { ...column, server: "205" } : column)),
      };
      world.conflicts = world.conflicts.map((other) => (other.id === id ? conflict : other));
      return { reply: "decided", decided: { decided: "row_changed", conflict } };
    }
    world.conflicts = world.conflicts.filter((conflict) => conflict.id !== id);
    this.tell(this.counted());
    return { reply: "decided", decided: { decided: "done" } };
  }

  /** The status that follows from what waits. */
  private counted(): Status {
    const { status, conflicts, parked } = this.world;
    const count = conflicts.length + parked.length;
    const says: Status["says"] = count > 0 ? { is: "attention", count } : { is: "synced" };
    const kept = status.problems.filter(
      ({ code }) => (code !== "conflicts" || conflicts.length > 0) && (code !== "parked" || parked.length > 0),
    );
    const problems = kept.map((problem) =>
      problem.code === "conflicts" ? { ...problem, arguments: { count: conflicts.length } } : problem,
    );
    return { ...status, state: says.is, says, conflicts: conflicts.length, parked: parked.length, problems, last_sync_ms: this.now };
  }

  private set(change: Partial<Setting>): ShellReply {
    this.world.setting = { ...this.world.setting, ...change };
    return { reply: "setting", setting: this.world.setting };
  }
}

function pick(scenario: Scenario, now: number): Pick<World, "status" | "hours" | "activity"> {
  const { status, hours, activity } = world(scenario, now);
  return { status, hours, activity };
}

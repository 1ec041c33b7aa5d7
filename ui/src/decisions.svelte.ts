import type { Ask, Conflict, Keep } from "./backend";
import type { Model } from "./model.svelte";
import { t } from "./language/language.svelte";

/** A decision can be taken back for this long, and is sent then. */
export const UNDO_MS = 7_000;

/** A decision about a conflict with the values that the person saw. */
export interface Decision {
  conflict: Conflict;
  keep: Keep;
}

/** Conflicts, and what was decided about them. A decision stays here until nobody can take it back any more. */
export class Decisions {
  /** What the agent knows of. */
  private all = $state.raw<Conflict[]>([]);
  private waiting = $state.raw<Decision[]>([]);
  loaded = $state(false);
  /** What a person has to be told about a conflict before deciding again. */
  notes = $state.raw<ReadonlyMap<number, string>>(new Map());
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly model: Model) {}

  /** Conflicts that nobody has decided. */
  get open(): Conflict[] {
    const decided = new Set(this.waiting.map(({ conflict }) => conflict.id));
    return this.all.filter((conflict) => !decided.has(conflict.id));
  }

  async load(): Promise<void> {
    await this.model.try(async () => {
      this.all = (await this.model.client.ask({ ask: "conflicts" }, "conflicts")).conflicts;
      this.loaded = true;
    });
  }

  /** Takes decisions; they are sent when the time for second thoughts is over. */
  decide(decisions: Decision[], says: string): void {
    this.send();
    this.waiting = decisions;
    this.timer = setTimeout(() => this.send(), UNDO_MS);
    this.model.tell({ text: says, undo: () => this.undo() }, UNDO_MS);
  }

  undo(): void {
    clearTimeout(this.timer);
    this.waiting = [];
    this.model.forget();
  }

  /** Sends what waits, without waiting any longer. */
  send(): void {
    clearTimeout(this.timer);
    const decisions = this.waiting;
    if (decisions.length === 0) return;
    void this.model.try(async () => {
      for (const decision of decisions) await this.sendOne(decision);
    }).then(() => {
      this.waiting = this.waiting.filter((decision) => !decisions.includes(decision));
      void this.load();
    });
  }

  private async sendOne({ conflict, keep }: Decision): Promise<void> {
    const ask: Ask = { ask: "decide", id: conflict.id, version: conflict.version, keep };
    const { decided } = await this.model.client.ask(ask, "decided");
    switch (decided.decided) {
      case "done":
        return this.note(conflict.id, null);
      case "row_changed":
        this.all = this.all.map((other) => (other.id === conflict.id ? decided.conflict : other));
        return this.note(conflict.id, t("conflict-changed-meanwhile"));
      case "before":
        return this.model.tell({ text: t("conflict-decided-before", { by: decided.by ?? t("conflict-gone-register") }) });
      case "refused":
        return this.note(conflict.id, t("failed", { why: decided.why }));
      case "unreachable":
        return this.note(conflict.id, t("conflict-unreachable"));
    }
  }

  private note(id: number, text: string | null): void {
    const notes = new Map(this.notes);
    if (text === null) {
      notes.delete(id);
    } else {
      notes.set(id, text);
      this.model.tell({ text });
    }
    this.notes = notes;
  }
}

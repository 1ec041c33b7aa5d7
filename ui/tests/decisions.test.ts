import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { Client } from "../src/backend";
import { Mock } from "../src/backend/mock";
import { Decisions, UNDO_MS } from "../src/decisions.svelte";
import { Model } from "../src/model.svelte";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

async function begin(scenario: "attention" | "moved") {
  const mock = new Mock(scenario, Date.now());
  const model = new Model(new Client(mock));
  const decisions = new Decisions(model);
  await decisions.load();
  const decide = (place: number) => {
    const conflict = decisions.open[place];
    if (!conflict) throw new Error("no such conflict");
    decisions.decide([{ conflict, keep: { keep: "all", side: "local" } }], "decided");
    return conflict;
  };
  const sent = () => mock.asked.filter((ask) => ask.ask === "decide");
  return { mock, model, decisions, decide, sent };
}

describe("a decision", () => {
  it("waits for second thoughts, and names the version that the person saw", async () => {
    const { decisions, decide, sent } = await begin("attention");
    const conflict = decide(0);
    expect(decisions.open.map(({ id }) => id)).not.toContain(conflict.id);
    await vi.advanceTimersByTimeAsync(UNDO_MS - 1);
    expect(sent()).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(sent()).toEqual([{ ask: "decide", id: conflict.id, version: conflict.version, keep: { keep: "all", side: "local" } }]);
  });

  it("that was taken back is never sent", async () => {
    const { decisions, decide, sent } = await begin("attention");
    decide(0);
    decisions.undo();
    await vi.advanceTimersByTimeAsync(UNDO_MS * 2);
    expect(sent()).toEqual([]);
    expect(decisions.open).toHaveLength(4);
  });

  it("sends the one before", async () => {
    const { decide, sent } = await begin("attention");
    decide(0);
    decide(0);
    await vi.advanceTimersByTimeAsync(0);
    expect(sent()).toHaveLength(1);
  });

  it("is sent at once when the window goes", async () => {
    const { decisions, decide, sent } = await begin("attention");
    decide(1);
    decisions.send();
    await vi.advanceTimersByTimeAsync(0);
    expect(sent()).toHaveLength(1);
  });

  it("about a row that has moved shows the new values and asks again", async () => {
    const { decisions, decide } = await begin("moved");
    const { id, version } = decide(0);
    await vi.advanceTimersByTimeAsync(UNDO_MS);
    const again = decisions.open.find((conflict) => conflict.id === id);
    expect(again?.version).toBe(version + 7);
    expect(decisions.notes.get(id)).toContain("has changed since you looked");
  });

  it("that does not reach the server is still to be made", async () => {
    const { mock, decisions, decide } = await begin("attention");
    mock.world.reachable = false;
    const { id } = decide(0);
    await vi.advanceTimersByTimeAsync(UNDO_MS);
    expect(decisions.open.map((conflict) => conflict.id)).toContain(id);
    expect(decisions.notes.get(id)).toContain("nothing is decided yet");
  });
});

import { cleanup, fireEvent, render, screen } from "@testing-library/svelte";
import { afterEach, describe, expect, it } from "vitest";

import { Client } from "../src/backend";
import { Mock, scenarios, type Scenario } from "../src/backend/mock";
import App from "../src/App.svelte";
import { Pace } from "../src/pace";

afterEach(cleanup);

const bare = (text: string | null | undefined) => (text ?? "").replace(/[\u2068\u2069]/g, "").replace(/\s+/g, " ").trim();

async function show(scenario: Scenario) {
  const mock = new Mock(scenario, Date.now());
  render(App, { client: new Client(mock) });
  await screen.findByRole("heading", { level: 1 });
  return mock;
}

describe("the status", () => {
  it.each(scenarios.filter((name) => name !== "not-set-up"))("%s has a sentence and a picture", async (scenario) => {
    await show(scenario);
    expect(bare(screen.getByRole("heading", { level: 1 }).textContent)).not.toBe("");
    expect(document.querySelector(".hero .icon svg")).not.toBeNull();
  });

  it("follows the agent", async () => {
    const mock = await show("synced");
    mock.tell({ ...mock.world.status, state: "syncing", says: { is: "syncing", left: 7 }, pending: 7 });
    expect(bare((await screen.findByRole("heading", { name: /Syncing/ })).textContent)).toBe("Syncing (7 left)");
  });

  it("asks for a sync at the press of the button", async () => {
    const mock = await show("syncing");
    await fireEvent.click(screen.getByRole("button", { name: "Sync now" }));
    expect(mock.asked).toContainEqual({ ask: "sync_now" });
  });

  it("of a paused register offers to go on and nothing else", async () => {
    const mock = await show("paused");
    expect((screen.getByRole("button", { name: "Sync now" }) as HTMLButtonElement).disabled).toBe(true);
    await fireEvent.click(screen.getByRole("button", { name: "Resume" }));
    expect(mock.asked).toContainEqual({ ask: "resume" });
  });
});

describe("the tray", () => {
  it("can open the window at one of its parts", async () => {
    window.location.hash = "#conflicts";
    await show("attention");
    window.location.hash = "";
    expect(await screen.findByRole("button", { name: /Oat milk/ })).toBeTruthy();
  });

  it("can ask for a part of the window", async () => {
    const mock = await show("attention");
    mock.show("conflicts");
    expect(await screen.findByRole("button", { name: /Oat milk/ })).toBeTruthy();
  });
});

describe("the pace", () => {
  it("is not guessed before it was seen", () => {
    const pace = new Pace();
    expect([pace.left(0, 100, 0), pace.left(10, 100, 1_000)]).toEqual([null, null]);
    expect(pace.left(20, 100, 10_000)).toBe(40);
  });
});

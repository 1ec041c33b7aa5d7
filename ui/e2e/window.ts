import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import { expect, type Page } from "@playwright/test";

/** A Saturday afternoon in March; nothing in a picture depends on when it was taken. */
const NOW = new Date("2026-03-14T13:30:00Z");

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export interface Look {
  language: "en" | "ar";
  theme: "light" | "dark";
}

export const looks: Look[] = [
  { language: "en", theme: "light" },
  { language: "en", theme: "dark" },
  { language: "ar", theme: "light" },
  { language: "ar", theme: "dark" },
];

/** Opens the window in a scenario of the mock. */
export async function open(page: Page, scenario: string, look: Look = { language: "en", theme: "light" }): Promise<void> {
  await page.clock.setFixedTime(NOW);
  await page.emulateMedia({ colorScheme: look.theme, reducedMotion: "reduce" });
  await page.goto(`/?scenario=${scenario}&language=${look.language}`);
  await expect(page.locator("html")).toHaveAttribute("dir", look.language === "ar" ? "rtl" : "ltr");
  await expect(page.getByRole("heading", { level: 1 })).toBeAttached();
}

interface Finding {
  id: string;
  nodes: { target: string[]; failureSummary?: string }[];
}

/** Nothing that axe calls a fault. */
export async function isAccessible(page: Page): Promise<void> {
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const run = (globalThis as unknown as { axe: { run(options: object): Promise<{ violations: Finding[] }> } }).axe;
    return (await run.run({ resultTypes: ["violations"] })).violations;
  });
  expect(found.map(({ id, nodes }) => ({ id, nodes: nodes.map((node) => [node.target.join(" "), node.failureSummary]) }))).toEqual([]);
}

/** Nothing is wider than the window. */
export async function fits(page: Page): Promise<void> {
  const wider = await page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    const all = [...document.querySelectorAll<HTMLElement>("body *")].filter((element) => !element.closest(".heard, svg"));
    const outside = all.filter((element) => {
      const box = element.getBoundingClientRect();
      return box.width > 0 && (box.left < -1 || box.right > width + 1);
    });
    return outside.map((element) => element.outerHTML.slice(0, 120));
  });
  expect(wider).toEqual([]);
}

/** A text whose numbers and names are set apart from the rest by invisible marks. */
export function said(text: string): RegExp {
  const letters = [...text].map((letter) => letter.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(letters.join("[\u2068\u2069]*"));
}

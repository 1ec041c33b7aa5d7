import { expect, test, type Page } from "@playwright/test";

import { fits, isAccessible, looks, open } from "./window";

/** Every screen, and how a person gets there. */
interface Shown {
  name: string;
  scenario: string;
  go?: (page: Page) => Promise<void>;
}

const tab = (place: number) => (page: Page) => page.locator("nav button").nth(place).click();

const screens: Shown[] = [
  { name: "status-synced", scenario: "synced" },
  { name: "status-syncing", scenario: "syncing" },
  { name: "status-full-sync", scenario: "full-sync" },
  { name: "status-offline", scenario: "offline" },
  { name: "status-paused", scenario: "paused" },
  { name: "status-attention", scenario: "attention" },
  { name: "status-error", scenario: "error" },
  { name: "conflicts", scenario: "attention", go: tab(1) },
  { name: "conflicts-none", scenario: "empty", go: tab(1) },
  {
    name: "conflict",
    scenario: "attention",
    go: async (page) => {
      await tab(1)(page);
      await page.locator(".line").first().click();
    },
  },
  {
    name: "conflict-field-by-field",
    scenario: "attention",
    go: async (page) => {
      await tab(1)(page);
      await page.locator(".line").first().click();
      await page.locator(".actions button").last().click();
    },
  },
  {
    name: "conflict-deleted",
    scenario: "attention",
    go: async (page) => {
      await tab(1)(page);
      await page.locator(".line").last().click();
    },
  },
  {
    name: "conflict-undo",
    scenario: "attention",
    go: async (page) => {
      await tab(1)(page);
      await page.locator(".line").first().click();
      await page.locator(".actions button").first().click();
    },
  },
  { name: "conflicts-locked", scenario: "locked", go: tab(1) },
  { name: "activity", scenario: "attention", go: tab(2) },
  {
    name: "activity-give-up",
    scenario: "attention",
    go: async (page) => {
      await tab(2)(page);
      await page.locator(".refused button").last().click();
    },
  },
  { name: "activity-none", scenario: "empty", go: tab(2) },
  { name: "settings", scenario: "managed", go: tab(3) },
  { name: "settings-locked", scenario: "locked", go: tab(3) },
  { name: "set-up-store", scenario: "not-set-up" },
  {
    name: "set-up-server",
    scenario: "not-set-up",
    go: async (page) => {
      await page.locator("footer .first").click();
      await page.locator("input").first().fill("https://portal.example.net");
      await page.locator("input").nth(1).fill("TOK-1182");
      await page.locator("footer .first").click();
      await expect(page.getByRole("alert")).toBeVisible();
    },
  },
  { name: "set-up-tables", scenario: "not-set-up", go: toTables },
];

export async function toTables(page: Page): Promise<void> {
  await page.locator("footer .first").click();
  await page.locator("input").first().fill("https://sync.example.com");
  await page.locator("input").nth(1).fill("TOK-1182");
  await page.locator("footer .first").click();
  await expect(page.locator(".way").first()).toBeVisible();
}

for (const look of looks) {
  for (const { name, scenario, go } of screens) {
    test(`${name} ${look.language} ${look.theme}`, async ({ page }) => {
      await open(page, scenario, look);
      await go?.(page);
      // The pointer is not a part of the picture.
      await page.mouse.move(0, 0);
      await expect(page).toHaveScreenshot(`${name}-${look.language}-${look.theme}.png`);
      await fits(page);
      await isAccessible(page);
    });
  }
}

for (const language of ["en", "ar"] as const) {
  test(`twice the text size fits, ${language}`, async ({ page }) => {
    for (const [scenario, place] of [["attention", 0], ["attention", 1], ["attention", 2], ["managed", 3]] as const) {
      await open(page, scenario, { language, theme: "light" });
      await page.addStyleTag({ content: "html { font-size: 200%; }" });
      await tab(place)(page);
      await fits(page);
    }
  });
}

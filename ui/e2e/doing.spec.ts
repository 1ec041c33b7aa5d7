import { expect, test, type Page } from "@playwright/test";

import { open, said } from "./window";

/** The name of what has the focus. */
const focused = (page: Page) => page.evaluate(() => document.activeElement?.textContent?.trim().replace(/\s+/g, " ") ?? "");

/** Presses Tab until something with this text has the focus, and sees that the focus shows. */
async function tabTo(page: Page, text: string): Promise<void> {
  for (let presses = 0; presses < 40; presses += 1) {
    await page.keyboard.press("Tab");
    if ((await focused(page)).startsWith(text)) {
      const outline = await page.evaluate(() => getComputedStyle(document.activeElement as Element).outlineStyle);
      expect(outline).toBe("solid");
      return;
    }
  }
  throw new Error(`Tab never comes to ${text}`);
}

test("a conflict is decided with the keyboard alone, and taken back", async ({ page }) => {
  await open(page, "attention");
  await expect(page.getByRole("heading", { name: said("Needs attention (5)") })).toBeVisible();
  await tabTo(page, "Conflicts");
  await page.keyboard.press("Enter");
  await tabTo(page, "Oat milk");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "Oat milk 1 l" })).toBeFocused();
  await tabTo(page, "Take the server's");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("status")).toContainText("The server's value stays");
  await expect(page.getByText("Oat milk 1 l")).toHaveCount(0);
  await tabTo(page, "Undo");
  await page.keyboard.press("Enter");
  await expect(page.getByText("Oat milk 1 l")).toBeVisible();
});

test("a decision is sent when nobody can take it back any more", async ({ page }) => {
  await open(page, "attention");
  await page.clock.install({ time: new Date("2026-03-14T13:30:00Z") });
  await page.getByRole("button", { name: /^Conflicts/ }).click();
  await page.getByRole("button", { name: said("Keep this register's for all 3") }).click();
  await expect(page.getByRole("status")).toContainText(said("3 conflicts decided"));
  await expect(page.locator("nav")).toContainText(said("4 wait"));
  await page.clock.runFor(8_000);
  await expect(page.locator("nav")).toContainText(said("1 waits"));
});

test("who decides about values that have moved on sees the new ones", async ({ page }) => {
  await open(page, "moved");
  await page.clock.install({ time: new Date("2026-03-14T13:30:00Z") });
  await page.getByRole("button", { name: /^Conflicts/ }).click();
  await page.getByRole("button", { name: /Oat milk/ }).click();
  await page.getByRole("button", { name: "Keep this register's" }).click();
  await page.clock.runFor(8_000);
  await page.getByRole("button", { name: /Oat milk.*has changed since you looked/ }).click();
  await expect(page.getByText("has changed since you looked").first()).toBeVisible();
  await expect(page.getByRole("row", { name: /price_cents/ })).toContainText("205");
});

test("a till decides nothing before a manager has entered the PIN", async ({ page }) => {
  await open(page, "locked");
  await page.getByRole("button", { name: /^Conflicts/ }).click();
  await page.getByRole("button", { name: /Oat milk/ }).click();
  await expect(page.getByRole("button", { name: "Keep this register's" })).toHaveCount(0);
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("Manager PIN").fill("1111");
  await page.getByRole("button", { name: "Unlock" }).click();
  await expect(page.getByRole("alert")).toHaveText("That is not the PIN.");
  await page.getByLabel("Manager PIN").fill("2580");
  await page.keyboard.press("Enter");
  await expect(page.getByText("Unlocked.")).toBeVisible();
  await page.getByRole("button", { name: /^Conflicts/ }).click();
  await page.getByRole("button", { name: /Oat milk/ }).click();
  await expect(page.getByRole("button", { name: "Keep this register's" })).toBeVisible();
});

test("a refused change is given up only by somebody who means it", async ({ page }) => {
  await open(page, "attention");
  await page.getByRole("button", { name: /^Activity/ }).click();
  await page.getByRole("button", { name: "Give up…" }).click();
  await expect(page.getByRole("button", { name: "Cancel" })).toBeFocused();
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);
  await expect(page.getByText("INV-2026-00871").first()).toBeVisible();
  await page.getByRole("button", { name: "Give up…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Give up" }).click();
  await expect(page.getByRole("status")).toContainText("A copy is in");
  await expect(page.getByRole("heading", { name: "Refused" })).toHaveCount(0);
});

test("a new register is set up from nothing", async ({ page }) => {
  await open(page, "not-set-up");
  await page.getByRole("button", { name: "Next" }).click();
  await page.getByLabel("Server address").fill("https://sync.example.com");
  await page.getByRole("button", { name: "Next" }).click();
  await expect(page.getByRole("alert")).toHaveText("Please fill this in.");
  await page.getByLabel("Enrolment code").fill("TOK-1182");
  await page.getByRole("button", { name: "Next" }).click();
  await expect(page.getByText(said("Stays here: password_hash, token"))).toBeVisible();
  await page.getByRole("button", { name: "Start syncing" }).click();
  await expect(page.getByRole("progressbar")).toBeVisible();
  await expect(page.getByText(said("25,275 of 58,893 rows"))).toBeVisible();
});

test("the language changes at once, with the direction", async ({ page }) => {
  await open(page, "offline");
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("Language").selectOption("ar");
  await expect(page.locator("html")).toHaveAttribute("dir", "rtl");
  await page.getByRole("button", { name: "الحالة" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("غير متصل، \u20689\u2069 تغييرات في الانتظار منذ \u206813:44\u2069");
});

test("nothing comes from anywhere else", async ({ page }) => {
  const outside: string[] = [];
  page.on("request", (request) => {
    if (!request.url().startsWith("http://127.0.0.1:") && !request.url().startsWith("data:")) outside.push(request.url());
  });
  await open(page, "attention");
  for (const place of [1, 2, 3, 0]) await page.locator("nav button").nth(place).click();
  expect(outside).toEqual([]);
});

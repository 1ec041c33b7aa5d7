import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import type { Problem, Sentence } from "../src/backend";
import { best, codes, Language } from "../src/language/language.svelte";

const bare = (text: string) => text.replace(/[\u2068\u2069]/g, "");
const en = new Language("en");
const ar = new Language("ar");

describe("the sentence", () => {
  const since_ms = new Date(2026, 2, 14, 3, 0).getTime();
  const cases: [Sentence, string, string][] = [
    [{ is: "synced" }, "Up to date", "كل شيء محدَّث"],
    [{ is: "syncing", left: 1234 }, "Syncing (1,234 left)", "جارٍ التزامن (بقي 1,234)"],
    [{ is: "offline", waiting: 1, since_ms }, "Offline, 1 change waiting since 03:00", "غير متصل، تغيير واحد في الانتظار منذ 03:00"],
    [{ is: "offline", waiting: 5, since_ms }, "Offline, 5 changes waiting since 03:00", "غير متصل، 5 تغييرات في الانتظار منذ 03:00"],
    [{ is: "offline", waiting: 11, since_ms }, "Offline, 11 changes waiting since 03:00", "غير متصل، 11 تغييرًا في الانتظار منذ 03:00"],
    [{ is: "paused", until_ms: null }, "Paused", "متوقف مؤقتًا"],
    [{ is: "attention", count: 3 }, "Needs attention (3)", "يحتاج إلى انتباه (3)"],
  ];
  it.each(cases)("%j is the same as in the tray", (says, english, arabic) => {
    expect([bare(en.sentence(says)), bare(ar.sentence(says))]).toEqual([english, arabic]);
  });

  it("sets what is put into it apart", () => {
    expect(ar.sentence({ is: "attention", count: 3 })).toContain("\u20683\u2069");
  });
});

describe("problems", () => {
  const problem = (code: string, args: NonNullable<Problem["arguments"]> = {}): Problem => ({
    code,
    severity: "error",
    text: "As it is.",
    action: "Do.",
    arguments: args,
  });

  it("are said in the person's language, or as they are", () => {
    expect(ar.problem(problem("suspended"))).toBe("أوقف الخادم هذه النقطة.");
    expect(ar.problem(problem("of_tomorrow"))).toBe("As it is.");
    expect(ar.action(problem("of_tomorrow"))).toBe("Do.");
  });

  it("that lack what they are about are said as they are", () => {
    expect(en.problem(problem("key_refused"))).toBe("As it is.");
    expect(bare(en.problem(problem("key_refused", { why: "it expired" })))).toBe("The server refuses this register's key: it expired.");
  });
});

describe("times", () => {
  const now = new Date(2026, 2, 14, 14, 30).getTime();
  it.each([
    [20_000, "just now"],
    [60_000, "1 minute ago"],
    [59 * 60_000, "59 minutes ago"],
    [47 * 3_600_000, "47 hours ago"],
    [49 * 3_600_000, "2 days ago"],
  ])("%d ms are in words", (passed, words) => {
    expect(bare(en.ago(now - passed, now))).toBe(words);
  });

  it("of another day name the day, in digits that receipts have", () => {
    expect(en.when(now - 3_600_000, now)).toBe("13:30");
    expect(ar.when(now - 86_400_000, now)).toMatch(/13.*14:30/);
  });
});

describe("languages", () => {
  it("are the files", () => {
    const files = readdirSync(join(__dirname, "../../crates/core/locales")).map((name) => name.replace(/\.ftl$/, ""));
    expect(codes).toEqual(files.sort());
  });

  it("follow the system", () => {
    expect([best(["ar-EG"]), best(["xx", "AR"]), best(["xx"]), best([])]).toEqual(["ar", "ar", "en", "en"]);
  });

  it("have no message that nobody says", () => {
    const sources = (folder: string): string =>
      readdirSync(folder, { withFileTypes: true, recursive: true })
        .filter((file) => file.isFile() && /\.(ts|svelte|rs)$/.test(file.name))
        .map((file) => readFileSync(join(file.parentPath, file.name), "utf8"))
        .join("\n");
    const root = join(__dirname, "../..");
    const all = ["ui/src", "crates/core/src"].map((folder) => sources(join(root, folder))).join("\n");
    const text = readFileSync(join(root, "crates/core/locales/en.ftl"), "utf8");
    const names = [...text.matchAll(/^([a-z][a-z0-9-]*) =/gm)].map((match) => match[1] ?? "");
    // Names that are put together from a start and a word.
    const starts = ["problem-", "activity-", "tab-", "conflict-kind-", "setup-", "setting-", "setup-table-"];
    const spare = names.filter((name) => !all.includes(`"${name}"`) && !starts.some((start) => name.startsWith(start)));
    expect(spare).toEqual([]);
  });
});

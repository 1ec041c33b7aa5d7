import { FluentBundle, FluentResource, type FluentVariable } from "@fluent/bundle";

import type { Problem, Sentence } from "../backend";

/** One catalogue per language, the same files as the tray's. */
const catalogues = import.meta.glob<string>("../../../crates/core/locales/*.ftl", { query: "?raw", import: "default", eager: true });

const texts = new Map(Object.entries(catalogues).map(([path, text]) => [path.replace(/^.*\/|\.ftl$/g, ""), text]));

export const codes: string[] = [...texts.keys()].sort();

type Arguments = Record<string, FluentVariable>;

/** A language, ready to speak. */
export class Language {
  readonly direction: "ltr" | "rtl";
  private readonly bundle: FluentBundle;
  /** Digits are 0 to 9 everywhere, as on receipts and labels. */
  private readonly locale: string;

  constructor(readonly code: string) {
    this.locale = `${code}-u-nu-latn`;
    this.bundle = new FluentBundle(this.locale);
    this.bundle.addResource(new FluentResource(texts.get(code) ?? ""));
    this.direction = this.text("direction") === "rtl" ? "rtl" : "ltr";
  }

  /** A message; its name when the catalogue does not have it. */
  text(name: string, args: Arguments = {}): string {
    return this.find(name, null, args) ?? name;
  }

  sentence(says: Sentence): string {
    switch (says.is) {
      case "not_set_up":
        return this.text("sentence-not-set-up");
      case "synced":
        return this.text("sentence-synced");
      case "syncing":
        return this.text("sentence-syncing", { left: says.left });
      case "offline":
        return this.text("sentence-offline", { waiting: says.waiting, time: this.clock(says.since_ms) });
      case "paused":
        return says.until_ms === null
          ? this.text("sentence-paused")
          : this.text("sentence-paused-until", { time: this.clock(says.until_ms) });
      case "attention":
        return this.text("sentence-attention", { count: says.count });
      case "error":
        return this.text("sentence-error", { reason: this.problem(says.problem).replace(/\.$/, "") });
    }
  }

  problem(problem: Problem): string {
    return this.find(messageOf(problem), null, problem.arguments ?? {}) ?? problem.text;
  }

  action(problem: Problem): string {
    return this.find(messageOf(problem), "action", problem.arguments ?? {}) ?? problem.action;
  }

  /** Local `hh:mm`. */
  clock(ms: number): string {
    return new Intl.DateTimeFormat(this.locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(ms);
  }

  /** The clock, and the day when it was another one. */
  when(ms: number, now: number): string {
    if (new Date(ms).toDateString() === new Date(now).toDateString()) {
      return this.clock(ms);
    }
    const day = new Intl.DateTimeFormat(this.locale, { day: "numeric", month: "short" }).format(ms);
    return `${day} ${this.clock(ms)}`;
  }

  ago(ms: number, now: number): string {
    const minutes = Math.floor((now - ms) / 60_000);
    if (minutes < 1) return this.text("ago-now");
    if (minutes < 60) return this.text("ago-minutes", { minutes });
    if (minutes < 48 * 60) return this.text("ago-hours", { hours: Math.floor(minutes / 60) });
    return this.text("ago-days", { days: Math.floor(minutes / 1440) });
  }

  number(value: number): string {
    return new Intl.NumberFormat(this.locale).format(value);
  }

  private find(name: string, attribute: string | null, args: Arguments): string | null {
    const message = this.bundle.getMessage(name);
    const pattern = attribute === null ? message?.value : message?.attributes[attribute];
    if (!pattern) return null;
    const errors: Error[] = [];
    const text = this.bundle.formatPattern(pattern, args, errors);
    return errors.length === 0 ? text : null;
  }
}

function messageOf(problem: Problem): string {
  return `problem-${problem.code.replaceAll("_", "-")}`;
}

/** The first of the wanted ones that there is, by its main part; English when there is none. */
export function best(wanted: readonly string[]): string {
  const main = (tag: string) => tag.split(/[-_.]/)[0]?.toLowerCase() ?? "";
  return wanted.map(main).find((code) => texts.has(code)) ?? "en";
}

let current = $state.raw(new Language("en"));

/** The language that the window speaks. */
export function language(): Language {
  return current;
}

export function speak(code: string): void {
  if (code === current.code) return;
  current = new Language(code);
  document.documentElement.lang = code;
  document.documentElement.dir = current.direction;
}

/** A message in the window's language. */
export function t(name: string, args: Arguments = {}): string {
  return current.text(name, args);
}

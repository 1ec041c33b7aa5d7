import { Failure, screens, type Client, type Screen, type Setting, type Status } from "./backend";
import { best, language, speak, t } from "./language/language.svelte";

/** How often the words that name a time are put right. */
const TICK_MS = 15_000;

/** A message stays this long. */
const TOLD_MS = 8_000;

/** A short message at the bottom, with a way back where there is one. */
export interface Told {
  text: string;
  undo?: () => void;
}

/** What every part of the window shares: the status, the settings, where the person is. */
export class Model {
  status = $state.raw<Status | null>(null);
  setting = $state.raw<Setting | null>(null);
  /** A window that is made to show one of its parts says which in its address. */
  screen = $state<Screen>(screens.find((name) => name === window.location.hash.slice(1)) ?? "status");
  told = $state.raw<Told | null>(null);
  now = $state(Date.now());
  private forgetting: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly client: Client) {}

  /** Whether this person may decide and change. */
  get mayDecide(): boolean {
    const { setting } = this;
    return setting !== null && (setting.manager || !setting.has_pin || setting.unlocked);
  }

  /** Starts listening; gives back how to end it. */
  begin(): () => void {
    const ends = [
      this.client.onStatus((status) => {
        this.status = status;
        this.now = Date.now();
      }),
      this.client.onShow((screen) => (this.screen = screen)),
    ];
    const tick = setInterval(() => (this.now = Date.now()), TICK_MS);
    void this.load();
    return () => {
      ends.forEach((end) => end());
      clearInterval(tick);
    };
  }

  async load(): Promise<void> {
    await this.try(async () => {
      this.take((await this.client.shell({ ask: "setting" }, "setting")).setting);
      this.status = (await this.client.ask({ ask: "status" }, "status")).status;
    });
  }

  take(setting: Setting): void {
    this.setting = setting;
    speak(best(setting.language ? [setting.language] : setting.system_languages));
  }

  /** Does something that may fail, and says so when it does. Gives back whether it worked. */
  async try(work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      this.tell({ text: error instanceof Failure ? language().problem(error.problem) : t("nobody-answers") });
      return false;
    }
  }

  tell(told: Told, forMs = TOLD_MS): void {
    clearTimeout(this.forgetting);
    this.told = told;
    this.forgetting = setTimeout(() => (this.told = null), forMs);
  }

  forget(): void {
    clearTimeout(this.forgetting);
    this.told = null;
  }
}

import type { Ask, Problem, Reply, Shell, ShellReply, Status } from "./types";

/** A part of the window that the tray may ask for. */
export const screens = ["status", "conflicts", "activity", "settings"] as const;

export type Screen = (typeof screens)[number];

/** What the window needs from outside. Only files in this folder know who is there. */
export interface Backend {
  ask(ask: Ask): Promise<Reply>;
  shell(ask: Shell): Promise<ShellReply>;
  /** Calls back with every status that differs from the last one; gives back how to end it. */
  onStatus(listener: (status: Status) => void): () => void;
  /** Calls back when somebody outside wants to see a part of the window. */
  onShow(listener: (screen: Screen) => void): () => void;
}

/** The agent or the app says why something could not be done. */
export class Failure extends Error {
  constructor(readonly problem: Problem) {
    super(problem.text);
  }
}

type Of<A, K> = Extract<A, { reply: K }>;

/** Questions with the answers that belong to them. */
export class Client {
  constructor(private readonly backend: Backend) {}

  async ask<K extends Reply["reply"]>(ask: Ask, expected: K): Promise<Of<Reply, K>> {
    return fitting(await this.backend.ask(ask), expected);
  }

  async shell<K extends ShellReply["reply"]>(ask: Shell, expected: K): Promise<Of<ShellReply, K>> {
    return fitting(await this.backend.shell(ask), expected);
  }

  /** The same where the answer may be one of several. */
  async shellAny(ask: Shell): Promise<ShellReply> {
    return this.backend.shell(ask);
  }

  onStatus(listener: (status: Status) => void): () => void {
    return this.backend.onStatus(listener);
  }

  onShow(listener: (screen: Screen) => void): () => void {
    return this.backend.onShow(listener);
  }
}

function fitting<A extends { reply: string }, K extends A["reply"]>(reply: A, expected: K): Of<A, K> {
  if (reply.reply === "failed") {
    throw new Failure((reply as unknown as { problem: Problem }).problem);
  }
  if (reply.reply !== expected) {
    throw new Error(`asked for ${expected}, got ${reply.reply}`);
  }
  return reply as Of<A, K>;
}

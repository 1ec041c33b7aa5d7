import { invoke } from "@tauri-apps/api/core";
import { listen } from "@tauri-apps/api/event";

import type { Backend, Screen } from "./backend";
import type { Reply, ShellReply, Status } from "./types";

/** The app around the window. */
export const tauri: Backend = {
  ask: (ask) => invoke<Reply>("ask", { ask }),
  shell: (ask) => invoke<ShellReply>("shell", { ask }),
  onStatus: (listener) => subscribe<Status>("status", listener),
  onShow: (listener) => subscribe<Screen>("show", listener),
};

function subscribe<T>(event: string, listener: (payload: T) => void): () => void {
  const ending = listen<T>(event, ({ payload }) => listener(payload));
  return () => void ending.then((end) => end());
}

import { Client } from "./backend";

export { Client, Failure, screens, type Backend, type Screen } from "./backend";
export type * from "./types";

/** Whoever is there: the tray app, or in a plain browser a mock. */
export async function connect(): Promise<Client> {
  // What ships has no mock in it.
  if (import.meta.env.MODE !== "production") {
    const { mockFromAddress } = await import("./mock");
    return new Client(mockFromAddress(window.location.search));
  }
  const { tauri } = await import("./tauri");
  return new Client(tauri);
}

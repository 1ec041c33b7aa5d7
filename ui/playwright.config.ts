import { createServer, type AddressInfo } from "node:net";

import { defineConfig } from "@playwright/test";

/** Workers read this file again and take the port that the first reader found. */
const PORT = Number((process.env["TILLSYNC_WINDOW_PORT"] ??= String(await freePort())));

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listens) => server.listen(0, "127.0.0.1", listens));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}

/** The window over the mock, in the system's own Chromium, at the size that the tray gives it. */
export default defineConfig({
  testDir: "e2e",
  fullyParallel: true,
  workers: 2,
  retries: 0,
  // A machine that builds something else beside this takes its time.
  timeout: 60_000,
  reporter: [["list", { printSteps: false }]],
  forbidOnly: true,
  // One set of pictures: the fonts come from e2e/fonts.conf, whatever else the machine has.
  snapshotPathTemplate: "{testDir}/screens/{arg}{ext}",
  expect: { toHaveScreenshot: { animations: "disabled", maxDiffPixelRatio: 0.01, scale: "css" } },
  use: {
    baseURL: `http://127.0.0.1:${PORT}`,
    viewport: { width: 380, height: 560 },
    locale: "en-GB",
    timezoneId: "Europe/Berlin",
    launchOptions: {
      executablePath: process.env["TILLSYNC_CHROMIUM"] ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--font-render-hinting=none", "--disable-lcd-text", "--force-device-scale-factor=1"],
      env: { ...(process.env as Record<string, string>), FONTCONFIG_FILE: new URL("e2e/fonts.conf", import.meta.url).pathname },
    },
  },
  webServer: {
    command: `npx vite build --mode mock --outDir dist-mock && npx vite preview --outDir dist-mock --port ${PORT} --strictPort --host 127.0.0.1`,
    port: PORT,
    reuseExistingServer: false,
    timeout: 180_000,
  },
});

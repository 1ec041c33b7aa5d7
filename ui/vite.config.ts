/// <reference types="vitest/config" />
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

/** The window, for the tray app (`build`), and over a mock in any browser (`dev`). */
export default defineConfig({
  plugins: [svelte()],
  // The catalogues and the icons are shared with the tray and lie outside of this folder.
  server: { port: 1420, strictPort: true, host: "127.0.0.1", fs: { allow: [".."] } },
  build: { target: "es2022", assetsInlineLimit: 0, reportCompressedSize: false },
  resolve: process.env["VITEST"] ? { conditions: ["browser"] } : {},
  test: { environment: "happy-dom", include: ["tests/**/*.test.ts"] },
});

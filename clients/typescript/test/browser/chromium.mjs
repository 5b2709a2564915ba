// A real browser: Chromium without a window, with a profile of its own that outlives it.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

function program() {
  if (process.env.CHROMIUM_BIN) return process.env.CHROMIUM_BIN;
  for (const name of NAMES) {
    try {
      return execFileSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim();
    } catch {
      // The next one.
    }
  }
  return assert.fail("there is no Chromium here: install it (.ci/setup does), or set CHROMIUM_BIN");
}

export class Browser {
  constructor() {
    this.profile = mkdtempSync(join(tmpdir(), "tallystick-chromium-"));
  }

  async start() {
    const args = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server"];
    const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps"];
    const own = [`--user-data-dir=${this.profile}`, "--remote-debugging-port=0", "about:blank"];
    this.process = spawn(program(), [...args, ...quiet, ...own], { stdio: ["ignore", "ignore", "pipe"] });
    this.ended = once(this.process, "exit");
    const lines = createInterface({ input: this.process.stderr });
    let said = "";
    for await (const line of lines) {
      said += `${line}\n`;
      const [, url] = /^DevTools listening on (ws:\S+)/.exec(line) ?? [];
      if (!url) continue;
      this.process.stderr.resume();
      this.browser = await chromium.connectOverCDP(url);
      this.context = this.browser.contexts()[0];
      return this;
    }
    return assert.fail(`Chromium ended:\n${said}`);
  }

  /** A tab at this address. What goes wrong in it goes wrong here. */
  async open(url) {
    const page = await this.context.newPage();
    page.on("pageerror", (error) => console.error(error));
    await page.goto(url);
    return page;
  }

  async kill() {
    this.process.kill("SIGKILL");
    await this.ended;
  }

  async close() {
    if (this.process?.exitCode === null && this.process.signalCode === null) {
      await this.browser?.close();
      await this.kill();
    }
    // The last of its processes may still be writing.
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

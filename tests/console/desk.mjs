// Somebody at a desk: a real browser without a window, one context each. What goes wrong in a page is kept and counted.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export const LOOKS = {
  light: { viewport: { width: 1360, height: 860 }, colorScheme: "light" },
  dark: { viewport: { width: 1360, height: 860 }, colorScheme: "dark" },
  narrow: { viewport: { width: 360, height: 780 }, colorScheme: "light" },
  wall: { viewport: { width: 2560, height: 1440 }, colorScheme: "dark" },
};

/** What was found on all pages. `errors`: of consoles, and requests to elsewhere. */
export const found = { axe: [], errors: [], lines: new Set() };

function program() {
  if (process.env.CHROMIUM_BIN) return process.env.CHROMIUM_BIN;
  for (const name of NAMES) {
    try {
      return execFileSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim();
    } catch {
      // The next one.
    }
  }
  return assert.fail("there is no Chromium here: install it (.ci/setup tests does), or set CHROMIUM_BIN");
}

const args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server",
  "--enable-precise-memory-info"];
export const launch = () => chromium.launch({ executablePath: program(), args });

export class Desk {
  /** `world` has an engine that runs; `who` is logged in, unless it is not given. */
  static async open(browser, world, who, look = "light") {
    const desk = new Desk();
    desk.world = world;
    desk.context = await browser.newContext({ ...LOOKS[look], locale: "en-GB", timezoneId: "Europe/Berlin",
      acceptDownloads: true });
    desk.page = await desk.context.newPage();
    desk.page.setDefaultTimeout(30_000);
    desk.clicks = 0;
    // What a page is told by a console while it is meant to fail.
    desk.expected = [];
    desk.page.on("console", (said) => desk.hear(said.type(), `${said.text()} ${said.location().url ?? ""}`));
    desk.page.on("pageerror", (error) => desk.hear("error", String(error.stack)));
    desk.page.on("request", (request) => {
      const url = new URL(request.url());
      if (!["blob:", "data:"].includes(url.protocol)
        && url.host !== world.console) found.errors.push(`a request to ${url.host}`);
    });
    await desk.page.goto(desk.url);
    if (who) await desk.login(who);
    return desk;
  }

  get url() {
    return `http://${this.world.console}/`;
  }

  hear(kind, text) {
    if (kind !== "error" || this.expected.some((pattern) => pattern.test(text))) return;
    found.errors.push(text);
  }

  async close() {
    await this.context.close();
  }

  async login(who) {
    await this.page.getByLabel("Token or API key").fill(this.world.keys[who]);
    await this.click(this.page.getByRole("button", { name: "Log in" }));
    await this.page.locator("main h1").waitFor();
    await this.page.getByRole("dialog").waitFor({ state: "detached" });
  }

  async logout() {
    await this.click(this.page.getByRole("button", { name: "Log out" }));
    await this.page.getByLabel("Token or API key").waitFor();
  }

  /** A click that counts. */
  async click(what) {
    this.clicks += 1;
    await what.click();
  }

  button(name, within = this.page) {
    return within.getByRole("button", { name, exact: true });
  }

  /** A page by its address, with what it shows. */
  async go(path) {
    await this.page.evaluate((to) => {
      location.hash = to;
    }, path);
    await this.settled();
  }

  /** Nothing is asked for any more. */
  async settled() {
    await this.page.locator("main h1").waitFor();
    await this.page.waitForFunction(() => !document.querySelector("main .skeleton"));
  }

  /** The question in front, answered with these fields. */
  async answer(verb, fields = {}) {
    const box = this.page.getByRole("dialog");
    await box.waitFor();
    for (const [label, value] of Object.entries(fields)) {
      const field = box.getByLabel(label, { exact: true });
      if ((await field.evaluate((element) => element.tagName)) === "SELECT") await field.selectOption(value);
      else await field.fill(value);
    }
    found.lines.add(await box.locator(".command code").innerText());
    await this.click(this.button(verb, box));
    await box.waitFor({ state: "detached" });
  }

  async says(text) {
    await this.page.locator(".notice-place").getByText(text).waitFor();
  }

  /** axe-core's findings that are serious or worse. */
  async axe(where) {
    await this.page.evaluate(`if (!window.axe) { ${AXE} }`);
    const { violations } = await this.page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
    const bad = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
    for (const { id, nodes } of bad) found.axe.push(`${where}: ${id}: ${nodes.slice(0,
      3).map(({ target, failureSummary }) => `${target} ${failureSummary}`).join("; ")}`);
    return bad.map(({ id }) => id);
  }

  /** Every command that the page shows, those behind buttons, too. */
  async lines() {
    const flip = (open) => this.page.evaluate((is) =>
      document.querySelectorAll(`main .as-command > button[aria-expanded="${is}"]`).forEach((button) => button.click()),
      open);
    await flip(false);
    const all = await this.page.locator("main .command code, main .said code").allInnerTexts();
    for (const line of all.filter((text) => text.startsWith("tallystick "))) found.lines.add(line);
    await flip(true);
  }

  /** A call as the page would make it: what the engine says of it. */
  async call(method, body = {}) {
    return this.page.evaluate(async ([name, text]) => {
      const headers = { "content-type": "application/json", "x-tallystick-console": "1",
        "x-tallystick-login": localStorage.getItem("session") };
      const answer = await fetch(`/api/call/${name}`, { method: "POST", headers, body: text });
      return { status: answer.status, ...(await answer.json()) };
    }, [method, JSON.stringify(body)]);
  }
}

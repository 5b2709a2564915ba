// Pictures of every page, in light, dark and narrow: `node shots.mjs FOLDER`, with TALLYSTICK_BIN set. For docs/console.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Desk, launch } from "./desk.mjs";
import { NEAR, load, story } from "./story.mjs";
import { World } from "./world.mjs";

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });
const world = await story(new World(), { vouchers: 20_000 });
const browser = await launch();
const legs = await world.cli("ann", "leg", "list", world.lost);
const unknown = legs.find(({ state }) => state === "unknown").key;
const PAGES = [["now", "/now"], ["windows", "/windows"], ["window", "/windows/2"], ["batches", "/batches"],
  ["batch", `/batches/${world.settled}`],
  ["legs", "/legs"], ["leg", `/legs/${unknown}?batch=${world.lost}`], ["parties", "/parties"], ["party", `/parties/${NEAR}`],
    ["access", "/access"],
  ["audit", "/audit"], ["approve", `/batches/${world.waits}`, "Approve"]];

for (const look of ["light", "dark", "narrow"]) {
  const desk = await Desk.open(browser, world, "bob", look);
  desk.page.setDefaultTimeout(60_000);
  await desk.go("/now");
  await load(world, look.length * 10, 12_000);
  for (const [name, path, press] of PAGES) {
    if (name === "now") {
      await load(world, look.length * 10 + 1, 20_000);
      await desk.page.locator(".plot canvas").first().waitFor();
    }
    await desk.go(path);
    if (name === "legs") await desk.page.locator("tr[data-row]").first().waitFor();
    if (press) await desk.click(desk.button(press));
    await desk.page.mouse.move(2, 2);
    await desk.page.waitForTimeout(300);
    await desk.page.screenshot({ path: join(folder, `${name}-${look}.png`) });
  }
  await desk.close();
}
await browser.close();
await world.stop();

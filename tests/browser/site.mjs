// Opens pages of the site from the file system, at two widths, light and dark. Prints as JSON what axe-core finds, what
// is wider than the screen, what was asked of a network, which files were missing, and the titles that a search for "jensen" finds.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const [, , browserPath, root, ...pages] = process.argv;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });
// The theme fades its colours when a page comes up dark; what is measured is the page that has come to rest.
const atRest = () => Promise.allSettled(document.getAnimations().map((one) => one.finished));
const result = { pages: 0, faults: [], asked: [], missing: [], found: [] };
for (const [width, colorScheme] of [[1280, "light"], [390, "light"], [1280, "dark"], [390, "dark"]]) {
  const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme });
  const page = await context.newPage();
  page.on("request", (request) => {
    if (!/^(file|data|blob):/.test(request.url())) result.asked.push(request.url());
  });
  page.on("requestfailed", (request) => {
    if (request.failure().errorText === "net::ERR_FILE_NOT_FOUND") result.missing.push(request.url());
  });
  for (const name of pages) {
    await page.goto(`${root}/${name}`, { waitUntil: "load" });
    await page.evaluate(atRest);
    await page.evaluate(axe);
    const violations = await page.evaluate(async () => (await globalThis.axe.run(document)).violations);
    for (const one of violations) {
      const where = one.nodes.slice(0, 3).map((node) => `${node.target.join(" ")} ${node.html.slice(0, 120)}`);
      result.faults.push(`${name} ${width} ${colorScheme}: ${one.id} (${one.nodes.length}): ${where.join(" | ")}`);
    }
    const excess = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    if (excess > 0) result.faults.push(`${name} ${width} ${colorScheme}: ${excess} pixels wider than the screen`);
    result.pages += 1;
  }
  await context.close();
}
const page = await browser.newPage();
await page.goto(`${root}/search.html?q=jensen`);
await page.waitForSelector("#search-results li", { timeout: 20000 });
await page.waitForTimeout(1000);
result.found = await page.locator("#search-results li a").allTextContents();
await browser.close();
process.stdout.write(JSON.stringify(result));

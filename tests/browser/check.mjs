// Opens the page that checks a derivation. Prints as JSON what its line of state said until it begins with one of the
// words in LAST; for each TEXT, what is said and shown after it was put in and the button was pressed; faults by axe-core.
// Usage: node check.mjs CHROMIUM URL LAST [TEXT ...]
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [, , browserPath, url, last, ...texts] = process.argv;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });
const page = await browser.newPage();
const asked = [];
page.on("request", (request) => asked.push(request.url()));
const said = [];
await page.exposeFunction("note", (text) => said.push(text));
await page.addInitScript(() => {
  document.addEventListener("DOMContentLoaded", () => {
    const state = document.getElementById("state");
    const seen = { childList: true, characterData: true, subtree: true };
    new MutationObserver(() => globalThis.note(state.textContent)).observe(state, seen);
  });
});
await page.goto(url);
await page.waitForFunction((word) => document.getElementById("state").textContent.startsWith(word), last, { timeout: 120000 });
const enabled = await page.locator("#judge").isEnabled();
const answers = [];
for (const text of texts) {
  await page.locator("#derivation").fill(text);
  await page.locator("#judge").click();
  await page.waitForFunction(() => !document.getElementById("judge").disabled, null, { timeout: 60000 });
  const shown = await page.locator("#report").isVisible();
  const report = shown ? await page.frameLocator("#report").locator("body").innerText() : "";
  answers.push({ state: await page.locator("#state").textContent(), report });
}
await page.evaluate(axe);
const rules = { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] };
const { violations } = await page.evaluate((chosen) => globalThis.axe.run(document, { ...chosen, iframes: false }), rules);
await browser.close();
process.stdout.write(JSON.stringify({ said, enabled, answers, asked, faults: violations.map((one) => `${one.id}: ${one.nodes[0].html}`) }));

// Opens the page that checks a derivation and prints as JSON what its line of state said, until it says the last word.
import { chromium } from "playwright-core";

const [, , browserPath, url, last] = process.argv;
const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });
const page = await browser.newPage();
const said = [];
await page.exposeFunction("note", (text) => said.push(text));
await page.addInitScript(() => {
  document.addEventListener("DOMContentLoaded", () => {
    const state = document.getElementById("state");
    new MutationObserver(() => globalThis.note(state.textContent)).observe(state, { childList: true, characterData: true, subtree: true });
  });
});
await page.goto(url);
await page.waitForFunction((word) => document.getElementById("state").textContent.startsWith(word), last, { timeout: 120000 });
const enabled = await page.locator("#judge").isEnabled();
await browser.close();
process.stdout.write(JSON.stringify({ said, enabled }));

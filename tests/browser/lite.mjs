// Opens a notebook in the browser edition, and prints as JSON the title of the page, the notebook's first code cell, and the addresses asked for.
// Usage: node lite.mjs CHROMIUM URL PART, where PART belongs to the address that is waited for
import { chromium } from "playwright-core";

const [, , executablePath, url, part] = process.argv;
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
const asked = [];
context.on("request", (request) => asked.push(request.url()));
const page = await context.newPage();
await page.goto(url);
await page.locator(".jp-NotebookPanel:visible .jp-CodeCell").first().waitFor({ timeout: 90000 });
for (let i = 0; i < 100 && !asked.some((one) => one.includes(part)); i++) await page.waitForTimeout(200);
const title = await page.title();
const cell = await page.locator(".jp-NotebookPanel:visible .jp-CodeCell").first().innerText();
await browser.close();
process.stdout.write(JSON.stringify({ title, cell, asked }));

// Opens JupyterLab at its own address, reads the page that it shows, runs its cells, follows its first link.
// Usage: node start.mjs CHROMIUM URL SCREENSHOTS
// Writes {path, heading, output, opened} as JSON.
import { openPage } from "./openPage.mjs";

const [executablePath, url, screenshots] = process.argv.slice(2);
const { browser, page } = await openPage(executablePath, { width: 1280, height: 720 }, 60_000);

const current = () => page.evaluate(() => window.jupyterapp.shell.currentWidget?.context?.path ?? "");
await page.goto(url);
const notebook = page.locator(".jp-NotebookPanel:visible");
await notebook.locator(".jp-Cell h1").first().waitFor();
const news = page.getByRole("button", { name: "No", exact: true });
if (await news.isVisible()) await news.click();
const path = await current();
const heading = (await notebook.locator(".jp-Cell h1").first().innerText()).trim();
await page.screenshot({ path: `${screenshots}/start.png` });

await page.waitForFunction(() => window.jupyterapp.shell.currentWidget?.sessionContext?.isReady);
await page.evaluate(() => window.jupyterapp.commands.execute("notebook:run-all-cells"));
const last = () => window.jupyterapp.shell.currentWidget.content.widgets.at(-1).model.outputs?.toJSON() ?? [];
await page.waitForFunction(`(${last})().length > 0`);
const output = JSON.stringify(await page.evaluate(last));

const link = notebook.locator(".jp-Cell a[href*='00_start']").first();
await link.scrollIntoViewIfNeeded();
await link.click();
await page.waitForFunction(() => window.jupyterapp.shell.currentWidget?.context?.path?.includes("00_start"));
const opened = await current();
await page.screenshot({ path: `${screenshots}/opened.png` });

process.stdout.write(JSON.stringify({ path, heading, output, opened }));
await browser.close();

// Opens a notebook in JupyterLab, runs its cells, and clicks the button of a chain that is uncovered line by line.
// Usage: node steps.mjs CHROMIUM URL_OF_THE_NOTEBOOK CLICKS SCREENSHOTS
// Writes a list as JSON: before each click and after the last one, {button, rows, text} of what is on the board.
import { openPage } from "./openPage.mjs";

const [executablePath, url, clicks, screenshots] = process.argv.slice(2);
const { browser, page } = await openPage(executablePath, { width: 1400, height: 1000 }, 120_000);

await page.goto(url);
await page.locator(".jp-NotebookPanel:visible .jp-Cell").first().waitFor();
await page.keyboard.press("Escape");
await page.waitForFunction(() => window.jupyterapp.shell.currentWidget?.sessionContext?.isReady);
await page.getByRole("menuitem", { name: "Run", exact: true }).click();
await page.getByRole("menuitem", { name: "Run All Cells", exact: true }).click();

const board = page.locator(".jp-NotebookPanel:visible .jp-Cell-outputArea").last();
const button = board.locator("button.jupyter-button").first();
await button.waitFor();
await board.locator("table tbody tr").first().waitFor();
const seen = async () => ({
  button: await button.innerText(),
  rows: await board.locator("table tbody tr").count(),
  text: await board.innerText(),
});

const found = [await seen()];
await board.screenshot({ path: `${screenshots}/steps-0.png` });
for (let i = 1; i <= Number(clicks); i++) {
  const old = found.at(-1).text;
  await button.click();
  for (let wait = 0; wait < 100 && ((await seen()).text === old || (await seen()).rows === 0); wait++)
    await page.waitForTimeout(100);
  await page.waitForTimeout(500); // the formulas are set
  found.push(await seen());
  await board.screenshot({ path: `${screenshots}/steps-${i}.png` });
}
process.stdout.write(JSON.stringify(found));
await browser.close();

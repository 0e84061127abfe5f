// Opens a notebook in JupyterLab, runs all its cells, moves the first slider of the cell with the given text.
// Usage: node lab.mjs CHROMIUM URL_OF_THE_NOTEBOOK TEXT_OF_THE_CELL SCREENSHOTS
// Writes {errors, before, after} as JSON; before and after are {picture, text} of the cell's output.
import { openPage } from "./openPage.mjs";

const [executablePath, url, cellText, screenshots] = process.argv.slice(2);
const { browser, page } = await openPage(executablePath, { width: 1400, height: 1000 }, 120_000);

await page.goto(url);
await page.locator(".jp-NotebookPanel:visible .jp-Cell").first().waitFor();
await page.keyboard.press("Escape");
const news = page.getByRole("button", { name: "No", exact: true });
if (await news.isVisible()) await news.click(); // "Jupyter news?", asked at the first start

await page.waitForFunction(() => window.jupyterapp.shell.currentWidget?.sessionContext?.isReady);
await page.getByRole("menuitem", { name: "Run", exact: true }).click();
await page.getByRole("menuitem", { name: "Run All Cells", exact: true }).click();

// The kernel is idle when the last code cell has its number.
await page.waitForFunction(
  () => {
    const notebook = window.jupyterapp.shell.currentWidget;
    const cells = notebook.content.widgets.filter((cell) => cell.model.type === "code");
    return cells.length > 0 && cells.every((cell) => cell.model.executionCount !== null);
  },
  null,
  { timeout: 300_000 },
);
const errors = await page.evaluate(() => {
  const notebook = window.jupyterapp.shell.currentWidget;
  const cells = notebook.content.widgets.filter((cell) => cell.model.type === "code");
  const failed = (cell) => cell.model.outputs.toJSON().some((output) => output.output_type === "error");
  const meant = (cell) => (cell.model.getMetadata("tags") ?? []).includes("raises-exception");
  return cells.filter((cell) => failed(cell) && !meant(cell)).map((cell) => cell.model.id);
});

// Bring the cell of the slider into sight.
await page.evaluate((text) => {
  const notebook = window.jupyterapp.shell.currentWidget.content;
  const index = notebook.widgets.findIndex((cell) => cell.model.sharedModel.source.includes(text));
  notebook.activeCellIndex = index;
  notebook.scrollToItem(index, "start");
}, cellText);
const cell = page.locator(".jp-NotebookPanel:visible .jp-Cell.jp-mod-active");
const picture = cell.locator(".widget-interact img").first();
const words = cell.locator(".widget-interact .jp-OutputArea-output").last();
await picture.waitFor();
const seen = async () => ({ picture: await picture.getAttribute("src"), text: await words.innerText() });

const before = await seen();
await cell.screenshot({ path: `${screenshots}/before.png` });
const handle = cell.locator(".widget-slider .noUi-handle").first();
await handle.focus();
for (let i = 0; i < 8; i++) await page.keyboard.press("ArrowRight");
await page.waitForFunction(
  ([old, index]) => {
    const active = document.querySelector(".jp-NotebookPanel .jp-Cell.jp-mod-active .widget-interact img");
    return active !== null && active.src !== old;
  },
  [before.picture],
);
await page.waitForTimeout(2000); // the last of the moves is drawn
const after = await seen();
await cell.screenshot({ path: `${screenshots}/after.png` });

process.stdout.write(JSON.stringify({ errors, before, after }));
await browser.close();

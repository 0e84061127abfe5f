// Opens a notebook of exercises in JupyterLab, types answers into the cell of an exercise, and reads what is said.
// Usage: node exercise.mjs CHROMIUM URL CELL_ID CHECK_ID SCREENSHOTS ANSWER...
// Writes the text that the check shows after each answer, as a JSON list.
import { openPage } from "./openPage.mjs";

const [executablePath, url, cellId, checkId, screenshots, ...answers] = process.argv.slice(2);
const { browser, page } = await openPage(executablePath, { width: 1200, height: 1000 }, 60_000);

await page.goto(url);
await page.locator(".jp-NotebookPanel:visible .jp-Cell").first().waitFor();
const news = page.getByRole("button", { name: "No", exact: true });
if (await news.isVisible()) await news.click();

async function runAll() {
  await page.evaluate(() => window.jupyterapp.commands.execute("notebook:run-all-cells"));
}
await page.waitForFunction(() => window.jupyterapp.shell.currentWidget?.sessionContext?.isReady);
await runAll(); // as given: nothing is attempted, nothing raises

const said = [];
for (const [index, answer] of answers.entries()) {
  await page.evaluate(
    (id) => {
      const notebook = window.jupyterapp.shell.currentWidget.content;
      const place = notebook.widgets.findIndex((cell) => cell.model.id === id);
      notebook.activeCellIndex = place;
      notebook.scrollToItem(place, "start");
    },
    cellId,
  );
  const cell = page.locator(".jp-NotebookPanel:visible .jp-Cell.jp-mod-active");
  await cell.locator(".cm-content").click();
  await page.keyboard.press("Control+A");
  await page.keyboard.insertText(answer);
  await runAll();
  await page.waitForTimeout(500); // outputs of the run before are cleared
  await page.waitForFunction((id) => {
    const cells = window.jupyterapp.shell.currentWidget.content.widgets;
    const cell = cells.find((candidate) => candidate.model.id === id);
    return cell.model.outputs.length > 0;
  }, checkId);
  const text = await page.evaluate((id) => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    const place = notebook.widgets.findIndex((cell) => cell.model.id === id);
    notebook.scrollToItem(place, "center");
    const outputs = notebook.widgets[place].model.outputs.toJSON();
    return outputs.map((output) => output.data?.["text/plain"] ?? output.text ?? output.evalue ?? "").join("\n");
  }, checkId);
  said.push(text);
  await page.waitForTimeout(500);
  await page.screenshot({ path: `${screenshots}/answer-${index}.png` });
}
process.stdout.write(JSON.stringify(said));
await browser.close();

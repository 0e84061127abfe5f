// Python in a worker: first {pyodide: address}, then {text: derivation} as often as you like.
let judge;

async function start(address) {
  postMessage({ state: "Loading Python ..." });
  const { loadPyodide } = await import(new URL("pyodide.mjs", address));
  const python = await loadPyodide({ indexURL: address });
  const course = await fetch(new URL("course.zip", import.meta.url));
  python.unpackArchive(await course.arrayBuffer(), "zip", { extractDir: "/course" });
  python.runPython("import sys; sys.path.append('/course'); import vaelib");
  postMessage({ state: "The course is there. Loading NumPy and SciPy ..." });
  await python.loadPackage(["numpy", "scipy"]);
  judge = python.runPython(`
from vaelib.check import NotADocument, check_text
from vaelib.check.page import page

def judge(text):
    try:
        return page([check_text(text)])
    except NotADocument as reason:
        return str(reason)

judge`);
  postMessage({ state: "Ready.", ready: true });
}

onmessage = async ({ data }) => {
  try {
    if (data.pyodide) await start(data.pyodide);
    else postMessage({ state: "Done.", report: judge(data.text), ready: true });
  } catch (error) {
    postMessage({ state: `That did not work: ${error.message ?? error}`, ready: judge !== undefined });
  }
};

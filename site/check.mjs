// The page that checks a derivation: asks a worker, which runs Python, and shows its report.
const [text, button, state, report] = ["derivation", "judge", "state", "report"].map((id) => document.getElementById(id));
const setting = document.getElementById("check-script").dataset.pyodide;
const pyodide = new URL(setting.replace(/\/?$/, "/"), new URL("..", import.meta.url)).href; // or a folder of this site
const worker = new Worker(new URL("check-worker.mjs", import.meta.url), { type: "module" });

worker.onmessage = ({ data }) => {
  if (data.state) state.textContent = data.state;
  button.disabled = !data.ready;
  if (data.report) {
    report.srcdoc = data.report;
    report.hidden = false;
  }
};
worker.onerror = () => {
  state.textContent = `Python did not start: expected to find Pyodide at ${pyodide}. Is there a network?`;
};
button.onclick = () => {
  if (!text.value.trim()) {
    state.textContent = "Paste a derivation first.";
    return;
  }
  button.disabled = true;
  report.hidden = true; // that of the last derivation
  state.textContent = "Checking ...";
  worker.postMessage({ text: text.value });
};
worker.postMessage({ pyodide });

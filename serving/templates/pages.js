"use strict";
// Predicting again at each change, copying samples, trying the API. Pages say all without it: forms and links do the rest.
document.documentElement.classList.add("scripted");
const WAIT_MS = 20; // while somebody types

const text = (parent, name, value) => { parent.querySelector(name).textContent = value; };
const post = (body, signal) => fetch("/predict?what_if=true", {method: "POST", headers: {"Content-Type": "application/json"}, body, signal});

function amount(value) {
  const size = Math.abs(value), sign = value < 0 ? "−" : "";
  if (size && size < 1) return sign + Number(size.toPrecision(4));
  const digits = size < 10000 ? 2 : 0;
  return sign + size.toLocaleString("en", {minimumFractionDigits: digits, maximumFractionDigits: digits});
}

function effect(value, amounts) {
  const size = Math.abs(value);
  const told = !amounts ? size.toFixed(2) : size >= 100 ? Math.round(size).toLocaleString("en") : String(Number(size.toPrecision(3)));
  return (value < 0 ? "−" : "+") + told;
}

function whatIf(form) {
  const known = JSON.parse(form.dataset.known), amounts = "amount" in known;
  const controls = [...form.querySelectorAll("[data-own]")], row = control => control.closest(".field");
  const said = answer => amounts ? amount(answer.amount) : `${(100 * answer.probability).toFixed(1)}\u00a0%`;
  let asking = new AbortController(), waiting;

  function values() {
    const found = {...known.beside};
    for (const control of controls) {
      found[control.name] = control.value === "" ? null : "number" in control.dataset ? Number(control.value) : control.value;
    }
    return found;
  }

  function keep() {
    const changed = controls.filter(control => control.value !== control.dataset.own);
    const query = new URLSearchParams(changed.map(control => [control.name, control.value]));
    history.replaceState(null, "", location.pathname + (changed.length ? `?${query}` : ""));
    for (const control of controls) row(control).classList.toggle("changed", changed.includes(control));
    return changed.length > 0;
  }

  function mark(fields) {
    for (const control of controls) {
      const wrong = fields.find(each => each.field === control.name), hint = row(control).querySelector(".hint");
      hint.querySelector(".wrong")?.remove();
      control.toggleAttribute("aria-invalid", Boolean(wrong));
      if (!wrong) continue;
      control.setAttribute("aria-invalid", "true");
      const told = document.createElement("strong");
      told.className = "wrong";
      told.textContent = wrong.detail;
      hint.prepend(told);
    }
  }

  function bars(explanation) {
    const largest = Math.max(...[known.explanation, explanation].flatMap(each => Object.values(each).map(Math.abs)), 1e-12);
    for (const control of controls) {
      const line = row(control), before = known.explanation[control.name], after = explanation[control.name];
      const [was, now] = [effect(before, amounts), effect(after, amounts)];
      for (const [name, value] of [["was", was === now ? 0 : before], ["now", after]]) {
        const bar = line.querySelector(`.bar .${name}`), reach = 100 * value / largest;
        bar.setAttribute("x", Math.min(reach, 0));
        bar.setAttribute("width", Math.abs(reach));
        if (name === "now") bar.setAttribute("class", value > 0 ? "now raises" : "now lowers");
      }
      text(line, ".effect .now", now);
      text(line, ".effect .before", was === now ? "" : `was ${was}`);
    }
  }

  function show(answer, moved) {
    document.getElementById("figure").textContent = said(answer);
    const parts = moved ? [`It was ${said(known)}, now ${said(answer)}.`] : [];
    if (!amounts) parts.push(`Expected to ${answer.decision ? "leave" : "stay"}: “leaves” is said from ${(100 * known.threshold).toFixed(1)}\u00a0% on.`);
    document.getElementById("status").textContent = [...parts, `Bucket ${answer.bucket}.`].join(" ");
    if (answer.explanation) bars(answer.explanation);
  }

  async function predict() {
    asking.abort();
    asking = new AbortController();
    const moved = keep();
    try {
      const answer = await post(JSON.stringify(values()), asking.signal);
      if (answer.ok) {
        mark([]);
        return show(await answer.json(), moved);
      }
      if ([401, 403].includes(answer.status)) return form.submit(); // who may only read, or has to log in again
      const wrong = await answer.json();
      mark(wrong.fields ?? []);
      document.getElementById("status").textContent = wrong.detail;
    } catch (error) {
      if (error.name !== "AbortError") document.getElementById("status").textContent = "The server does not answer.";
    }
  }

  form.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(predict, WAIT_MS); });
  form.addEventListener("submit", event => { event.preventDefault(); predict(); });
  document.getElementById("reset").addEventListener("click", event => {
    event.preventDefault();
    for (const control of controls) control.value = control.dataset.own;
    predict();
  });
}

function copied(sample) {
  const around = document.createElement("div"), button = document.createElement("button");
  around.className = "copied";
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(sample.textContent);
    button.textContent = "Copied";
  });
  sample.before(around);
  around.append(sample, button);
}

function tried(form) {
  const answered = form.querySelector("pre"), status = form.querySelector("[role=status]");
  form.hidden = false;
  form.addEventListener("submit", async event => {
    event.preventDefault();
    const began = performance.now();
    try {
      const answer = await post(form.querySelector("textarea").value);
      const took = performance.now() - began;
      answered.firstChild.textContent = JSON.stringify(await answer.json(), null, 1);
      answered.hidden = false;
      status.textContent = `${answer.status} after ${Math.round(took)} ms`;
    } catch {
      status.textContent = "The server does not answer.";
    }
  });
}

document.querySelectorAll("form#what-if").forEach(whatIf);
document.querySelectorAll("form#try-it").forEach(tried);
if (navigator.clipboard) document.querySelectorAll("pre[data-copy]").forEach(copied); // only where the address is trusted

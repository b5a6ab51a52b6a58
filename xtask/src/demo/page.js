// The page.

const element = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(share > 0.9995 || share < 0.0005 ? 0 : 1)} %`;
// A threshold below 1 is not rounded to 1, which no image would reach.
function describeThreshold(threshold) {
  let digits = 4;
  while (threshold < 1 && digits < 20 && Number(threshold.toFixed(digits)) === 1) digits++;
  return `${Number(threshold.toFixed(digits))}`;
}

const main = document.querySelector("main");

function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// Describes the preprocessing of an image.
function describePreprocessing({ width, height, border, resize }) {
  const size = `${width - 2 * border}×${height - 2 * border}`;
  if (!resize.shorter_side) return `An image is resized to ${size} pixels`;
  const { pixels } = resize.shorter_side;
  return `An image is resized to ${pixels} pixels along its shorter side and cropped to the central ${size}`;
}

function showNetwork({ metadata }) {
  const { name, input, exits, classes } = metadata;
  document.title = element("name").textContent = name;
  const params = exits.at(-1).params;
  const size = params < 1e6 ? `${Math.round(params / 1e3)} thousand` : `${(params / 1e6).toFixed(2)} million`;
  element("about").textContent =
    `${size} parameters, ${classes.length} classes, ${exits.length} exits. ${describePreprocessing(input)}. It passes ` +
    `through the network stage by stage and stops at the first exit that is confident enough; later stages do not ` +
    `run. Everything runs in this page; no image leaves it.`;
  element("exits").replaceChildren(...exits.map((exit) => {
    const share = percent(exit.macs / metadata.deployed_macs);
    const own = exit === exits.at(-1) ? "" : exit.threshold == null ? ", no threshold" : `, threshold ${describeThreshold(exit.threshold)}`;
    const head = make("header", {}, make("strong", { textContent: exit.name }),
      make("span", { textContent: `${share} of the multiply–accumulates up to here${own}` }));
    const card = make("li", {}, head, make("div", { className: "bars" }));
    card.dataset.state = "waiting";
    return card;
  }));
}

function rule() {
  const chosen = document.querySelector("input[name=rule]:checked").value;
  const same = Number(element("least").value);
  return { own: (exit) => exit.threshold ?? null, same: () => same, never: () => null }[chosen];
}

function showPrediction({ index, probabilities, leaves }, classes) {
  const card = element("exits").children[index];
  card.dataset.state = leaves ? "left" : "ran";
  const best = probabilities.map((share, label) => ({ share, label })).sort((a, b) => b.share - a.share).slice(0, 3);
  card.lastElementChild.replaceChildren(...best.flatMap(({ share, label }) => [
    make("span", { textContent: classes[label], title: classes[label] }),
    make("meter", { value: share, ariaLabel: classes[label] }),
    make("span", { textContent: percent(share) }),
  ]));
}

// The cost of an image that ran through all exits is above that of the network without exits.
const describeSaved = (saved) => saved >= 0
  ? `${percent(saved)} of the multiply–accumulates saved`
  : `${percent(-saved)} more multiply–accumulates than without exits`;

function showVerdict({ label, probability, exit, milliseconds, saved }, classes, truth) {
  const verdict = element("verdict");
  const wrong = truth !== null && truth !== classes[label];
  verdict.classList.toggle("wrong", wrong);
  verdict.replaceChildren(make("strong", { textContent: classes[label] }), ` ${percent(probability)}`,
    wrong ? ` (correct: ${truth})` : "",
    make("small", { textContent: `stopped at ${exit.name}, ${describeSaved(saved)}, ${milliseconds.toFixed(1)} ms` }));
}

// Classifies an image and shows the prediction of each exit as soon as it is known.
async function classify(network, blob, truth) {
  const { classes, deployed_macs, exits, input } = network.metadata;
  const cards = [...element("exits").children];
  cards.forEach((card) => {
    card.dataset.state = "waiting";
    card.lastElementChild.replaceChildren();
  });
  const { tensor, seen } = await preprocess(blob, input);
  Object.assign(element("seen"), { width: seen.width, height: seen.height });
  element("seen").getContext("2d").putImageData(seen, 0, 0);
  let milliseconds = 0;
  let last;
  for await (const prediction of predictions(network, tensor, rule())) {
    milliseconds += prediction.milliseconds;
    showPrediction(prediction, classes);
    last = prediction;
  }
  cards.slice(last.index + 1).forEach((card) => {
    card.dataset.state = "skipped";
    card.lastElementChild.replaceChildren(make("span", { textContent: "did not run" }));
  });
  const probability = Math.max(...last.probabilities);
  const label = last.probabilities.indexOf(probability);
  const result = { label, probability, exit: exits[last.index], milliseconds, saved: 1 - last.exit.macs / deployed_macs };
  showVerdict(result, classes, truth);
  return { ...result, right: truth === classes[label] };
}

// Classifies the shown image again.
let again = null;
// Whether the rule has changed since the shown image was classified.
let stale = false;

// Classifies one image at a time: input during a classification is ignored, except a change of the rule.
async function oneAtATime(work) {
  if (main.dataset.state !== "ready") return;
  main.dataset.state = "running";
  try {
    await work();
    while (stale && again) {
      stale = false;
      await again();
    }
  } catch (error) {
    element("verdict").textContent = `Error: ${error.message}`;
  }
  main.dataset.state = "ready";
}

function showSamples(network) {
  // File names contain the class without punctuation.
  const plain = (text) => text.replace(/[^\p{L}\p{N}]/gu, " ");
  const samples = embedded.samples.map(({ class: name, media_type, base64 }) => {
    const truth = network.metadata.classes.find((known) => plain(known) === name) ?? name;
    const blob = new Blob([bytes(base64)], { type: media_type });
    const button = make("button", { type: "button", title: truth, ariaPressed: "false" },
      make("img", { src: `data:${media_type};base64,${base64}`, alt: truth }));
    const sample = { truth, blob, button };
    button.addEventListener("click", () => oneAtATime(() => take(sample)));
    return sample;
  });
  const press = (chosen) => samples.forEach(({ button }) => (button.ariaPressed = String(button === chosen)));
  const take = async (sample) => {
    const { truth, blob, button } = sample;
    again = () => take(sample);
    press(button);
    const result = await classify(network, blob, truth);
    button.dataset.mark = result.exit.name;
    button.classList.toggle("right", result.right);
    return result;
  };
  element("samples").replaceChildren(...samples.map(({ button }) => button));
  element("all").hidden = samples.length === 0;
  element("all").addEventListener("click", () => oneAtATime(async () => {
    const results = [];
    for (const sample of samples) results.push(await take(sample));
    const right = results.filter((result) => result.right).length;
    const saved = results.reduce((sum, result) => sum + result.saved, 0) / results.length;
    element("score").textContent = `${right} of ${results.length} correct, ${describeSaved(saved)} on average`;
  }));
  return { first: async () => samples.length > 0 && take(samples[0]), none: () => press(null) };
}

function acceptImages(network, samples) {
  const take = (file) => file && oneAtATime(() => {
    samples.none();
    again = () => classify(network, file, null);
    return again();
  });
  element("file").addEventListener("change", (event) => take(event.target.files[0]));
  const drop = element("drop");
  for (const [type, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    document.addEventListener(type, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", over);
      if (type === "drop") take(event.dataTransfer.files[0]);
    });
  }
}

// A change of the rule classifies the shown image again.
function acceptRules() {
  const change = () => {
    stale = true;
    return oneAtATime(() => {});
  };
  document.querySelectorAll("input[name=rule]").forEach((input) => input.addEventListener("change", change));
  element("least").addEventListener("input", ({ target }) => {
    target.nextElementSibling.textContent = percent(target.value);
    document.querySelector("input[value=same]").checked = true;
    change();
  });
}

try {
  const network = await openNetwork();
  showNetwork(network);
  const samples = showSamples(network);
  acceptImages(network, samples);
  acceptRules();
  main.dataset.state = "ready";
  await oneAtATime(samples.first);
} catch (error) {
  main.dataset.state = "failed";
  element("about").textContent = `The network cannot run here: ${error.message}`;
}

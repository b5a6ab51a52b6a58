// The staged network: one file per exit, chained by the feature map.

// Fields of a protobuf message that contain numbers or bytes.
function* fields(message) {
  let at = 0;
  const varint = () => {
    let [value, place, byte] = [0, 1, 0];
    do {
      byte = message[at++];
      value += (byte & 127) * place;
      place *= 128;
    } while (byte & 128);
    return value;
  };
  while (at < message.length) {
    const key = varint();
    const number = Math.floor(key / 8);
    switch (key % 8) {
      case 0: yield [number, varint()]; break;
      case 1: at += 8; break;
      case 2: {
        const size = varint();
        yield [number, message.subarray(at, at + size)];
        at += size;
        break;
      }
      case 5: at += 4; break;
      default: throw new Error("this is no ONNX file");
    }
  }
}

// Metadata of a file: the entry `selfdistill` of ModelProto.metadata_props (field 14).
function metadataOf(file) {
  for (const [number, entry] of fields(file)) {
    if (number !== 14) continue;
    const { 1: key, 2: value } = Object.fromEntries(fields(entry));
    if (new TextDecoder().decode(key) === "selfdistill") return JSON.parse(new TextDecoder().decode(value));
  }
  throw new Error("the file has no metadata of selfdistill");
}

async function openNetwork() {
  const module = new Blob([await unpacked(embedded.module)], { type: "text/javascript" });
  const ort = await import(URL.createObjectURL(module));
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await unpacked(embedded.wasm);
  const files = await Promise.all(embedded.segments.map(unpacked));
  const segments = [];
  for (const file of files) segments.push(await ort.InferenceSession.create(file));
  const network = { ort, segments, metadata: metadataOf(files[0]) };
  // Warms up: the first run takes longer than the later ones.
  const { channels, height, width } = network.metadata.input;
  for await (const _ of predictions(network, new Float32Array(channels * height * width), () => null));
  return network;
}

function softmax(logits, temperature) {
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp((logit - largest) / temperature));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

// Yields the predictions of the exits up to the one where the image stops. `least` returns the minimum
// confidence at an exit, or null.
async function* predictions({ ort, segments, metadata }, tensor, least) {
  const { channels, height, width } = metadata.input;
  let map = new ort.Tensor("float32", tensor, [1, channels, height, width]);
  // A fraction of the accumulated logits is added to those of the next exit.
  let logits = null;
  for (const [index, exit] of metadata.exits.entries()) {
    const start = performance.now();
    const outputs = await segments[index].run({ [segments[index].inputNames[0]]: map });
    const milliseconds = performance.now() - start;
    logits = Array.from(outputs[exit.name].data, (logit, label) => logit + (logits ? (metadata.carry ?? 0) * logits[label] : 0));
    const probabilities = softmax(logits, exit.temperature ?? 1);
    const enough = least(exit);
    const deepest = index + 1 === metadata.exits.length;
    const leaves = deepest || (enough !== null && Math.max(...probabilities) >= enough);
    yield { index, exit, probabilities, milliseconds, leaves };
    if (leaves) return;
    map = outputs[`map${index + 1}`];
  }
}

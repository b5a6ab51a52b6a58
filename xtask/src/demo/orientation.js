// EXIF orientation. Browsers apply that of JPEG files; that of PNG and WebP files only some do.

const ascii = (bytes, at, length) => String.fromCharCode(...bytes.subarray(at, at + length));

// Orientation 1 to 8 in a TIFF header; 1, upright, if there is none.
function orientationIn(exif) {
  const view = new DataView(exif.buffer, exif.byteOffset, exif.byteLength);
  const little = ascii(exif, 0, 2) === "II";
  if (exif.length < 8 || (!little && ascii(exif, 0, 2) !== "MM")) return 1;
  const first = view.getUint32(4, little);
  const count = first + 2 <= exif.length ? view.getUint16(first, little) : 0;
  for (let entry = first + 2; entry < first + 2 + 12 * count && entry + 12 <= exif.length; entry += 12) {
    const value = view.getUint16(entry + 8, little);
    if (view.getUint16(entry, little) === 0x0112) return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

// Chunks of a PNG or WebP file, as the ranges of whole chunks and of their contents.
function* chunksOf(file, isPng) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let at = isPng ? 8 : 12; at + 8 <= file.length; ) {
    const length = isPng ? view.getUint32(at) : view.getUint32(at + 4, true);
    const [start, end] = [at + 8, at + 8 + length];
    const after = isPng ? end + 4 : end + (length % 2);
    yield { name: ascii(file, isPng ? at + 4 : at, 4), at, start, end, after };
    at = after;
  }
}

// Returns the image without its EXIF chunk, and the orientation in that. JPEG files stay as they are.
async function withoutOrientation(blob) {
  const file = new Uint8Array(await blob.arrayBuffer());
  const isPng = ascii(file, 1, 3) === "PNG";
  if (!isPng && (ascii(file, 0, 4) !== "RIFF" || ascii(file, 8, 4) !== "WEBP")) return { blob, orientation: 1 };
  const chunks = [...chunksOf(file, isPng)];
  const exif = chunks.find(({ name }) => name === (isPng ? "eXIf" : "EXIF"));
  if (!exif) return { blob, orientation: 1 };
  const orientation = orientationIn(file.subarray(exif.start, exif.end));
  const rest = new Uint8Array([...file.subarray(0, exif.at), ...file.subarray(exif.after)]);
  if (!isPng) {
    new DataView(rest.buffer).setUint32(4, rest.length - 8, true);
    const extended = chunks.find(({ name }) => name === "VP8X");
    if (extended) rest[extended.start] &= ~8; // the flag of an EXIF chunk
  }
  return { blob: new Blob([rest], { type: blob.type }), orientation };
}

// Draws an image upright on a canvas of its size, and returns the pixels.
function uprightPixels(picture, orientation) {
  const { width, height } = picture;
  const turned = orientation > 4;
  const canvas = new OffscreenCanvas(turned ? height : width, turned ? width : height);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.setTransform(...[
    [1, 0, 0, 1, 0, 0],
    [-1, 0, 0, 1, width, 0],
    [-1, 0, 0, -1, width, height],
    [1, 0, 0, -1, 0, height],
    [0, 1, 1, 0, 0, 0],
    [0, 1, -1, 0, height, 0],
    [0, -1, -1, 0, height, width],
    [0, -1, 1, 0, 0, width],
  ][orientation - 1]);
  context.drawImage(picture, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

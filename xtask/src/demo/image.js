// Preprocessing of an image, as in preprocess.rs of sd-infer.

// Pixels of the upright image: `channels` values each, RGB or grey: Rec. 709 in multiples of 2^-15, from
// which sd-infer differs by 1 in a pixel of 10,000.
async function pixelsOf(blob, channels) {
  const { blob: plain, orientation } = await withoutOrientation(blob);
  const picture = await createImageBitmap(plain, { premultiplyAlpha: "none", colorSpaceConversion: "none" });
  const { width, height, data } = uprightPixels(picture, orientation);
  const values = new Float32Array(width * height * channels);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const [red, green, blue] = [data[4 * pixel], data[4 * pixel + 1], data[4 * pixel + 2]];
    if (channels === 1) values[pixel] = (6968 * red + 23435 * green + 2365 * blue + 2 ** 14) >> 15;
    else values.set([red, green, blue], 3 * pixel);
  }
  return { values, width, height, channels };
}

// The whole of a side of `length` pixels, and its centre: the part that becomes `side` pixels if the
// shortest side of the image becomes `pixels`. Rounds half to even, as in training.
const whole = (length) => ({ begin: 0, extent: length });
function middle(length, shortest, pixels, side) {
  const resized = Math.floor((pixels * length) / shortest);
  const half = (resized - side) / 2;
  const margin = half % 1 ? 2 * Math.round(half / 2) : half;
  const scale = length / resized;
  return { begin: margin * scale, extent: side * scale };
}

// Weights of a triangle filter: for each of `to` output pixels, spread over a part of a side of `length`
// pixels, the first input pixel and the weights. The filter widens if the image shrinks. Weights are
// whole multiples of 2^-bits that fit 16 bits, as in training.
function triangle(length, { begin, extent }, to) {
  const ratio = extent / to;
  const reach = Math.max(ratio, 1);
  const pixels = Array.from({ length: to }, (_, place) => {
    const centre = begin + (place + 0.5) * ratio;
    const first = Math.max(0, Math.floor(centre - reach));
    const last = Math.min(length, Math.ceil(centre + reach));
    const weights = [];
    for (let at = first; at < last; at++) {
      weights.push(Math.max(0, 1 - Math.abs(at + 0.5 - centre) / reach));
    }
    const sum = weights.reduce((a, b) => a + b);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
  const largest = pixels.reduce((most, { weights }) => Math.max(most, ...weights), 0);
  let bits = 0;
  while (bits < 21 && Math.round(largest * 2 ** (bits + 1)) < 2 ** 15) bits++;
  const whole = (weight) => Math.round(weight * 2 ** bits);
  return { bits, pixels: pixels.map(({ first, weights }) => ({ first, weights: weights.map(whole) })) };
}

// Resizes one side, to bytes.
function resizedSide({ values, width, height, channels }, isHeight, part, to) {
  const { bits, pixels } = triangle(isHeight ? height : width, part, to);
  const [lines, step, line] = isHeight ? [width, width * channels, channels] : [height, channels, width * channels];
  const [newStep, newLine] = isHeight ? [step, line] : [channels, to * channels];
  const result = new Uint8ClampedArray(lines * to * channels);
  for (let start = 0; start < lines; start++) {
    pixels.forEach(({ first, weights }, place) => {
      for (let channel = 0; channel < channels; channel++) {
        let sum = 2 ** (bits - 1);
        weights.forEach((weight, at) => (sum += weight * values[start * line + (first + at) * step + channel]));
        result[start * newLine + place * newStep + channel] = sum >> bits;
      }
    });
  }
  return { values: result, width: isHeight ? width : to, height: isHeight ? to : height, channels };
}

// Resizes an image by the rule in the network's metadata, as sd-image does: one side after the other,
// with `shorter_side` the height first, otherwise the side first that leaves fewer pixels.
function resized(image, toWidth, toHeight, { shorter_side }) {
  const { width, height } = image;
  const part = (length, to) =>
    shorter_side ? middle(length, Math.min(width, height), shorter_side.pixels, to) : whole(length);
  const sides = [[true, part(height, toHeight), toHeight], [false, part(width, toWidth), toWidth]];
  if (!shorter_side && toWidth * height <= width * toHeight) sides.reverse();
  return sides.reduce((image, [isHeight, part, to]) => resizedSide(image, isHeight, part, to), image).values;
}

// Returns the network's input [1, C, H, W], and the same image before normalisation.
async function preprocess(blob, { channels, height, width, border, resize, mean, deviation }) {
  const [innerWidth, innerHeight] = [width - 2 * border, height - 2 * border];
  const inner = resized(await pixelsOf(blob, channels), innerWidth, innerHeight, resize);
  const tensor = new Float32Array(channels * height * width);
  const seen = new ImageData(width, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [column, row] = [x - border, y - border];
      const inside = column >= 0 && column < innerWidth && row >= 0 && row < innerHeight;
      const color = Array.from({ length: channels }, (_, channel) =>
        inside ? inner[(row * innerWidth + column) * channels + channel] : 0);
      color.forEach((value, channel) => {
        tensor[(channel * height + y) * width + x] = (value / 255 - mean[channel]) / deviation[channel];
      });
      const [red, green = red, blue = red] = color;
      seen.data.set([red, green, blue, 255], 4 * (y * width + x));
    }
  }
  return { tensor, seen };
}

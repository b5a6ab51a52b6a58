// Preprocessing of an image, as in preprocess.rs of sd-infer.

// Pixels of the upright image: `channels` values each, RGB or grey (Rec. 709, rounded).
async function pixelsOf(blob, channels) {
  const { blob: plain, orientation } = await withoutOrientation(blob);
  const picture = await createImageBitmap(plain, { premultiplyAlpha: "none", colorSpaceConversion: "none" });
  const { width, height, data } = uprightPixels(picture, orientation);
  const values = new Float32Array(width * height * channels);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const [red, green, blue] = [data[4 * pixel], data[4 * pixel + 1], data[4 * pixel + 2]];
    if (channels === 1) values[pixel] = Math.round(0.212639 * red + 0.715169 * green + 0.072192 * blue);
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
// pixels, the first input pixel and the weights. The filter widens if the image shrinks.
function triangle(length, { begin, extent }, to) {
  const ratio = extent / to;
  const reach = Math.max(ratio, 1);
  return Array.from({ length: to }, (_, place) => {
    const centre = begin + (place + 0.5) * ratio;
    const first = Math.max(0, Math.floor(centre - reach));
    const last = Math.min(length, Math.max(first + 1, Math.ceil(centre + reach)));
    const weights = [];
    for (let at = first; at < last; at++) {
      weights.push(Math.max(0, 1 - Math.abs(at + 0.5 - centre) / reach));
    }
    const sum = weights.reduce((a, b) => a + b);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

// Resizes an image by the rule in the network's metadata, in the order of sd-infer: first the height,
// then the width. With `shorter_side`, intermediate values are rounded; results may differ by 1 from
// training, whose weights have 16 bits.
function resized({ values, width, height, channels }, toWidth, toHeight, { shorter_side }) {
  if (!shorter_side && width === toWidth && height === toHeight) return values;
  const part = (length, to) =>
    shorter_side ? middle(length, Math.min(width, height), shorter_side.pixels, to) : whole(length);
  const wide = new Float32Array(width * toHeight * channels);
  triangle(height, part(height, toHeight), toHeight).forEach(({ first, weights }, y) => {
    for (let at = 0; at < width * channels; at++) {
      let sum = 0;
      weights.forEach((weight, row) => (sum += weight * values[(first + row) * width * channels + at]));
      wide[y * width * channels + at] = shorter_side ? Math.round(sum) : sum;
    }
  });
  const columns = triangle(width, part(width, toWidth), toWidth);
  const small = new Float32Array(toWidth * toHeight * channels);
  for (let y = 0; y < toHeight; y++) {
    columns.forEach(({ first, weights }, x) => {
      for (let channel = 0; channel < channels; channel++) {
        let sum = 0;
        weights.forEach((weight, at) => (sum += weight * wide[(y * width + first + at) * channels + channel]));
        small[(y * toWidth + x) * channels + channel] = Math.round(sum);
      }
    });
  }
  return small;
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

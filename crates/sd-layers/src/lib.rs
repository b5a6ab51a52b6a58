//! Convolution, attention and normalisation blocks, each with its cost
